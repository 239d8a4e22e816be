//! A request is done at most once and answered the same, whatever breaks and whoever else tries in between.

use std::{sync::Arc, thread};

use api::Refusal;
use records::{Act, commit_one, once, read, refuse_conflict, replayed, reused};
use store::{FaultPlan, MemoryStore, Position, Record, Step, Store};

use super::{act, caller, fact, lot_key, lot_unit, memory};

/// What a try of a request was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Made(Position),
    Before(Position),
}

fn before(record: &Record) -> Result<Told, Refusal> {
    Ok(Told::Before(record.position))
}

/// Records a lot under a request.
fn record(store: &dyn Store, act: &Act, lot: &str) -> Result<Told, Refusal> {
    once(store, act, before, |attempt| {
        let committed = attempt.commit(lot_unit(act, lot))?.map_err(|c| refuse_conflict(&c, lot))?;
        Ok(Told::Made(committed.position))
    })
}

fn made(told: Result<Told, Refusal>) -> Position {
    let Ok(Told::Made(at)) = told else { panic!("{told:?}") };
    at
}

fn reason<T: std::fmt::Debug>(told: Result<T, Refusal>) -> &'static str {
    told.unwrap_err().reason()
}

#[test]
fn a_repeated_request_finds_its_record_and_changes_nothing() {
    let store = memory(&FaultPlan::default());
    let first = made(record(&store, &act(1), "b1"));
    let head = store.head();
    // The same content, and another under the same id: both find what is on record.
    assert_eq!(record(&store, &act(1), "b1").unwrap(), Told::Before(first));
    assert_eq!(record(&store, &act(1), "b2").unwrap(), Told::Before(first));
    assert_eq!(store.head(), head);
    let found = replayed(&store, &act(1)).unwrap().unwrap();
    assert_eq!(read(&found).unwrap().1, fact("b1"));
}

#[test]
fn another_request_for_the_same_thing_is_refused_and_leaves_its_id_free() {
    let store = memory(&FaultPlan::default());
    made(record(&store, &act(1), "b1"));
    assert_eq!(reason(record(&store, &act(2), "b1")), "IN_PROGRESS");
    made(record(&store, &act(2), "b2"));
}

#[test]
fn the_same_id_from_two_manufacturers_is_two_requests() {
    let store = memory(&FaultPlan::default());
    made(record(&store, &act(1), "b1"));
    let of = |manufacturer: &str| Act { caller: caller(manufacturer), ..act(1) };
    made(record(&store, &of("technician-z"), "b2"));
    assert!(replayed(&store, &of("company-x")).unwrap().is_none());
}

#[test]
fn an_act_without_a_request_cannot_be_repeated_and_is_refused() {
    let store = memory(&FaultPlan::default());
    let own = Act { request: None, ..act(1) };
    assert_eq!(reason(record(&store, &own, "b1")), "REQUEST_ID_INVALID");
    assert!(store.get(&lot_key("b1")).unwrap().is_none());
}

#[test]
fn a_request_whose_answer_was_lost_is_found_by_its_retry() {
    let faults = FaultPlan::default();
    let store = memory(&faults);
    faults.fail_next(Step::AfterSync);
    assert_eq!(reason(record(&store, &act(1), "b1")), "STORE_STOPPED");
    // Stopped is stopped: no retry on the same handle.
    assert_eq!(reason(record(&store, &act(1), "b1")), "STORE_STOPPED");
    store.power_cut();
    assert!(matches!(record(&store, &act(1), "b1").unwrap(), Told::Before(_)));
}

#[test]
fn a_request_that_was_not_durable_is_done_by_its_retry() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync] {
        let faults = FaultPlan::default();
        let store = memory(&faults);
        faults.fail_next(step);
        assert_eq!(reason(record(&store, &act(1), "b1")), "STORE_STOPPED", "{step:?}");
        store.power_cut();
        made(record(&store, &act(1), "b1"));
    }
}

#[test]
fn a_full_disk_refuses_and_keeps_nothing() {
    let faults = FaultPlan::default();
    let store = memory(&faults);
    faults.fail_next(Step::DiskFull);
    assert_eq!(reason(record(&store, &act(1), "b1")), "STORE_FULL");
    assert!(store.get(&lot_key("b1")).unwrap().is_none());
    made(record(&store, &act(1), "b1"));
}

