//! What a lot should do, in as few words as possible: the sequences in `sequences` compare a real one with it after every step.

use std::collections::BTreeMap;

use authority::Occasion;
use mfg::{Phase, Tally};
use pki::Sha256;

use crate::{
    paper::CAP,
    shop::{Ask, OFFER_STANDS, Told},
};

/// One step of a sequence. Numbers are small, so that steps meet each other.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A first certificate, with one of two keys of the device.
    First {
        device: u32,
        key: u32,
    },
    Replace {
        device: u32,
    },
    AllowRework {
        device: u32,
    },
    Rework {
        device: u32,
    },
    Confirm {
        device: u32,
    },
    /// The line read back a certificate that is not the newest.
    ConfirmEarlier {
        device: u32,
    },
    ScrapDevice {
        device: u32,
    },
    ReinstateDevice {
        device: u32,
    },
    ScrapBlanks {
        units: u32,
    },
    ReinstateBlanks {
        units: u32,
    },
    Offer {
        lot: u32,
        units: u32,
    },
    Cancel {
        lot: u32,
    },
    Accept {
        lot: u32,
    },
    /// Time goes by: half of what an offer stands.
    Wait,
    Close,
    /// An earlier request, to the octet, long after its answer.
    Repeat {
        which: usize,
    },
}

/// What must come of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Something that was not told before.
    Fresh,
    /// Exactly this.
    Same(Told),
    /// A refusal.
    Refused(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    InDoubt,
    Written,
    Scrapped,
}

#[derive(Debug, Clone)]
struct Device {
    standing: Standing,
    generation: u32,
    replacements: u32,
    rework_allowed: bool,
    certificates: Vec<Sha256>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handoff {
    Offered { until: u64 },
    Withdrawn,
    Accepted,
}

/// The lot as it should be.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    received: u64,
    /// Blank ones; scrapped devices are counted by where they stand.
    scrapped_blanks: u64,
    closed: bool,
    now: u64,
    devices: BTreeMap<u32, Device>,
    handoffs: BTreeMap<u32, (u32, Handoff)>,
    /// Everything that was acknowledged, with what was said.
    pub(crate) acknowledged: Vec<(Ask, Told)>,
}

/// Ids of requests that a device or a lot has once and for all; other requests are numbered as they come.
const OWN_IDS: u64 = 1 << 32;

impl Model {
    pub(crate) fn new(received: u64) -> Self {
        Self {
            received,
            scrapped_blanks: 0,
            closed: false,
            now: 0,
            devices: BTreeMap::new(),
            handoffs: BTreeMap::new(),
            acknowledged: Vec::new(),
        }
    }

    /// What a step asks, as the request with this number. None when there is nothing to ask.
    pub(crate) fn ask(&self, op: &Op, request: u64) -> Option<Ask> {
        let certificates = |device: &u32| self.devices.get(device).map_or(&[][..], |d| &d.certificates);
        let next_key = |device: &u32| 2 + u32::try_from(certificates(device).len()).unwrap();
        Some(match *op {
            Op::First { device, key } => {
                let request = OWN_IDS + u64::from(device) * 2 + u64::from(key);
                Ask::Issue { request, device, key, occasion: Occasion::First }
            }
            Op::Replace { device } => {
                Ask::Issue { request, device, key: next_key(&device), occasion: Occasion::Replacement }
            }
            Op::Rework { device } => Ask::Issue { request, device, key: next_key(&device), occasion: Occasion::Rework },
            Op::AllowRework { device } => Ask::AllowRework { request, device },
            Op::Confirm { device } => {
                let newest = certificates(&device).last().copied();
                Ask::Confirm { device, certificate: newest.unwrap_or(Sha256::of(b"nothing")) }
            }
            Op::ConfirmEarlier { device } => {
                let (_, earlier) = certificates(&device).split_last()?;
                Ask::Confirm { device, certificate: *earlier.first()? }
            }
            Op::ScrapDevice { device } => Ask::ScrapDevice { request, device },
            Op::ReinstateDevice { device } => Ask::ReinstateDevice { request, device },
            Op::ScrapBlanks { units } => Ask::ScrapBlanks { request, units },
            Op::ReinstateBlanks { units } => Ask::ReinstateBlanks { request, units },
            Op::Offer { lot, units } => Ask::Offer { request, lot, units },
            Op::Cancel { lot } => Ask::Cancel { request, lot },
            Op::Accept { lot } => {
                let units = self.handoffs.get(&lot).map_or(1, |(units, _)| *units);
                Ask::Accept { request: 2 * OWN_IDS + u64::from(lot), lot, units }
            }
            Op::Close => Ask::Close { request },
            Op::Repeat { which } => self.acknowledged.get(which.checked_rem(self.acknowledged.len())?)?.0.clone(),
            Op::Wait => return None,
        })
    }

    pub(crate) fn wait(&mut self) -> u32 {
        let seconds = OFFER_STANDS / 2 + 1;
        self.now += u64::from(seconds);
        seconds
    }

