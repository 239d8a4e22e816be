//! Every step is on record before the next: what a crash, a retry or a second operator finds.

use std::{sync::Arc, thread};

use api::lot::v1::LotState;
use issuance::SoftwareKey;
use records::keys;
use store::{Position, Step, Store as _};

use super::{Factory, LOT, lot, maker, reason};

#[tokio::test]
async fn an_honest_lot_is_open_for_its_quantity_and_can_sign() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let found = factory.lot(LOT).unwrap();
    assert_eq!((found.state(), found.chain.len(), found.issues_devices), (LotState::Open, 1, false));
    assert_eq!(found.tally.unwrap().remaining, Some(100));
    let lot = factory.receiver.authority.lots.get(LOT).unwrap();
    assert_eq!(lot.subtree.as_str(), "b0032.factory-y.smart-widget.company-x.example");
    assert!(factory.is_open(LOT));
}

#[tokio::test]
async fn a_repetition_is_answered_from_the_record() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let head = factory.store.head();
    factory.receive(1, LOT).await.unwrap();
    factory.receive(2, LOT).await.unwrap();
    assert_eq!(factory.store.head(), head);
    let books = factory.sender.books();
    assert_eq!((books.offers_read, books.accepted.len()), (1, 1));
}

#[tokio::test]
async fn a_request_id_stands_for_one_lot() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let head = factory.store.head();
    assert_eq!(reason(factory.receive(1, "b0033").await), "REQUEST_ID_REUSED");
    assert_eq!((factory.store.head(), factory.key_files().len()), (head, 1));
    factory.receive(2, "b0033").await.unwrap();
}

#[tokio::test]
async fn a_lot_id_stands_for_one_senders_lot() {
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let again = factory.receiver.receive(factory.act(2), maker("technician-z"), lot(LOT));
    assert_eq!(reason(again.await), "LOT_EXISTS");
}

#[tokio::test]
async fn two_operators_who_receive_at_once_receive_one_lot() {
    for second in [1, 2] {
        let factory = Factory::new();
        let (one, other) = tokio::join!(factory.receive(1, LOT), factory.receive(second, LOT));
        one.unwrap();
        other.unwrap();
        assert!(factory.is_open(LOT));
        assert_eq!(factory.key_files().len(), 1);
        let accepted = &factory.sender.books().accepted;
        assert!(accepted.iter().all(|request| *request == accepted[0]));
    }
}

#[tokio::test]
async fn a_lot_that_is_on_record_as_open_is_known_to_everybody_at_that_moment() {
    let factory = Factory::new();
    for number in 0..250 {
        let id = format!("b{number:04}");
        let (receiver, store, opening) = (Arc::clone(&factory.receiver), Arc::clone(&factory.store), id.clone());
        let reader = thread::spawn(move || {
            while store.tally(&keys::lot(&opening)).unwrap().is_none() {}
            receiver.authority.lots.get(&opening).map(|_| ())
        });
        factory.receive(number, &id).await.unwrap();
        reader.join().unwrap().unwrap();
    }
}

/// The sender answers nothing, so that the lot stays accepted and not received.
async fn accepting() -> Factory {
    let factory = Factory::new();
    factory.sender.books().answer_lie = Some(|answer| answer.chain.clear());
    assert_eq!(reason(factory.receive(1, LOT).await), "OFFER_MISMATCH");
    factory.sender.repent();
    factory
}

#[tokio::test]
async fn a_lot_that_was_accepted_goes_on_after_a_crash_with_the_same_key_and_request() {
    let mut factory = accepting().await;
    factory.start_again();
    assert_eq!(factory.lot(LOT).unwrap().state(), LotState::Accepting);
    factory.receive(2, LOT).await.unwrap();
    assert!(factory.is_open(LOT));
    let books = factory.sender.books();
    assert_eq!((books.offers_read, books.accepted.len()), (1, 2));
    assert_eq!(books.accepted[0], books.accepted[1]);
}

