//! What changes about a manufacturer: its identity key, who its services say they are, whether it is suspended.

use api::{
    Refusal,
    manufacturer::v1::{
        Manufacturer, ManufacturerState, ReinstateManufacturerRequest, RotateIdentityKeyRequest, ServiceIdentity,
        SetServiceIdentityRequest, SuspendManufacturerRequest, rotate_identity_key_request::Word,
    },
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey};
use mfg::{Bundle, ManufacturerId, Statement, Terms, bundle::Retirement};
use pki::pem;
use store::{Step, Store as _};

use super::{Brand, KEYS, copy, draft, key, maker, reason};
use crate::{
    registry::{Registered as _, find},
    rpc,
};

type Answer = Result<Manufacturer, Refusal>;

fn id(number: u8) -> String {
    format!("maker-{number}")
}

fn now(brand: &Brand, number: u8) -> Manufacturer {
    find::<Manufacturer>(brand.store.as_ref(), &id(number)).unwrap()
}

/// A rotation with both signatures.
pub(super) fn rotation(number: u8, former: &SoftwareKey, new: &SoftwareKey) -> RotateIdentityKeyRequest {
    let manufacturer = ManufacturerId::parse(&id(number)).unwrap();
    let (former_digest, new_digest) = (former.public_key().sha256(), new.public_key().sha256());
    let statement = Statement::key_rotation(&manufacturer, &former_digest, &new_digest);
    let sign = |key: &SoftwareKey| Bytes::from(key.sign(statement.to_be_signed()).unwrap());
    RotateIdentityKeyRequest {
        manufacturer: id(number),
        new_key: Bytes::copy_from_slice(new.public_key().spki()),
        proof: sign(new),
        word: Some(Word::Endorsement(sign(former))),
        ..RotateIdentityKeyRequest::default()
    }
}

pub(super) fn rotate(brand: &Brand, request: u8, number: u8, former: &SoftwareKey, new: &SoftwareKey) -> Answer {
    brand.orders.rotate(&brand.act("alice", request), &rotation(number, former, new))
}

/// Replaces a key that is lost.
pub(super) fn lose(brand: &Brand, request: u8, number: u8, former: &SoftwareKey, new: &SoftwareKey) -> Answer {
    let word = Some(Word::LostBecause("the laptop is gone".to_owned()));
    let asked = RotateIdentityKeyRequest { word, ..rotation(number, former, new) };
    brand.orders.rotate(&brand.act("alice", request), &asked)
}

pub(super) fn suspend(brand: &Brand, request: u8, number: u8) -> Answer {
    let asked = SuspendManufacturerRequest {
        manufacturer: id(number),
        why: "an audit found a second set of books".to_owned(),
        ..SuspendManufacturerRequest::default()
    };
    brand.orders.suspend(&brand.act("alice", request), &asked)
}

pub(super) fn reinstate(brand: &Brand, request: u8, number: u8) -> Answer {
    let asked = ReinstateManufacturerRequest { manufacturer: id(number), ..ReinstateManufacturerRequest::default() };
    brand.orders.reinstate(&brand.act("alice", request), &asked)
}

fn published(brand: &Brand) -> Bundle {
    Bundle::parse(rpc::bundle(&brand.orders).unwrap().to_json().unwrap().as_bytes()).unwrap()
}

#[test]
fn a_registration_with_the_first_fields_alone_is_active_with_that_key() {
    let brand = Brand::new();
    let kept = now(&brand, 1);
    assert_eq!(kept.as_asked(), maker(1));
    assert_eq!((kept.state(), kept.suspended_because.as_str()), (ManufacturerState::Active, ""));
    let [only] = kept.identity_keys.as_slice() else { panic!("{kept:?}") };
    assert_eq!((&only.public_key, &only.retired_at, only.lost), (&kept.identity_key, &None, false));
    assert_eq!(only.registered_at.as_ref().unwrap().seconds, super::time("2026-06-01T00:00:00Z").as_secs());
    // What the service sets is not a request's to say.
    let boast = Manufacturer { state: ManufacturerState::Suspended.into(), ..maker(1) };
    assert_eq!(brand.register(101, boast).unwrap(), kept);
}

