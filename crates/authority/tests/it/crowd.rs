//! 64 clients and a lot of 1,000 units that 5,000 tries want to spend, in every way that a unit can go.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use api::Refusal;
use authority::Occasion;
use mfg::{Phase, Remaining, Tally};
use pki::Sha256;
use service::Workers;

use crate::shop::{Ask, End, Kind, LotKey, Shop, Told, device_id, marks};

const CLIENTS: usize = 64;
const TRIES: u32 = 5000;
const UNITS: u64 = 1000;

type Outcome = (Ask, Result<Told, Refusal>);

/// Has 64 clients make the tries, each the asks of a try one after the other; whether the asks of one are answered or refused.
fn crowd(shop: &Shop, tries: u32, asks_of: impl Fn(u32) -> Vec<Ask> + Sync) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (next, outcomes, done) = (AtomicU32::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert_within(&shop.tally());
                thread::yield_now();
            }
        });
        let client = || {
            loop {
                let try_ = next.fetch_add(1, Ordering::SeqCst);
                if try_ >= tries {
                    return;
                }
                for ask in asks_of(try_) {
                    let outcome = settled(|| runtime.block_on(shop.ask(&ask)));
                    outcomes.lock().unwrap().push((ask, outcome));
                }
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let ended: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        watch.join().unwrap();
        ended.into_iter().for_each(|client| client.unwrap());
    });
    outcomes.into_inner().unwrap()
}

/// A client asks again while another one is at the same thing.
fn settled<T>(ask: impl Fn() -> Result<T, Refusal>) -> Result<T, Refusal> {
    loop {
        match ask() {
            Err(refusal) if refusal.reason() == "IN_PROGRESS" => thread::yield_now(),
            outcome => return outcome,
        }
    }
}

fn assert_within(tally: &Tally) {
    let spent = tally.provisioned() + tally.handed_over() + tally.reserved() + tally.scrapped();
    assert!(spent <= UNITS, "one unit too many: {tally}");
    let left = match tally.phase() {
        Phase::Open => UNITS - spent,
        // What remained is void.
        Phase::Closed => 0,
    };
    assert_eq!(tally.remaining(), Remaining::Units(left));
}

fn first(device: u32) -> Ask {
    Ask::Issue { request: u64::from(device), device, key: 0, occasion: Occasion::First }
}

fn answered(outcomes: &[Outcome]) -> impl Iterator<Item = &Ask> {
    outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(ask, _)| ask)
}

/// Sums what was acknowledged, once for each different ask.
fn acknowledged(outcomes: &[Outcome]) -> [u64; 4] {
    let mut seen = BTreeSet::new();
    let [mut provisioned, mut handed_over, mut reserved, mut scrapped] = [0_u64; 4];
    for ask in answered(outcomes).filter(|ask| seen.insert(format!("{ask:?}"))) {
        match ask {
            Ask::Issue { occasion: Occasion::First, .. } => provisioned += 1,
            Ask::ScrapDevice { .. } => (provisioned, scrapped) = (provisioned - 1, scrapped + 1),
            Ask::ScrapBlanks { units, .. } => scrapped += u64::from(*units),
            Ask::ReinstateBlanks { units, .. } => scrapped -= u64::from(*units),
            Ask::Offer { units, .. } => reserved += u64::from(*units),
            Ask::Cancel { lot, .. } => reserved -= u64::from(units_of(*lot)),
            Ask::Accept { units, .. } => {
                (reserved, handed_over) = (reserved - u64::from(*units), handed_over + u64::from(*units));
            }
            Ask::Issue { occasion: Occasion::Replacement | Occasion::Rework, .. }
            | Ask::Confirm { .. }
            | Ask::AllowRework { .. }
            | Ask::ReinstateDevice { .. }
            | Ask::Close { .. } => {}
        }
    }
    [provisioned, handed_over, reserved, scrapped]
}

