//! A clock that jumps, under load: no certificate with another validity than its lot's, and nothing issued while it is far behind.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use api::{Refusal, RequestId};
use authority::{DeviceOrder, IssuedDevice, Line, LineLimits, Occasion};
use bytes::Bytes;
use issuance::make_csr;
use mfg::DeviceId;
use pki::{Certificate, UnixTime};
use records::{Act, Caller, Standing};
use store::Step;

use super::world::{House, LOT, key, reason};

const HOUR: u32 = 3600;

fn later(house: &House, seconds: i64) {
    let now = house.authority.now().as_secs();
    house.clock.set(UnixTime::new(now + seconds));
}

fn caller() -> Caller {
    Caller { manufacturer: "factory-y".to_owned(), by: "operator".to_owned() }
}

fn accept(house: &House, request: u8) -> Result<(), Refusal> {
    house.authority.accept_clock(caller(), RequestId::from_octets([request; 16]))
}

#[tokio::test]
async fn a_jump_back_pauses_issuing_until_the_clock_is_right() {
    let mut house = House::factory();
    let device = key();
    let before = house.issue(1, "sn1", &device).await.unwrap();
    later(&house, -200);
    house.issue(2, "sn2", &key()).await.unwrap();
    later(&house, -i64::from(HOUR));
    assert_eq!(reason(house.issue(3, "sn3", &key()).await), "CLOCK_BEHIND");
    assert_eq!(house.issue(1, "sn1", &device).await.unwrap(), before, "what was issued is answered");
    // Also after a restart, and whatever else was recorded meanwhile.
    house.authority.allow_rework(&house.act(9), &DeviceId::parse("sn1").unwrap()).unwrap_err();
    house.start_again(true);
    house.authority.take_standing().unwrap();
    house.authority.take_clock().unwrap();
    assert_eq!(reason(house.issue(3, "sn3", &key()).await), "CLOCK_BEHIND");
    later(&house, i64::from(HOUR));
    house.issue(3, "sn3", &key()).await.unwrap();
    assert_eq!(Standing::of(house.store.as_ref()).unwrap().clock_behind, None);
    assert_eq!(house.tally().provisioned(), 3);
}

#[tokio::test]
async fn a_service_that_starts_with_a_clock_that_is_behind_its_journal_issues_nothing() {
    let mut house = House::factory();
    house.issue(1, "sn1", &key()).await.unwrap();
    later(&house, -i64::from(HOUR));
    house.start_again(true);
    house.authority.take_clock().unwrap();
    assert_eq!(reason(house.issue(2, "sn2", &key()).await), "CLOCK_BEHIND");
    assert_eq!(house.tally().provisioned(), 1);
}

#[tokio::test]
async fn an_operator_may_say_that_the_clock_is_right() {
    let house = House::factory();
    house.issue(1, "sn1", &key()).await.unwrap();
    assert_eq!(reason(accept(&house, 20)), "CLOCK_NOT_BEHIND");
    later(&house, -i64::from(HOUR));
    assert_eq!(reason(house.issue(2, "sn2", &key()).await), "CLOCK_BEHIND");
    accept(&house, 21).unwrap();
    house.issue(2, "sn2", &key()).await.unwrap();
    accept(&house, 21).unwrap();
    assert_eq!(reason(accept(&house, 22)), "CLOCK_NOT_BEHIND");
    assert_eq!(reason(accept(&house, 2)), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn an_operators_word_about_the_clock_that_comes_many_times_at_once_is_taken_once() {
    let house = House::factory();
    house.issue(1, "sn1", &key()).await.unwrap();
    later(&house, -i64::from(HOUR));
    assert_eq!(reason(house.issue(2, "sn2", &key()).await), "CLOCK_BEHIND");
    thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(|| accept(&house, 21).unwrap()))));
    house.issue(2, "sn2", &key()).await.unwrap();
}

/// A look into the future that records nothing is no reason to wait: a signing window that seemed to be over is open again.
#[tokio::test]
async fn a_jump_beyond_the_signing_window_and_back_leaves_nothing_behind() {
    let house = House::factory();
    later(&house, 20 * 365 * 86_400);
    assert_eq!(reason(house.issue(1, "sn1", &key()).await), "SIGNING_WINDOW_CLOSED");
    later(&house, -20 * 365 * 86_400);
    house.issue(1, "sn1", &key()).await.unwrap();
}