#[test]
fn of_many_that_try_the_same_request_at_once_one_records_it() {
    let store = Arc::new(memory(&FaultPlan::default()));
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&store);
            thread::spawn(move || record(store.as_ref(), &act(1), "b1").unwrap())
        })
        .collect();
    let told: Vec<Told> = attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect();
    let at = told.iter().find_map(|told| if let Told::Made(at) = told { Some(*at) } else { None }).unwrap();
    assert_eq!(told.iter().filter(|told| **told == Told::Made(at)).count(), 1);
    assert_eq!(told.iter().filter(|told| **told == Told::Before(at)).count(), 15);
}

/// Looks whether the lot is there, as changes look at the state of things, and refuses by a name of its own.
fn record_if_new(store: &dyn Store, act: &Act, lot: &str) -> Result<Position, Refusal> {
    let exists = || Refusal::new("LOT_EXISTS", format!("lot {lot} exists"));
    once(
        store,
        act,
        |record| Ok(record.position),
        |attempt| {
            if store.get(&lot_key(lot)).unwrap().is_some() {
                return Err(exists());
            }
            Ok(attempt.commit(lot_unit(act, lot))?.map_err(|_| exists())?.position)
        },
    )
}

#[test]
fn what_another_try_did_is_no_reason_to_refuse_whenever_it_came_between() {
    let mut times = 0;
    store::overtaken(
        || memory(&FaultPlan::default()),
        |store| store,
        |store: &MemoryStore| record_if_new(store, &act(1), "b1"),
        |_, in_the_middle, at_the_end| {
            assert_eq!(at_the_end.unwrap(), in_the_middle.unwrap());
            times += 1;
        },
    );
    assert_eq!(times, 3, "before the look for the request, the look for the lot, and the commit");
}

#[test]
fn what_another_request_did_is_refused_by_name_whenever_it_came_between() {
    for calls in 0..3 {
        let store = Arc::new(memory(&FaultPlan::default()));
        let other = Arc::clone(&store);
        store.after_calls(calls, move || {
            record_if_new(other.as_ref(), &act(2), "b1").unwrap();
        });
        assert_eq!(reason(record_if_new(store.as_ref(), &act(1), "b1")), "LOT_EXISTS", "{calls}");
    }
}

#[test]
fn another_content_that_came_between_under_the_same_id_is_named() {
    let store = memory(&FaultPlan::default());
    let refused: Result<(), Refusal> = once(
        &store,
        &act(1),
        |_| Err(reused(&act(1), "lot")),
        |_| {
            record(&store, &act(1), "b2").unwrap();
            Err(Refusal::new("LOT_EXISTS", "whatever"))
        },
    );
    assert_eq!(reason(refused), "REQUEST_ID_REUSED");
}

#[test]
fn a_request_that_is_on_record_is_answered_from_there_whatever_broke_after() {
    let store = memory(&FaultPlan::default());
    let told = once(&store, &act(1), before, |attempt| {
        attempt.commit(lot_unit(&act(1), "b1"))?.unwrap();
        Err(Refusal::new("INTERNAL", "the answer could not be written"))
    });
    assert!(matches!(told.unwrap(), Told::Before(_)));
}

#[test]
fn what_was_recorded_under_no_request_is_found_by_none() {
    let store = memory(&FaultPlan::default());
    commit_one(&store, lot_unit(&act(1), "b1")).unwrap().unwrap();
    assert!(replayed(&store, &act(1)).unwrap().is_none());
    assert_eq!(reason(record_if_new(&store, &act(1), "b1")), "LOT_EXISTS");
}

#[test]
fn a_reused_id_is_named_with_what_differs() {
    let refusal = reused(&act(1), "lot");
    assert_eq!(refusal.reason(), "REQUEST_ID_REUSED");
    assert_eq!(refusal.metadata().get("differs").map(String::as_str), Some("lot"));
    assert_eq!(refusal.metadata().get("request_id"), Some(&act(1).request.unwrap().to_string()));
}
