//! Keys in words: what kind of key it is, never the key.

use issuance::{SigningKey as _, SoftwareKey};
use pki::{KeyAlgorithm, PublicKey};
use serde_json::json;

use super::{Finding, Kind};

/// A key's kind in words.
pub(super) fn algorithm(key: &PublicKey) -> String {
    match key.algorithm() {
        KeyAlgorithm::P256 => "ECDSA on P-256".to_owned(),
        KeyAlgorithm::P384 => "ECDSA on P-384".to_owned(),
        KeyAlgorithm::P521 => "ECDSA on P-521".to_owned(),
        KeyAlgorithm::Ed25519 => "Ed25519".to_owned(),
        KeyAlgorithm::Rsa { bits } => format!("RSA with {bits} bits"),
    }
}

pub(super) fn public(key: &PublicKey) -> Finding {
    let facts = vec![("key", json!(algorithm(key))), ("key sha256", json!(key.sha256().to_string()))];
    Finding { kind: Kind::PublicKey, what: "a public key".to_owned(), facts: vec![facts] }
}

/// What kind of private key it is; the secret itself is never printed.
pub(super) fn private(der: &[u8]) -> Option<Finding> {
    let key = SoftwareKey::from_pkcs8(der).ok()?;
    let what = "a private key (PKCS#8, not encrypted): keep it at mode 0600".to_owned();
    Some(Finding { kind: Kind::PrivateKey, what, ..public(key.public_key()) })
}

/// A private key in a form that came before PKCS#8, by its PEM label. Not read at all.
pub(super) fn traditional(label: &str) -> Finding {
    let facts = vec![
        ("format", json!(label)),
        ("to convert", json!("openssl pkcs8 -topk8 -nocrypt -in FILE -out key.pem, with umask 077")),
    ];
    let what = "a private key in an older form, which is not read here".to_owned();
    Finding { kind: Kind::PrivateKey, what, facts: vec![facts] }
}

/// An encrypted private key: EncryptedPrivateKeyInfo (RFC 5958 section 3). It is named, and not opened.
pub(super) fn encrypted(der: &[u8]) -> Option<Finding> {
    let (outside, rest) = element(der, 0x30)?;
    let (algorithm, rest) = element(outside, 0x30).filter(|_| rest.is_empty())?;
    let (encrypted, rest) = element(rest, 0x04)?;
    let (oid, _) = element(algorithm, 0x06).filter(|_| rest.is_empty() && !encrypted.is_empty())?;
    let scheme = SCHEMES.iter().find(|(known, _)| oid.starts_with(known)).map(|(_, name)| *name)?;
    let facts = vec![("encryption", json!(scheme)), ("key octets", json!(encrypted.len()))];
    let what = "an encrypted private key (PKCS#8): it opens with its passphrase alone".to_owned();
    Some(Finding { kind: Kind::EncryptedPrivateKey, what, facts: vec![facts] })
}

/// RFC 8018 appendix A.4 for PBES2; everything else below pkcs-5 and pkcs-12's pbeIds is of the time before it.
const SCHEMES: [(&[u8], &str); 3] = [
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d", "PBES2"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x05", "PBES1, which is weak: encrypt it anew"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01", "a PKCS#12 scheme, which is weak: encrypt it anew"),
];

/// The contents of the DER element with this tag at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, rest) = der.split_first().filter(|(first, _)| **first == tag)?;
    let (length, rest) = rest.split_first()?;
    if *length < 0x80 {
        return rest.split_at_checked(usize::from(*length));
    }
    // X.690 section 8.1.3.5, the long form; a key file has no length of more than two octets.
    let (octets, rest) = rest.split_at_checked(usize::from(*length & 0x7f)).filter(|(octets, _)| octets.len() <= 2)?;
    let length = octets.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
    rest.split_at_checked(length)
}
