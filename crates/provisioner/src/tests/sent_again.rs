//! What was set aside is sent again when its cause is mended: in order, through crashes, and only what is still so.

use std::sync::Arc;

use api::{
    Refusal,
    hub::v1::registration_service_client::RegistrationServiceClient,
    issuance::v1::Occasion,
    journal::v1::{UnitReinstated, UnitScrapped, record::Fact},
};
use pki::UnixTime;
use records::{commit_one, keys, read, restored_unit};
use service::{ManualClock, client::PeerChannel};
use store::{Claim, Position, Rule, Step, Store as _};

use super::{
    Line, key,
    outbox::{Hub, drain, gauge, names, outbox, write},
    reason, with_csr,
};
use crate::{
    desk::UnitOrder,
    outbox::{Destination as _, Progress, ToHub},
};

impl Line {
    async fn send_again(&self, request: u8, destination: &str) -> Result<(), Refusal> {
        self.desk.send_again(self.act(request), destination.to_owned()).await
    }

    /// What is set aside, each with its reason.
    async fn aside(&self) -> Vec<(String, &'static str)> {
        let (aside, _) = self.desk.quarantine(None, 1000).await.unwrap();
        let why = |refusal: Option<_>| Refusal::from_wire(refusal.unwrap()).reason();
        aside.into_iter().map(|delivery| (delivery.device_id, why(delivery.refusal))).collect()
    }
}

/// A line of which everything arrived but these.
async fn with_aside(numbers: &[u8]) -> (Line, Arc<Hub>) {
    let (line, hub) = (Line::new(&[("t7", 250)]), Arc::new(Hub::default()));
    for id in names(numbers.iter().copied()) {
        hub.poisoned.lock().unwrap().insert(id, "UNKNOWN_ISSUER");
    }
    write(&line, 1..8).await;
    drain(&mut outbox(&line, &hub)).await.unwrap();
    hub.arrived.lock().unwrap().clear();
    (line, hub)
}

#[tokio::test]
async fn what_is_mended_arrives_in_order_and_what_is_refused_again_stays_with_its_new_reason() {
    let (mut line, hub) = with_aside(&[2, 4, 6]).await;
    assert_eq!(gauge(&line, &outbox(&line, &hub)), 3);
    *hub.poisoned.lock().unwrap() = [("sn6".to_owned(), "WRONG_LOT")].into();
    line.send_again(200, "hub").await.unwrap();
    line.start_again();
    let mut outbox = outbox(&line, &hub);
    drain(&mut outbox).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names([2, 4]));
    assert_eq!((line.aside().await, gauge(&line, &outbox)), (vec![("sn6".to_owned(), "WRONG_LOT")], 1));

    // The same request was done; another id is another request.
    hub.poisoned.lock().unwrap().clear();
    line.send_again(200, "hub").await.unwrap();
    drain(&mut outbox).await.unwrap();
    assert_eq!(line.aside().await.len(), 1);
    line.send_again(201, "hub").await.unwrap();
    drain(&mut outbox).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names([2, 4, 6]));
    assert_eq!((line.aside().await, gauge(&line, &outbox)), (Vec::new(), 0));
    let head = line.store.head();
    drain(&mut outbox).await.unwrap();
    assert_eq!(line.store.head(), head, "it is over");
}

#[tokio::test]
async fn a_request_is_refused_under_an_id_that_is_used_and_for_nobody() {
    let (line, _) = with_aside(&[2]).await;
    line.send_again(200, "hub").await.unwrap();
    let head = line.store.head();
    assert_eq!(reason(line.send_again(200, "signer").await), "REQUEST_ID_REUSED");
    assert_eq!(reason(line.send_again(1, "hub").await), "REQUEST_ID_REUSED", "that of a unit");
    assert_eq!(reason(line.send_again(201, "moon").await), "REQUEST_MALFORMED");
    assert_eq!(line.store.head(), head);
}

#[tokio::test]
async fn what_waits_for_an_operator_once_more_stays_aside_and_the_rest_goes_on() {
    let (line, hub) = with_aside(&[2, 4, 6]).await;
    hub.poisoned.lock().unwrap().clear();
    *hub.busy_at.lock().unwrap() = Some("sn4".to_owned());
    line.send_again(200, "hub").await.unwrap();
    let mut outbox = outbox(&line, &hub);
    drain(&mut outbox).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names([2, 6]));
    assert_eq!((line.aside().await, gauge(&line, &outbox)), (vec![("sn4".to_owned(), "IN_PROGRESS")], 1));
}

