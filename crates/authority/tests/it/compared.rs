//! A journal that was put back to an older state without a word: found by what its sender saw of it, however long it has grown since.

use std::collections::BTreeSet;

use api::{
    RequestId,
    custody::v1::JournalHead,
    handoff::v1::{CompareJournalsRequest, CompareJournalsResponse},
    store::v1::{ReconcileStoreRequest, SeenJournal},
};
use records::{Act, Caller, Suspended};
use store::Store as _;

use super::world::{House, key, maker, reason};

/// The factory's receiver, calling its sender.
fn as_receiver(brand: &House) -> Act {
    let by = "spiffe://factory-y.example/factory-y/intermediate-ca".to_owned();
    let caller = Caller { manufacturer: "factory-y".to_owned(), by };
    Act { at: brand.authority.now(), caller, request: None }
}

fn ask(brand: &House, request: &CompareJournalsRequest) -> CompareJournalsResponse {
    brand.authority.compare(&as_receiver(brand), request).unwrap()
}

/// The factory shows the brand its journal, with what it was told that the brand saw of it.
fn show(factory: &House, brand: &House, accounted: Option<JournalHead>) -> CompareJournalsResponse {
    let shown = factory.authority.shown_journal().unwrap();
    ask(brand, &CompareJournalsRequest { shown, accounted, seen: None })
}

/// What the brand saw of the factory's journal last.
fn seen(brand: &House) -> Option<JournalHead> {
    ask(brand, &CompareJournalsRequest::default()).seen
}

/// The factory, and the same one before its last device: with a journal that has nothing of what came then.
async fn put_back(device: &str) -> (House, House) {
    let (now, before) = (House::factory(), House::factory());
    now.issue(1, device, &key()).await.unwrap();
    (now, before)
}

#[tokio::test]
async fn a_journal_that_was_put_back_is_found_while_it_is_shorter() {
    let brand = House::brand();
    let (factory, older) = put_back("sn1").await;
    show(&factory, &brand, None);
    let shown = seen(&brand).unwrap();
    assert_eq!(factory.authority.judge_seen("company-x", &shown), Ok(()));
    assert_eq!(reason(older.authority.judge_seen("company-x", &shown)), "JOURNAL_ROLLED_BACK");
    assert_eq!(older.authority.standing().suspended, Some(Suspended::RolledBack));
    assert_eq!(reason(older.issue(2, "sn2", &key()).await), "STORE_SUSPENDED");
    assert_eq!(older.authority.shown_journal().unwrap(), None);
}

#[tokio::test]
async fn a_journal_that_was_put_back_is_found_when_it_has_grown_past_what_was_seen() {
    let brand = House::brand();
    let (factory, older) = put_back("sn1").await;
    show(&factory, &brand, None);
    let shown = seen(&brand).unwrap();
    for number in 2..6 {
        older.issue(number, &format!("sn{number}"), &key()).await.unwrap();
    }
    assert!(older.store.head().position > factory.store.head().position);
    assert_eq!(reason(older.authority.judge_seen("company-x", &shown)), "JOURNAL_ROLLED_BACK");
    // Once found, found: after a restart, and without the peer.
    assert!(older.authority.take_standing().unwrap().suspended.is_some());
    assert_eq!(reason(older.issue(9, "sn9", &key()).await), "STORE_SUSPENDED");
}

#[tokio::test]
async fn what_a_journal_shows_is_kept_only_by_who_is_told_what_became_of_what_was_seen() {
    let brand = House::brand();
    let (factory, older) = put_back("sn1").await;
    assert_eq!(show(&factory, &brand, None).seen, None);
    let first = seen(&brand).unwrap();
    // One that does not know what was seen, as after it was put back, does not wipe it out.
    older.issue(2, "sn2", &key()).await.unwrap();
    older.issue(3, "sn3", &key()).await.unwrap();
    assert_eq!(show(&older, &brand, None).seen, Some(first.clone()));
    assert_eq!(seen(&brand), Some(first.clone()));
    // One that holds it does.
    factory.issue(4, "sn4", &key()).await.unwrap();
    assert_eq!(show(&factory, &brand, Some(first.clone())).seen, Some(first.clone()));
    let second = seen(&brand).unwrap();
    assert!(second.newest_record > first.newest_record);
}

