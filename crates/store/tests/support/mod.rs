//! Stores and units for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use mfg::{Movement, Quantity};
use pki::Sha256;
use store::{
    Claim, Committed, Conflict, EmbeddedStore, Entry, FaultPlan, Key, Options, Position, Rule, Step, Store, StoreError,
    StoreIdentity, TallyMove, Unit,
};

pub fn identity() -> StoreIdentity {
    StoreIdentity::new("intermediate-ca", "factory-y", [7; 16]).unwrap()
}

/// Small bounds, and an index that is brought up to date only when a test says so.
pub fn options() -> Options {
    Options { reserve_bytes: 0, index_interval: Duration::from_secs(3600), ..Options::default() }
}

pub struct Dir(pub tempfile::TempDir);

impl Dir {
    pub fn new() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        EmbeddedStore::init(&dir.store(), &identity()).unwrap();
        dir
    }

    pub fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    pub fn segment(&self, number: u64) -> PathBuf {
        self.store().join(format!("journal/{number:010}.segment"))
    }

    pub fn open(&self) -> EmbeddedStore {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> Result<EmbeddedStore, StoreError> {
        EmbeddedStore::open(&self.store(), options())
    }

    pub fn open_with(&self, faults: &FaultPlan) -> EmbeddedStore {
        EmbeddedStore::open(&self.store(), Options { faults: faults.clone(), ..options() }).unwrap()
    }

    /// The reason why the store does not open.
    pub fn refusal(&self) -> &'static str {
        self.try_open().unwrap_err().reason()
    }

    /// Commits with an engine that then dies before its index and checkpoint are written.
    pub fn commit_and_crash(&self, units: Vec<Unit>) -> Vec<Committed> {
        let faults = FaultPlan::default();
        let store = self.open_with(&faults);
        let committed = units.into_iter().map(|unit| one(&store, unit).unwrap()).collect();
        faults.fail_next(Step::IndexApply);
        drop(store);
        committed
    }
}

pub fn key(name: &str) -> Key {
    Key::new("test", &[name.as_bytes()])
}

pub fn unit(payload: &str, claims: &[(&str, Rule)]) -> Unit {
    let claims = claims.iter().map(|(name, rule)| Claim { key: key(name), rule: *rule }).collect();
    Unit { kind: 1, payload: payload.into(), claims, ..Unit::default() }
}

pub fn moving(lot: &str, movement: Movement) -> Unit {
    Unit { kind: 2, moves: vec![TallyMove { lot: key(lot), movement }], ..Unit::default() }
}

pub fn opening(lot: &str, units: u64) -> Unit {
    moving(lot, Movement::Open(Quantity::of(units).unwrap()))
}

pub fn intent(payload: &str) -> Unit {
    Unit { intent: Some(Sha256::of(payload.as_bytes())), ..unit(payload, &[]) }
}

pub fn completing(position: Position) -> Unit {
    Unit { completes: Some(position), ..unit("completes", &[]) }
}

pub fn listed(collection: &str, name: &str, payload: &str) -> Unit {
    Unit { entry: Some(Entry::new(collection, name).unwrap()), ..unit(payload, &[]) }
}

pub fn one(store: &dyn Store, unit: Unit) -> Result<Committed, Conflict> {
    store.commit(vec![unit]).unwrap().pop().unwrap()
}

pub fn payload(store: &dyn Store, name: &str) -> Option<String> {
    store.get(&key(name)).unwrap().map(|record| String::from_utf8(record.payload).unwrap())
}

pub fn names(store: &dyn Store, collection: &str, after: Option<&str>, limit: usize) -> Vec<(String, String)> {
    let listed = store.list(collection, after, limit).unwrap();
    listed.into_iter().map(|(name, record)| (name, String::from_utf8(record.payload).unwrap())).collect()
}

/// Changes one octet of a file, `from_end` octets before its end.
pub fn flip(path: &Path, from_end: usize) {
    let mut content = std::fs::read(path).unwrap();
    let at = content.len() - from_end;
    content[at] ^= 0x40;
    std::fs::write(path, content).unwrap();
}

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
