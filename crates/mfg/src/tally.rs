//! The law of conservation, per lot: received = provisioned + handed over + reserved + scrapped + remaining (+ void
//! once the lot is closed). What remains is never stored but derived, so a tally that breaks the law has no value.
//! Of the provisioned units some are written, the others are in doubt; of the scrapped ones some had a device certificate, and
//! come back as nothing else.

mod fields;
mod words;

use std::fmt;

pub use fields::{NotATally, TallyFields};

use crate::quantity::Quantity;

/// What became of the units of one lot.
///
/// Invariant: of a lot with a quantity, the four counts never sum to more than what was received; of any lot, no more units are
/// written than provisioned, and no more scrapped with a certificate than scrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tally {
    received: Quantity,
    provisioned: u64,
    written: u64,
    handed_over: u64,
    reserved: u64,
    scrapped: u64,
    scrapped_devices: u64,
    phase: Phase,
}

/// Whether the lot may still spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Units may be spent.
    Open,
    /// Nothing is spent any more; what remained is void.
    Closed,
}

/// One change of a tally. Counts are units, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Movement {
    /// The lot is received; creates the tally.
    Open(Quantity),
    /// An offer holds units back.
    Reserve(u32),
    /// A cancelled or expired offer gives them back.
    Release(u32),
    /// The signature spends reserved units.
    HandOver(u32),
    /// A device's first certificate is issued.
    Provision,
    /// That intent was voided, on record.
    UnProvision,
    /// The line confirmed what is on a device that was in doubt.
    Write,
    /// A written device gets another certificate and is in doubt again.
    Rework,
    /// Blank units are scrapped.
    ScrapBlank(u32),
    /// A provisioned unit that is in doubt is scrapped.
    ScrapProvisioned,
    /// A written unit is scrapped.
    ScrapWritten,
    /// Scrapped blank units come back; the sender's operator approved.
    ReinstateBlank(u32),
    /// A scrapped unit with a certificate comes back, in doubt; the sender's operator approved.
    ReinstateProvisioned,
    /// An approved change of the order says anew what the lot covers; creates nothing and spends nothing.
    Restate(Quantity),
    /// The lot is closed; what remains is void.
    Close,
}

/// How many units may still be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remaining {
    /// So many, possibly none.
    Units(u64),
    /// No limit.
    Unlimited,
}

/// A movement that a tally does not allow; the tally is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{movement} is refused: {shortage} ({tally})")]
pub struct Overdrawn {
    /// What was attempted.
    pub movement: Movement,
    /// The tally as it stands.
    pub tally: Tally,
    /// What is missing.
    pub shortage: Shortage,
}

/// What a refused movement lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortage {
    /// Fewer units remain than asked for.
    QuantitySpent,
    /// Fewer units are reserved than asked for.
    NotReserved,
    /// No provisioned unit is in doubt.
    NotProvisioned,
    /// No unit is written.
    NotWritten,
    /// Fewer units are scrapped, as what is to come back, than asked for.
    NotScrapped,
    /// Units are in doubt; confirm, replace or scrap them before closing.
    UnitsInDoubt,
    /// The lot is closed.
    LotClosed,
    /// The lot has a tally already.
    AlreadyOpen,
    /// Offers still hold units; hand them over or cancel them before closing.
    OffersOutstanding,
    /// The lot would cover fewer units than were spent.
    BelowSpent,
    /// A movement of no units.
    NoUnits,
    /// A count of an unlimited lot left 64 bits.
    CountOverflow,
}

