//! Accepting: only the named receiver, with its registered key, over exactly this handoff, for a fresh and strong lot key.

use api::{
    custody::v1::Acceptance,
    handoff::v1::{
        AcceptHandoffRequest, AcceptHandoffResponse, GetHandoffRequest, GetOfferRequest, ListHandoffsRequest,
    },
    reason::v1::Reason,
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::Statement;
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, acceptance, offer, quantity},
    issue::forged,
    organisations::fresh_key,
    world::{At, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// factory-y, as its service dials the brand.
const FACTORY_AT_BRAND: (Who, At) = (Who::FactoryCa, At::RootCa);

/// An order with one open offer to factory-y.
async fn offered(order: &str, lot: &str, units: u32) -> Custody {
    let custody = Custody::ordered(order, units).await;
    let offer = offer(&custody.order, FACTORY, lot, units);
    custody.chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer).await.unwrap();
    custody
}

async fn accept(
    custody: &Custody,
    (who, at): (Who, At),
    request: AcceptHandoffRequest,
) -> Result<Response<AcceptHandoffResponse>, Status> {
    custody.chain.handoffs(who, at).accept_handoff(request).await
}

#[tokio::test]
async fn an_acceptance_is_for_so_many_units() {
    let custody = offered("accept-this", "at-1", 5).await;
    let own = custody.chain.identity_key(FACTORY);
    let before = custody.picture().await;
    let lot_key = fresh_key();
    let good = acceptance(custody.chain, FACTORY_AT_BRAND, "at-1", &lot_key, &own).await;
    let of_six = {
        let papers = GetOfferRequest { lot: "at-1".to_owned() };
        let papers = custody.chain.handoffs(Who::FactoryCa, At::RootCa).get_offer(papers).await.unwrap().into_inner();
        let facts = records::wire::read_facts("facts", papers.handoff.unwrap().facts.as_ref()).unwrap();
        let six = records::wire::read_quantity("quantity", quantity(6).as_ref()).unwrap();
        let consignment = mfg::Consignment { quantity: six, ..facts.consignment };
        let statement = Statement::acceptance(lot_key.public_key().spki(), &consignment);
        let signature = Bytes::from(own.sign(statement.to_be_signed()).unwrap());
        Some(Acceptance { signature, ..good.acceptance.clone().unwrap() })
    };
    let wrong = AcceptHandoffRequest { acceptance: of_six, ..good.clone() };
    refused(accept(&custody, FACTORY_AT_BRAND, wrong).await, Reason::AcceptanceInvalid, Code::InvalidArgument);
    custody.unchanged(&before).await;
    accept(&custody, FACTORY_AT_BRAND, good).await.unwrap();
}

#[tokio::test]
async fn nobody_sees_what_is_offered_to_another() {
    let custody = offered("accept-not", "an-1", 10).await;
    let mut stranger = custody.chain.handoffs(Who::TechnicianCa, At::RootCa);
    let lot = || "an-1".to_owned();
    refused(stranger.get_offer(GetOfferRequest { lot: lot() }).await, Reason::LotUnknown, Code::NotFound);
    refused(stranger.get_handoff(GetHandoffRequest { lot: lot() }).await, Reason::LotUnknown, Code::NotFound);
    // Small pages too: neither an entry nor a page token tells of another's lots.
    let mut page_token = String::new();
    loop {
        let page = ListHandoffsRequest { page_size: 1, page_token };
        let listed = stranger.list_handoffs(page).await.unwrap().into_inner();
        let receivers: Vec<_> =
            listed.handoffs.iter().map(|handoff| handoff.facts.as_ref().unwrap().to.as_str()).collect();
        assert!(receivers.iter().all(|to| *to == TECHNICIAN), "{receivers:?}");
        assert!(!listed.next_page_token.contains("an-1"), "{}", listed.next_page_token);
        if listed.next_page_token.is_empty() {
            break;
        }
        page_token = listed.next_page_token;
    }
}

