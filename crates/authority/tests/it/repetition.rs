//! The same request, the same octets: ten thousand times, from many at once, after restarts, and when nobody heard the first answer.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use api::Refusal;
use authority::Occasion;
use pki::Sha256;
use service::Workers;

use crate::shop::{Ask, End, Kind, LotKey, Shop, Told, device_id};

const REPLAYS: usize = 10_000;
const CLIENTS: usize = 16;

fn first(device: u32) -> Ask {
    Ask::Issue { request: u64::from(device), device, key: 0, occasion: Occasion::First }
}

/// Asks until the answer is another than that somebody else is at it.
async fn ask(shop: &Shop, ask: &Ask) -> Told {
    loop {
        match shop.ask(ask).await {
            Ok(told) => return told,
            Err(refusal) => assert_eq!(refusal.reason(), "IN_PROGRESS", "{ask:?}: {refusal}"),
        }
    }
}

/// A lot in the middle of its life, and everything that was asked so far with its answers.
async fn a_lot_with_a_past(shop: &Shop) -> Vec<(Ask, Told)> {
    let mut asks: Vec<Ask> = (0..60).map(first).collect();
    asks.extend((0..10).map(|n| Ask::Issue {
        request: 1000 + u64::from(n),
        device: n,
        key: 1,
        occasion: Occasion::Replacement,
    }));
    asks.extend((0..10).map(|lot| Ask::Offer { request: 2000 + u64::from(lot), lot, units: 2 }));
    asks.extend((0..6).map(|lot| Ask::Accept { request: 3000 + u64::from(lot), lot, units: 2 }));
    asks.extend((6..9).map(|lot| Ask::Cancel { request: 4000 + u64::from(lot), lot }));
    asks.push(Ask::ScrapBlanks { request: 5000, units: 3 });
    asks.extend((30..35).map(|device| Ask::ScrapDevice { request: 6000 + u64::from(device), device }));
    asks.extend((30..33).map(|device| Ask::ReinstateDevice { request: 7000 + u64::from(device), device }));
    let mut past = Vec::new();
    for one in asks {
        let told = ask(shop, &one).await;
        past.push((one, told));
    }
    for device in 40..50 {
        let Told::Certificates(chain) = ask(shop, &first(device)).await else { unreachable!() };
        ask(shop, &Ask::Confirm { device, certificate: Sha256::of(&chain[0]) }).await;
        let request = 8000 + u64::from(device) * 2;
        for one in [
            Ask::AllowRework { request, device },
            Ask::Issue { request: request + 1, device, key: 1, occasion: Occasion::Rework },
        ] {
            let told = ask(shop, &one).await;
            past.push((one, told));
        }
    }
    past
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_replays_answer_the_same_octets_and_sign_nothing() {
    let mut shop = Shop::new(Kind::Embedded, Workers::Threads, 1000);
    let past = a_lot_with_a_past(&shop).await;
    let (signed, tally, records) = (shop.key.signed(), shop.tally(), shop.audit().count);
    let rounds = 4;
    for round in 0..rounds {
        let runtime = tokio::runtime::Handle::current();
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (shop, past, runtime) = (&shop, &past, runtime.clone());
                scope.spawn(move || {
                    for replay in 0..REPLAYS / rounds / CLIENTS {
                        let (asked, told) = &past[(replay * CLIENTS + client + round) % past.len()];
                        assert_eq!(&runtime.block_on(ask(shop, asked)), told, "{asked:?}");
                    }
                });
            }
        });
        shop.start_again(End::Killed, LotKey::There);
    }
    assert_eq!(shop.key.signed(), signed, "a replay signed something");
    assert_eq!(shop.audit().count, records, "a replay drew a certificate serial");
    assert_eq!(shop.tally(), tally);
    shop.assert_every_signature_is_on_record();
}

/// Asks in the order in which each is possible.
fn one_of_each() -> Vec<Ask> {
    let (device, lot) = (0, 0);
    vec![
        first(0),
        Ask::Issue { request: 101, device, key: 1, occasion: Occasion::Replacement },
        Ask::ScrapDevice { request: 102, device },
        Ask::ReinstateDevice { request: 103, device },
        Ask::ScrapBlanks { request: 104, units: 2 },
        Ask::ReinstateBlanks { request: 105, units: 1 },
        Ask::Offer { request: 106, lot: 1, units: 2 },
        Ask::Cancel { request: 107, lot: 1 },
        Ask::Offer { request: 108, lot, units: 2 },
        Ask::Accept { request: 109, lot, units: 2 },
    ]
}

