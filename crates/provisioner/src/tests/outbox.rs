//! The journal as outbox: in order, at least once, through outages and crashes; the poisoned aside, the rest on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use api::{Refusal, RequestId, journal::v1::record::Fact};
use pki::Sha256;
use records::{CommitQueue, read, read_at};
use service::{ManualClock, Workers, metrics::Metrics};
use store::{Record, Step, Store};

use super::{Line, device_id, key, with_csr};
use crate::{
    metrics::tell_outboxes,
    outbox::{Answered, Delivery, Destination, Outbox, Outcome, Progress, Tools, may_pass},
};

/// A destination that keeps what arrives.
#[derive(Default)]
pub(super) struct Hub {
    pub(super) arrived: Mutex<Vec<String>>,
    /// Nothing arrives, and the sender knows it.
    is_down: Mutex<bool>,
    /// What is refused for good, and why.
    pub(super) poisoned: Mutex<BTreeMap<String, &'static str>>,
    pub(super) busy_at: Mutex<Option<String>>,
    pub(super) restored_at: Mutex<u64>,
    feeds: Mutex<BTreeSet<String>>,
}

pub(super) struct ToHub(Arc<Hub>);

#[tonic::async_trait]
impl Destination for ToHub {
    type Content = ();
    const NAME: &'static str = "hub";

    fn delivery(&self, store: &dyn Store, record: &Record) -> Result<Option<Delivery<()>>, Refusal> {
        let Fact::UnitWritten(written) = read(record)?.1 else { return Ok(None) };
        let Fact::UnitIssued(issued) = read_at(store, written.issued_at)?.2 else { return Ok(None) };
        Ok(Some(Delivery { position: record.position, device_id: issued.device_id, content: () }))
    }

    fn is_overtaken(&self, _: &dyn Store, _: &Record) -> Result<bool, Refusal> {
        Ok(false)
    }

    async fn deliver(&self, feed: &str, batch: &[Delivery<()>]) -> Result<Answered, Refusal> {
        if *self.0.is_down.lock().unwrap() {
            return Err(Refusal::new("UPSTREAM_UNREACHABLE", "the hub is down"));
        }
        self.0.feeds.lock().unwrap().insert(feed.to_owned());
        let mut is_busy = false;
        let deliver = |delivery: &Delivery<()>| {
            let id = Some(&delivery.device_id);
            let busy = Refusal::new("IN_PROGRESS", "busy").retry_after(std::time::Duration::from_millis(1));
            is_busy = is_busy || self.0.busy_at.lock().unwrap().as_ref() == id;
            if let Some(reason) = self.0.poisoned.lock().unwrap().get(&delivery.device_id) {
                return Outcome::Refused(Refusal::new(reason, "poisoned"));
            }
            if is_busy {
                assert!(may_pass(&busy));
                return Outcome::Later(busy);
            }
            self.0.arrived.lock().unwrap().push(delivery.device_id.clone());
            Outcome::Arrived(Vec::new())
        };
        let outcomes = batch.iter().map(deliver).collect();
        Ok(Answered { outcomes, restored_at: *self.0.restored_at.lock().unwrap() })
    }
}

pub(super) fn outbox(line: &Line, hub: &Arc<Hub>) -> Outbox<ToHub> {
    let store = Arc::clone(&line.store) as Arc<dyn Store>;
    let (commits, _) = CommitQueue::start(Arc::clone(&store)).unwrap();
    let tools = Tools {
        store,
        commits,
        clock: Arc::new(ManualClock::new(pki::UnixTime::new(0))),
        workers: Workers::Inline,
        manufacturer: "technician-z".to_owned(),
        news: tokio::sync::watch::Sender::default().subscribe(),
    };
    Outbox::open(tools, ToHub(Arc::clone(hub))).unwrap()
}

/// Provisions and confirms `sn<from>` to `sn<to - 1>`.
pub(super) async fn write(line: &Line, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let unit = line.provision(number, &format!("sn{number}"), &key()).await.unwrap();
        line.confirm(number + 100, &format!("sn{number}"), &unit.chain[0]).await.unwrap();
    }
}

