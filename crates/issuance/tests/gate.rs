//! The CSR gate: every refusal by name, and what passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod requests;

use aws_lc_rs::rsa::KeySize;
use issuance::{AskedFor, KeyKind, KeyPolicy, SigningKey, SoftwareKey, gate, make_csr};
use mfg::terms::DeviceKeyAlgorithm as D;
use mfg::{DeviceId, LotId};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use requests::{ECDSA_SHA384, EMPTY, RSA_SHA256, by_hand, rsa_key, rsa_request, rsa_spki, tlv};

fn policy() -> KeyPolicy {
    KeyPolicy::of(&[D::P256, D::P384, D::Ed25519, D::Rsa2048])
}

fn id() -> DeviceId {
    DeviceId::parse("sn1").unwrap()
}

fn judge(csr: &[u8]) -> Result<(), &'static str> {
    gate(csr, &policy(), AskedFor::Device(&id())).map(|_| ()).map_err(|refusal| refusal.reason())
}

fn judge_lot(csr: &[u8]) -> Result<(), &'static str> {
    let lot = LotId::parse("lot1").unwrap();
    gate(csr, &policy(), AskedFor::Lot(&lot)).map(|_| ()).map_err(|refusal| refusal.reason())
}

/// A request by rcgen: what a tool would send.
fn asking(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn named(common_name: &str) -> Vec<u8> {
    asking(|params| params.distinguished_name.push(DnType::CommonName, common_name))
}

#[test]
fn every_allowed_kind_passes_and_gives_its_key() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
        let key = SoftwareKey::generate(kind).unwrap();
        let csr = make_csr(&key, "sn1").unwrap();
        let passed = gate(&csr, &policy(), AskedFor::Device(&id())).unwrap();
        assert_eq!(passed.public_key(), key.public_key());
    }
}

#[test]
fn an_empty_subject_or_the_asked_name_in_any_case_passes() {
    assert_eq!(judge(&asking(|_| {})), Ok(()));
    assert_eq!(judge(&named("sn1")), Ok(()));
    assert_eq!(judge(&named("SN1")), Ok(()));
}

#[test]
fn csr_malformed() {
    let good = named("sn1");
    assert_eq!(judge(b""), Err("CSR_MALFORMED"));
    assert_eq!(judge(&good[..good.len() - 1]), Err("CSR_MALFORMED"));
    assert_eq!(judge(&[&good[..], &[0]].concat()), Err("CSR_MALFORMED"));
    assert_eq!(judge(&vec![0x30; issuance::csr::MAX_OCTETS + 1]), Err("CSR_MALFORMED"));
}

#[test]
fn csr_possession_invalid() {
    let mut forged = named("sn1");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(judge(&forged), Err("CSR_POSSESSION_INVALID"));
    // Somebody else's key, signed by mine.
    let (mine, theirs) = (SoftwareKey::generate(KeyKind::P256).unwrap(), SoftwareKey::generate(KeyKind::P256).unwrap());
    let stolen =
        by_hand(EMPTY, theirs.public_key().spki(), mine.algorithm().identifier_der(), |info| mine.sign(info).unwrap());
    assert_eq!(judge(&stolen), Err("CSR_POSSESSION_INVALID"));
}

#[test]
fn csr_signature_algorithm() {
    // rcgen issue 448: a P-256 key and ecdsa-with-SHA384. Refused for what it says, before any verification.
    let key = SoftwareKey::generate(KeyKind::P256).unwrap();
    let csr = by_hand(EMPTY, key.public_key().spki(), ECDSA_SHA384, |info| key.sign(info).unwrap());
    assert_eq!(judge(&csr), Err("CSR_SIGNATURE_ALGORITHM"));
}

#[test]
fn csr_key_not_allowed() {
    let key = SoftwareKey::generate(KeyKind::P384).unwrap();
    let csr = make_csr(&key, "sn1").unwrap();
    let only_p256 = KeyPolicy::of(&[D::P256]);
    let refusal = gate(&csr, &only_p256, AskedFor::Device(&id())).unwrap_err();
    assert_eq!(refusal.reason(), "CSR_KEY_NOT_ALLOWED");
    assert_eq!(refusal.to_string(), "the key policy does not allow P-384");
    let rsa = rsa_request(KeySize::Rsa3072);
    assert_eq!(judge(&rsa), Err("CSR_KEY_NOT_ALLOWED"));
}

#[test]
fn an_rsa_key_of_the_allowed_size_passes() {
    assert_eq!(judge(&rsa_request(KeySize::Rsa2048)), Ok(()));
}

