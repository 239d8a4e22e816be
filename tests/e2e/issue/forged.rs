//! Certification requests that no honest device makes, written by hand (RFC 2986 section 4).

use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey};

const EMPTY: &[u8] = b"\x30\x00";
const NO_ATTRIBUTES: &[u8] = b"\xa0\x00";
const COMMON_NAME: &[u8] = b"\x55\x04\x03";
const ORGANIZATION: &[u8] = b"\x55\x04\x0a";
const EXTENSION_REQUEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const RSA_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// id-ecPublicKey on secp224r1.
const P224: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x21";

const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
/// 1.3.6.1.4.1.32473.1, under the arc of documentation.
const PRIVATE: &[u8] = b"\x2b\x06\x01\x04\x01\x81\xfd\x59\x01";

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let head = match (value.len(), length) {
        (0..128, [_, short]) => vec![tag, short],
        (128..256, [_, short]) => vec![tag, 0x81, short],
        (_, [high, low]) => vec![tag, 0x82, high, low],
    };
    [head, value].concat()
}

fn name(attributes: &[(&[u8], &str)]) -> Vec<u8> {
    let rdn =
        |(kind, text): &(&[u8], &str)| tlv(0x31, &[&tlv(0x30, &[&tlv(6, &[kind]), &tlv(0x0c, &[text.as_bytes()])])]);
    tlv(0x30, &[&attributes.iter().flat_map(rdn).collect::<Vec<_>>()])
}