impl Shortage {
    /// The published name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QuantitySpent => "QUANTITY_SPENT",
            Self::NotReserved => "NOT_RESERVED",
            Self::NotProvisioned => "NOT_PROVISIONED",
            Self::NotWritten => "NOT_WRITTEN",
            Self::NotScrapped => "NOT_SCRAPPED",
            Self::UnitsInDoubt => "UNITS_IN_DOUBT",
            Self::LotClosed => "LOT_CLOSED",
            Self::AlreadyOpen => "LOT_ALREADY_OPEN",
            Self::OffersOutstanding => "OFFERS_OUTSTANDING",
            // Only an order is restated, and all that it spends is handed over.
            Self::BelowSpent => "ORDER_BELOW_HANDED_OVER",
            Self::NoUnits => "NO_UNITS",
            Self::CountOverflow => "COUNT_OVERFLOW",
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::QuantitySpent => "fewer units remain than asked for",
            Self::NotReserved => "fewer units are reserved than asked for",
            Self::NotProvisioned => "no provisioned unit is in doubt",
            Self::NotWritten => "no unit is written",
            Self::NotScrapped => "fewer units of this kind are scrapped than asked for",
            Self::UnitsInDoubt => "units of the lot are in doubt",
            Self::LotClosed => "the lot is closed",
            Self::AlreadyOpen => "the lot is open already",
            Self::OffersOutstanding => "offers still hold units of the lot",
            Self::BelowSpent => "more units are spent than the lot would cover",
            Self::NoUnits => "a movement needs at least one unit",
            Self::CountOverflow => "the count leaves 64 bits",
        })
    }
}

impl Overdrawn {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.shortage.as_str()
    }
}

impl Tally {
    /// The tally of a lot that was just received.
    #[must_use]
    pub fn open(received: Quantity) -> Self {
        Self {
            received,
            provisioned: 0,
            written: 0,
            handed_over: 0,
            reserved: 0,
            scrapped: 0,
            scrapped_devices: 0,
            phase: Phase::Open,
        }
    }

    /// The tally after `movement`; this one stays as it is.
    ///
    /// # Errors
    /// Every [`Shortage`], with this tally.
    pub fn apply(&self, movement: Movement) -> Result<Self, Overdrawn> {
        self.moved(movement).map_err(|shortage| Overdrawn { movement, tally: *self, shortage })
    }

    fn moved(&self, movement: Movement) -> Result<Self, Shortage> {
        let mut next = *self;
        match movement {
            Movement::Open(_) => return Err(Shortage::AlreadyOpen),
            Movement::Reserve(units) => next.spend(units)?.into_count(&mut next.reserved)?,
            Movement::Release(units) => {
                take(&mut next.reserved, at_least_one(units)?, Shortage::NotReserved)?;
            }
            Movement::HandOver(units) => {
                // A reservation outlives no close (see Close), so a closed lot has nothing to hand over.
                next.still_open()?;
                take(&mut next.reserved, at_least_one(units)?, Shortage::NotReserved)?;
                Spent(units).into_count(&mut next.handed_over)?;
            }
            Movement::Provision => next.spend(1)?.into_count(&mut next.provisioned)?,
            Movement::UnProvision => next.take_in_doubt()?,
            Movement::Write => {
                if next.in_doubt() == 0 {
                    return Err(Shortage::NotProvisioned);
                }
                Spent(1).into_count(&mut next.written)?;
            }
            Movement::Rework => {
                next.still_open()?;
                take(&mut next.written, 1, Shortage::NotWritten)?;
            }
            Movement::ScrapBlank(units) => next.spend(units)?.into_count(&mut next.scrapped)?,
            Movement::ScrapProvisioned => {
                next.take_in_doubt()?;
                next.scrap_device()?;
            }
            Movement::ScrapWritten => {
                take(&mut next.written, 1, Shortage::NotWritten)?;
                next.take_in_doubt()?;
                next.scrap_device()?;
            }
            Movement::ReinstateBlank(units) => {
                next.still_open()?;
                if next.scrapped_blanks() < u64::from(at_least_one(units)?) {
                    return Err(Shortage::NotScrapped);
                }
                take(&mut next.scrapped, units, Shortage::NotScrapped)?;
            }
            Movement::ReinstateProvisioned => {
                next.still_open()?;
                take(&mut next.scrapped_devices, 1, Shortage::NotScrapped)?;
                take(&mut next.scrapped, 1, Shortage::NotScrapped)?;
                Spent(1).into_count(&mut next.provisioned)?;
            }
            Movement::Restate(received) => {
                next.still_open()?;
                let spent = next.accounted().ok_or(Shortage::CountOverflow)?;
                if received.units().is_some_and(|units| u64::from(units) < spent) {
                    return Err(Shortage::BelowSpent);
                }
                next.received = received;
            }
            Movement::Close => {
                next.still_open()?;
                if next.reserved > 0 {
                    return Err(Shortage::OffersOutstanding);
                }
                if next.in_doubt() > 0 {
                    return Err(Shortage::UnitsInDoubt);
                }
                next.phase = Phase::Closed;
            }
        }
        Ok(next)
    }

