//! Every kind of key verifies with every algorithm that fits it, and with no other.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self as aws, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair};
use pki::{KeyAlgorithm, PublicKey, SignatureAlgorithm, SignatureError};

use crate::forge::{LEAF, sequence, tlv};

const MESSAGE: &[u8] = b"a message";

/// Verifies under the algorithms that fit, and checks that all others are called unfit or invalid.
fn check(spki: &[u8], expected: KeyAlgorithm, signatures: &[(SignatureAlgorithm, Vec<u8>)]) {
    let key = PublicKey::parse(spki).unwrap();
    assert_eq!(key.algorithm(), expected);
    assert_eq!(key.spki(), spki);
    for (algorithm, signature) in signatures {
        key.verify(*algorithm, MESSAGE, signature).unwrap();
        assert_eq!(key.verify(*algorithm, b"another", signature), Err(SignatureError::Invalid));
        for other in SignatureAlgorithm::ALL.into_iter().filter(|other| other != algorithm) {
            assert!(key.verify(other, MESSAGE, signature).is_err(), "{algorithm} as {other}");
        }
    }
    assert!(signatures.iter().any(|(algorithm, _)| *algorithm == key.default_signature_algorithm()));
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    (spki.as_ref().to_vec(), signature.as_ref().to_vec())
}

#[test]
fn curves() {
    for (with, key, algorithm) in [
        (&aws::ECDSA_P256_SHA256_ASN1_SIGNING, KeyAlgorithm::P256, SignatureAlgorithm::EcdsaSha256),
        (&aws::ECDSA_P384_SHA384_ASN1_SIGNING, KeyAlgorithm::P384, SignatureAlgorithm::EcdsaSha384),
        (&aws::ECDSA_P521_SHA512_ASN1_SIGNING, KeyAlgorithm::P521, SignatureAlgorithm::EcdsaSha512),
    ] {
        let (spki, signature) = ecdsa(with);
        check(&spki, key, &[(algorithm, signature)]);
    }
    // A hash other than the curve's own.
    let (spki, signature) = ecdsa(&aws::ECDSA_P521_SHA256_ASN1_SIGNING);
    PublicKey::parse(&spki).unwrap().verify(SignatureAlgorithm::EcdsaSha256, MESSAGE, &signature).unwrap();
}

#[test]
fn ed25519() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let identifier = sequence(&[&tlv(6, &[b"\x2b\x65\x70"])]);
    let spki = sequence(&[&identifier, &tlv(3, &[&[0], pair.public_key().as_ref()])]);
    let signature = pair.sign(MESSAGE).as_ref().to_vec();
    check(&spki, KeyAlgorithm::Ed25519, &[(SignatureAlgorithm::Ed25519, signature)]);
}

#[test]
fn rsa() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let sign = |padding: &'static dyn aws::RsaEncoding| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        signature
    };
    let signatures = [
        (SignatureAlgorithm::RsaPkcs1Sha256, sign(&aws::RSA_PKCS1_SHA256)),
        (SignatureAlgorithm::RsaPkcs1Sha384, sign(&aws::RSA_PKCS1_SHA384)),
        (SignatureAlgorithm::RsaPkcs1Sha512, sign(&aws::RSA_PKCS1_SHA512)),
        (SignatureAlgorithm::RsaPssSha256, sign(&aws::RSA_PSS_SHA256)),
        (SignatureAlgorithm::RsaPssSha384, sign(&aws::RSA_PSS_SHA384)),
        (SignatureAlgorithm::RsaPssSha512, sign(&aws::RSA_PSS_SHA512)),
    ];
    check(spki.as_ref(), KeyAlgorithm::Rsa { bits: 2048 }, &signatures);
    let key = PublicKey::parse(spki.as_ref()).unwrap();
    let (modulus, exponent) = key.rsa_components().unwrap();
    assert_eq!((modulus.len(), exponent), (256, &[1, 0, 1][..]));
}

#[test]
fn what_is_no_key_is_refused() {
    let reason = |spki: &[u8]| PublicKey::parse(spki).unwrap_err().reason();
    let point = PublicKey::parse(&LEAF.spki).unwrap().key_octets().to_vec();
    let ec = tlv(6, &[b"\x2a\x86\x48\xce\x3d\x02\x01"]);
    let p256 = tlv(6, &[b"\x2a\x86\x48\xce\x3d\x03\x01\x07"]);
    let with = |curve: &[u8], point: &[u8]| sequence(&[&sequence(&[&ec, curve]), &tlv(3, &[&[0], point])]);
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    assert_eq!(reason(&with(&p256, &off_curve)), "MALFORMED_KEY");
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    assert_eq!(reason(&with(&p256, &compressed)), "MALFORMED_KEY");
    assert_eq!(reason(&with(&p256, &[0])), "MALFORMED_KEY");
    assert_eq!(reason(&with(&tlv(6, &[b"\x2b\x81\x04\x00\x0a"]), &point)), "KEY_UNSUPPORTED");
    assert_eq!(reason(&with(&sequence(&[&[2, 1, 1]]), &point)), "KEY_UNSUPPORTED");
    assert_eq!(reason(&with(&[&p256[..], &[5, 0]].concat(), &point)), "MALFORMED_KEY");
    assert_eq!(reason(&[LEAF.spki.clone(), vec![0]].concat()), "MALFORMED_KEY");
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let identifier = sequence(&[&tlv(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"]), &[5, 0]]);
        let key = sequence(&[&tlv(2, &[modulus]), &tlv(2, &[exponent])]);
        sequence(&[&identifier, &tlv(3, &[&[0], &key])])
    };
    assert_eq!(reason(&rsa(&[0x7f; 256], &[1])), "MALFORMED_KEY");
    assert_eq!(reason(&rsa(&[0x7e; 256], &[3])), "MALFORMED_KEY");
    assert_eq!(reason(&rsa(&[0xff, 0x7f], &[3])), "MALFORMED_KEY");
    assert_eq!(reason(&rsa(&[0x7f; 10], &[3])), "KEY_UNSUPPORTED");
    assert_eq!(reason(&rsa(&[0x7f; 1100], &[3])), "KEY_UNSUPPORTED");
}
