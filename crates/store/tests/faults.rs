//! Each step of a commit fails on command, on both engines: what the caller was told holds afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mfg::Movement;
use store::{EmbeddedStore, FaultPlan, MemoryStore, Options, Rule, Step, Store};
use support::{Dir, completing, intent, key, moving, one, opening, options, payload, unit};

const STOPPING: [Step; 5] = [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync];

fn prepare(store: &dyn Store) {
    one(store, unit("before", &[("a", Rule::Any)])).unwrap();
    one(store, opening("lot", 2)).unwrap();
}

/// One call of two units that depend on each other.
fn failing_call(store: &dyn Store) -> &'static str {
    let units = vec![moving("lot", Movement::Provision), unit("during", &[("a", Rule::Any), ("new", Rule::Absent)])];
    store.commit(units).unwrap_err().reason()
}

fn check_stopped(store: &dyn Store) {
    assert_eq!(store.get(&key("a")).unwrap_err().reason(), "STORE_STOPPED");
    assert_eq!(store.commit(vec![unit("", &[])]).unwrap_err().reason(), "STORE_STOPPED");
    assert_eq!(store.tally(&key("lot")).unwrap_err().reason(), "STORE_STOPPED");
    assert_eq!(store.open_intents().unwrap_err().reason(), "STORE_STOPPED");
}

/// How many units of the failed call are there; whichever, the state fits them.
fn survivors(store: &dyn Store) -> u64 {
    let provisioned = store.tally(&key("lot")).unwrap().unwrap().provisioned();
    let during = payload(store, "new").is_some();
    assert_eq!(payload(store, "a").unwrap(), if during { "during" } else { "before" });
    assert!(provisioned == 1 || !during, "the second unit without the first");
    one(store, unit("after", &[("after", Rule::Absent)])).unwrap();
    provisioned + u64::from(during)
}

#[test]
fn embedded_after_each_fault() {
    for step in STOPPING {
        let (dir, faults) = (Dir::new(), FaultPlan::default());
        let store = dir.open_with(&faults);
        prepare(&store);
        faults.fail_next(step);
        assert_eq!(failing_call(&store), "STORE_STOPPED", "{step:?}");
        assert!(faults.is_spent());
        check_stopped(&store);
        drop(store);
        let left = survivors(&dir.open());
        match step {
            Step::BeforeAppend => assert_eq!(left, 0),
            // The first frame is the smaller half, but the cut is in the middle of the octets.
            Step::TornAppend => assert!(left < 2),
            // Nobody lost power, so it is there; the caller could not know.
            Step::BeforeSync | Step::Sync | Step::AfterSync => assert_eq!(left, 2),
            Step::DiskFull | Step::IndexApply | Step::Checkpoint => unreachable!(),
        }
    }
}

#[test]
fn memory_after_each_fault() {
    for (power_cut, step) in [true, false].into_iter().flat_map(|cut| STOPPING.map(|step| (cut, step))) {
        let faults = FaultPlan::default();
        let store = MemoryStore::new(&support::identity(), faults.clone());
        prepare(&store);
        let head = store.head();
        faults.fail_next(step);
        assert_eq!(failing_call(&store), "STORE_STOPPED", "{step:?}");
        check_stopped(&store);
        if step != Step::AfterSync {
            assert_eq!(store.head(), head);
        }
        if power_cut {
            store.power_cut();
        } else {
            store.restart();
        }
        let expected = match (step, power_cut) {
            (Step::BeforeAppend, _) | (Step::TornAppend | Step::BeforeSync | Step::Sync, true) => 0,
            (Step::TornAppend, false) => 1,
            _ => 2,
        };
        assert_eq!(survivors(&store), expected, "{step:?} {power_cut}");
    }
}

fn check_full(store: &dyn Store, faults: &FaultPlan) {
    prepare(store);
    let open = one(store, intent("open")).unwrap().position;
    let (head, tally) = (store.head(), store.tally(&key("lot")).unwrap());
    faults.fail_next(Step::DiskFull);
    assert_eq!(failing_call(store), "STORE_FULL");
    assert_eq!((store.head(), store.tally(&key("lot")).unwrap()), (head, tally));
    assert_eq!((payload(store, "a").unwrap(), payload(store, "new")), ("before".into(), None));
    faults.fail_next(Step::DiskFull);
    assert_eq!(store.commit(vec![completing(open)]).unwrap_err().reason(), "STORE_FULL");
    assert_eq!(store.open_intents().unwrap(), [open]);
    // Room again.
    let done = one(store, completing(open)).unwrap();
    assert_eq!(done.position, head.position);
    assert_eq!(survivors(store), 0);
}

