//! CA certificates and keys, as operators handle them.

use api::hub::v1::{RegisterCaCertificateRequest, Verification};
use pki::{Sha256, pem};

use super::*;
use crate::forge::{extension, key};

fn unverified(forge: &Forge) -> NewCa {
    NewCa { verification: Verification::Unverified, ..new_ca("root", &forge.root(), ChainRules::Countersign) }
}

fn reason<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.unwrap_err().reason()
}

#[tokio::test]
async fn a_ca_is_registered_proven_and_then_vouches() {
    let forge = Forge::new();
    let world = World::new();
    world.create("sn0000001");
    let registered = world.books.register_ca(&change(), &unverified(&forge)).unwrap();
    assert_eq!(registered.verification(), Verification::Unverified);
    assert_eq!((registered.thumbprint_sha1.len(), registered.thumbprint_sha256.len()), (20, 32));
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "CA_UNVERIFIED");

    let no_code = world.books.verify_ca(&change(), "root", &registered.etag, &forge.proof("x", &forge.root_key));
    assert_eq!(reason(no_code), "VERIFICATION_CODE_MISSING");
    let coded = world.books.verification_code(&change(), "root", &registered.etag).unwrap();
    let code = coded.verification_code.clone().unwrap();
    assert_eq!((code.len(), code.chars().all(|c| c.is_ascii_hexdigit())), (48, true));
    assert_ne!(coded.etag, registered.etag);

    let stale = world.books.verify_ca(&change(), "root", &registered.etag, &forge.proof(&code, &forge.root_key));
    assert_eq!(reason(stale), "ETAG_STALE");
    let proof = forge.proof(&code, &forge.root_key);
    let verified = world.books.verify_ca(&change(), "root", &coded.etag, &proof).unwrap();
    assert_eq!((verified.verification(), verified.verification_code), (Verification::Verified, None));
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert_eq!(reason(world.books.verification_code(&change(), "root", &verified.etag)), "CA_ALREADY_VERIFIED");

    let world = world.restarted();
    world.connect(forge.presented(), "sn0000001").await.unwrap();
}

#[test]
fn possession_is_proven_by_the_cas_own_key_over_the_open_code_within_validity() {
    let forge = Forge::new();
    let world = World::new();
    let registered = world.books.register_ca(&change(), &unverified(&forge)).unwrap();
    let first = world.books.verification_code(&change(), "root", &registered.etag).unwrap();
    let second = world.books.verification_code(&change(), "root", &first.etag).unwrap();
    let (old, code) = (first.verification_code.unwrap(), second.verification_code.unwrap());
    let verify = |proof: &[u8]| world.books.verify_ca(&change(), "root", &second.etag, proof);
    assert_eq!(reason(verify(&forge.proof(&old, &forge.root_key))), "POSSESSION_NOT_PROVEN");
    assert_eq!(reason(verify(&forge.proof(&code, &key()))), "POSSESSION_NOT_PROVEN");
    assert_eq!(reason(verify(forge.root().der())), "POSSESSION_NOT_PROVEN");
    assert_eq!(reason(verify(b"junk")), "MALFORMED_CERTIFICATE");
    let proof = forge.proof(&code.to_uppercase(), &forge.root_key);
    world.clock.advance(5 * 365 * 86_400);
    assert_eq!(reason(verify(&proof)), "POSSESSION_NOT_PROVEN");
    world.clock.set(NOW);
    let pem = pem::encode("CERTIFICATE", &proof);
    assert_eq!(verify(pem.as_bytes()).unwrap().verification(), Verification::Verified);
}

#[test]
fn what_cannot_be_an_anchor_is_refused_by_name() {
    let forge = Forge::new();
    let world = World::new();
    let register = |certificate: Vec<u8>| {
        let new = NewCa { certificate: Bytes::from(certificate), ..unverified(&forge) };
        reason(world.books.register_ca(&change(), &new))
    };
    let leaf = forge.presented().first().unwrap().to_vec();
    assert_eq!(register(leaf), "CA_CERTIFICATE_UNFIT");
    let key = pem::encode("PRIVATE KEY", forge.root_key.serialized_der());
    let both = format!("{}{key}", pem::encode("CERTIFICATE", forge.root().der()));
    assert_eq!(register(both.into_bytes()), "PRIVATE_KEY_IN_UPLOAD");
    assert_eq!(register(forge.root_key.serialized_der().to_vec()), "PRIVATE_KEY_IN_UPLOAD");
    assert_eq!(register(key.into_bytes()), "PRIVATE_KEY_IN_UPLOAD");
    assert_eq!(register(b"junk".to_vec()), "MALFORMED_CERTIFICATE");
    assert_eq!(register(Vec::new()), "REQUEST_MALFORMED");
    let one = pem::encode("CERTIFICATE", forge.root().der());
    assert_eq!(register(one.repeat(2).into_bytes()), "MALFORMED_PEM");
    for name in ["", "a b", "ä", &"a".repeat(65)] {
        let new = NewCa { name: name.to_owned(), ..unverified(&forge) };
        assert_eq!(reason(world.books.register_ca(&change(), &new)), "REQUEST_MALFORMED");
    }
}

