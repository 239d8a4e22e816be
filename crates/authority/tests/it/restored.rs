//! A store that was made of a backup: it answers what it answered, and issues nothing until everybody was heard.

use std::collections::BTreeSet;

use api::{
    RequestId,
    store::v1::{ReconcileStoreRequest, SeenJournal},
};
use authority::{Heard, OfferOrder, complete_open_intents};
use mfg::{LotId, ManufacturerId, Quantity};
use records::{Caller, Standing, Suspended, commit_one, restored_unit};
use store::{Position, Step, Store as _};

use super::world::{House, LOT, key, maker, reason};

/// The house as a restore leaves it: its journal ended here.
fn restore(house: &House) -> Position {
    let end = house.store.head();
    let mark = restored_unit(house.authority.now(), "intermediate-ca", "factory-y", end).unwrap();
    let at = commit_one(house.store.as_ref(), mark).unwrap().unwrap().position;
    assert_eq!(at, end.position);
    assert!(house.authority.take_standing().unwrap().suspended.is_some());
    at
}

fn acquaintances(house: &House) -> BTreeSet<ManufacturerId> {
    house.authority.acquaintances([maker("company-x")].into_iter())
}

fn seen(who: &str, position: u64) -> SeenJournal {
    SeenJournal { manufacturer: who.to_owned(), journal_position: position }
}

/// What reconciling comes to.
fn reconcile(house: &House, request: u8, seen: &[SeenJournal], lost: &[&str]) -> Result<(), api::Refusal> {
    reconcile_with(house, request, seen, lost, &[])
}

fn reconcile_with(
    house: &House,
    request: u8,
    seen: &[SeenJournal],
    lost: &[&str],
    heard: &[Heard],
) -> Result<(), api::Refusal> {
    let request = ReconcileStoreRequest {
        request_id: RequestId::from_octets([request; 16]).to_string(),
        seen: seen.to_vec(),
        lost: lost.iter().map(|who| (*who).to_owned()).collect(),
    };
    let caller = Caller { manufacturer: "factory-y".to_owned(), by: "operator".to_owned() };
    house.authority.reconcile(caller, &request, &acquaintances(house), heard)?;
    house.authority.take_standing().map(|_| ())
}

#[tokio::test]
async fn a_restored_store_answers_what_it_answered_and_issues_nothing() {
    let house = House::factory();
    let old = key();
    let before = house.issue(1, "sn1", &old).await.unwrap();
    restore(&house);
    assert_eq!(house.issue(1, "sn1", &old).await.unwrap(), before);
    let tally = house.tally();
    assert_eq!(reason(house.issue(2, "sn2", &key()).await), "STORE_SUSPENDED");
    let offer = OfferOrder {
        source: LOT.to_owned(),
        to: maker("technician-z"),
        lot: LotId::parse("t1").unwrap(),
        quantity: Quantity::of(1).unwrap(),
        ttl_seconds: 0,
    };
    assert_eq!(reason(house.authority.offer(&house.act(3), &offer)), "STORE_SUSPENDED");
    assert_eq!(house.tally(), tally);
}

#[tokio::test]
async fn what_was_open_when_the_backup_ended_is_neither_signed_nor_voided_before_everybody_was_heard() {
    let mut house = House::factory();
    let device = key();
    house.faults.fail_after(Step::BeforeSync, 1);
    assert_eq!(reason(house.issue(1, "sn1", &device).await), "STORE_STOPPED");
    house.start_again(true);
    let restored_at = restore(&house).as_u64();
    assert_eq!(complete_open_intents(&house.authority).unwrap(), 0);
    assert_eq!(reason(house.issue(1, "sn1", &device).await), "STORE_SUSPENDED");
    assert_eq!(house.store.open_intents().unwrap().len(), 1);
    reconcile(&house, 9, &[seen("company-x", restored_at), seen("factory-y", 0), seen("technician-z", 0)], &[])
        .unwrap();
    assert_eq!(complete_open_intents(&house.authority).unwrap(), 1);
    house.issue(1, "sn1", &device).await.unwrap();
    assert_eq!(house.tally().provisioned(), 1);
}