    fn still_open(&self) -> Result<(), Shortage> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closed => Err(Shortage::LotClosed),
        }
    }

    fn take_in_doubt(&mut self) -> Result<(), Shortage> {
        if self.in_doubt() == 0 {
            return Err(Shortage::NotProvisioned);
        }
        take(&mut self.provisioned, 1, Shortage::NotProvisioned)
    }

    fn scrap_device(&mut self) -> Result<(), Shortage> {
        Spent(1).into_count(&mut self.scrapped_devices)?;
        Spent(1).into_count(&mut self.scrapped)
    }

    /// Checks that `units` remain; the caller counts them somewhere, which is what takes them from the remaining.
    fn spend(&self, units: u32) -> Result<Spent, Shortage> {
        at_least_one(units)?;
        self.still_open()?;
        match self.remaining() {
            Remaining::Units(left) if left < u64::from(units) => Err(Shortage::QuantitySpent),
            Remaining::Units(_) | Remaining::Unlimited => Ok(Spent(units)),
        }
    }

    /// What may still be spent: nothing once the lot is closed.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        match self.phase {
            Phase::Open => self.left(),
            Phase::Closed => Remaining::Units(0),
        }
    }

    /// What became void when the lot was closed: nothing while it is open.
    #[must_use]
    pub fn void(&self) -> Remaining {
        match self.phase {
            Phase::Open => Remaining::Units(0),
            Phase::Closed => self.left(),
        }
    }

    fn left(&self) -> Remaining {
        match self.received.units() {
            // The invariant makes this subtraction exact; if it ever were not, nothing remains rather than too much.
            Some(received) => {
                Remaining::Units(u64::from(received).saturating_sub(self.accounted().unwrap_or(u64::MAX)))
            }
            None => Remaining::Unlimited,
        }
    }

    fn accounted(&self) -> Option<u64> {
        self.provisioned.checked_add(self.handed_over)?.checked_add(self.reserved)?.checked_add(self.scrapped)
    }

    /// What the lot covers.
    #[must_use]
    pub fn received(&self) -> Quantity {
        self.received
    }

    /// Units that have a device certificate.
    #[must_use]
    pub fn provisioned(&self) -> u64 {
        self.provisioned
    }

    /// Of the provisioned units, those that the line confirmed.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Of the provisioned units, those that nobody has confirmed.
    #[must_use]
    pub fn in_doubt(&self) -> u64 {
        self.provisioned.saturating_sub(self.written)
    }

    /// Units handed to the next manufacturer by a signed handoff.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Units held back by offers.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Units that will never leave the factory.
    #[must_use]
    pub fn scrapped(&self) -> u64 {
        self.scrapped
    }

    /// Of the scrapped units, those that had a device certificate.
    #[must_use]
    pub fn scrapped_devices(&self) -> u64 {
        self.scrapped_devices
    }

    /// Of the scrapped units, those that never had one.
    #[must_use]
    pub fn scrapped_blanks(&self) -> u64 {
        self.scrapped.saturating_sub(self.scrapped_devices)
    }

    /// Whether the lot may still spend.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }
}

/// Units found to be there, to be counted exactly once.
struct Spent(u32);

impl Spent {
    fn into_count(self, count: &mut u64) -> Result<(), Shortage> {
        *count = count.checked_add(u64::from(self.0)).ok_or(Shortage::CountOverflow)?;
        Ok(())
    }
}

fn at_least_one(units: u32) -> Result<u32, Shortage> {
    if units == 0 { Err(Shortage::NoUnits) } else { Ok(units) }
}

fn take(count: &mut u64, units: u32, shortage: Shortage) -> Result<(), Shortage> {
    *count = count.checked_sub(u64::from(units)).ok_or(shortage)?;
    Ok(())
}

impl fmt::Display for Remaining {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(units) => write!(out, "{units}"),
            Self::Unlimited => out.write_str("unlimited"),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "received {}, provisioned {}, handed over {}, reserved {}, scrapped {}, remaining {}",
            self.received,
            self.provisioned,
            self.handed_over,
            self.reserved,
            self.scrapped,
            self.remaining()
        )?;
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closed => write!(out, ", closed with {} void", self.void()),
        }
    }
}