#[test]
fn a_repetition_answers_the_same_and_another_content_is_refused() {
    let (forge, other) = (Forge::new(), Forge::new());
    let world = World::new();
    let id = fresh_id();
    let asked = |name: &str| {
        let request = RegisterCaCertificateRequest { name: name.to_owned(), ..Default::default() };
        Change::of(caller("company-x"), &id, &request).unwrap()
    };
    let first = world.books.register_ca(&asked("root"), &unverified(&forge)).unwrap();
    assert_eq!(world.books.register_ca(&asked("root"), &unverified(&forge)).unwrap(), first);
    assert_eq!(reason(world.books.register_ca(&asked("other"), &unverified(&other))), "REQUEST_ID_REUSED");
    assert_eq!(reason(world.books.register_ca(&change(), &unverified(&forge))), "CA_EXISTS");
    let renamed = NewCa { name: "again".to_owned(), ..unverified(&forge) };
    assert_eq!(reason(world.books.register_ca(&change(), &renamed)), "CA_EXISTS");
}

#[tokio::test]
async fn a_deleted_ca_ends_sessions_and_can_be_registered_again() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    let admitted = world.connect(forge.presented(), "sn0000001").await.unwrap();
    world.registry.still_admitted(&admitted).await.unwrap();
    let mut revocations = world.registry.revocations();
    revocations.borrow_and_update();
    let etag = world.books.ca("root").unwrap().etag;
    assert_eq!(reason(world.books.delete_ca(&change(), "root", "other")), "ETAG_STALE");
    world.books.delete_ca(&change(), "root", &etag).unwrap();
    assert!(revocations.has_changed().unwrap());
    assert_eq!(world.registry.still_admitted(&admitted).await.unwrap_err().reason(), "UNKNOWN_ISSUER");
    assert_eq!(reason(world.books.ca("root")), "CA_UNKNOWN");
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "UNKNOWN_ISSUER");
    world.trust("root", &forge.root(), ChainRules::Countersign);
    world.connect(forge.presented(), "sn0000001").await.unwrap();
}

#[tokio::test]
async fn a_disabled_key_refuses_and_ends_sessions_until_it_is_enabled() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    let admitted = world.connect(forge.presented(), "sn0000001").await.unwrap();
    let mut revocations = world.registry.revocations();
    revocations.borrow_and_update();
    let lot_key: Sha256 = forge.cas[1].key_sha256();
    world.books.disable_ca_key(&change(), &lot_key, "stolen from the line").unwrap();
    assert!(revocations.has_changed().unwrap());
    assert_eq!(world.registry.still_admitted(&admitted).await.unwrap_err().reason(), "CA_DISABLED");
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "CA_DISABLED");
    assert!(world.last_refusal("sn0000001").await.message.contains("stolen from the line"));
    let world = world.restarted();
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "CA_DISABLED");
    assert_eq!(world.books.disabled_keys().unwrap().len(), 1);
    world.books.enable_ca_key(&change(), &lot_key).unwrap();
    assert_eq!(reason(world.books.enable_ca_key(&change(), &lot_key)), "CA_KEY_NOT_DISABLED");
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert!(world.books.disabled_keys().unwrap().is_empty());
    world.books.disable_ca_key(&change(), &lot_key, "again").unwrap();
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "CA_DISABLED");
}

#[tokio::test]
async fn production_believes_no_development_anchor_not_even_one_that_was_registered_before() {
    let mut forge = Forge::new();
    let marker = mfg::oid::DEVELOPMENT_MARKER.to_string();
    forge.root_extensions = vec![extension(&marker, mfg::oid::DEVELOPMENT_MARKER_VALUE.to_vec())];
    let register = |world: &World| world.books.register_ca(&change(), &unverified(&forge));
    assert_eq!(reason(register(&World::with(Stage::Production, None))), "DEVELOPMENT_ANCHOR");
    let world = World::trusting(&forge);
    world.create("sn0000001");
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    let world = world.restarted_as(Stage::Production);
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "UNKNOWN_ISSUER");
}

#[test]
fn a_thousand_keys_are_disabled_and_not_one_more() {
    let world = World::new();
    let disable = |n: u32| world.books.disable_ca_key(&change(), &Sha256::of(&n.to_be_bytes()), "").map(drop);
    (0..1000).for_each(|n| disable(n).unwrap());
    assert_eq!(reason(disable(1000)), "DISABLED_KEY_LIMIT_REACHED");
    disable(999).unwrap();
    world.books.enable_ca_key(&change(), &Sha256::of(&7_u32.to_be_bytes())).unwrap();
    disable(1000).unwrap();
    assert_eq!(world.books.disabled_keys().unwrap().len(), 1000);
}

#[test]
fn policy_and_bounds_hold() {
    let forge = Forge::new();
    let world = World::new();
    for n in 0..100 {
        world.trust(&format!("ca-{n}"), &Forge::new().root(), ChainRules::Plain);
    }
    assert_eq!(reason(world.books.register_ca(&change(), &unverified(&forge))), "CA_LIMIT_REACHED");
    assert_eq!(world.books.all_cas().unwrap().len(), 100);
    let why = "x".repeat(129);
    assert_eq!(reason(world.books.disable_ca_key(&change(), &Sha256::of(b"k"), &why)), "REQUEST_MALFORMED");
}