pub(super) async fn drain(outbox: &mut Outbox<ToHub>) -> Result<(), Refusal> {
    while outbox.round().await? == Progress::Moved {}
    Ok(())
}

pub(super) fn names(numbers: impl IntoIterator<Item = u8>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("sn{number}")).collect()
}

#[tokio::test]
async fn everything_arrives_in_order_and_once_when_nothing_goes_wrong() {
    let line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    let mut outbox = outbox(&line, &hub);
    write(&line, 1..4).await;
    drain(&mut outbox).await.unwrap();
    write(&line, 4..6).await;
    drain(&mut outbox).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names(1..6));
    let head = line.store.head();
    drain(&mut outbox).await.unwrap();
    assert_eq!(line.store.head(), head, "an idle outbox records nothing");
}

/// The places of the old feed stand for what happened after the backup, too: in a new one nothing is taken for something else.
#[tokio::test]
async fn a_restored_line_tells_everything_again_in_a_new_feed_once() {
    let line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    write(&line, 1..3).await;
    drain(&mut outbox(&line, &hub)).await.unwrap();
    let mark = records::restored_unit(pki::UnixTime::new(0), "provisioner", "technician-z", line.store.head()).unwrap();
    records::commit_one(line.store.as_ref(), mark).unwrap().unwrap();
    for _ in 0..2 {
        drain(&mut outbox(&line, &hub)).await.unwrap();
    }
    assert_eq!(*hub.arrived.lock().unwrap(), [names(1..3), names(1..3)].concat());
    assert_eq!(hub.feeds.lock().unwrap().len(), 2);
    assert_eq!(records::Standing::of(line.store.as_ref()).unwrap().suspended, None, "a line issues nothing");
}

#[tokio::test]
async fn a_destination_that_came_back_from_a_backup_is_told_everything_again_once() {
    let line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    write(&line, 1..3).await;
    drain(&mut outbox(&line, &hub)).await.unwrap();
    *hub.restored_at.lock().unwrap() = 700;
    hub.arrived.lock().unwrap().clear();
    // It is noticed with the next thing that there is to tell.
    write(&line, 3..4).await;
    for _ in 0..2 {
        drain(&mut outbox(&line, &hub)).await.unwrap();
    }
    assert_eq!(*hub.arrived.lock().unwrap(), [names(3..4), names(1..4)].concat());
    assert_eq!(hub.feeds.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_waited_through_an_outage_and_a_power_cut_arrives_after() {
    let mut line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    write(&line, 1..3).await;
    drain(&mut outbox(&line, &hub)).await.unwrap();
    *hub.is_down.lock().unwrap() = true;
    write(&line, 3..6).await;
    assert_eq!(drain(&mut outbox(&line, &hub)).await.unwrap_err().reason(), "UPSTREAM_UNREACHABLE");
    line.start_again();
    *hub.is_down.lock().unwrap() = false;
    drain(&mut outbox(&line, &hub)).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names(1..6));
}

/// As [`write`], for more units than an octet can count.
async fn write_many(line: &Line, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let request = |kind: u8| {
            let mut octets = [kind; 16];
            octets[..4].copy_from_slice(&number.to_be_bytes());
            RequestId::from_octets(octets)
        };
        let id = format!("sn{number}");
        let mut order = line.order(0, &id, None, with_csr(&key()));
        order.act = line.act_as(request(1));
        let unit = line.desk.provision(order).await.unwrap();
        line.desk.confirm(line.act_as(request(2)), &device_id(&id), Sha256::of(&unit.chain[0])).await.unwrap();
    }
}

