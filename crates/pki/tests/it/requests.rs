//! PKCS#10 requests: what they ask for, and who may ask.

use pki::{CertificateRequest, GeneralName, SignatureAlgorithm, oid};

use crate::forge::*;

const EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";

fn info(version: u8, attributes: &[u8]) -> Vec<u8> {
    sequence(&[&[2, 1, version], &name("sn1"), &LEAF.spki, attributes])
}

pub(crate) fn request(info: &[u8], signer: &Key) -> Vec<u8> {
    signed(info, SignatureAlgorithm::EcdsaSha256.identifier_der(), signer)
}

/// A request with an extensionRequest of one alternative name.
pub(crate) fn asking() -> Vec<u8> {
    let names = sequence(&[&tlv(0x82, &[b"a.example"])]);
    let extension = sequence(&[&tlv(6, &[SUBJECT_ALT_NAME]), &tlv(4, &[&names])]);
    let attribute = sequence(&[&tlv(6, &[EXTENSION_REQUEST]), &tlv(0x31, &[&sequence(&[&extension])])]);
    info(0, &tlv(0xa0, &[&attribute]))
}

fn reason(der: &[u8]) -> &'static str {
    CertificateRequest::parse(der).unwrap_err().reason()
}

#[test]
fn a_request_says_what_it_asks_for() {
    let asking = asking();
    let parsed = CertificateRequest::parse(&request(&asking, &LEAF)).unwrap();
    assert_eq!(parsed.subject().common_names(), ["sn1"]);
    assert_eq!(parsed.public_key().spki(), LEAF.spki);
    assert_eq!(parsed.subject_alt_names(), [GeneralName::Dns("a.example".to_owned())]);
    assert!(parsed.extension(&oid::SUBJECT_ALT_NAME).is_some_and(|extension| !extension.critical));
    assert_eq!(parsed.attributes().len(), 1);
    assert_eq!(parsed.info(), asking);
    let bare = CertificateRequest::parse(&request(&info(0, &tlv(0xa0, &[])), &LEAF)).unwrap();
    assert!(bare.attributes().is_empty() && bare.extensions().next().is_none() && !bare.subject().is_empty());
}

#[test]
fn possession_is_proven_or_the_request_refused() {
    assert_eq!(reason(&request(&asking(), &ROOT)), "CSR_POSSESSION_INVALID");
    // A key of P-256 that signed with SHA-384: valid for some, a trap for who copies the algorithm (rustls/rcgen#448).
    let sha384 = SignatureAlgorithm::EcdsaSha384.identifier_der();
    assert_eq!(reason(&signed(&asking(), sha384, &LEAF)), "CSR_SIGNATURE_ALGORITHM");
    let ed25519 = SignatureAlgorithm::Ed25519.identifier_der();
    assert_eq!(reason(&signed(&asking(), ed25519, &LEAF)), "CSR_SIGNATURE_ALGORITHM");
}

#[test]
fn malformed_requests_are_refused() {
    assert_eq!(reason(&request(&info(1, &[]), &LEAF)), "VERSION_UNSUPPORTED");
    assert_eq!(reason(&[request(&asking(), &LEAF), vec![0]].concat()), "CSR_MALFORMED");
    let twice = sequence(&[&tlv(6, &[EXTENSION_REQUEST]), &tlv(0x31, &[&sequence(&[]), &sequence(&[])])]);
    assert_eq!(reason(&request(&info(0, &tlv(0xa0, &[&twice])), &LEAF)), "CSR_MALFORMED");
    let valueless = sequence(&[&tlv(6, &[b"\x2a\x03"]), &tlv(0x31, &[])]);
    assert_eq!(reason(&request(&info(0, &tlv(0xa0, &[&valueless])), &LEAF)), "CSR_MALFORMED");
    let one = sequence(&[&tlv(6, &[b"\x2a\x03"]), &tlv(0x31, &[&[5, 0]])]);
    assert_eq!(reason(&request(&info(0, &tlv(0xa0, &[&one, &one])), &LEAF)), "CSR_MALFORMED");
    assert_eq!(reason(&vec![0x30; CertificateRequest::MAX_OCTETS + 1]), "TOO_LARGE");
}
