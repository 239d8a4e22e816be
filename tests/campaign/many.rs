//! A root-ca with thousands of orders and a signer with thousands of lots are ready at once: none is made before it is asked for.

use std::{path::Path, process::Command, thread, time::Duration};

use mfg::{Movement, Quantity};
use records::keys;
use store::{Claim, EmbeddedStore, Entry, Key, Options, Rule, Store as _, TallyMove, Unit};

use crate::{
    ground::{FACTORY, READY, ROOT, SIGNER, Share},
    inject::BINARY,
    started::Started,
};

/// Orders, and lots.
const COPIES: Share = Share { ci: 1_000, long: 10_000 };
/// Units of each.
const UNITS: u64 = 1000;
/// Until all of them are made behind that.
const MADE: Duration = Duration::from_secs(120);

#[test]
fn thousands_of_orders_and_lots_do_not_hold_up_a_start() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), COPIES.asked_for());
    let demo = Command::new(BINARY).args(["demo", "--hops", "1", "--out"]).arg(folder.path().join("world")).output();
    let demo = demo.unwrap();
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    for (kind, organisation, collection, key) in
        [(ROOT, "company-x", "orders", keys::order as fn(&str) -> Key), (SIGNER, FACTORY, "lots", keys::lot)]
    {
        let place = folder.path().join("world").join(organisation);
        copy(&place.join(format!("{kind}-store")), collection, key, copies);
        let started = Started::new(kind, &place);
        let (took, made) = (started.took, made(&started));
        println!("a {kind} with {copies} more {collection}: ready in {} ms; all made: {made}", took.as_millis());
        started.end();
        assert!(took <= READY, "ready after {took:?}");
    }
}

/// Puts what is on record first in a collection on record once more, under other names.
fn copy(store: &Path, collection: &str, key: fn(&str) -> Key, copies: u32) {
    let store = EmbeddedStore::open(store, Options::default()).unwrap();
    let (_, record) = store.list(collection, None, 1).unwrap().remove(0);
    let units: Vec<Unit> = (0..copies)
        .map(|number| {
            let name = format!("copy-{number}");
            let movement = Movement::Open(Quantity::of(UNITS).unwrap());
            Unit {
                kind: record.kind,
                payload: record.payload.clone(),
                claims: vec![Claim { key: key(&name), rule: Rule::Any }],
                moves: vec![TallyMove { lot: keys::lot(&name), movement }],
                entry: Some(Entry::new(collection, &name).unwrap()),
                ..Unit::default()
            }
        })
        .collect();
    for part in units.chunks(1000) {
        assert!(store.commit(part.to_vec()).unwrap().iter().all(Result::is_ok));
    }
}

/// What the service says when all of them are made.
fn made(started: &Started) -> String {
    let by = std::time::Instant::now() + MADE;
    loop {
        if let Some(line) = started.told("every lot is made").first() {
            return line.split("every lot is made").nth(1).unwrap_or_default().trim().to_owned();
        }
        assert!(std::time::Instant::now() < by, "not made within {MADE:?}");
        thread::sleep(Duration::from_millis(50));
    }
}