    /// What must come of an ask.
    pub(crate) fn expected(&self, ask: &Ask) -> Expected {
        if let Some((_, told)) = self.acknowledged.iter().find(|(before, _)| before == ask) {
            return Expected::Same(told.clone());
        }
        match self.refusal(ask) {
            Some(reason) => Expected::Refused(reason),
            None => Expected::Fresh,
        }
    }

    fn refusal(&self, ask: &Ask) -> Option<&'static str> {
        let device = |id: &u32| self.devices.get(id).ok_or("DEVICE_UNKNOWN");
        let judged = match ask {
            Ask::Issue { device: id, occasion: Occasion::First, .. } => match self.devices.get(id) {
                Some(_) => Err("DEVICE_ID_TAKEN"),
                None => self.spend(1),
            },
            Ask::Issue { device: id, occasion: Occasion::Replacement, .. } => device(id).and_then(Device::replace),
            Ask::Issue { device: id, occasion: Occasion::Rework, .. } => {
                device(id).and_then(|d| d.rework().and(self.open()))
            }
            Ask::Confirm { device: id, certificate } => device(id).and_then(|d| d.confirm(certificate)),
            Ask::AllowRework { device: id, .. } => device(id).and_then(Device::allow_rework),
            Ask::ScrapDevice { device: id, .. } => device(id).map(|_| ()),
            Ask::ReinstateDevice { device: id, .. } => device(id).and_then(|d| match d.standing {
                Standing::Scrapped => self.open(),
                Standing::InDoubt | Standing::Written => Err("NOT_SCRAPPED"),
            }),
            Ask::ScrapBlanks { units, .. } => self.spend(*units),
            Ask::ReinstateBlanks { units, .. } => self.open().and_then(|()| self.blanks_back(*units)),
            Ask::Offer { lot, units, .. } => match self.handoffs.get(lot) {
                Some(_) => Err("LOT_EXISTS"),
                None => self.spend(*units),
            },
            Ask::Cancel { lot, .. } => match self.handoffs.get(lot) {
                None => Err("LOT_UNKNOWN"),
                Some((_, Handoff::Offered { .. })) => Ok(()),
                Some((_, Handoff::Accepted)) => Err("HANDOFF_ALREADY_ACCEPTED"),
                Some((_, Handoff::Withdrawn)) => Err("HANDOFF_WITHDRAWN"),
            },
            Ask::Accept { lot, .. } => match self.handoffs.get(lot) {
                None => Err("LOT_UNKNOWN"),
                Some((_, Handoff::Offered { until })) if self.now <= *until => Ok(()),
                Some((_, Handoff::Offered { .. } | Handoff::Withdrawn)) => Err("HANDOFF_WITHDRAWN"),
                Some((_, Handoff::Accepted)) => Ok(()),
            },
            Ask::Close { .. } => self.open().and_then(|()| match (self.reserved(), self.in_doubt()) {
                (1.., _) => Err("OFFERS_OUTSTANDING"),
                (0, 1..) => Err("UNITS_IN_DOUBT"),
                (0, 0) => Ok(()),
            }),
        };
        judged.err()
    }

    /// Takes note of what came of an ask, as expected.
    pub(crate) fn note(&mut self, ask: &Ask, told: Option<&Told>) {
        let repeated = self.acknowledged.iter().any(|(before, _)| before == ask);
        match (ask, told) {
            (_, _) if repeated => return,
            (Ask::Accept { lot, .. }, None) => self.expire(*lot),
            (_, None) => return,
            (ask, Some(told)) => self.apply(ask, told),
        }
        // A confirmation names a certificate, not a request: what comes of it depends on where the device stands.
        if let Some(told) = told.filter(|_| !matches!(ask, Ask::Confirm { .. })) {
            self.acknowledged.push((ask.clone(), told.clone()));
        }
    }

    fn expire(&mut self, lot: u32) {
        if let Some((_, handoff @ Handoff::Offered { .. })) = self.handoffs.get_mut(&lot) {
            *handoff = Handoff::Withdrawn;
        }
    }

    fn apply(&mut self, ask: &Ask, told: &Told) {
        let digest = match told {
            Told::Certificates(chain) => Sha256::of(&chain[0]),
            Told::Done => Sha256::of(b""),
        };
        let until = self.now + u64::from(OFFER_STANDS);
        match ask {
            Ask::Issue { device, occasion, .. } => {
                let issued = self.devices.entry(*device).or_insert_with(Device::new);
                issued.issued(*occasion, digest);
            }
            Ask::Confirm { device, .. } => self.device(*device).standing = Standing::Written,
            Ask::AllowRework { device, .. } => self.device(*device).rework_allowed = true,
            Ask::ScrapDevice { device, .. } => {
                let device = self.device(*device);
                (device.standing, device.rework_allowed) = (Standing::Scrapped, false);
            }
            Ask::ReinstateDevice { device, .. } => self.device(*device).standing = Standing::InDoubt,
            Ask::ScrapBlanks { units, .. } => self.scrapped_blanks += u64::from(*units),
            Ask::ReinstateBlanks { units, .. } => self.scrapped_blanks -= u64::from(*units),
            Ask::Offer { lot, units, .. } => {
                self.handoffs.insert(*lot, (*units, Handoff::Offered { until }));
            }
            Ask::Cancel { lot, .. } => self.handoffs.get_mut(lot).unwrap().1 = Handoff::Withdrawn,
            Ask::Accept { lot, .. } => self.handoffs.get_mut(lot).unwrap().1 = Handoff::Accepted,
            Ask::Close { .. } => self.closed = true,
        }
    }

    fn device(&mut self, id: u32) -> &mut Device {
        self.devices.get_mut(&id).unwrap()
    }

    fn open(&self) -> Result<(), &'static str> {
        if self.closed { Err("LOT_CLOSED") } else { Ok(()) }
    }

    fn spend(&self, units: u32) -> Result<(), &'static str> {
        self.open()?;
        let spent = self.provisioned() + self.handed_over() + self.reserved() + self.scrapped();
        if spent + u64::from(units) > self.received { Err("QUANTITY_SPENT") } else { Ok(()) }
    }

    fn blanks_back(&self, units: u32) -> Result<(), &'static str> {
        if self.scrapped_blanks < u64::from(units) { Err("NOT_SCRAPPED") } else { Ok(()) }
    }

    fn standing(&self, standing: Standing) -> u64 {
        self.devices.values().filter(|d| d.standing == standing).count() as u64
    }

    fn scrapped(&self) -> u64 {
        self.scrapped_blanks + self.standing(Standing::Scrapped)
    }

    fn in_doubt(&self) -> u64 {
        self.standing(Standing::InDoubt)
    }

    fn provisioned(&self) -> u64 {
        self.in_doubt() + self.standing(Standing::Written)
    }

    fn units_of(&self, which: impl Fn(Handoff) -> bool) -> u64 {
        self.handoffs.values().filter(|(_, handoff)| which(*handoff)).map(|(units, _)| u64::from(*units)).sum()
    }

    fn handed_over(&self) -> u64 {
        self.units_of(|handoff| handoff == Handoff::Accepted)
    }

    fn reserved(&self) -> u64 {
        self.units_of(|handoff| matches!(handoff, Handoff::Offered { .. }))
    }

    /// Compares a real tally with this lot, count by count.
    pub(crate) fn assert_is(&self, tally: &Tally) {
        let counts = [tally.provisioned(), tally.in_doubt(), tally.handed_over(), tally.reserved(), tally.scrapped()];
        let expected = [self.provisioned(), self.in_doubt(), self.handed_over(), self.reserved(), self.scrapped()];
        assert_eq!(counts, expected, "provisioned, in doubt, handed over, reserved, scrapped");
        assert_eq!(tally.scrapped_blanks(), self.scrapped_blanks, "scrapped without a certificate");
        assert_eq!(tally.phase() == Phase::Closed, self.closed);
        assert!(counts[0] + counts[2..].iter().sum::<u64>() <= self.received, "one unit too many: {tally}");
    }
}

