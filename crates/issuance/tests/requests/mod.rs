//! Requests and keys put together octet by octet: what no tool would make, or what only a stranger makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code, unreachable_pub)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};

pub const EMPTY: &[u8] = &[0x30, 0];
pub const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
pub const RSA_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const ECDSA_SHA512: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
/// id-ecPublicKey on P-521.
const P521: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";

pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = value.len();
    let head = match length {
        0..128 => vec![tag, length as u8],
        128..256 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, value].concat()
}

/// A request from its parts, signed by whoever is given.
pub fn by_hand(subject: &[u8], spki: &[u8], algorithm: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let info = tlv(0x30, &[&[2, 1, 0], subject, spki, &[0xa0, 0]]);
    let signature = sign(&info);
    tlv(0x30, &[&info, algorithm, &tlv(3, &[&[0], &signature])])
}

pub fn rsa_request(size: KeySize) -> Vec<u8> {
    let pair = RsaPair::generate(size).unwrap();
    let spki = rsa_spki(pair.public_key().as_ref());
    by_hand(EMPTY, &spki, RSA_SHA256, |info| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), info, &mut signature).unwrap();
        signature
    })
}

pub fn rsa_spki(key: &[u8]) -> Vec<u8> {
    tlv(0x30, &[b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", &tlv(3, &[&[0], key])])
}

pub fn rsa_key(modulus: &[u8], exponent: &[u8]) -> pki::PublicKey {
    let key = tlv(0x30, &[&tlv(2, &[&[0], modulus]), &tlv(2, &[exponent])]);
    pki::PublicKey::parse(&rsa_spki(&key)).unwrap()
}

/// A request by a fresh P-521 key.
pub fn p521_request() -> Vec<u8> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
    let spki = tlv(0x30, &[P521, &tlv(3, &[&[0], pair.public_key().as_ref()])]);
    by_hand(EMPTY, &spki, ECDSA_SHA512, |info| pair.sign(&SystemRandom::new(), info).unwrap().as_ref().to_vec())
}