#[test]
fn csr_key_weak() {
    let mut modulus = [0xff_u8; 256];
    modulus[255] = 0x61;
    let weak = |key: &pki::PublicKey| policy().check(key).map_err(|refusal| refusal.reason());
    // Exponent 3; a modulus that a small prime divides (all ones is divisible by 3); 1024 bits.
    assert_eq!(weak(&rsa_key(&modulus, &[3])), Err("CSR_KEY_WEAK"));
    assert_eq!(weak(&rsa_key(&[0xff; 256], &[1, 0, 1])), Err("CSR_KEY_WEAK"));
    assert_eq!(weak(&rsa_key(&modulus[128..], &[1, 0, 1])), Err("CSR_KEY_WEAK"));
    // A short key cannot prove anything either, but its shortness is what is told.
    let spki = rsa_spki(&tlv(0x30, &[&tlv(2, &[&[0], &modulus[128..]]), &tlv(2, &[&[1, 0, 1]])]));
    assert_eq!(judge(&by_hand(EMPTY, &spki, RSA_SHA256, |_| vec![1; 128])), Err("CSR_KEY_WEAK"));
}

#[test]
fn csr_asks_for_names() {
    assert_eq!(judge(&named("sn2")), Err("CSR_ASKS_FOR_NAMES"));
    assert_eq!(judge(&named("sn1\0")), Err("CSR_ASKS_FOR_NAMES"));
    assert_eq!(
        judge(&asking(|params| params.distinguished_name.push(DnType::OrganizationName, "sn1"))),
        Err("CSR_ASKS_FOR_NAMES")
    );
    let with_organization = asking(|params| {
        params.distinguished_name.push(DnType::OrganizationName, "Evil");
        params.distinguished_name.push(DnType::CommonName, "sn1");
    });
    assert_eq!(judge(&with_organization), Err("CSR_ASKS_FOR_NAMES"));
    let san = asking(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("sn1".try_into().unwrap())];
    });
    assert_eq!(judge(&san), Err("CSR_ASKS_FOR_NAMES"));
    assert_eq!(judge_lot(&named("lot2")), Err("CSR_ASKS_FOR_NAMES"));
}

#[test]
fn a_repeated_rdn_asks_for_names() {
    let key = SoftwareKey::generate(KeyKind::P256).unwrap();
    let cn = tlv(0x31, &[&tlv(0x30, &[b"\x06\x03\x55\x04\x03", b"\x0c\x03sn1"])]);
    let twice = tlv(0x30, &[&cn, &cn]);
    let csr =
        by_hand(&twice, key.public_key().spki(), key.algorithm().identifier_der(), |info| key.sign(info).unwrap());
    assert_eq!(judge(&csr), Err("CSR_ASKS_FOR_NAMES"));
}

#[test]
fn csr_asks_for_ca() {
    let ca = asking(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(judge(&ca), Err("CSR_ASKS_FOR_CA"));
    assert_eq!(judge_lot(&ca), Ok(()));
    let cert_sign = asking(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(judge(&cert_sign), Err("CSR_ASKS_FOR_CA"));
    assert_eq!(judge_lot(&cert_sign), Ok(()));
}

#[test]
fn csr_asks_for_extensions() {
    let unknown = asking(|params| {
        params.custom_extensions =
            vec![rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1, 1], vec![5, 0])];
    });
    assert_eq!(judge(&unknown), Err("CSR_ASKS_FOR_EXTENSIONS"));
    let server = asking(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(judge(&server), Err("CSR_ASKS_FOR_EXTENSIONS"));
    let encipherment = asking(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_eq!(judge(&encipherment), Err("CSR_ASKS_FOR_EXTENSIONS"));
    let path_length = asking(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(3)));
    assert_eq!(judge_lot(&path_length), Err("CSR_ASKS_FOR_EXTENSIONS"));
    let client = asking(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(judge_lot(&client), Err("CSR_ASKS_FOR_EXTENSIONS"));
}

#[test]
fn what_is_given_anyway_may_be_asked_for() {
    let csr = asking(|params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(judge(&csr), Ok(()));
}

proptest! {
    #[test]
    fn no_octets_panic_the_gate(at in 0..400_usize, flip in 1..=255_u8, cut in 0..400_usize) {
        let mut csr = named("sn1");
        let at = at % csr.len();
        csr[at] ^= flip;
        prop_assert!(judge(&csr).is_err());
        csr.truncate(cut);
        prop_assert!(judge(&csr).is_err());
    }
}
