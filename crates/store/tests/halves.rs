//! A commit in two halves: what was submitted becomes durable when it is waited for, or behind the back of who works meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use store::{EmbeddedStore, FaultPlan, Options, Rule, Step, Store};
use support::{Dir, intent, one, options, payload, unit};

/// Far longer than a sync takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that says when a group was synced, and of how many units.
fn watched(dir: &Dir, faults: &FaultPlan) -> (EmbeddedStore, mpsc::Receiver<usize>) {
    let (synced, heard) = mpsc::channel();
    let synced = std::sync::Mutex::new(synced);
    let observer = move |sync: store::Synced| {
        // A test that has ended hears nothing more.
        let _ = synced.lock().unwrap().send(sync.units);
    };
    let options = Options { synced: Some(std::sync::Arc::new(observer)), faults: faults.clone(), ..options() };
    (EmbeddedStore::open(&dir.store(), options).unwrap(), heard)
}

#[test]
fn what_was_submitted_is_judged_at_once_and_there_when_it_was_waited_for() {
    let dir = Dir::new();
    let store = dir.open();
    let before = store.head();
    let first = store.submit(vec![unit("one", &[("a", Rule::Absent)]), intent("two")]).unwrap();
    assert_eq!((store.head(), payload(&store, "a")), (before, None), "nothing is read that is not durable");
    let second = store.submit(vec![unit("three", &[("a", Rule::Absent)])]).unwrap();
    let refused = store.wait(second).unwrap().pop().unwrap();
    assert!(refused.is_err(), "it was submitted after another for the same key");
    assert_eq!(payload(&store, "a").as_deref(), Some("one"), "what it ran into is durable");
    let mut told = store.wait(first).unwrap();
    let receipt = told.pop().unwrap().unwrap().receipt.unwrap();
    assert!(receipt.covers(&pki::Sha256::of(b"two")));
    assert_eq!(store.syncs(), 1, "both by one sync");
}

#[test]
fn it_becomes_durable_behind_the_back_of_who_works_meanwhile() {
    let dir = Dir::new();
    let (store, synced) = watched(&dir, &FaultPlan::default());
    let submitted = store.submit(vec![unit("one", &[("a", Rule::Absent)])]).unwrap();
    assert!(synced.try_recv().is_err(), "nobody has written it yet");
    store.write_behind();
    assert_eq!(synced.recv_timeout(PATIENCE), Ok(1), "without anybody who waits");
    // The writer's lock may be a moment behind what it told.
    while payload(&store, "a").is_none() {
        thread::yield_now();
    }
    let position = store.wait(submitted).unwrap().pop().unwrap().unwrap().position;
    drop(store);
    assert_eq!(payload(&dir.open(), "a").as_deref(), Some("one"));
    assert_eq!(position.as_u64(), 0);
}

#[test]
fn what_nobody_waits_for_holds_up_nobody() {
    let dir = Dir::new();
    let store = dir.open();
    let _ = store.submit(vec![unit("abandoned", &[("a", Rule::Absent)])]).unwrap();
    store.write_behind();
    store.write_behind();
    let _ = store.submit(vec![unit("abandoned too", &[("b", Rule::Absent)])]).unwrap();
    one(&store, unit("next", &[("c", Rule::Absent)])).unwrap();
    let all = ["a", "b", "c"].map(|name| payload(&store, name).is_some());
    assert_eq!(all, [true; 3], "it was accepted before what is durable");
    let _ = store.submit(vec![unit("last", &[("d", Rule::Absent)])]).unwrap();
    drop(store);
    assert_eq!(payload(&dir.open(), "d"), None, "nobody was told of it");
}

#[test]
fn a_group_that_has_grown_large_is_written_without_anybody_who_waits() {
    let dir = Dir::new();
    let store = dir.open();
    let large = "x".repeat(3 << 20);
    // One thread alone submits more than one group holds.
    let submitted: Vec<_> = (0..6).map(|_| store.submit(vec![unit(&large, &[])]).unwrap()).collect();
    for one in submitted {
        assert!(store.wait(one).unwrap()[0].is_ok());
    }
}

#[test]
fn what_could_not_be_written_behind_is_told_to_who_waits() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync, Step::DiskFull] {
        let (dir, faults) = (Dir::new(), FaultPlan::default());
        let (store, synced) = watched(&dir, &faults);
        faults.fail_next(step);
        let submitted = store.submit(vec![unit("one", &[("a", Rule::Absent)])]).unwrap();
        store.write_behind();
        synced.recv_timeout(PATIENCE).unwrap();
        let told = store.wait(submitted).unwrap_err().reason();
        if step == Step::DiskFull {
            assert_eq!(told, "STORE_FULL");
            one(&store, unit("again", &[("a", Rule::Absent)])).unwrap();
        } else {
            assert_eq!(told, "STORE_STOPPED", "{step:?}");
            assert_eq!(store.submit(vec![unit("two", &[])]).unwrap_err().reason(), "STORE_STOPPED");
            store.write_behind();
        }
    }
}

#[test]
fn many_who_submit_write_behind_and_wait_in_turns_lose_nothing() {
    let dir = Dir::new();
    let store = dir.open();
    thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                let mut flight = None;
                for n in 0..200 {
                    let name = format!("{thread}-{n}");
                    if n % 3 != 0 {
                        store.write_behind();
                    }
                    let next = store.submit(vec![unit(&name, &[(&name, Rule::Absent)])]).unwrap();
                    if let Some((name, before)) = flight.replace((name, next)) {
                        let told = store.wait(before).unwrap().pop().unwrap();
                        assert!(told.is_ok());
                        assert_eq!(payload(store, &name), Some(name));
                    }
                }
                store.wait(flight.unwrap().1).unwrap();
            });
        }
    });
    drop(store);
    let store = dir.open();
    let there = (0..8).flat_map(|t| (0..200).map(move |n| format!("{t}-{n}"))).filter(|n| payload(&store, n).is_some());
    assert_eq!(there.count(), 1600);
}