impl Device {
    fn new() -> Self {
        Self {
            standing: Standing::InDoubt,
            generation: 1,
            replacements: 0,
            rework_allowed: false,
            certificates: Vec::new(),
        }
    }

    fn issued(&mut self, occasion: Occasion, certificate: Sha256) {
        match occasion {
            Occasion::First => {}
            Occasion::Replacement => self.replacements += 1,
            Occasion::Rework => self.generation += 1,
        }
        (self.standing, self.rework_allowed) = (Standing::InDoubt, false);
        self.certificates.push(certificate);
    }

    fn written(&self) -> Result<(), &'static str> {
        match self.standing {
            Standing::InDoubt => Err("NOT_WRITTEN"),
            Standing::Written => Ok(()),
            Standing::Scrapped => Err("DEVICE_SCRAPPED"),
        }
    }

    fn replace(&self) -> Result<(), &'static str> {
        match self.standing {
            Standing::InDoubt if self.replacements < CAP => Ok(()),
            Standing::InDoubt => Err("REPLACEMENT_CAP_SPENT"),
            Standing::Written => Err("ALREADY_WRITTEN"),
            Standing::Scrapped => Err("DEVICE_SCRAPPED"),
        }
    }

    fn allow_rework(&self) -> Result<(), &'static str> {
        self.written()?;
        if self.generation > CAP { Err("REWORK_CAP_SPENT") } else { Ok(()) }
    }

    fn rework(&self) -> Result<(), &'static str> {
        self.allow_rework()?;
        if self.rework_allowed { Ok(()) } else { Err("REWORK_NOT_ALLOWED") }
    }

    fn confirm(&self, certificate: &Sha256) -> Result<(), &'static str> {
        match (self.certificates.last() == Some(certificate), self.standing) {
            (false, _) => Err("WRITTEN_CERTIFICATE_DIFFERS"),
            (true, Standing::Scrapped) => Err("DEVICE_SCRAPPED"),
            (true, Standing::InDoubt | Standing::Written) => Ok(()),
        }
    }
}