#[test]
fn a_new_identity_key_stands_first_and_the_former_one_stays_provable() {
    let mut brand = Brand::new();
    let (former, new) = (&KEYS.makers[0], key());
    brand.clock.advance(60);
    let kept = rotate(&brand, 10, 1, former, &new).unwrap();
    assert_eq!(kept.identity_key, new.public_key().spki());
    let [first, second] = kept.identity_keys.as_slice() else { panic!("{kept:?}") };
    assert_eq!((&first.public_key, &first.retired_at), (&kept.identity_key, &None));
    assert_eq!((second.public_key.as_ref(), second.lost), (former.public_key().spki(), false));
    assert_eq!(second.retired_at, first.registered_at);
    // New orders name the new key alone.
    let order = brand.create(11, &draft("po-1", 1)).unwrap();
    let terms = Terms::parse(&order.terms).unwrap();
    assert_eq!(terms.document().parties[0].identity_keys, [new.public_key().spki().to_vec()]);
    // Verifiers know both, and which one is retired.
    brand.start_again();
    let bundle = published(&brand);
    let who = ManufacturerId::parse("maker-1").unwrap();
    let keys: Vec<_> = bundle.identity_keys_of(&who).map(pki::PublicKey::sha256).collect();
    assert_eq!(keys, [new.public_key().sha256(), former.public_key().sha256()]);
    assert_eq!(bundle.retirement(&who, &former.public_key().sha256()).unwrap().why, Retirement::Rotated);
    assert_eq!(bundle.retirement(&who, &new.public_key().sha256()), None);
    assert_eq!(now(&brand, 1), kept);
}

#[test]
fn a_key_is_replaced_by_both_keys_or_by_the_new_one_and_a_statement_that_the_other_is_lost() {
    let brand = Brand::new();
    let (former, new, stranger) = (&KEYS.makers[0], key(), key());
    let good = rotation(1, former, &new);
    let of = |other: RotateIdentityKeyRequest| (other.proof, other.word);
    let (by_stranger, swapped) = (of(rotation(1, &stranger, &new)), of(rotation(1, &new, former)));
    let for_another = of(rotation(2, former, &new));
    let head = brand.store.head();
    let cases = [
        ("no word", RotateIdentityKeyRequest { word: None, ..good.clone() }, "REQUEST_MALFORMED"),
        ("no proof", RotateIdentityKeyRequest { proof: Bytes::new(), ..good.clone() }, "KEY_ROTATION_INVALID"),
        (
            "endorsed by a stranger",
            RotateIdentityKeyRequest { word: by_stranger.1, ..good.clone() },
            "KEY_ROTATION_INVALID",
        ),
        ("over other keys", RotateIdentityKeyRequest { proof: swapped.0, ..good.clone() }, "KEY_ROTATION_INVALID"),
        (
            "for another",
            RotateIdentityKeyRequest { proof: for_another.0, word: for_another.1, ..good.clone() },
            "KEY_ROTATION_INVALID",
        ),
        (
            "the proof twice",
            RotateIdentityKeyRequest { word: Some(Word::Endorsement(good.proof.clone())), ..good.clone() },
            "KEY_ROTATION_INVALID",
        ),
        (
            "lost, no reason",
            RotateIdentityKeyRequest { word: Some(Word::LostBecause(" ".to_owned())), ..good.clone() },
            "REQUEST_MALFORMED",
        ),
        (
            "lost, long",
            RotateIdentityKeyRequest { word: Some(Word::LostBecause("x".repeat(201))), ..good.clone() },
            "REQUEST_MALFORMED",
        ),
        (
            "lost, no proof",
            RotateIdentityKeyRequest {
                proof: Bytes::new(),
                word: Some(Word::LostBecause("gone".to_owned())),
                ..good.clone()
            },
            "KEY_ROTATION_INVALID",
        ),
        ("no key", RotateIdentityKeyRequest { new_key: Bytes::new(), ..good.clone() }, "MANUFACTURER_INVALID"),
        ("its own key", rotation(1, former, former), "IDENTITY_KEY_USED_BEFORE"),
        ("another's key", rotation(1, former, &KEYS.makers[1]), "IDENTITY_KEY_SHARED"),
        ("the brand's key", rotation(1, former, &KEYS.brand), "IDENTITY_KEY_SHARED"),
        (
            "nobody",
            RotateIdentityKeyRequest { manufacturer: "nobody".to_owned(), ..good.clone() },
            "MANUFACTURER_UNKNOWN",
        ),
        (
            "the brand",
            RotateIdentityKeyRequest { manufacturer: "company-x".to_owned(), ..good.clone() },
            "MANUFACTURER_UNKNOWN",
        ),
    ];
    for (what, request, expected) in cases {
        assert_eq!(reason(brand.orders.rotate(&brand.act("alice", 10), &request)), expected, "{what}");
    }
    assert_eq!(brand.store.head(), head);
    brand.orders.rotate(&brand.act("alice", 10), &good).unwrap();
    // Replayed, or by the retired key, or back to it.
    assert_eq!(reason(brand.orders.rotate(&brand.act("alice", 11), &good)), "IDENTITY_KEY_USED_BEFORE");
    assert_eq!(reason(rotate(&brand, 11, 1, former, &stranger)), "KEY_ROTATION_INVALID");
    assert_eq!(reason(rotate(&brand, 11, 1, &new, former)), "IDENTITY_KEY_USED_BEFORE");
    // Nobody else gets it either.
    assert_eq!(reason(rotate(&brand, 11, 2, &KEYS.makers[1], former)), "IDENTITY_KEY_SHARED");
    rotate(&brand, 11, 1, &new, &stranger).unwrap();
}