#[tokio::test]
async fn it_goes_on_when_nobody_saw_more_than_the_backup_has() {
    let house = House::factory();
    house.issue(1, "sn1", &key()).await.unwrap();
    let at = restore(&house).as_u64();
    assert_eq!(reason(reconcile(&house, 9, &[], &[])), "RECONCILIATION_INCOMPLETE");
    assert_eq!(reason(reconcile(&house, 9, &[seen("company-x", at)], &[])), "RECONCILIATION_INCOMPLETE");
    let heard = |beyond: Option<&str>| {
        [Heard { manufacturer: maker("company-x"), position: at, beyond: beyond.map(str::to_owned) }]
    };
    let line = [seen("factory-y", at), seen("technician-z", 0)];
    let ahead = [seen("factory-y", at + 1), seen("technician-z", 0)];
    assert_eq!(reason(reconcile_with(&house, 9, &ahead, &[], &heard(None))), "JOURNAL_ROLLED_BACK");
    assert_eq!(
        reason(reconcile_with(&house, 9, &line, &[], &heard(Some("handed over lot b0040")))),
        "JOURNAL_ROLLED_BACK"
    );
    assert_eq!(reason(reconcile_with(&house, 9, &line, &["company-q"], &heard(None))), "REQUEST_MALFORMED");
    assert_eq!(reason(house.issue(2, "sn2", &key()).await), "STORE_SUSPENDED");

    reconcile_with(&house, 9, &line, &[], &heard(None)).unwrap();
    let standing = Standing::of(house.store.as_ref()).unwrap();
    assert_eq!((standing.suspended, standing.retired_before), (None, None));
    house.issue(2, "sn2", &key()).await.unwrap();
    // The same again is the same, another is too late.
    reconcile_with(&house, 9, &line, &[], &heard(None)).unwrap();
    assert_eq!(reason(reconcile_with(&house, 9, &line, &["company-x"], &heard(None))), "REQUEST_ID_REUSED");
    assert_eq!(reason(reconcile_with(&house, 10, &line, &[], &heard(None))), "STORE_NOT_SUSPENDED");
}

#[test]
fn a_reconciliation_that_is_met_by_itself_is_done_once_wherever_that_is() {
    let mut moments = 0;
    store::overtaken(
        || {
            let house = House::factory();
            let at = restore(&house).as_u64();
            (house, at)
        },
        |(house, _)| &house.store,
        |(house, at)| {
            let everybody = [seen("company-x", *at), seen("factory-y", 0), seen("technician-z", 0)];
            reconcile(house, 9, &everybody, &[])
        },
        |(house, _), in_the_middle, at_the_end| {
            assert_eq!((in_the_middle, at_the_end), (Ok(()), Ok(())), "after {moments} calls");
            assert_eq!(Standing::of(house.store.as_ref()).unwrap().suspended, None);
            moments += 1;
        },
    );
    assert!(moments > 2);
}

#[tokio::test]
async fn what_a_backup_has_is_retired_when_somebody_may_know_more() {
    let house = House::factory();
    let at = restore(&house);
    let line = [seen("factory-y", at.as_u64() + 5000), seen("technician-z", 0)];
    assert_eq!(reason(reconcile(&house, 9, &line, &["company-x"])), "JOURNAL_ROLLED_BACK");
    reconcile(&house, 9, &line, &["company-x", "factory-y"]).unwrap();
    assert_eq!(house.authority.retired(at), None);
    assert!(house.authority.retired(Position::from_u64(0)).is_some());
    // Another restore of the same store asks again, and forgets nothing.
    restore(&house);
    let standing = Standing::of(house.store.as_ref()).unwrap();
    assert_eq!((standing.suspended, standing.retired_before), (Some(Suspended::Restored), Some(at)));
}