/// The tally is what was acknowledged, also after a restart; nothing was refused for another reason; no two certificates are alike.
fn assert_exact(shop: &mut Shop, outcomes: &[Outcome], refusals: &[&str]) {
    for (ask, refusal) in outcomes.iter().filter_map(|(ask, outcome)| Some((ask, outcome.as_ref().err()?))) {
        assert!(refusals.contains(&refusal.reason()), "{ask:?}: {refusal}");
    }
    for ends in [false, true] {
        if ends {
            shop.start_again(End::PowerCut, LotKey::There);
        }
        let tally = shop.tally();
        let counts = [tally.provisioned(), tally.handed_over(), tally.reserved(), tally.scrapped()];
        assert_eq!(counts, acknowledged(outcomes), "{tally}");
    }
    let certificates = outcomes.iter().filter_map(|(ask, outcome)| match (ask, outcome) {
        (Ask::Issue { .. } | Ask::Accept { .. }, Ok(Told::Certificates(chain))) => Some(marks(&chain[0])),
        _ => None,
    });
    let (serials, keys): (Vec<_>, Vec<_>) = certificates.unzip();
    assert_eq!(serials.iter().collect::<BTreeSet<_>>().len(), serials.len(), "a certificate serial is there twice");
    assert_eq!(keys.iter().map(Sha256::as_bytes).collect::<BTreeSet<_>>().len(), keys.len());
    shop.assert_every_signature_is_on_record();
}

fn shop(kind: Kind) -> Shop {
    Shop::new(kind, Workers::Threads, UNITS)
}

#[test]
fn five_thousand_tries_for_a_device_make_exactly_a_thousand() {
    let mut shop = shop(Kind::Embedded);
    let outcomes = crowd(&shop, TRIES, |try_| vec![first(try_)]);
    assert_eq!(answered(&outcomes).count() as u64, UNITS);
    assert_exact(&mut shop, &outcomes, &["QUANTITY_SPENT"]);
}

/// How many units the handoff of a lot is for.
fn units_of(lot: u32) -> u32 {
    lot % 7 + 1
}

fn offer(lot: u32) -> Ask {
    Ask::Offer { request: 1_000_000 + u64::from(lot), lot, units: units_of(lot) }
}

fn accept(lot: u32) -> Ask {
    Ask::Accept { request: 2_000_000 + u64::from(lot), lot, units: units_of(lot) }
}

fn cancel(lot: u32) -> Ask {
    Ask::Cancel { request: 3_000_000 + u64::from(lot), lot }
}

#[test]
fn five_thousand_split_handoffs_hand_over_exactly_a_thousand_units() {
    let mut shop = shop(Kind::Memory);
    let outcomes = crowd(&shop, TRIES, |try_| vec![offer(try_), accept(try_)]);
    assert_eq!(acknowledged(&outcomes), [0, UNITS, 0, 0], "the small ones fill what is left");
    assert_exact(&mut shop, &outcomes, &["QUANTITY_SPENT", "LOT_UNKNOWN"]);
}

#[test]
fn five_thousand_cancelled_offers_give_everything_back() {
    let mut shop = shop(Kind::Memory);
    let outcomes = crowd(&shop, TRIES, |try_| vec![offer(try_), cancel(try_), cancel(try_)]);
    assert!(answered(&outcomes).count() > 0);
    assert_exact(&mut shop, &outcomes, &["QUANTITY_SPENT", "LOT_UNKNOWN"]);
    assert_eq!(shop.tally().remaining(), Remaining::Units(UNITS));
}

#[test]
fn an_offer_is_either_cancelled_or_accepted_whoever_is_faster() {
    let mut shop = shop(Kind::Memory);
    // Two tries in a row are about one lot: one client offers and accepts, the other offers the same and cancels.
    let outcomes = crowd(&shop, TRIES, |try_| {
        let lot = try_ / 2;
        vec![offer(lot), if try_ % 2 == 0 { accept(lot) } else { cancel(lot) }]
    });
    assert_exact(
        &mut shop,
        &outcomes,
        &["QUANTITY_SPENT", "LOT_UNKNOWN", "HANDOFF_WITHDRAWN", "HANDOFF_ALREADY_ACCEPTED"],
    );
}

#[test]
fn five_thousand_scraps_and_returns_of_blanks_never_make_a_unit() {
    let mut shop = shop(Kind::Memory);
    let scrap = |n: u32| Ask::ScrapBlanks { request: u64::from(n), units: units_of(n) };
    let back = |n: u32| Ask::ReinstateBlanks { request: 1_000_000 + u64::from(n), units: 1 };
    let outcomes = crowd(&shop, TRIES, |n| if n % 3 == 0 { vec![scrap(n), back(n)] } else { vec![scrap(n)] });
    assert_exact(&mut shop, &outcomes, &["QUANTITY_SPENT", "NOT_SCRAPPED"]);
}