#[tokio::test]
async fn the_sender_hears_nothing_before_the_acceptance_is_durable() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::DiskFull, Step::BeforeSync, Step::Sync, Step::AfterSync] {
        let mut factory = Factory::new();
        factory.faults.fail_next(step);
        let expected = if step == Step::DiskFull { "STORE_FULL" } else { "STORE_STOPPED" };
        assert_eq!(reason(factory.receive(1, LOT).await), expected, "{step:?}");
        assert!(factory.sender.books().accepted.is_empty(), "{step:?}");
        factory.start_again();
        factory.receive(1, LOT).await.unwrap();
        assert!(factory.is_open(LOT), "{step:?}");
        // Whatever was on record is what the sender got: its key is on disk.
        let request = factory.sender.books().accepted[0].clone();
        let key = pki::CertificateRequest::parse(&request.csr).unwrap().public_key().sha256();
        assert!(factory.key_files().iter().any(|file| file.ends_with(format!("{key}.key"))), "{step:?}");
    }
}

#[tokio::test]
async fn a_key_whose_lot_never_came_on_record_is_reported_at_start_and_left_alone() {
    for (step, strays) in [(Step::BeforeAppend, 1), (Step::TornAppend, 1), (Step::Sync, 1), (Step::AfterSync, 0)] {
        let mut factory = Factory::new();
        factory.faults.fail_next(step);
        assert_eq!(reason(factory.receive(1, LOT).await), "STORE_STOPPED", "{step:?}");
        let half = factory.folder.path().join("lot-keys/.half.key.new");
        std::fs::write(&half, "half a key").unwrap();
        let keys = factory.key_files();
        let found = factory.start_again();
        assert_eq!(found.stray_keys.len(), strays, "{step:?}");
        assert!(!half.exists(), "nobody was told of it");
        factory.receive(2, LOT).await.unwrap();
        assert!(factory.is_open(LOT));
        // What is reported is said again until somebody removes it.
        assert_eq!(factory.start_again().stray_keys, found.stray_keys, "{step:?}");
        assert!(keys.iter().filter(|file| **file != half).all(|file| file.exists()), "{step:?}");
    }
}

#[tokio::test]
async fn a_full_disk_leaves_no_key_behind() {
    let factory = Factory::new();
    factory.faults.fail_next(Step::DiskFull);
    assert_eq!(reason(factory.receive(1, LOT).await), "STORE_FULL");
    assert!(factory.key_files().is_empty());
    factory.receive(1, LOT).await.unwrap();
    assert_eq!(factory.key_files().len(), 1);
}

#[tokio::test]
async fn a_lot_opens_once_whatever_breaks_while_it_is_recorded() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync] {
        let mut factory = accepting().await;
        factory.faults.fail_next(step);
        assert_eq!(reason(factory.receive(1, LOT).await), "STORE_STOPPED", "{step:?}");
        factory.start_again();
        assert_eq!(factory.is_open(LOT), step == Step::AfterSync, "{step:?}");
        factory.receive(1, LOT).await.unwrap();
        assert!(factory.is_open(LOT), "{step:?}");
        assert_eq!(factory.lot(LOT).unwrap().tally.unwrap().remaining, Some(100), "{step:?}");
    }
}

#[tokio::test]
async fn a_lot_whose_key_is_gone_says_so_and_still_answers() {
    let mut factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let chain = factory.lot(LOT).unwrap().chain;
    std::fs::remove_file(&factory.key_files()[0]).unwrap();
    factory.start_again();
    let lot = factory.receiver.authority.lots.get(LOT).unwrap();
    assert_eq!(lot.issuer().unwrap_err().reason(), "LOT_NOT_OPEN");
    assert_eq!(factory.lot(LOT).unwrap().chain, chain);
}

#[tokio::test]
async fn another_lots_key_under_this_lots_name_is_not_signed_with() {
    let mut factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    std::fs::write(&factory.key_files()[0], super::key().to_pkcs8().unwrap()).unwrap();
    factory.start_again();
    let lot = factory.receiver.authority.lots.get(LOT).unwrap();
    let refusal = lot.issuer().unwrap_err();
    assert!(refusal.message().contains("ISSUER_KEY_MISMATCH"), "{refusal}");
}

#[tokio::test]
async fn a_lot_key_is_on_disk_for_its_owner_alone_and_in_no_journal() {
    use std::os::unix::fs::PermissionsExt as _;
    let factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let file = &factory.key_files()[0];
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let pkcs8 = std::fs::read(file).unwrap();
    SoftwareKey::from_pkcs8(&pkcs8).unwrap();
    // The secret scalar of P-256 in its PKCS#8.
    let secret = &pkcs8[36..68];
    let history = factory.store.history(Position::from_u64(0), 1000).unwrap().records;
    assert!(history.len() >= 2);
    assert!(history.iter().all(|record| !record.payload.windows(secret.len()).any(|window| window == secret)));
}