#[test]
fn a_key_of_another_kind_may_follow() {
    let brand = Brand::new();
    let mut former = copy(&KEYS.makers[0]);
    for (request, kind) in [(10, KeyKind::Ed25519), (11, KeyKind::P384), (12, KeyKind::P256)] {
        let new = SoftwareKey::generate(kind).unwrap();
        rotate(&brand, request, 1, &former, &new).unwrap();
        former = new;
    }
    assert_eq!(now(&brand, 1).identity_keys.len(), 4);
}

#[test]
fn a_lost_key_is_told_apart_in_the_bundle() {
    let brand = Brand::new();
    lose(&brand, 10, 1, &KEYS.makers[0], &key()).unwrap();
    rotate(&brand, 11, 2, &KEYS.makers[1], &key()).unwrap();
    let bundle = published(&brand);
    for (number, why) in [(1, Retirement::Lost), (2, Retirement::Rotated)] {
        let who = ManufacturerId::parse(&id(number)).unwrap();
        let former = KEYS.makers[usize::from(number) - 1].public_key().sha256();
        assert_eq!(bundle.retirement(&who, &former).unwrap().why, why);
    }
}

#[test]
fn a_suspension_says_why_and_ends_once() {
    let mut brand = Brand::new();
    let suspended = suspend(&brand, 10, 1).unwrap();
    assert_eq!(suspended.state(), ManufacturerState::Suspended);
    assert_eq!(suspended.suspended_because, "an audit found a second set of books");
    brand.start_again();
    let bundle = published(&brand);
    let said = |number| bundle.is_suspended(&ManufacturerId::parse(&id(number)).unwrap());
    assert!(said(1) && !said(2));
    let head = brand.store.head();
    assert_eq!(suspend(&brand, 10, 1).unwrap(), suspended);
    assert_eq!(reason(suspend(&brand, 11, 1)), "MANUFACTURER_SUSPENDED");
    assert_eq!(reason(reinstate(&brand, 11, 2)), "MANUFACTURER_NOT_SUSPENDED");
    assert_eq!(reason(reinstate(&brand, 11, 9)), "MANUFACTURER_UNKNOWN");
    for why in [String::new(), " ".to_owned(), "x".repeat(201), "a\nb".to_owned()] {
        let asked = SuspendManufacturerRequest { manufacturer: id(2), why, ..SuspendManufacturerRequest::default() };
        assert_eq!(reason(brand.orders.suspend(&brand.act("alice", 11), &asked)), "REQUEST_MALFORMED");
    }
    assert_eq!(brand.store.head(), head);
    let active = reinstate(&brand, 11, 1).unwrap();
    assert_eq!((active.state(), active.suspended_because.as_str()), (ManufacturerState::Active, ""));
    assert_eq!(reason(reinstate(&brand, 12, 1)), "MANUFACTURER_NOT_SUSPENDED");
    // The suspension that was answered is answered with what holds now.
    assert_eq!(suspend(&brand, 10, 1).unwrap(), active);
}

#[test]
fn one_change_keeps_what_another_made() {
    let brand = Brand::new();
    suspend(&brand, 10, 1).unwrap();
    rotate(&brand, 11, 1, &KEYS.makers[0], &key()).unwrap();
    let kept = now(&brand, 1);
    assert_eq!((kept.state(), kept.identity_keys.len()), (ManufacturerState::Suspended, 2));
    let reinstated = reinstate(&brand, 12, 1).unwrap();
    assert_eq!((reinstated.identity_keys.len(), reinstated.display_name), (2, kept.display_name));
}