#[tokio::test]
async fn a_lot_key_is_of_the_kind_of_the_terms_and_its_request_proves_possession() {
    let custody = offered("accept-csr", "ac-1", 10).await;
    let before = custody.picture().await;
    let own = custody.chain.identity_key(FACTORY);
    let good = acceptance(custody.chain, FACTORY_AT_BRAND, "ac-1", &fresh_key(), &own).await;
    let broken = {
        let mut csr = make_csr(&fresh_key(), "ac-1").unwrap();
        *csr.last_mut().unwrap() ^= 1;
        csr
    };
    let of = |kind| Bytes::from(make_csr(&SoftwareKey::generate(kind).unwrap(), "ac-1").unwrap());
    let mut cases = vec![
        (Reason::CsrMalformed, Bytes::new()),
        (Reason::CsrMalformed, Bytes::from(vec![0x30; 9000])),
        (Reason::CsrPossessionInvalid, Bytes::from(broken)),
        (Reason::CsrKeyNotAllowed, of(KeyKind::P384)),
        (Reason::CsrKeyNotAllowed, of(KeyKind::Ed25519)),
        (Reason::CsrAsksForNames, Bytes::from(make_csr(&fresh_key(), "another-lot").unwrap())),
    ];
    cases.extend(forged::weak().into_iter().map(|csr| (Reason::CsrKeyWeak, csr)));
    cases.extend(forged::on_another_curve().into_iter().map(|csr| (Reason::CsrKeyNotAllowed, csr)));
    for (reason, csr) in cases {
        let wrong = AcceptHandoffRequest { csr, ..good.clone() };
        refused(accept(&custody, FACTORY_AT_BRAND, wrong).await, reason, Code::InvalidArgument);
        custody.unchanged(&before).await;
    }
    accept(&custody, FACTORY_AT_BRAND, good).await.unwrap();
}

#[tokio::test]
async fn a_lot_needs_a_fresh_key() {
    let custody = offered("accept-old", "ao-1", 5).await;
    let other = offered("accept-new", "ao-2", 5).await;
    let (lot_key, own) = (fresh_key(), custody.chain.identity_key(FACTORY));
    let first = acceptance(custody.chain, FACTORY_AT_BRAND, "ao-1", &lot_key, &own).await;
    accept(&custody, FACTORY_AT_BRAND, first).await.unwrap();
    let before = other.picture().await;
    let second = acceptance(custody.chain, FACTORY_AT_BRAND, "ao-2", &lot_key, &own).await;
    let answer = accept(&custody, FACTORY_AT_BRAND, second).await;
    refused(answer, Reason::PublicKeyTaken, Code::AlreadyExists);
    other.unchanged(&before).await;
}

#[tokio::test]
async fn one_lot_key_wins_and_only_its_acceptance_is_repeated() {
    let custody = offered("accept-race", "ar-1", 10).await;
    let own = custody.chain.identity_key(FACTORY);
    let mut tries = Vec::new();
    for _ in 0..6 {
        let request = acceptance(custody.chain, FACTORY_AT_BRAND, "ar-1", &fresh_key(), &own).await;
        let custody = custody.clone();
        tries.push(tokio::spawn(async move { (accept(&custody, FACTORY_AT_BRAND, request.clone()).await, request) }));
    }
    let mut winners = Vec::new();
    for attempt in tries {
        match attempt.await.unwrap() {
            (Ok(answer), request) => winners.push((answer.into_inner(), request)),
            (lost, _) => drop(refused(lost, Reason::HandoffAlreadyAccepted, Code::FailedPrecondition)),
        }
    }
    let [(chain, request)] = winners.as_slice() else { panic!("{} winners", winners.len()) };
    let before = custody.picture().await;
    let tally = before.order.tally.unwrap();
    assert_eq!((tally.reserved, tally.handed_over, tally.remaining), (0, 10, Some(0)));
    // The same key gets the same certificate, under any request id.
    for id in [request.request_id.clone(), fresh_id()] {
        let again = AcceptHandoffRequest { request_id: id, ..request.clone() };
        assert_eq!(&accept(&custody, FACTORY_AT_BRAND, again).await.unwrap().into_inner(), chain);
    }
    let late = acceptance(custody.chain, FACTORY_AT_BRAND, "ar-1", &fresh_key(), &own).await;
    refused(accept(&custody, FACTORY_AT_BRAND, late).await, Reason::HandoffAlreadyAccepted, Code::FailedPrecondition);
    custody.unchanged(&before).await;
}
