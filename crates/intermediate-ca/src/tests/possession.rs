//! A lot's CA proves that its key is held, as long as it is, and spends nothing by it.

use api::journal::v1::{LotClosing, record::Fact};
use authority::complete_open_intents;
use bytes::Bytes;
use mfg::{Movement, VerificationCode};
use pki::Certificate;
use store::{Claim, Rule, Step, TallyMove};

use super::*;
use crate::close::close;

fn code(digit: &str) -> VerificationCode {
    VerificationCode::parse(&digit.repeat(48)).unwrap()
}

fn prove(factory: &Factory, request: u8, id: &str, digit: &str) -> Result<Bytes, Refusal> {
    factory.receiver.authority.prove_possession(&factory.act(request), id, &code(digit))
}

#[tokio::test]
async fn a_lots_ca_proves_itself_and_its_tally_stays_as_it_was() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let before = factory.store.tally(&keys::lot(LOT)).unwrap();
    let proof = prove(&factory, 2, LOT, "a").unwrap();
    assert_eq!(factory.store.tally(&keys::lot(LOT)).unwrap(), before);
    let ca = Certificate::parse(&factory.receiver.authority.signing_ca(LOT).unwrap()).unwrap();
    assert_eq!(Certificate::parse(&proof).unwrap().issuer(), ca.subject());
    assert_eq!(prove(&factory, 2, LOT, "a").unwrap(), proof);
}

#[tokio::test]
async fn a_closed_lot_proves_nothing_more_and_still_answers_what_it_proved() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let proof = prove(&factory, 2, LOT, "a").unwrap();
    close(&factory.receiver, &factory.act(3), &lot(LOT)).unwrap();
    assert_eq!(prove(&factory, 2, LOT, "a").unwrap(), proof);
    assert_eq!(reason(prove(&factory, 4, LOT, "a")), "LOT_CLOSED");
    assert!(factory.receiver.authority.signing_ca(LOT).is_ok(), "its certificate is known for longer than its key");
}

#[tokio::test]
async fn a_lot_whose_closing_has_begun_proves_nothing_more() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    // Its closing is on record, and its key still here.
    let open = factory.store.get(&keys::lot(LOT)).unwrap().unwrap().position;
    let closing = LotClosing { lot: LOT.to_owned(), received_at: open.as_u64() };
    let mut unit = factory.act(2).unit(Fact::LotClosing(closing));
    unit.claims = vec![Claim { key: keys::lot(LOT), rule: Rule::At(open) }];
    unit.moves = vec![TallyMove { lot: keys::lot(LOT), movement: Movement::Close }];
    records::commit_one(factory.store.as_ref(), unit).unwrap().unwrap();
    assert!(factory.receiver.authority.lots.get(LOT).unwrap().issuer().is_ok());
    assert_eq!(reason(prove(&factory, 3, LOT, "a")), "LOT_CLOSED");
}

#[tokio::test]
async fn a_proof_whose_key_went_before_it_was_signed_is_void() {
    let mut factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    factory.faults.fail_after(Step::AfterSync, 0);
    assert!(prove(&factory, 2, LOT, "a").is_err());
    std::fs::remove_file(factory.key_files().remove(0)).unwrap();
    factory.start_again();
    complete_open_intents(&factory.receiver.authority).unwrap();
    assert_eq!(reason(prove(&factory, 2, LOT, "a")), "POSSESSION_PROOF_VOIDED");
    assert_eq!(reason(prove(&factory, 3, LOT, "a")), "LOT_NOT_OPEN");
}

#[tokio::test]
async fn a_ca_that_is_not_here_cannot_be_proved() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    assert_eq!(reason(prove(&factory, 2, "b0033", "a")), "LOT_UNKNOWN");
    assert_eq!(reason(prove(&factory, 2, "", "a")), "REQUEST_MALFORMED");
    assert_eq!(reason(prove(&factory, 1, LOT, "a")), "REQUEST_ID_REUSED", "the lot was received under this id");
}