#[tokio::test]
async fn a_crash_at_any_step_of_it_loses_nothing() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync] {
        for commits in 0..3 {
            let (mut line, hub) = with_aside(&[2, 4, 6]).await;
            hub.poisoned.lock().unwrap().clear();
            line.send_again(200, "hub").await.unwrap();
            let mut dying = outbox(&line, &hub);
            line.faults.fail_after(step, commits);
            while dying.round().await.is_ok_and(|progress| progress == Progress::Moved) {}
            line.start_again();
            let mut outbox = outbox(&line, &hub);
            drain(&mut outbox).await.unwrap();
            assert_eq!((line.aside().await, gauge(&line, &outbox)), (Vec::new(), 0), "{step:?} {commits}");
            let mut arrived = hub.arrived.lock().unwrap().clone();
            arrived.sort();
            arrived.dedup();
            assert_eq!(arrived, names([2, 4, 6]));
        }
    }
}

#[tokio::test]
async fn a_feed_that_begins_anew_releases_what_arrives_and_counts_nothing_twice() {
    let (mut line, hub) = with_aside(&[2, 4]).await;
    hub.poisoned.lock().unwrap().remove("sn2");
    *hub.restored_at.lock().unwrap() = 700;
    write(&line, 8..9).await;
    let mut of_hub = outbox(&line, &hub);
    drain(&mut of_hub).await.unwrap();
    assert_eq!((line.aside().await, gauge(&line, &of_hub)), (vec![("sn4".to_owned(), "UNKNOWN_ISSUER")], 1));
    // The same where the line came back from a backup.
    hub.poisoned.lock().unwrap().clear();
    let mark = restored_unit(UnixTime::new(0), "provisioner", "technician-z", line.store.head()).unwrap();
    commit_one(line.store.as_ref(), mark).unwrap().unwrap();
    line.start_again();
    let mut of_line = outbox(&line, &hub);
    drain(&mut of_line).await.unwrap();
    assert_eq!((line.aside().await, gauge(&line, &of_line)), (Vec::new(), 0));
}

/// A unit's records, and which of them say what is still so.
struct Told<'a> {
    line: &'a Line,
    to_hub: ToHub,
    issued_at: u64,
}

impl Told<'_> {
    /// Records the next fact of the unit; answers where.
    fn step(&self, fact: Fact) -> Position {
        let store = self.line.store.as_ref();
        let unit = keys::unit("sn1");
        let mut record = self.line.act(99).unit(fact);
        record.claims = vec![Claim { key: unit, rule: Rule::At(store.get(&unit).unwrap().unwrap().position) }];
        commit_one(store, record).unwrap().unwrap().position
    }

    fn scrapped(&self) -> Position {
        self.step(Fact::UnitScrapped(UnitScrapped { issued_at: self.issued_at, why: "fell".to_owned() }))
    }

    fn reinstated(&self) -> Position {
        self.step(Fact::UnitReinstated(UnitReinstated { issued_at: self.issued_at }))
    }

    fn newest(&self) -> Position {
        self.line.store.get(&keys::unit("sn1")).unwrap().unwrap().position
    }

    fn is_overtaken(&self, at: Position) -> bool {
        let store = self.line.store.as_ref();
        self.to_hub.is_overtaken(store, &store.read(at).unwrap()).unwrap()
    }
}

async fn told(line: &Line) -> Told<'_> {
    let unit = line.provision(1, "sn1", &key()).await.unwrap();
    line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    let to_hub = ToHub {
        client: RegistrationServiceClient::new(PeerChannel::from(line.signer.channel())),
        clock: Arc::new(ManualClock::new(UnixTime::new(0))),
        manufacturer: "technician-z".to_owned(),
    };
    let written = line.store.get(&keys::unit("sn1")).unwrap().unwrap();
    let Fact::UnitWritten(fact) = read(&written).unwrap().1 else { panic!("not written") };
    Told { line, to_hub, issued_at: fact.issued_at }
}

#[tokio::test]
async fn a_unit_that_was_scrapped_and_came_back_is_not_scrapped_once_more() {
    let line = Line::new(&[("t7", 9)]);
    let told = told(&line).await;
    let written = told.newest();
    assert!(!told.is_overtaken(written));
    let scrapped = told.scrapped();
    assert_eq!([written, scrapped].map(|at| told.is_overtaken(at)), [true, false]);
    let back = told.reinstated();
    assert_eq!([written, scrapped, back].map(|at| told.is_overtaken(at)), [true, true, false], "in doubt again");
    told.scrapped();
    assert!(told.is_overtaken(back));
}

#[tokio::test]
async fn a_certificate_is_told_until_the_next_one_is_written_and_that_it_went_out_of_use_for_ever() {
    let line = Line::new(&[("t7", 9)]);
    let told = told(&line).await;
    let first = told.newest();
    let rework = UnitOrder { occasion: Occasion::Rework, ..line.order(3, "sn1", None, with_csr(&key())) };
    let reworked = line.desk.provision(rework).await.unwrap();
    assert!(!told.is_overtaken(first), "the new one is not on the device");
    let issued = told.newest();
    line.confirm(4, "sn1", &reworked.chain[0]).await.unwrap();
    assert_eq!([first, issued, told.newest()].map(|at| told.is_overtaken(at)), [true, false, false]);
}