#[test]
fn services_are_registered_with_a_trust_domain_its_cas_and_roles() {
    let brand = Brand::new();
    let ca = pem::encode(pem::CERTIFICATE, KEYS.anchor.der());
    let good = ServiceIdentity {
        trust_domain: "maker.example".to_owned(),
        bundle: ca.clone(),
        roles: vec!["intermediate-ca".to_owned(), "operator".to_owned()],
    };
    let with = |services: ServiceIdentity| SetServiceIdentityRequest {
        manufacturer: id(1),
        service_identity: Some(services),
        ..SetServiceIdentityRequest::default()
    };
    let leaf = pem::encode(pem::PUBLIC_KEY, KEYS.brand.public_key().spki());
    let bad = |change: fn(&mut ServiceIdentity)| {
        let mut services = good.clone();
        change(&mut services);
        services
    };
    let cases = [
        bad(|s| s.trust_domain = String::new()),
        bad(|s| s.trust_domain = "Maker.example".to_owned()),
        bad(|s| s.trust_domain = "maker/example".to_owned()),
        bad(|s| s.bundle = "no pem".to_owned()),
        bad(|s| s.bundle = s.bundle.repeat(17)),
        bad(|s| s.bundle = "x".repeat(70_000)),
        bad(|s| s.roles.push("boss".to_owned())),
        bad(|s| s.roles.push("root-ca".to_owned())),
        bad(|s| s.roles.push("operator".to_owned())),
        ServiceIdentity { bundle: leaf, ..good.clone() },
    ];
    let head = brand.store.head();
    for (number, services) in cases.into_iter().enumerate() {
        let registered = brand.register(10, Manufacturer { service_identity: Some(services.clone()), ..maker(1) });
        assert_eq!(reason(registered), "MANUFACTURER_INVALID", "case {number}");
        let set = brand.orders.set_services(&brand.act("alice", 10), &with(services));
        assert_eq!(reason(set), "MANUFACTURER_INVALID", "case {number}");
    }
    assert_eq!(brand.store.head(), head);
    let set = brand.orders.set_services(&brand.act("alice", 10), &with(good.clone())).unwrap();
    assert_eq!(set.service_identity.as_ref(), Some(&good));
    let bundle = published(&brand);
    let said = bundle.manufacturers.iter().find(|m| m.id.as_str() == "maker-1").unwrap().services.as_ref().unwrap();
    assert_eq!((said.trust_domain.as_str(), &said.cas), ("maker.example", &vec![KEYS.anchor.clone()]));
    assert_eq!(said.roles, good.roles);
    // The domain alone is enough, and all of it can be taken back.
    let bare = ServiceIdentity { trust_domain: "maker.example".to_owned(), ..ServiceIdentity::default() };
    brand.orders.set_services(&brand.act("alice", 11), &with(bare)).unwrap();
    let none = SetServiceIdentityRequest { service_identity: None, ..with(good) };
    assert_eq!(brand.orders.set_services(&brand.act("alice", 12), &none).unwrap().service_identity, None);
}

#[test]
fn a_request_id_stands_for_one_change() {
    let brand = Brand::new();
    let new = key();
    let good = rotation(1, &KEYS.makers[0], &new);
    let kept = brand.orders.rotate(&brand.act("alice", 10), &good).unwrap();
    let head = brand.store.head();
    assert_eq!(brand.orders.rotate(&brand.act("alice", 10), &good).unwrap(), kept);
    assert_eq!(reason(rotate(&brand, 10, 1, &new, &key())), "REQUEST_ID_REUSED");
    assert_eq!(reason(rotate(&brand, 10, 2, &KEYS.makers[1], &key())), "REQUEST_ID_REUSED");
    assert_eq!(reason(suspend(&brand, 10, 1)), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.register(10, maker(1))), "REQUEST_ID_REUSED");
    // A registration's id is no change's.
    assert_eq!(reason(suspend(&brand, 101, 1)), "REQUEST_ID_REUSED");
    assert_eq!(brand.store.head(), head);
    // The registration is answered as the manufacturer stands now; as another intention it is another content.
    assert_eq!(brand.register(101, maker(1)).unwrap(), kept);
    assert_eq!(reason(brand.register(20, maker(1))), "MANUFACTURER_EXISTS");
    // Suspending and reinstating are different requests though their content may be the same.
    suspend(&brand, 30, 2).unwrap();
    assert_eq!(reason(reinstate(&brand, 30, 2)), "REQUEST_ID_REUSED");
}

#[test]
fn a_change_that_was_not_durable_can_be_repeated() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::Sync, Step::AfterSync] {
        let mut brand = Brand::new();
        brand.faults.fail_next(step);
        assert_eq!(reason(suspend(&brand, 10, 1)), "STORE_STOPPED", "{step:?}");
        brand.start_again();
        let survived = now(&brand, 1).state() == ManufacturerState::Suspended;
        assert_eq!(survived, step == Step::AfterSync, "{step:?}");
        assert_eq!(suspend(&brand, 10, 1).unwrap().state(), ManufacturerState::Suspended);
    }
}
