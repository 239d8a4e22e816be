//! A service of the line killed in the middle of a stream of units: the line goes on, and nothing is lost, doubled or changed.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    provisioning::v1::{Unit, UnitRequest},
    reason::v1::Reason,
};
use pki::Certificate;
use simulator::{Plan, World};

use crate::{
    people::{Answer, Stream, provisioned, station, unit_requests},
    world::journey,
};

const LINE: &str = "technician-z";
const LOT: &str = "t7";
/// The journey provisions one device itself.
const BEFORE: u64 = 1;
/// Units under way when the service is killed, and as many asked for while it is away.
const HALF: u32 = 60;
/// Answers that are waited for before it is killed.
const ACKNOWLEDGED: usize = 15;
/// Streams until every unit must have been answered.
const MOST_STREAMS: usize = 20;

/// What was acknowledged, by device id.
type Units = BTreeMap<String, Unit>;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_intermediate_ca_loses_and_doubles_no_unit_of_a_running_stream() {
    killed_in_the_middle("intermediate-ca").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_provisioner_loses_and_doubles_no_unit_of_a_running_stream() {
    killed_in_the_middle("provisioner").await;
}

async fn killed_in_the_middle(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(folder.path(), &Plan::new(1, 2).unwrap()).await;
    let requests = unit_requests(LOT, 0, 2 * HALF);
    let (first_half, second_half) = requests.split_at(usize::try_from(HALF).unwrap());

    let mut acknowledged = Units::new();
    let mut stream = Stream::open(station(&world)).await;
    stream.ask(first_half).await;
    while acknowledged.len() < ACKNOWLEDGED {
        match stream.next().await {
            Answer::Unit(unit) => acknowledge(&mut acknowledged, *unit),
            Answer::Refused { request_id, refusal } => panic!("{request_id}: {refusal:?}"),
            Answer::End(end) => panic!("{end:?}"),
        }
    }
    let killed = world.kill_service(LINE, kind).await.unwrap();
    stream.ask(second_half).await;
    stream.close();
    world.start_again(killed).await.unwrap();
    assert!(acknowledged.len() < requests.len(), "killed in the middle");
    drain(stream, &mut acknowledged).await;

    until_all_are_answered(&world, &requests, &mut acknowledged).await;
    assert_issued_exactly_once(&world, &requests, &acknowledged).await;
    world.kill().await.unwrap();
}

/// Adds a unit to what was acknowledged; a unit acknowledged before must be the same to the octet.
fn acknowledge(acknowledged: &mut Units, unit: Unit) {
    if let Some(before) = acknowledged.get(&unit.device_id) {
        assert_eq!(*before, unit, "another answer than before");
    }
    acknowledged.insert(unit.device_id.clone(), unit);
}

/// Takes what a stream answers to its end, whatever that is: the station only learns that it has to ask again.
async fn drain(mut stream: Stream, acknowledged: &mut Units) {
    loop {
        match stream.next().await {
            Answer::Unit(unit) => acknowledge(acknowledged, *unit),
            Answer::Refused { request_id, refusal } => {
                assert_eq!(refusal.reason(), Reason::UpstreamUnreachable, "{request_id}: {refusal:?}");
            }
            Answer::End(_) => return,
        }
    }
}

/// A station asks again for what was not answered, with the same requests, until everything is.
async fn until_all_are_answered(world: &World, requests: &[UnitRequest], acknowledged: &mut Units) {
    for _ in 0..MOST_STREAMS {
        let open: Vec<UnitRequest> =
            requests.iter().filter(|r| !acknowledged.contains_key(&r.device_id)).cloned().collect();
        if open.is_empty() {
            return;
        }
        let mut stream = Stream::open(station(world)).await;
        stream.ask(&open).await;
        stream.close();
        drain(stream, acknowledged).await;
    }
    panic!("{} of {} units were answered", acknowledged.len(), requests.len());
}

/// Every request is answered again with the same octets, every unit has its own certificate, and the tally knows of no other.
async fn assert_issued_exactly_once(world: &World, requests: &[UnitRequest], acknowledged: &Units) {
    let mut again = Units::new();
    let mut stream = Stream::open(station(world)).await;
    stream.ask(requests).await;
    stream.close();
    drain(stream, &mut again).await;
    assert_eq!(again, *acknowledged);
    let leaf = |unit: &Unit| Certificate::parse(unit.chain.first().unwrap()).unwrap();
    let serials: BTreeSet<String> = acknowledged.values().map(|unit| leaf(unit).serial().to_string()).collect();
    assert_eq!(serials.len(), requests.len());
    for (device_id, unit) in acknowledged {
        assert_eq!(leaf(unit).subject().common_names(), [device_id.as_str()]);
    }
    let all = u64::try_from(requests.len()).unwrap();
    assert_eq!(provisioned(world, LOT).await, BEFORE + all);
}
