#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod occasions;
mod world;

use std::future::Future as _;

use bytes::Bytes;
use service::Workers;
use store::{FaultPlan, Step};

use super::{Line, LineLimits};
use world::{UNITS, World};

/// Issues every request of the world one after the other; answers the certificates.
async fn issue_all(world: &World, workers: Workers) -> Vec<Bytes> {
    let authority = world.authority(workers, FaultPlan::default());
    let (line, threads) = Line::start(&authority, LineLimits { workers: 2, ..LineLimits::default() }).unwrap();
    let mut certificates = Vec::new();
    for number in 0..UNITS {
        certificates.push(line.issue(world.order(&authority, number)).await.unwrap().certificate);
    }
    drop(line);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let tally = authority.store().tally(&world.tally).unwrap().unwrap();
    assert_eq!(tally.provisioned(), u64::from(UNITS));
    assert!(authority.store().open_intents().unwrap().is_empty());
    certificates
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_get_the_same_certificates_inline_and_on_threads() {
    let world = World::new();
    let on_threads = issue_all(&world, Workers::Threads).await;
    assert_eq!(issue_all(&world, Workers::Inline).await, on_threads);
    assert_eq!(issue_all(&world, Workers::Inline).await, on_threads);
}

#[tokio::test]
async fn inline_work_needs_no_thread_and_no_other_task() {
    let world = World::new();
    let authority = world.authority(Workers::Inline, FaultPlan::default());
    let (line, threads) = Line::start(&authority, LineLimits::default()).unwrap();
    assert!(threads.is_empty());
    let order = world.order(&authority, 0);
    let mut issuing = std::pin::pin!(line.issue(order));
    let polled = std::future::poll_fn(|context| std::task::Poll::Ready(issuing.as_mut().poll(context))).await;
    assert!(polled.is_ready(), "one poll does the whole work");
}

#[tokio::test]
async fn a_retry_gets_the_same_bytes_inline_and_spends_nothing() {
    let world = World::new();
    let authority = world.authority(Workers::Inline, FaultPlan::default());
    let (line, _) = Line::start(&authority, LineLimits::default()).unwrap();
    let first = line.issue(world.order(&authority, 3)).await.unwrap();
    let head = authority.store().head();
    assert_eq!(line.issue(world.order(&authority, 3)).await.unwrap(), first);
    assert_eq!(authority.store().head(), head, "a retry records nothing");
}

#[tokio::test]
async fn an_intent_that_was_never_signed_is_completed_by_a_retry_over_the_same_bytes() {
    for workers in [Workers::Inline, Workers::Threads] {
        let world = World::new();
        let faults = FaultPlan::default();
        let authority = world.authority(workers, faults.clone());
        let (line, _threads) = Line::start(&authority, LineLimits::default()).unwrap();
        // The second sync, which is to make the result durable, meets a full disk: the intent stays open.
        faults.fail_after(Step::DiskFull, 1);
        let refused = line.issue(world.order(&authority, 0)).await.unwrap_err();
        assert_eq!(refused.reason(), "STORE_FULL");
        assert_eq!(authority.store().open_intents().unwrap().len(), 1);
        let issued = line.issue(world.order(&authority, 0)).await.unwrap();
        assert!(authority.store().open_intents().unwrap().is_empty());
        assert_eq!(authority.device(&world.device(0)).unwrap(), issued);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tries_of_one_request_make_one_certificate() {
    for workers in [Workers::Inline, Workers::Threads] {
        let world = World::new();
        let authority = world.authority(workers, FaultPlan::default());
        let (line, _threads) = Line::start(&authority, LineLimits { workers: 4, ..LineLimits::default() }).unwrap();
        let tries = (0..32).map(|_| {
            let (line, order) = (line.clone(), world.order(&authority, 1));
            tokio::spawn(async move { line.issue(order).await.unwrap() })
        });
        let mut answers = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            answers.push(one.await.unwrap());
        }
        answers.dedup();
        assert_eq!(answers.len(), 1);
        let tally = authority.store().tally(&world.tally).unwrap().unwrap();
        assert_eq!(tally.provisioned(), 1);
    }
}
