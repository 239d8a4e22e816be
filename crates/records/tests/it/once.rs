//! A request is recorded at most once, whatever breaks in between.

use std::{sync::Arc, thread};

use records::{Act, Once, commit_once, read, replayed, reused};
use store::{Conflict, FaultPlan, Position, Step, Store};

use super::{act, caller, fact, lot_key, lot_unit, memory};

fn committed(once: Once) -> Position {
    let Once::Committed(committed) = once else { panic!("{once:?}") };
    committed.position
}

fn before(once: Once) -> Position {
    let Once::Before(record) = once else { panic!("{once:?}") };
    record.position
}

#[test]
fn a_repeated_request_finds_its_record_and_changes_nothing() {
    let store = memory(&FaultPlan::default());
    let first = committed(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap());
    let head = store.head();
    // The same content, and another under the same id: both find what is on record.
    assert_eq!(before(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap()), first);
    assert_eq!(before(commit_once(&store, &act(1), lot_unit(&act(1), "b2")).unwrap()), first);
    assert_eq!(store.head(), head);
    let found = replayed(&store, &caller("factory-y"), act(1).request.unwrap()).unwrap().unwrap();
    assert_eq!(read(&found).unwrap().1, fact("b1"));
}

#[test]
fn another_request_for_the_same_thing_is_refused_and_leaves_its_id_free() {
    let store = memory(&FaultPlan::default());
    committed(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap());
    let outcome = commit_once(&store, &act(2), lot_unit(&act(2), "b1")).unwrap();
    assert!(matches!(&outcome, Once::Refused(Conflict::KeyTaken { key, .. }) if *key == lot_key("b1")), "{outcome:?}");
    committed(commit_once(&store, &act(2), lot_unit(&act(2), "b2")).unwrap());
}

#[test]
fn the_same_id_from_two_manufacturers_is_two_requests() {
    let store = memory(&FaultPlan::default());
    committed(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap());
    let other = Act { caller: caller("technician-z"), ..act(1) };
    committed(commit_once(&store, &other, lot_unit(&other, "b2")).unwrap());
    assert!(replayed(&store, &caller("company-x"), act(1).request.unwrap()).unwrap().is_none());
}

#[test]
fn an_act_without_a_request_cannot_be_repeated_and_is_refused() {
    let store = memory(&FaultPlan::default());
    let own = Act { request: None, ..act(1) };
    assert_eq!(commit_once(&store, &own, lot_unit(&own, "b1")).unwrap_err().reason(), "REQUEST_ID_INVALID");
    assert!(store.get(&lot_key("b1")).unwrap().is_none());
}

#[test]
fn a_request_whose_answer_was_lost_is_found_by_its_retry() {
    let faults = FaultPlan::default();
    let store = memory(&faults);
    faults.fail_next(Step::AfterSync);
    assert_eq!(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap_err().reason(), "STORE_STOPPED");
    // Stopped is stopped: no retry on the same handle.
    assert_eq!(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap_err().reason(), "STORE_STOPPED");
    store.power_cut();
    before(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap());
}

#[test]
fn a_request_that_was_not_durable_is_done_by_its_retry() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync] {
        let faults = FaultPlan::default();
        let store = memory(&faults);
        faults.fail_next(step);
        let refused = commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap_err();
        assert_eq!(refused.reason(), "STORE_STOPPED", "{step:?}");
        store.power_cut();
        committed(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap());
    }
}

#[test]
fn a_full_disk_refuses_and_keeps_nothing() {
    let faults = FaultPlan::default();
    let store = memory(&faults);
    faults.fail_next(Step::DiskFull);
    assert_eq!(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap_err().reason(), "STORE_FULL");
    assert!(store.get(&lot_key("b1")).unwrap().is_none());
    committed(commit_once(&store, &act(1), lot_unit(&act(1), "b1")).unwrap());
}

#[test]
fn of_many_that_try_the_same_request_at_once_one_records_it() {
    let store = Arc::new(memory(&FaultPlan::default()));
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&store);
            thread::spawn(move || commit_once(store.as_ref(), &act(1), lot_unit(&act(1), "b1")).unwrap())
        })
        .collect();
    let outcomes: Vec<Once> = attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Once::Committed(_))).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Once::Before(_))).count(), 15);
}

#[test]
fn a_reused_id_is_named_with_what_differs() {
    let refusal = reused(&act(1), "lot");
    assert_eq!(refusal.reason(), "REQUEST_ID_REUSED");
    assert_eq!(refusal.metadata().get("differs").map(String::as_str), Some("lot"));
    assert_eq!(refusal.metadata().get("request_id"), Some(&act(1).request.unwrap().to_string()));
}