fn request(
    subject: &[u8],
    spki: &[u8],
    attributes: &[u8],
    algorithm: &[u8],
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Bytes {
    let info = tlv(0x30, &[b"\x02\x01\x00", subject, spki, attributes]);
    let signature = sign(&info);
    Bytes::from(tlv(0x30, &[&info, algorithm, &tlv(3, &[&[0], &signature])]))
}

fn p256() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

/// Asks for this subject.
fn named(subject: &[u8]) -> Bytes {
    let key = p256();
    request(subject, key.public_key().spki(), NO_ATTRIBUTES, ECDSA_SHA256, |info| key.sign(info).unwrap())
}

/// Asks for one extension beside its name.
fn extended(id: &str, extension: &[u8], value: &[u8]) -> Bytes {
    let key = p256();
    let extension = tlv(0x30, &[&tlv(6, &[extension]), &tlv(4, &[value])]);
    let attribute = tlv(0x30, &[EXTENSION_REQUEST, &tlv(0x31, &[&tlv(0x30, &[&extension])])]);
    let subject = name(&[(COMMON_NAME, id)]);
    request(&subject, key.public_key().spki(), &tlv(0xa0, &[&attribute]), ECDSA_SHA256, |info| key.sign(info).unwrap())
}

/// What is no request at all.
pub(crate) fn malformed(id: &str) -> Vec<Bytes> {
    let good = named(&name(&[(COMMON_NAME, id)]));
    let and_more = Bytes::from([&good[..], &[0]].concat());
    let too_long = Bytes::from(vec![0x30; issuance::csr::MAX_OCTETS + 1]);
    vec![Bytes::new(), good.slice(..good.len() - 1), and_more, too_long, Bytes::from_static(b"-----BEGIN")]
}

/// Signed by nobody, and by somebody else.
pub(crate) fn without_possession() -> Vec<Bytes> {
    let (mine, theirs) = (p256(), p256());
    let flipped = request(EMPTY, mine.public_key().spki(), NO_ATTRIBUTES, ECDSA_SHA256, |info| {
        let mut other = info.to_vec();
        other[3] ^= 1;
        mine.sign(&other).unwrap()
    });
    let stolen =
        request(EMPTY, theirs.public_key().spki(), NO_ATTRIBUTES, ECDSA_SHA256, |info| mine.sign(info).unwrap());
    vec![flipped, stolen]
}

/// P-256 that says it signed with SHA-384.
pub(crate) fn unfit_algorithm() -> Vec<Bytes> {
    let key = p256();
    vec![request(EMPTY, key.public_key().spki(), NO_ATTRIBUTES, ECDSA_SHA384, |info| key.sign(info).unwrap())]
}

/// RSA with 1024 bits.
pub(crate) fn weak() -> Vec<Bytes> {
    let mut modulus = [0xff_u8; 128];
    modulus[127] = 0x61;
    let key = tlv(0x30, &[&tlv(2, &[&[0], &modulus]), &tlv(2, &[&[1, 0, 1]])]);
    let spki = tlv(0x30, &[RSA, &tlv(3, &[&[0], &key])]);
    vec![request(EMPTY, &spki, NO_ATTRIBUTES, RSA_SHA256, |_| vec![1; 128])]
}

/// A key on a curve that no terms name.
pub(crate) fn on_another_curve() -> Vec<Bytes> {
    let spki = tlv(0x30, &[P224, &tlv(3, &[&[0, 4], &[7; 56]])]);
    vec![request(EMPTY, &spki, NO_ATTRIBUTES, ECDSA_SHA256, |_| p256().sign(b"anything").unwrap())]
}

/// Wants to be a CA: by its constraints, and by its key usage.
pub(crate) fn wants_to_be_ca(id: &str) -> Vec<Bytes> {
    vec![
        extended(id, BASIC_CONSTRAINTS, b"\x30\x03\x01\x01\xff"),
        extended(id, KEY_USAGE, b"\x03\x02\x02\x04"),
        extended(id, KEY_USAGE, b"\x03\x02\x01\x02"),
    ]
}

/// Wants other names: another CN, an organisation, two CNs, an alternative name.
pub(crate) fn wants_names(id: &str) -> Vec<Bytes> {
    let dns_name = tlv(0x30, &[&tlv(0x82, &[b"evil.example"])]);
    vec![
        named(&name(&[(COMMON_NAME, "another")])),
        named(&name(&[(ORGANIZATION, "Company-X"), (COMMON_NAME, id)])),
        named(&name(&[(COMMON_NAME, id), (COMMON_NAME, id)])),
        extended(id, SUBJECT_ALT_NAME, &dns_name),
    ]
}

/// Wants to encipher keys, to be a server, and something private.
pub(crate) fn wants_usages(id: &str) -> Vec<Bytes> {
    vec![
        extended(id, KEY_USAGE, b"\x03\x02\x05\x20"),
        extended(id, EXTENDED_KEY_USAGE, b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"),
        extended(id, PRIVATE, b"\x05\x00"),
    ]
}

/// What a device gets anyway may be asked for: no name at all, its name, digitalSignature, clientAuth, not to be a CA.
pub(crate) fn modest(id: &str) -> Vec<Bytes> {
    vec![
        named(EMPTY),
        named(&name(&[(COMMON_NAME, id)])),
        extended(id, KEY_USAGE, b"\x03\x02\x07\x80"),
        extended(id, EXTENDED_KEY_USAGE, b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"),
        extended(id, BASIC_CONSTRAINTS, b"\x30\x00"),
    ]
}

/// Signed by its key after a change to what is signed: possession is proved of whatever it says now.
pub(crate) fn changed_before_signing(id: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Bytes {
    let key = p256();
    let honest = tlv(0x30, &[b"\x02\x01\x00", &name(&[(COMMON_NAME, id)]), key.public_key().spki(), NO_ATTRIBUTES]);
    let info = change(&honest);
    let signature = key.sign(&info).unwrap();
    Bytes::from(tlv(0x30, &[&info, ECDSA_SHA256, &tlv(3, &[&[0], &signature])]))
}

/// One of every kind above.
pub(crate) fn every_kind(id: &str) -> Vec<Bytes> {
    let mut all = [malformed(id), without_possession(), unfit_algorithm(), weak(), on_another_curve()].concat();
    all.extend([wants_to_be_ca(id), wants_names(id), wants_usages(id), modest(id)].concat());
    all.retain(|csr| csr.len() <= issuance::csr::MAX_OCTETS);
    all
}
