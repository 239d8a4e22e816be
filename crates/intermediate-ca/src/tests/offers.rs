//! What is checked before anything is made for an offer.

use api::{
    custody::v1::{HandoffFacts, HandoffState, Quantity, SignedTerms, Unlimited, quantity::Amount},
    handoff::v1::GetOfferResponse,
};
use bytes::Bytes;
use store::Store as _;

use super::{Factory, KEYS, LOT, OfferLie, document, reason, signed};

fn facts(offer: &mut GetOfferResponse) -> &mut HandoffFacts {
    offer.handoff.as_mut().unwrap().facts.as_mut().unwrap()
}

fn state(offer: &mut GetOfferResponse, state: HandoffState) {
    offer.handoff.as_mut().unwrap().state = state.into();
}

/// The brand's own terms of another order, with its signature.
fn other_terms() -> SignedTerms {
    let (terms, signature) = signed(document("po-2"));
    SignedTerms { terms: Bytes::copy_from_slice(terms.bytes().as_bytes()), signature: Bytes::from(signature) }
}

const LIES: [(&str, OfferLie, &str); 23] = [
    ("a later hop", |o| facts(o).hop = 2, "OFFER_MISMATCH"),
    ("another subtree", |o| facts(o).subtree = "b0032.factory-y.other.example".to_owned(), "OFFER_MISMATCH"),
    ("no handoff", |o| o.handoff = None, "REQUEST_MALFORMED"),
    ("another lot", |o| facts(o).lot = "b0033".to_owned(), "OFFER_MISMATCH"),
    ("another receiver", |o| facts(o).to = "technician-z".to_owned(), "OFFER_MISMATCH"),
    ("another sender", |o| facts(o).from = "factory-y".to_owned(), "OFFER_MISMATCH"),
    ("another order", |o| facts(o).order = "po-2".to_owned(), "OFFER_MISMATCH"),
    ("another program", |o| facts(o).program = "other".to_owned(), "OFFER_MISMATCH"),
    ("no quantity", |o| facts(o).quantity = None, "REQUEST_MALFORMED"),
    ("no units", |o| facts(o).quantity = Some(Quantity { amount: Some(Amount::Units(0)) }), "QUANTITY_INVALID"),
    (
        "unlimited",
        |o| facts(o).quantity = Some(Quantity { amount: Some(Amount::Unlimited(Unlimited {})) }),
        "UNLIMITED_NOT_ALLOWED",
    ),
    ("no hop", |o| facts(o).hop = 0, "HOP_INVALID"),
    ("another terms digest", |o| facts(o).terms_digest = Bytes::from(vec![1; 32]), "TERMS_DIGEST_MISMATCH"),
    ("a manifest", |o| facts(o).manifest_digest = Some(Bytes::from(vec![1; 32])), "OFFER_MISMATCH"),
    ("no terms", |o| o.terms = None, "TERMS_MALFORMED"),
    ("terms of another order", |o| o.terms = Some(other_terms()), "TERMS_DIGEST_MISMATCH"),
    (
        "terms that nobody signed",
        |o| o.terms.as_mut().unwrap().signature = Bytes::from(vec![1; 70]),
        "TERMS_APPROVAL_INVALID",
    ),
    (
        "terms with the signature of others",
        |o| o.terms.as_mut().unwrap().signature = other_terms().signature,
        "TERMS_APPROVAL_INVALID",
    ),
    (
        "a certificate above that is none",
        |o| o.issuer_chain = vec![Bytes::from_static(b"none")],
        "MALFORMED_CERTIFICATE",
    ),
    (
        "a stranger's certificate above",
        |o| o.issuer_chain = vec![Bytes::copy_from_slice(KEYS.stranger_anchor.der())],
        "UNKNOWN_ISSUER",
    ),
    ("an offer that was withdrawn", |o| state(o, HandoffState::Cancelled), "HANDOFF_WITHDRAWN"),
    ("an offer that has expired", |o| state(o, HandoffState::Expired), "HANDOFF_WITHDRAWN"),
    ("an offer in no state", |o| state(o, HandoffState::Unspecified), "OFFER_MISMATCH"),
];

#[tokio::test]
async fn a_lying_offer_is_refused_by_name_before_a_key_is_made() {
    let factory = Factory::new();
    let head = factory.store.head();
    for (lie, spoil, expected) in LIES {
        factory.sender.books().offer_lie = Some(spoil);
        assert_eq!(reason(factory.receive(1, LOT).await), expected, "{lie}");
        assert_eq!(factory.store.head(), head, "{lie}");
        assert!(factory.key_files().is_empty(), "{lie}");
        assert!(factory.sender.books().accepted.is_empty(), "{lie}");
    }
    factory.sender.repent();
    factory.receive(1, LOT).await.unwrap();
    assert!(factory.is_open(LOT));
}

#[tokio::test]
async fn only_configured_senders_are_asked() {
    let factory = Factory::new();
    let receive = |from| factory.receiver.receive(factory.act(1), super::maker(from), super::lot(LOT));
    assert_eq!(reason(receive("technician-z").await), "UPSTREAM_UNKNOWN");
    assert_eq!(factory.sender.books().offers_read, 0);
}

#[tokio::test]
async fn a_sender_that_cannot_be_reached_is_named_and_leaves_nothing_behind() {
    let factory = Factory::new();
    factory.sender.books().is_down = true;
    let head = factory.store.head();
    assert_eq!(reason(factory.receive(1, LOT).await), "UPSTREAM_UNREACHABLE");
    assert_eq!((factory.store.head(), factory.key_files().len()), (head, 0));
    factory.sender.books().is_down = false;
    factory.receive(1, LOT).await.unwrap();
}
