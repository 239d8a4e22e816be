//! company-x with the root's key and an order, and factory-y with a lot of it: both over stores in memory that fail on command.

use std::sync::Arc;

use api::{Refusal, RequestId};
use authority::{Authority, DeviceOrder, IssuedDevice, Line, LineLimits, Lot, LotIssuer, Occasion, Seams};
use bytes::Bytes;
use issuance::{Draft, SeededEntropy, SigningKey, SoftwareKey, make_csr};
use mfg::{DeviceId, LotId, Movement, Quantity};
use records::{Act, Caller, commit_one, keys};
use service::{ManualClock, Workers};
use store::{FaultPlan, MemoryStore, Store, StoreIdentity, TallyMove, Unit};

use crate::paper::{PAPER, draft_handoff, load, now, profiles, serials};

pub(crate) use crate::paper::{LOT, ORDER, consignment, key, maker, terms_digest};

/// One manufacturer with its store.
pub(crate) struct House {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) faults: FaultPlan,
    pub(crate) authority: Arc<Authority>,
    id: &'static str,
}

impl House {
    /// The brand with its order of 1000 units.
    pub(crate) fn brand() -> Self {
        Self::new("company-x", ORDER, 1000)
    }

    /// The factory with its lot of 100 units.
    pub(crate) fn factory() -> Self {
        Self::new("factory-y", LOT, 100)
    }

    /// The factory with a lot of so many units.
    pub(crate) fn with_units(units: u64) -> Self {
        Self::new("factory-y", LOT, units)
    }

    fn new(id: &'static str, lot: &str, units: u64) -> Self {
        let faults = FaultPlan::default();
        let identity = StoreIdentity::new("authority", id, [1; 16]).unwrap();
        let store = Arc::new(MemoryStore::new(&identity, faults.clone()));
        let movement = Movement::Open(Quantity::of(units).unwrap());
        let moves = vec![TallyMove { lot: keys::lot(lot), movement }];
        commit_one(store.as_ref(), Unit { moves, ..Unit::default() }).unwrap().unwrap();
        let clock = Arc::new(ManualClock::new(now()));
        let authority = authority(id, &store, &clock, 3);
        let house = Self { store, clock, faults, authority, id };
        house.put_lot(true);
        house
    }

    /// The process ends and comes back on what the store kept; its lot key may not.
    pub(crate) fn start_again(&mut self, with_key: bool) {
        self.faults.clear();
        self.store.power_cut();
        // Other randomness than before: a serial is never drawn twice.
        self.authority = authority(self.id, &self.store, &self.clock, 4);
        self.put_lot(with_key);
    }

    /// Loads the house's lot, with or without its key.
    pub(crate) fn put_lot(&self, with_key: bool) {
        let terms = Arc::clone(&PAPER.terms);
        let (id, chain, key) = match self.id {
            "company-x" => (ORDER, vec![PAPER.anchor.clone()], &PAPER.root),
            _ => (LOT, vec![PAPER.lot_ca.clone(), PAPER.anchor.clone()], &PAPER.lot_key),
        };
        let base = terms.terms().document().program.base_name.clone();
        let subtree = match self.id {
            "company-x" => base,
            _ => mfg::subtree::subtree(&base, &LotId::parse(LOT).unwrap(), &maker("factory-y")).unwrap(),
        };
        let below_anchor = chain.iter().take(chain.len() - 1);
        self.authority.lots.put(Lot {
            id: id.to_owned(),
            tally: keys::lot(id),
            profiles: profiles(&terms),
            terms,
            subtree,
            hops: u8::try_from(chain.len() - 1).unwrap(),
            chain: below_anchor.map(|ca| Bytes::copy_from_slice(ca.der())).collect(),
            issuer: if with_key {
                LotIssuer::Loaded(Box::new(load(chain, Arc::clone(key) as Arc<dyn SigningKey>)))
            } else {
                LotIssuer::Gone("its key file is not there".to_owned())
            },
        });
    }

    pub(crate) fn act(&self, request: u8) -> Act {
        let by = format!("spiffe://{0}.example/{0}/operator/ada", self.id);
        let caller = Caller { manufacturer: self.id.to_owned(), by };
        self.authority.act(caller, RequestId::from_octets([request; 16]))
    }

    pub(crate) fn tally(&self) -> mfg::Tally {
        let lot = if self.id == "company-x" { ORDER } else { LOT };
        self.store.tally(&keys::lot(lot)).unwrap().unwrap()
    }

    /// Issues one device certificate through a line of its own.
    pub(crate) async fn issue(&self, request: u8, device: &str, key: &SoftwareKey) -> Result<IssuedDevice, Refusal> {
        let (line, _) = Line::start(&self.authority, LineLimits { workers: 1, ..LineLimits::default() }).unwrap();
        let order = DeviceOrder {
            act: self.act(request),
            lot: LOT.to_owned(),
            device_id: DeviceId::parse(device).unwrap(),
            csr: Bytes::from(make_csr(key, device).unwrap()),
            occasion: Occasion::First,
        };
        line.issue(order).await
    }

    /// The draft of a handoff of this house's lot to factory-y.
    pub(crate) fn draft(&self, lot: &str, units: u64) -> (Draft, SoftwareKey) {
        let (source, lot_key) = (self.authority.lots.get(ORDER).unwrap(), key());
        let issuer = source.issuer().unwrap();
        let digest = source.terms.digest();
        (draft_handoff(issuer, &source.profiles, &PAPER.factory, &lot_key, lot, units, digest), lot_key)
    }
}

fn authority(id: &str, store: &Arc<MemoryStore>, clock: &Arc<ManualClock>, seed: u64) -> Arc<Authority> {
    let seams = Seams {
        store: Arc::clone(store) as Arc<dyn Store>,
        clock: Arc::clone(clock) as Arc<dyn service::Clock>,
        entropy: Arc::new(SeededEntropy::new(seed)),
        workers: Workers::Threads,
    };
    let identity = if id == "company-x" { &PAPER.brand } else { &PAPER.factory };
    Arc::new(Authority::new(maker(id), Arc::clone(identity) as Arc<dyn SigningKey>, seams, serials(seed)))
}

/// The name of a refusal.
pub(crate) fn reason<T>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.map(|_| ()).unwrap_err().reason()
}