/// Sixteen tries of one request at the same time.
fn at_once(shop: &Shop, asked: &Ask) -> Vec<Told> {
    let runtime = tokio::runtime::Handle::current();
    let start = std::sync::Barrier::new(CLIENTS);
    thread::scope(|scope| {
        let tries: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    runtime.block_on(ask(shop, asked))
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_that_race_are_answered_alike_and_count_once() {
    for kind in [Kind::Memory, Kind::Embedded] {
        let shop = Shop::new(kind, Workers::Threads, 100);
        for asked in one_of_each() {
            let mut told = at_once(&shop, &asked);
            told.dedup();
            assert_eq!(told.len(), 1, "{asked:?}");
        }
        let Ok(newest) = shop.authority().device(&device_id(0)) else { panic!("the device is there") };
        ask(&shop, &Ask::Confirm { device: 0, certificate: Sha256::of(&newest.certificate) }).await;
        let rework = Ask::Issue { request: 111, device: 0, key: 2, occasion: Occasion::Rework };
        for asked in
            [Ask::AllowRework { request: 110, device: 0 }, rework, Ask::ScrapDevice { request: 112, device: 0 }]
        {
            let mut told = at_once(&shop, &asked);
            told.dedup();
            assert_eq!(told.len(), 1, "{asked:?}");
        }
        let tally = shop.tally();
        let counts = [tally.provisioned(), tally.handed_over(), tally.reserved(), tally.scrapped()];
        assert_eq!(counts, [0, 2, 0, 2], "{tally}");
        assert_eq!(shop.audit().count, 4, "a first certificate, a replacement, a rework and a handoff");
        shop.assert_every_signature_is_on_record();
    }
}

/// Where the work is done inline, nothing is waited for.
fn at_first_poll<T>(work: impl Future<Output = T>) -> T {
    match std::pin::pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("inline work waits for nobody"),
    }
}

/// A written device 0 of which nothing more was asked, another that is scrapped, and an offer.
fn a_lot_in_use() -> Shop {
    let shop = Shop::new(Kind::Memory, Workers::Inline, 100);
    let lot = 0;
    let scrap = |device: u32| Ask::ScrapDevice { request: u64::from(device) + 100, device };
    let before = [first(0), first(1), scrap(1), Ask::ScrapBlanks { request: 200, units: 1 }];
    for asked in before.into_iter().chain([Ask::Offer { request: 201, lot, units: 2 }]) {
        at_first_poll(ask(&shop, &asked));
    }
    let newest = shop.authority().device(&device_id(0)).unwrap().certificate;
    at_first_poll(ask(&shop, &Ask::Confirm { device: 0, certificate: Sha256::of(&newest) }));
    shop
}

#[test]
fn a_try_that_another_comes_in_the_middle_of_is_answered_alike_wherever_that_is() {
    let (request, device, lot) = (300, 0, 0);
    for asked in [
        Ask::AllowRework { request, device },
        Ask::ScrapDevice { request, device },
        Ask::ReinstateDevice { request, device: 1 },
        Ask::ScrapBlanks { request, units: 2 },
        Ask::ReinstateBlanks { request, units: 1 },
        Ask::Offer { request, lot: 1, units: 2 },
        Ask::Cancel { request, lot },
        Ask::Accept { request, lot, units: 2 },
    ] {
        let alone = a_lot_in_use();
        at_first_poll(ask(&alone, &asked));
        let mut moments = 0;
        let asked = Arc::new(asked);
        let told = Arc::clone(&asked);
        store::overtaken(
            a_lot_in_use,
            |shop| shop.memory(),
            move |shop| at_first_poll(shop.ask(&told)),
            |shop, in_the_middle, at_the_end| {
                assert_eq!(at_the_end.unwrap(), in_the_middle.unwrap(), "{asked:?} after {moments} calls");
                assert_eq!(shop.tally(), alone.tally(), "{asked:?} after {moments} calls");
                shop.assert_every_signature_is_on_record();
                moments += 1;
            },
        );
        assert!(moments > 1, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_rework_is_about_to_be_signed_is_told_so_and_then_its_certificate() {
    let shop = Arc::new(Shop::new(Kind::Memory, Workers::Threads, 100));
    let Told::Certificates(chain) = ask(&shop, &first(0)).await else { unreachable!() };
    ask(&shop, &Ask::Confirm { device: 0, certificate: Sha256::of(&chain[0]) }).await;
    ask(&shop, &Ask::AllowRework { request: 1, device: 0 }).await;
    let (tell, told) = std::sync::mpsc::channel();
    let (between, asked) = (Arc::clone(shop.memory()), Arc::clone(&shop));
    // The first commit is the intent's, the second is the signature's.
    shop.memory().before_commit(move || {
        between.before_commit(move || tell.send(asked.authority().device(&device_id(0))).unwrap());
    });
    let rework = Ask::Issue { request: 2, device: 0, key: 1, occasion: Occasion::Rework };
    let Told::Certificates(chain) = ask(&shop, &rework).await else { unreachable!() };
    let refusal = told.recv().unwrap().unwrap_err();
    assert_eq!(refusal.reason(), "IN_PROGRESS");
    assert!(refusal.retry_delay().is_some(), "whoever asks is to ask again");
    assert_eq!(shop.authority().device(&device_id(0)).unwrap().certificate, chain[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_finds_what_was_made_for_it() {
    let shop = Arc::new(Shop::new(Kind::Embedded, Workers::Threads, 100));
    for device in 0..50 {
        let asked = first(device);
        {
            let mut abandoned = std::pin::pin!(shop.ask(&asked));
            // Handed in, and nobody waits for it.
            std::future::poll_fn(|context| {
                let _ = abandoned.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
        let told = ask(&shop, &asked).await;
        assert_eq!(ask(&shop, &asked).await, told);
    }
    assert_eq!((shop.tally().provisioned(), shop.audit().count), (50, 50));
}

#[tokio::test]
async fn another_content_under_the_same_id_is_refused_by_name_and_changes_nothing() {
    let shop = Shop::new(Kind::Memory, Workers::Threads, 100);
    let _ = a_lot_with_a_past(&shop).await;
    let head = shop.store().head();
    let issue = |request, device, key, occasion| Ask::Issue { request, device, key, occasion };
    let cases = [
        (issue(0, 1, 0, Occasion::First), "REQUEST_ID_REUSED"),
        (issue(0, 0, 1, Occasion::First), "REQUEST_ID_REUSED"),
        (issue(0, 99, 0, Occasion::First), "REQUEST_ID_REUSED"),
        (issue(99, 0, 5, Occasion::First), "DEVICE_ID_TAKEN"),
        (Ask::ScrapDevice { request: 6030, device: 31 }, "REQUEST_ID_REUSED"),
        (Ask::ScrapDevice { request: 0, device: 31 }, "REQUEST_ID_REUSED"),
        (Ask::AllowRework { request: 8080, device: 41 }, "REQUEST_ID_REUSED"),
        (Ask::Offer { request: 2000, lot: 0, units: 3 }, "REQUEST_ID_REUSED"),
        (Ask::Offer { request: 2000, lot: 50, units: 2 }, "REQUEST_ID_REUSED"),
        (Ask::Offer { request: 0, lot: 50, units: 2 }, "REQUEST_ID_REUSED"),
        (Ask::Cancel { request: 4006, lot: 7 }, "REQUEST_ID_REUSED"),
        (Ask::Cancel { request: 2009, lot: 9 }, "REQUEST_ID_REUSED"),
        (Ask::Accept { request: 3000, lot: 1, units: 2 }, "REQUEST_ID_REUSED"),
    ];
    for (asked, reason) in cases {
        let outcome = shop.ask(&asked).await;
        assert_eq!(outcome.as_ref().map_err(Refusal::reason), Err(reason), "{asked:?}: {outcome:?}");
        let refusal = outcome.unwrap_err();
        assert!(refusal.metadata().contains_key("differs"), "{asked:?} does not say what differs: {refusal}");
        assert_eq!(shop.store().head(), head, "{asked:?}");
    }
}
