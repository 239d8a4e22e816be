//! Whom the brand hands lots to: not to a manufacturer that is suspended, not by a lost key, not in another trust domain.

use std::thread;

use api::manufacturer::v1::{Manufacturer, ServiceIdentity};
use issuance::SoftwareKey;
use store::Store as _;

use super::{
    Brand, KEYS, draft, key,
    manufacturers::{lose, reinstate, rotate, suspend},
    reason, units,
};

const OWN: &str = "maker-1.example";

fn accept(brand: &Brand, identity: &SoftwareKey, trust_domain: &str, request: u8) -> &'static str {
    let (order, _) = brand.acceptance("a1", identity);
    let outcome = brand.orders.authority.accept(&brand.act_of(1, trust_domain, request), &order);
    outcome.map_or_else(|refusal| refusal.reason(), |_| "OK")
}

#[test]
fn nothing_is_offered_to_a_suspended_manufacturer_until_it_is_reinstated() {
    let mut brand = Brand::new();
    brand.open(1, &draft("po-1", 2));
    suspend(&brand, 10, 1).unwrap();
    for _ in 0..2 {
        let head = brand.store.head();
        assert_eq!(reason(brand.offer(11, "po-1", 1, "a1", units(1))), "MANUFACTURER_SUSPENDED");
        assert_eq!(brand.store.head(), head);
        brand.start_again();
    }
    reinstate(&brand, 12, 1).unwrap();
    brand.offer(11, "po-1", 1, "a1", units(1)).unwrap();
}

#[test]
fn a_suspended_manufacturer_accepts_nothing_and_what_it_accepted_before_is_answered() {
    let brand = Brand::new();
    brand.open(1, &draft("po-1", 2));
    brand.offer(10, "po-1", 1, "a0", units(1)).unwrap();
    let (before, _) = brand.acceptance("a0", &KEYS.makers[0]);
    let answered = brand.orders.authority.accept(&brand.act_of(1, OWN, 11), &before).unwrap();
    brand.offer(12, "po-1", 1, "a1", units(1)).unwrap();
    suspend(&brand, 13, 1).unwrap();
    let head = brand.store.head();
    assert_eq!(accept(&brand, &KEYS.makers[0], OWN, 14), "MANUFACTURER_SUSPENDED");
    // Nor when the brand's own operator carries its countersignature in.
    let (carried, _) = brand.acceptance("a1", &KEYS.makers[0]);
    let carried = brand.orders.authority.accept(&brand.act("alice", 15), &carried);
    assert_eq!(reason(carried), "MANUFACTURER_SUSPENDED");
    let again = brand.orders.authority.accept(&brand.act_of(1, OWN, 11), &before).unwrap();
    assert_eq!(again.chain, answered.chain);
    brand.offer(12, "po-1", 1, "a1", units(1)).unwrap();
    assert_eq!(brand.store.head(), head);
    reinstate(&brand, 16, 1).unwrap();
    assert_eq!(accept(&brand, &KEYS.makers[0], OWN, 14), "OK");
}

#[test]
fn an_acceptance_comes_from_the_registered_trust_domain() {
    let brand = Brand::empty();
    brand.register(100, super::program("smart-widget")).unwrap();
    let services = ServiceIdentity { trust_domain: OWN.to_owned(), ..ServiceIdentity::default() };
    brand.register(101, Manufacturer { service_identity: Some(services), ..super::maker(1) }).unwrap();
    brand.open(1, &draft("po-1", 1));
    brand.offer(10, "po-1", 1, "a1", units(1)).unwrap();
    let head = brand.store.head();
    for stranger in ["other.example", "maker-1.example.evil", "maker-1.exampl"] {
        assert_eq!(accept(&brand, &KEYS.makers[0], stranger, 11), "TRUST_DOMAIN_MISMATCH", "{stranger}");
    }
    assert_eq!(brand.store.head(), head);
    assert_eq!(accept(&brand, &KEYS.makers[0], OWN, 11), "OK");
    // Without a wire the countersignature alone tells who accepts.
    brand.offer(12, "po-1", 1, "a2", units(1)).unwrap();
    let (carried, _) = brand.acceptance("a2", &KEYS.makers[0]);
    brand.orders.authority.accept(&brand.act("alice", 13), &carried).unwrap();
}

#[test]
fn an_order_takes_the_keys_that_its_terms_name_and_an_amendment_names_the_new_one() {
    let brand = Brand::new();
    brand.open(1, &draft("po-1", 1));
    let new = key();
    rotate(&brand, 10, 1, &KEYS.makers[0], &new).unwrap();
    brand.offer(11, "po-1", 1, "a1", units(1)).unwrap();
    // Approved before, the order knows the former key alone, which its holder gave up and did not lose.
    assert_eq!(accept(&brand, &new, OWN, 12), "ACCEPTANCE_KEY_UNKNOWN");
    assert_eq!(accept(&brand, &KEYS.makers[0], OWN, 12), "OK");
    let second = brand.amend(20, &draft("po-1", 1)).unwrap();
    brand.approve("alice", 21, &second).unwrap();
    brand.approve("bob", 22, &second).unwrap();
    brand.offer(23, "po-1", 1, "a2", units(1)).unwrap();
    for (identity, outcome) in [(&KEYS.makers[0], "ACCEPTANCE_KEY_UNKNOWN"), (&new, "OK")] {
        let (order, _) = brand.acceptance("a2", identity);
        let answer = brand.orders.authority.accept(&brand.act_of(1, OWN, 24), &order);
        assert_eq!(answer.map_or_else(|refusal| refusal.reason(), |_| "OK"), outcome);
    }
}

#[test]
fn a_lost_key_accepts_nothing_though_the_terms_name_it() {
    let mut brand = Brand::new();
    brand.open(1, &draft("po-1", 1));
    brand.offer(10, "po-1", 1, "a1", units(1)).unwrap();
    lose(&brand, 11, 1, &KEYS.makers[0], &key()).unwrap();
    for _ in 0..2 {
        let head = brand.store.head();
        assert_eq!(accept(&brand, &KEYS.makers[0], OWN, 12), "IDENTITY_KEY_LOST");
        assert_eq!(brand.store.head(), head);
        brand.start_again();
    }
}

#[test]
fn an_offer_and_a_suspension_at_once_are_one_after_the_other() {
    for _ in 0..12 {
        let brand = Brand::new();
        brand.open(1, &draft("po-1", 2));
        let offered = thread::scope(|scope| {
            let offer = scope.spawn(|| {
                loop {
                    match brand.offer(10, "po-1", 1, "a1", units(1)) {
                        Err(refusal) if refusal.retry_delay().is_some() => thread::yield_now(),
                        outcome => return outcome.map(|_| ()),
                    }
                }
            });
            suspend(&brand, 11, 1).unwrap();
            // Once the suspension is answered, whatever was offered is on record before it.
            let head = brand.store.head();
            let offered = offer.join().unwrap();
            assert_eq!(brand.store.head(), head, "offered after the suspension was answered");
            offered
        });
        assert!(offered.is_ok() || reason(offered) == "MANUFACTURER_SUSPENDED");
    }
}