/// A clock that is behind voids nothing that could be signed.
#[tokio::test]
async fn an_intent_that_is_open_when_the_clock_is_behind_waits_for_it() {
    let mut house = House::factory();
    let device = key();
    house.issue(1, "sn1", &key()).await.unwrap();
    house.faults.fail_after(Step::BeforeSync, 1);
    assert_eq!(reason(house.issue(2, "sn2", &device).await), "STORE_STOPPED");
    later(&house, -i64::from(HOUR));
    house.start_again(true);
    house.authority.take_clock().unwrap();
    assert_eq!(authority::complete_open_intents(&house.authority).unwrap(), 0);
    later(&house, i64::from(HOUR));
    house.issue(2, "sn2", &device).await.unwrap();
    assert_eq!(house.tally().provisioned(), 2);
}

const CLIENTS: usize = 4;

/// Tells the clients to stop when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One device after the other until told to stop; what each came to.
struct Load {
    stop: AtomicBool,
    next: AtomicU32,
    issued: Mutex<Vec<IssuedDevice>>,
    refused: Mutex<Vec<&'static str>>,
}

impl Load {
    fn work(&self, house: &House, line: &Line) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let device = format!("sn{number}");
            let mut id = [7; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let order = DeviceOrder {
                act: Act { request: Some(RequestId::from_octets(id)), ..house.act(0) },
                lot: LOT.to_owned(),
                device_id: DeviceId::parse(&device).unwrap(),
                csr: Bytes::from(make_csr(&key(), &device).unwrap()),
                occasion: Occasion::First,
            };
            match runtime.block_on(line.issue(order)) {
                Ok(issued) => self.issued.lock().unwrap().push(issued),
                Err(refusal) => self.refused.lock().unwrap().push(refusal.reason()),
            }
        }
    }

    /// Waits, with a bound, until some more were issued, or refused for this reason: more than were under way before.
    fn await_some(&self, refused: Option<&str>) {
        let count = || match refused {
            None => self.issued.lock().unwrap().len(),
            Some(why) => self.refused.lock().unwrap().iter().filter(|reason| **reason == why).count(),
        };
        let (before, by) = (count(), Instant::now() + Duration::from_secs(60));
        while count() < before + 2 * CLIENTS {
            assert!(Instant::now() < by, "too few {refused:?} within a minute");
            thread::yield_now();
        }
    }
}

#[test]
fn a_clock_that_jumps_under_load_makes_no_certificate_of_another_validity() {
    let house = House::with_units(100_000);
    let (line, workers) = Line::start(&house.authority, LineLimits { workers: 2, ..LineLimits::default() }).unwrap();
    let load = Arc::new(Load {
        stop: AtomicBool::new(false),
        next: AtomicU32::new(1),
        issued: Mutex::default(),
        refused: Mutex::default(),
    });
    thread::scope(|scope| {
        // Whatever fails below, the clients end.
        let _ends = Ends(&load.stop);
        for _ in 0..CLIENTS {
            scope.spawn(|| load.work(&house, &line));
        }
        for round in 0..10_u8 {
            load.await_some(None);
            // Forwards within the window, and on record there; then back.
            later(&house, i64::from(HOUR));
            load.await_some(None);
            later(&house, -i64::from(HOUR));
            load.await_some(Some("CLOCK_BEHIND"));
            match round % 2 {
                0 => later(&house, i64::from(HOUR)),
                _ => accept(&house, 100 + round).unwrap(),
            }
            load.await_some(None);
            // Out of the window on both sides.
            for years in [20, -20] {
                later(&house, years * 365 * 86_400);
                load.await_some(Some(if years > 0 { "SIGNING_WINDOW_CLOSED" } else { "CLOCK_BEHIND" }));
                later(&house, -years * 365 * 86_400);
            }
        }
    });
    drop(line);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let issued = load.issued.lock().unwrap();
    assert_eq!(house.tally().provisioned(), issued.len() as u64);
    let expected = (UnixTime::parse("2026-01-01T00:00:00Z").unwrap(), UnixTime::parse("9999-12-31T23:59:59Z").unwrap());
    for device in issued.iter() {
        let certificate = Certificate::parse(&device.certificate).unwrap();
        assert_eq!((certificate.not_before(), certificate.not_after()), expected, "{}", device.device_id);
    }
    let refused = load.refused.lock().unwrap();
    let named = ["CLOCK_BEHIND", "SIGNING_WINDOW_CLOSED"];
    assert!(refused.iter().all(|reason| named.contains(reason)), "{refused:?}");
    println!("10 rounds of jumps: {} certificates, {} refusals", issued.len(), refused.len());
}
