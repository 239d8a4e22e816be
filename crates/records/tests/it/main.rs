//! What services write and find again, at this crate's edge: on a store in memory that fails on command, and on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod acts;
mod once;
mod opening;
mod pages;
mod queue;
mod scan;
mod wire;

use api::{RequestId, custody::v1::HandoffFacts, journal::v1::LotAccepting, journal::v1::record::Fact};
use pki::UnixTime;
use records::{Act, Caller, keys};
use store::{Claim, FaultPlan, Key, MemoryStore, Rule, StoreIdentity, Unit};

fn memory(faults: &FaultPlan) -> MemoryStore {
    MemoryStore::new(&StoreIdentity::new("intermediate-ca", "factory-y", [7; 16]).unwrap(), faults.clone())
}

fn caller(manufacturer: &str) -> Caller {
    Caller {
        manufacturer: manufacturer.to_owned(),
        by: format!("spiffe://{manufacturer}.example/{manufacturer}/operator/ada"),
    }
}

/// An act under request number `request`.
fn act(request: u8) -> Act {
    let request = Some(RequestId::from_octets([request; 16]));
    Act { at: UnixTime::new(1_800_000_000), caller: caller("factory-y"), request }
}

fn fact(lot: &str) -> Fact {
    let facts = HandoffFacts { lot: lot.to_owned(), ..HandoffFacts::default() };
    Fact::LotAccepting(LotAccepting { facts: Some(facts), ..LotAccepting::default() })
}

/// A unit that records a lot, once.
fn lot_unit(act: &Act, lot: &str) -> Unit {
    Unit { claims: vec![Claim { key: lot_key(lot), rule: Rule::Absent }], ..act.unit(fact(lot)) }
}

fn lot_key(lot: &str) -> Key {
    keys::lot(lot)
}