#[test]
fn five_thousand_replacements_and_reworks_spend_nothing_and_keep_their_caps() {
    const DEVICES: u32 = 250;
    let mut shop = shop(Kind::Memory);
    let made = crowd(&shop, DEVICES, |device| vec![first(device)]);
    let mut outcomes = crowd(&shop, TRIES, |n| {
        let device = n % DEVICES;
        let request = 10_000 + u64::from(n) * 4;
        let again = |occasion, key| Ask::Issue { request: request + 1, device, key, occasion };
        let key = 2 + n / DEVICES;
        if device.is_multiple_of(2) {
            return vec![again(Occasion::Replacement, key)];
        }
        // Another client's rework may be about to be signed.
        let newest = settled(|| shop.authority().device(&device_id(device))).unwrap().certificate;
        let confirm = Ask::Confirm { device, certificate: Sha256::of(&newest) };
        vec![confirm, Ask::AllowRework { request, device }, again(Occasion::Rework, key)]
    });
    let again = |device: u32| {
        let mine = answered(&outcomes).filter(|ask| matches!(ask, Ask::Issue { device: d, .. } if *d == device));
        mine.count()
    };
    for device in 0..DEVICES {
        assert!(again(device) <= 2, "device {device} has {} certificates beyond its cap", again(device));
    }
    assert_eq!(again(0), 2, "the cap itself is reached");
    outcomes.extend(made);
    assert_exact(
        &mut shop,
        &outcomes,
        &[
            "REPLACEMENT_CAP_SPENT",
            "REWORK_CAP_SPENT",
            "REWORK_NOT_ALLOWED",
            "NOT_WRITTEN",
            "WRITTEN_CERTIFICATE_DIFFERS",
        ],
    );
}

/// A unit that is in doubt keeps its lot open, and a lot that is closed gives no unit, whoever is faster.
#[test]
fn a_lot_closes_before_an_issuance_or_not_at_all() {
    let (mut closed, mut open) = (0, 0);
    for round in 0..40 {
        let mut shop = shop(Kind::Memory);
        let outcomes = crowd(&shop, 8, |n| match n % 2 == round % 2 {
            true => vec![Ask::Close { request: 6_000_000 + u64::from(n) }],
            false => vec![first(n)],
        });
        let tally = shop.tally();
        match tally.phase() {
            Phase::Closed => {
                assert_eq!(tally.provisioned(), 0, "closed with a unit in doubt");
                closed += 1;
            }
            Phase::Open => {
                assert_eq!(tally.provisioned(), 4);
                open += 1;
            }
        }
        assert_exact(&mut shop, &outcomes, &["LOT_CLOSED", "UNITS_IN_DOUBT"]);
    }
    println!("40 races of closing and issuing: {closed} closed, {open} stayed open");
}

#[test]
fn everything_at_once_is_as_exact() {
    let mut shop = shop(Kind::Embedded);
    let outcomes = crowd(&shop, TRIES, |n| match n % 5 {
        0 | 1 => vec![first(n), first(n)],
        2 => vec![first(n), Ask::ScrapDevice { request: 4_000_000 + u64::from(n), device: n }],
        3 => vec![offer(n), if n % 2 == 0 { accept(n) } else { cancel(n) }],
        _ => vec![Ask::ScrapBlanks { request: 5_000_000 + u64::from(n), units: 1 }],
    });
    let repeated: BTreeSet<u32> = (0..TRIES).filter(|n| n % 5 < 2).collect();
    let outcomes = once(outcomes, &repeated);
    assert_exact(&mut shop, &outcomes, &["QUANTITY_SPENT", "LOT_UNKNOWN", "DEVICE_UNKNOWN"]);
}

/// Of certificates that were asked for twice, one answer: both were the same, or the second try found room that the first did not.
fn once(outcomes: Vec<Outcome>, repeated: &BTreeSet<u32>) -> Vec<Outcome> {
    let mut told = std::collections::BTreeMap::new();
    let (twice, mut others): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(
        |(ask, _)| matches!(ask, Ask::Issue { device, occasion: Occasion::First, .. } if repeated.contains(device)),
    );
    for (ask, outcome) in twice {
        let Ask::Issue { device, .. } = ask else { unreachable!() };
        let Some(answer) = outcome.ok() else { continue };
        if let Some((_, Ok(before))) = told.insert(device, (ask, Ok(answer.clone()))) {
            assert_eq!(before, answer, "another certificate than before");
        }
    }
    others.extend(told.into_values());
    others
}