#[tokio::test]
async fn days_of_outage_power_cuts_and_a_hub_that_fails_again_lose_nothing_and_change_no_order() {
    const A_DAY: u32 = 700;
    const DAYS: u32 = 4;
    let mut line = Line::new(&[("t7", 5000)]);
    let hub = Arc::new(Hub::default());
    *hub.is_down.lock().unwrap() = true;
    for day in 0..DAYS {
        write_many(&line, day * A_DAY..(day + 1) * A_DAY).await;
        assert_eq!(drain(&mut outbox(&line, &hub)).await.unwrap_err().reason(), "UPSTREAM_UNREACHABLE");
        line.start_again();
    }
    // It is back. What arrived cannot always be put on record, and then the process ends.
    *hub.is_down.lock().unwrap() = false;
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync] {
        let mut outbox = outbox(&line, &hub);
        for _ in 0..3 {
            assert_eq!(outbox.round().await.unwrap(), Progress::Moved);
        }
        line.faults.fail_after(step, 0);
        while outbox.round().await.is_ok() {}
        line.start_again();
    }
    let before = hub.arrived.lock().unwrap().len();
    assert!(before > 1500, "most of it is there: {before}");
    drain(&mut outbox(&line, &hub)).await.unwrap();

    // At least once: a repetition begins at or before the end of what arrived, never after it. In order: each new one is the next.
    let arrived = hub.arrived.lock().unwrap().clone();
    let (mut next, mut expected) = (0_u32, None);
    for id in &arrived {
        let number: u32 = id.strip_prefix("sn").unwrap().parse().unwrap();
        let goes_on = expected.is_none_or(|expected| number == expected);
        assert!(number <= next && (goes_on || number < next), "{number} after {expected:?}, {next} were new");
        next = next.max(number + 1);
        expected = Some(number + 1);
    }
    assert_eq!(next, A_DAY * DAYS, "all of them");
    assert!(arrived.len() > usize::try_from(next).unwrap(), "the test had something repeated");
    let idle = arrived.len();
    drain(&mut outbox(&line, &hub)).await.unwrap();
    assert_eq!(hub.arrived.lock().unwrap().len(), idle, "and then nothing more");
}

#[tokio::test]
async fn what_is_set_aside_is_told_at_metrics_also_after_a_restart() {
    let mut line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    hub.poisoned.lock().unwrap().insert("sn2".to_owned(), "REQUEST_MALFORMED");
    write(&line, 1..5).await;
    for expected in [0, 1, 1] {
        let mut outbox = outbox(&line, &hub);
        assert_eq!(gauge(&line, &outbox), expected);
        drain(&mut outbox).await.unwrap();
        assert_eq!(gauge(&line, &outbox), 1);
        line.start_again();
    }
}

/// How many deliveries are set aside, as it is told at `/metrics`.
pub(super) fn gauge(line: &Line, outbox: &Outbox<ToHub>) -> u64 {
    let (metrics, store) = (Metrics::new(), Arc::clone(&line.store) as Arc<dyn Store>);
    tell_outboxes(&metrics, &store, vec![outbox.place()]);
    let text = metrics.encode().unwrap();
    let told = |line: &str| line.split_once("outbox_quarantined{destination=\"hub\"} ")?.1.parse().ok();
    text.lines().find_map(told).unwrap()
}

#[tokio::test]
async fn a_delivery_that_is_refused_for_good_is_set_aside_and_the_rest_goes_on() {
    let line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    hub.poisoned.lock().unwrap().insert("sn2".to_owned(), "REQUEST_MALFORMED");
    write(&line, 1..5).await;
    drain(&mut outbox(&line, &hub)).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names([1, 3, 4]));
    let (aside, next) = line.desk.quarantine(None, 10).await.unwrap();
    assert_eq!((aside.len(), next), (1, None));
    assert_eq!((aside[0].destination.as_str(), aside[0].device_id.as_str()), ("hub", "sn2"));
    assert_eq!(Refusal::from_wire(aside[0].refusal.clone().unwrap()).reason(), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn a_destination_that_is_busy_in_the_middle_gets_the_rest_later_and_nothing_out_of_order() {
    let line = Line::new(&[("t7", 50)]);
    let hub = Arc::new(Hub::default());
    *hub.busy_at.lock().unwrap() = Some("sn3".to_owned());
    write(&line, 1..6).await;
    let mut outbox = outbox(&line, &hub);
    assert_eq!(drain(&mut outbox).await.unwrap_err().reason(), "IN_PROGRESS");
    assert_eq!(*hub.arrived.lock().unwrap(), names([1, 2]));
    *hub.busy_at.lock().unwrap() = None;
    drain(&mut outbox).await.unwrap();
    assert_eq!(*hub.arrived.lock().unwrap(), names(1..6));
}
