//! What is checked in the certificate that the sender signed, before the lot opens.

use api::{custody::v1::SignedTerms, handoff::v1::AcceptHandoffResponse};
use bytes::Bytes;
use issuance::SigningKey as _;
use mfg::{Consignment, Handoff, OidArc, Statement};
use pki::Certificate;
use store::Store as _;

use super::{AnswerLie, Factory, KEYS, LOT, document, lot, reason, signed};

/// The sender's certificate with some octets exchanged for others of the same length, and signed again with the root's key.
fn spoil(answer: &mut AcceptHandoffResponse, from: &[u8], to: &[u8]) {
    let certificate = Certificate::parse(&answer.chain[0]).unwrap();
    let mut tbs = certificate.tbs().to_vec();
    let at = tbs.windows(from.len()).position(|window| window == from).expect("what is to be spoiled is there");
    tbs[at..at + to.len()].copy_from_slice(to);
    let signature = KEYS.root.sign(&tbs).unwrap();
    answer.chain[0] = Bytes::from(issuance::assemble(&tbs, &signature).unwrap());
}

fn other_terms() -> SignedTerms {
    let (terms, signature) = signed(document("po-2"));
    SignedTerms { terms: Bytes::copy_from_slice(terms.bytes().as_bytes()), signature: Bytes::from(signature) }
}

/// The same certificate for a key that the sender has.
fn with_other_key(answer: &mut AcceptHandoffResponse) {
    let spki = Certificate::parse(&answer.chain[0]).unwrap().public_key().spki().to_vec();
    spoil(answer, &spki, KEYS.root.public_key().spki());
}

/// The same certificate with the countersignature of another lot.
fn with_other_acceptance(answer: &mut AcceptHandoffResponse) {
    let certificate = Certificate::parse(&answer.chain[0]).unwrap();
    let extension = certificate.extension(&OidArc::documentation().handoff()).unwrap();
    let handoff = Handoff::from_der(extension.value).unwrap();
    let consignment = Consignment { lot: lot("b0033"), ..handoff.consignment.clone() };
    let statement = Statement::acceptance(certificate.public_key().spki(), &consignment);
    // ECDSA signatures differ in length; one of the same length fits in its place.
    let other = std::iter::repeat_with(|| KEYS.factory.sign(statement.to_be_signed()).unwrap());
    let other = other.into_iter().find(|other| other.len() == handoff.acceptance.signature.len()).unwrap();
    spoil(answer, &handoff.acceptance.signature, &other);
}

const LIES: [(&str, AnswerLie, &str); 17] = [
    ("another key", with_other_key, "ACCEPTANCE_INVALID"),
    ("the acceptance of another lot", with_other_acceptance, "ACCEPTANCE_INVALID"),
    ("more units", |a| spoil(a, b"\x02\x01\x64\x02\x01\x01", b"\x02\x01\x7f\x02\x01\x01"), "ACCEPTANCE_INVALID"),
    ("no certificate", |a| a.chain.clear(), "OFFER_MISMATCH"),
    ("no certificate at all", |a| a.chain[0] = Bytes::from_static(b"\x30\x00"), "MALFORMED_CERTIFICATE"),
    ("a cut certificate", |a| a.chain[0] = a.chain[0].slice(..100), "MALFORMED_CERTIFICATE"),
    (
        "a signature that does not verify",
        |a| {
            let mut der = a.chain[0].to_vec();
            *der.last_mut().unwrap() ^= 1;
            a.chain[0] = Bytes::from(der);
        },
        "SIGNATURE_INVALID",
    ),
    ("a root instead", |a| a.chain[0] = Bytes::copy_from_slice(KEYS.stranger_anchor.der()), "UNKNOWN_ISSUER"),
    (
        "another subtree",
        |a| spoil(a, b"b0032.factory-y.smart-widget", b"b0032.factory-z.smart-widget"),
        "SUBTREE_INVALID",
    ),
    (
        "a subtree of another brand's",
        |a| {
            spoil(
                a,
                b"b0032.factory-y.smart-widget.company-x.example",
                b"b0032.factory-y.smart-widget.company-z.example",
            )
        },
        "SUBJECT_INVALID",
    ),
    // Handoff.quantity: INTEGER 100 before hop INTEGER 1.
    ("another quantity", |a| spoil(a, b"\x02\x01\x64\x02\x01\x01", b"\x02\x01\x63\x02\x01\x01"), "ACCEPTANCE_INVALID"),
    ("another hop", |a| spoil(a, b"\x02\x01\x64\x02\x01\x01", b"\x02\x01\x64\x02\x01\x02"), "HOP_OUT_OF_ORDER"),
    ("another lot", |a| spoil(a, b"\x0c\x05b0032", b"\x0c\x05b0033"), "SUBTREE_INVALID"),
    // basicConstraints under another name, critical as it is.
    (
        "a critical extension that nobody knows",
        |a| spoil(a, b"\x55\x1d\x13\x01\x01\xff", b"\x55\x1d\x63\x01\x01\xff"),
        "UNKNOWN_CRITICAL_EXTENSION",
    ),
    ("no terms", |a| a.terms = None, "TERMS_MALFORMED"),
    ("terms of another order", |a| a.terms = Some(other_terms()), "TERMS_DIGEST_MISMATCH"),
    (
        "terms that nobody signed",
        |a| a.terms.as_mut().unwrap().signature = Bytes::from(vec![1; 70]),
        "TERMS_APPROVAL_INVALID",
    ),
];

/// The lot stays accepted, with its key, and neither open nor counted.
fn assert_waits(factory: &Factory, lie: &str) {
    assert!(!factory.is_open(LOT), "{lie}");
    assert_eq!(factory.key_files().len(), 1, "{lie}");
}

#[tokio::test]
async fn a_lying_answer_is_refused_by_name_and_the_truth_is_taken_after_it() {
    let factory = Factory::new();
    for (lie, spoil, expected) in LIES {
        factory.sender.books().answer_lie = Some(spoil);
        assert_eq!(reason(factory.receive(1, LOT).await), expected, "{lie}");
        assert_waits(&factory, lie);
    }
    factory.sender.repent();
    factory.receive(1, LOT).await.unwrap();
    assert!(factory.is_open(LOT));
    // One key, one acceptance, one request to the sender, however often it lied.
    let accepted = &factory.sender.books().accepted;
    assert!(accepted.len() == LIES.len() + 1 && accepted.iter().all(|request| *request == accepted[0]));
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_refused_until_it_is() {
    let factory = Factory::new();
    factory.clock.set(super::time("2025-06-01T00:00:00Z"));
    assert_eq!(reason(factory.receive(1, LOT).await), "NOT_YET_VALID");
    assert_waits(&factory, "not yet valid");
    factory.clock.set(super::time("2026-06-01T00:00:00Z"));
    factory.receive(1, LOT).await.unwrap();
    assert!(factory.store.get(&records::keys::lot(LOT)).unwrap().is_some());
}