#[test]
fn a_full_disk_keeps_nothing_and_stops_nothing() {
    let faults = FaultPlan::default();
    check_full(&MemoryStore::new(&support::identity(), faults.clone()), &faults);
    let dir = Dir::new();
    check_full(&dir.open_with(&faults), &faults);
    let store = dir.open();
    assert_eq!(store.opened().torn, 0);
    assert_eq!(payload(&store, "after").unwrap(), "after");
}

/// Whoever waits for a group that fails is told, and so is the group that built up behind it.
#[test]
fn a_full_disk_under_many_threads() {
    let (dir, faults) = (Dir::new(), FaultPlan::default());
    let store = dir.open_with(&faults);
    one(&store, opening("lot", 100_000)).unwrap();
    let spent = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..8 {
            let (store, spent, faults) = (&store, &spent, &faults);
            scope.spawn(move || {
                for round in 0..60 {
                    if number == 0 && round % 5 == 0 {
                        faults.fail_next(Step::DiskFull);
                    }
                    let claim = unit("", &[(&format!("{number}-{round}"), Rule::Absent)]);
                    let unit = store::Unit { claims: claim.claims, ..moving("lot", Movement::Provision) };
                    match store.commit(vec![unit.clone(), unit]) {
                        Ok(answers) => {
                            assert!(answers[0].is_ok() && answers[1].is_err());
                            spent.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert_eq!(error.reason(), "STORE_FULL"),
                    }
                }
            });
        }
    });
    faults.clear();
    let spent = spent.into_inner() as u64;
    assert!(spent > 0 && spent < 480);
    assert_eq!(store.tally(&key("lot")).unwrap().unwrap().provisioned(), spent);
    drop(store);
    let store = dir.open();
    assert_eq!(store.tally(&key("lot")).unwrap().unwrap().provisioned(), spent);
}

#[test]
fn less_than_the_reserve_is_a_full_disk() {
    let dir = Dir::new();
    let store = EmbeddedStore::open(&dir.store(), Options { reserve_bytes: u64::MAX, ..options() }).unwrap();
    assert_eq!(store.commit(vec![unit("1", &[])]).unwrap_err().reason(), "STORE_FULL");
    assert!(store.history(store.head().position, 1).unwrap().records.is_empty());
}

/// The index fails in the background: the engine stops, and the journal has everything.
#[test]
fn a_failing_index_loses_nothing() {
    for step in [Step::IndexApply, Step::Checkpoint] {
        let (dir, faults) = (Dir::new(), FaultPlan::default());
        let store = dir.open_with(&faults);
        prepare(&store);
        faults.fail_next(step);
        assert_eq!(store.checkpoint().unwrap_err().reason(), "STORE_STOPPED");
        check_stopped(&store);
        drop(store);
        let store = dir.open();
        assert_eq!((store.opened().replayed, store.opened().rebuilt), (2, false));
        assert_eq!(survivors(&store), 0);
    }
}

/// Commits that wait because the index lags are told when the index stops.
#[test]
fn back_pressure_ends_when_the_index_stops() {
    let (dir, faults) = (Dir::new(), FaultPlan::default());
    let narrow = Options { overlay_limit: 4, index_batch: 4, faults: faults.clone(), ..options() };
    let store = EmbeddedStore::open(&dir.store(), narrow).unwrap();
    faults.fail_after(Step::IndexApply, 3);
    let failed = (0..100).find_map(|n| store.commit(vec![unit("", &[(&n.to_string(), Rule::Absent)])]).err());
    assert_eq!(failed.unwrap().reason(), "STORE_STOPPED");
}

#[test]
fn the_index_is_brought_up_to_date_by_itself() {
    let dir = Dir::new();
    let quick = Options { index_interval: Duration::from_millis(1), ..options() };
    let store = EmbeddedStore::open(&dir.store(), quick).unwrap();
    one(&store, unit("1", &[("a", Rule::Any)])).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(payload(&store, "a").unwrap(), "1");
    store.checkpoint().unwrap();
}

#[test]
fn a_plan_lets_steps_pass_first() {
    let faults = FaultPlan::default();
    let store = MemoryStore::new(&support::identity(), faults.clone());
    faults.fail_after(Step::DiskFull, 2);
    let failed: Vec<_> = (0..4).map(|_| store.commit(vec![unit("", &[])]).is_err()).collect();
    assert_eq!(failed, [false, false, true, false]);
}