#[tokio::test]
async fn a_sender_that_was_put_back_is_found_by_its_receiver() {
    let (brand, older) = (House::brand(), House::brand());
    let act = as_receiver(&brand);
    brand.authority.keep_seen(&act, "factory-q", "intermediate-ca", &JournalHead::default()).unwrap_err();
    brand.authority.keep_seen(&act, "factory-q", "intermediate-ca", &shown(&House::factory())).unwrap();
    let shown = ask(&brand, &CompareJournalsRequest::default()).shown.unwrap();
    let request = CompareJournalsRequest { seen: Some(shown), ..CompareJournalsRequest::default() };
    ask(&brand, &request);
    assert_eq!(reason(older.authority.compare(&as_receiver(&older), &request)), "JOURNAL_ROLLED_BACK");
    assert_eq!(older.authority.standing().suspended, Some(Suspended::RolledBack));
}

fn shown(house: &House) -> JournalHead {
    house.authority.shown_journal().unwrap().unwrap()
}

#[tokio::test]
async fn nobody_is_stopped_by_anything_but_its_own_word() {
    let (factory, older) = put_back("sn1").await;
    let good = shown(&factory);
    let mut other = good.clone();
    other.newest_record += 1;
    let mut unsigned = good.clone();
    unsigned.signature = bytes::Bytes::from_static(b"nothing");
    let brands = shown(&House::brand());
    for (what, head) in [("another record", other), ("without a signature", unsigned), ("the brand's", brands)] {
        assert_eq!(older.authority.judge_seen("company-x", &head), Ok(()), "{what}");
        assert_eq!(older.authority.standing().suspended, None, "{what}");
    }
    let cut = JournalHead { chain: bytes::Bytes::new(), ..good };
    assert_eq!(reason(older.authority.judge_seen("company-x", &cut)), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn it_goes_on_once_those_who_saw_more_are_given_up_and_its_lots_are_retired() {
    let brand = House::brand();
    let (factory, older) = put_back("sn1").await;
    show(&factory, &brand, None);
    let saw = seen(&brand).unwrap();
    older.issue(2, "sn2", &key()).await.unwrap();
    older.authority.judge_seen("company-x", &saw).unwrap_err();
    let everybody: BTreeSet<_> = older.authority.acquaintances([maker("company-x")].into_iter());
    let told = |who: &str| SeenJournal { manufacturer: who.to_owned(), journal_position: 0 };
    let reconcile = |lost: &[&str]| {
        let request = ReconcileStoreRequest {
            request_id: RequestId::from_octets([9; 16]).to_string(),
            seen: vec![told("company-x"), told("factory-y"), told("technician-z")],
            lost: lost.iter().map(|who| (*who).to_owned()).collect(),
        };
        let caller = Caller { manufacturer: "factory-y".to_owned(), by: "operator".to_owned() };
        older.authority.reconcile(caller, &request, &everybody, &[])
    };
    // However little the others say that they saw.
    assert_eq!(reason(reconcile(&[])), "JOURNAL_ROLLED_BACK");
    reconcile(&["company-x"]).unwrap();
    let standing = older.authority.take_standing().unwrap();
    assert_eq!((standing.suspended, standing.retired_before), (None, standing.restored_at));
    assert!(older.authority.retired(store::Position::from_u64(0)).is_some());
    // The sender still shows what it saw; that was given up, and what comes from now on is kept.
    assert_eq!(older.authority.judge_seen("company-x", &saw), Ok(()));
    show(&older, &brand, Some(saw.clone()));
    assert_ne!(seen(&brand), Some(saw));
    assert_eq!(older.authority.judge_seen("company-x", &seen(&brand).unwrap()), Ok(()));
}
