//! factory-y with a lot of its own, and everything that people, lines and receivers ask of it: the ground that the promises are tested on.

mod asks;
mod engine;

use std::{collections::BTreeSet, sync::Arc, thread::JoinHandle};

use authority::{Authority, Line, LineLimits, Lot, LotIssuer, Seams, complete_open_intents};
use bytes::Bytes;
use issuance::{SeededEntropy, SigningKey};
use mfg::{LotId, Movement, Quantity, Tally};
use pki::{Certificate, Sha256};
use records::{Act, Caller, commit_one, keys};
use service::{ManualClock, Workers};
use store::{FaultPlan, MemoryStore, Position, Store, TallyMove, Unit};

use crate::{
    paper::{LOT, PAPER, load, maker, now, profiles, serials},
    signer::CountingKey,
};

pub(crate) use asks::{Ask, OFFER_STANDS, Told, device_id};
pub(crate) use engine::{End, Engine, Kind};

/// A factory that is started, ended in every way, and started again.
pub(crate) struct Shop {
    pub(crate) key: Arc<CountingKey>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) faults: FaultPlan,
    workers: Workers,
    engine: Engine,
    starts: u64,
    running: Option<Running>,
}

struct Running {
    authority: Arc<Authority>,
    line: Line,
    threads: Vec<JoinHandle<()>>,
}

/// Whether the lot key's file is found at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LotKey {
    There,
    Missing,
}

/// What the whole journal says about signatures.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Digests of what may have been signed.
    pub(crate) intents: BTreeSet<[u8; 32]>,
    /// How many intents there are: more than digests would be two intents for the same octets.
    pub(crate) count: usize,
}

impl Shop {
    /// A factory with a lot of so many units, running.
    pub(crate) fn new(kind: Kind, workers: Workers, units: u64) -> Self {
        let faults = FaultPlan::default();
        let engine = Engine::new(kind, &faults);
        let mut shop = Self {
            key: CountingKey::new(&PAPER.lot_key),
            clock: Arc::new(ManualClock::new(now())),
            faults,
            workers,
            engine,
            starts: 0,
            running: None,
        };
        let movement = Movement::Open(Quantity::of(units).unwrap());
        let unit = Unit { moves: vec![TallyMove { lot: keys::lot(LOT), movement }], ..Unit::default() };
        commit_one(shop.engine.store().as_ref(), unit).unwrap().unwrap();
        shop.start(LotKey::There);
        shop
    }

    /// The process ends, and comes back on what the store kept; what was open is completed or voided.
    pub(crate) fn start_again(&mut self, end: End, lot_key: LotKey) {
        self.end();
        self.engine.reopen(end, &self.faults);
        self.start(lot_key);
    }

    fn start(&mut self, lot_key: LotKey) {
        self.starts += 1;
        let store = self.engine.store();
        self.key.watch(&store);
        let seams = Seams {
            store,
            clock: Arc::clone(&self.clock) as Arc<dyn service::Clock>,
            entropy: Arc::new(SeededEntropy::new(1000 + self.starts)),
            workers: self.workers,
        };
        // Other randomness at every start: a certificate serial is never drawn twice.
        let serials = serials(1000 + self.starts);
        let identity = Arc::clone(&PAPER.factory) as Arc<dyn SigningKey>;
        let authority = Arc::new(Authority::new(maker("factory-y"), identity, seams, serials));
        authority.lots.put(self.lot(lot_key));
        complete_open_intents(&authority).unwrap();
        if lot_key == LotKey::Missing {
            authority.lots.put(self.lot(LotKey::There));
        }
        let (line, threads) = Line::start(&authority, LineLimits { workers: 2, ..LineLimits::default() }).unwrap();
        self.running = Some(Running { authority, line, threads });
    }

    fn end(&mut self) {
        self.key.mend();
        let Some(Running { authority, line, threads }) = self.running.take() else { return };
        drop(line);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(authority);
    }

    fn lot(&self, lot_key: LotKey) -> Lot {
        let terms = Arc::clone(&PAPER.terms);
        let base = terms.terms().document().program.base_name.clone();
        let chain = vec![PAPER.lot_ca.clone(), PAPER.anchor.clone()];
        Lot {
            id: LOT.to_owned(),
            tally: keys::lot(LOT),
            profiles: profiles(&terms),
            terms,
            subtree: mfg::subtree::subtree(&base, &LotId::parse(LOT).unwrap(), &maker("factory-y")).unwrap(),
            hops: 1,
            chain: vec![Bytes::copy_from_slice(PAPER.lot_ca.der())],
            issuer: match lot_key {
                LotKey::There => LotIssuer::Loaded(Box::new(load(chain, Arc::clone(&self.key) as Arc<dyn SigningKey>))),
                LotKey::Missing => LotIssuer::Gone("its key file is not there".to_owned()),
            },
        }
    }

    pub(crate) fn authority(&self) -> &Arc<Authority> {
        &self.running.as_ref().unwrap().authority
    }

    pub(crate) fn line(&self) -> Line {
        self.running.as_ref().unwrap().line.clone()
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.engine.store()
    }

    /// The store, where it is in memory.
    pub(crate) fn memory(&self) -> &Arc<MemoryStore> {
        self.engine.memory().unwrap()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.authority().tally(LOT).unwrap()
    }

    /// The act of one of factory-y's own.
    pub(crate) fn act(&self, request: u64) -> Act {
        asks::act(self.authority(), "factory-y", request)
    }

    /// Reads the whole journal.
    pub(crate) fn audit(&self) -> Audit {
        let store = self.store();
        let mut audit = Audit::default();
        let mut from = Position::from_u64(0);
        loop {
            let page = store.history(from, store::MAX_LISTED).unwrap();
            for intent in page.records.iter().filter_map(|record| record.intent) {
                audit.intents.insert(*intent.as_bytes());
                audit.count += 1;
            }
            if page.next >= page.head.position {
                return audit;
            }
            from = page.next;
        }
    }

    /// What must hold of every journal at every time: the key signed nothing that is not on record, and no two things are alike.
    pub(crate) fn assert_every_signature_is_on_record(&self) {
        let (audit, signed) = (self.audit(), self.key.signed());
        assert_eq!(self.key.unrecorded(), 0, "something was signed before its record was durable");
        let missing = signed.difference(&audit.intents).count();
        assert_eq!(missing, 0, "{missing} of {} signatures have no durable record", signed.len());
        assert_eq!(audit.count, audit.intents.len(), "two records of the same octets");
        assert_eq!(self.store().open_intents().unwrap(), [], "after a start nothing is open");
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.end();
    }
}

/// The certificate serial and the public key of a certificate, which nothing else may have.
pub(crate) fn marks(certificate: &[u8]) -> (Vec<u8>, Sha256) {
    let certificate = Certificate::parse(certificate).unwrap();
    (certificate.serial().as_bytes().to_vec(), certificate.public_key().sha256())
}

fn caller(manufacturer: &str) -> Caller {
    let by = format!("spiffe://{manufacturer}.example/{manufacturer}/operator/ada");
    Caller { manufacturer: manufacturer.to_owned(), by }
}
