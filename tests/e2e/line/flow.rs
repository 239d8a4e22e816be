//! The flow of a line: stations that name no lot roll over to the next one, and more than fits is held back, not lost.

use std::{process::Command, time::SystemTime};

use api::{
    lot::v1::ReceiveLotRequest,
    provisioning::v1::{GetUnitRequest, PreflightRequest, ProvisionStreamRequest, UnitState},
    reason::v1::Reason,
};
use tokio::task::JoinSet;
use tonic::Code;

use super::{refusal_of, unit_of};
use crate::{
    answers::refused,
    custody::{Custody, offer},
    devices::{Device, Line, confirmation, server_made},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// Hands a lot out of factory-y's lot of the journey to technician-z.
async fn hand_on(chain: &Chain, lot: &str, units: u32) {
    let offer = offer("b0032", TECHNICIAN, lot, units);
    chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(offer).await.unwrap();
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: lot.to_owned(), from: FACTORY.to_owned() };
    chain.lots(Who::TechnicianOperator, At::TechnicianCa).receive_lot(request).await.unwrap();
}

#[tokio::test]
async fn requests_without_a_lot_roll_over_when_one_is_spent() {
    // Alone, because the current lot is the whole line's.
    let (chain, _folder) = Chain::alone().await;
    hand_on(&chain, "a1", 2).await;
    hand_on(&chain, "a2", 3).await;
    let line = Line::of(&chain);
    let preflight = PreflightRequest { station_time: Some(SystemTime::now().into()), lot: None };
    let answer = line.0.clone().preflight(preflight).await.unwrap().into_inner();
    assert_eq!((answer.lot.as_str(), answer.tally.unwrap().remaining), ("a1", Some(2)), "the first by id");

    let mut made = Vec::new();
    for number in 1..=4 {
        let id = format!("f-roll-sn{number}");
        // Every other key is made here, so that a lot's end in between loses no key either.
        let request = if number % 2 == 0 { server_made(None, &id) } else { Device::new(&id).at_line(None) };
        made.push((request.clone(), line.provision(&request).await));
    }
    let lots: Vec<_> = made.iter().map(|(_, unit)| unit.lot.as_str()).collect();
    assert_eq!(lots, ["a1", "a1", "a2", "a2"]);

    // A burst over the edge: one unit is left in a2, the others come from t7.
    let burst: Vec<_> = (5..=12).map(|number| Device::new(&format!("f-roll-sn{number}")).at_line(None)).collect();
    let answers = line.stream(burst.clone()).await;
    let mut lots: Vec<_> = burst.iter().map(|request| unit_of(&answers[&request.request_id]).lot.as_str()).collect();
    lots.sort_unstable();
    assert_eq!(lots, ["a2", "t7", "t7", "t7", "t7", "t7", "t7", "t7"]);

    for (request, unit) in &made {
        assert_eq!(&line.provision(request).await, unit, "a repetition stays with its lot");
    }
    // Who names a lot gets it or nothing.
    refused(line.ask(&server_made(Some("a1"), "f-roll-sn13")).await, Reason::QuantitySpent, Code::ResourceExhausted);
}

/// A station's stream holds 256 requests, the way to the signer 1024, and the signer's end of it another 256.
const IN_FLIGHT: usize = 256;
const STATIONS: usize = 8;

#[tokio::test]
async fn more_requests_than_the_way_to_a_signer_that_stands_still_holds_are_all_answered() {
    // Alone, because nobody else should have to wait.
    let (chain, _folder) = Chain::alone().await;
    let id = |station: usize, number: usize| format!("f-still-{station}-{number}");
    let line = Line::of(&chain);
    line.provision(&Device::new("f-still-first").at_line(Some("t7"))).await;
    signal(&chain, "STOP");
    let mut stations = JoinSet::new();
    for station in 0..STATIONS {
        let line = Line::of(&chain);
        let asked: Vec<_> =
            (0..IN_FLIGHT + 10).map(|number| Device::new(&id(station, number)).at_line(Some("t7"))).collect();
        stations.spawn(async move { line.stream(asked).await });
    }
    for station in 0..STATIONS {
        for number in 0..IN_FLIGHT {
            until_requested(&line, &id(station, number)).await;
        }
    }
    signal(&chain, "CONT");
    let mut provisioned = 0;
    while let Some(answers) = stations.join_next().await {
        for item in answers.unwrap().values() {
            unit_of(item);
            provisioned += 1;
        }
    }
    let preflight = PreflightRequest { station_time: Some(SystemTime::now().into()), lot: Some("t7".to_owned()) };
    let tally = line.0.clone().preflight(preflight).await.unwrap().into_inner().tally.unwrap();
    assert_eq!(tally.provisioned, provisioned + 2, "with the first and the one of the journey");
}

#[tokio::test]
async fn a_line_whose_signer_is_gone_says_when_to_try_again_and_goes_on_when_it_is_back() {
    let (mut chain, _folder) = Chain::alone().await;
    let before = Line::of(&chain).provision(&Device::new("f-gone-sn1").at_line(Some("t7"))).await;
    signal(&chain, "KILL");
    let line = Line::of(&chain);
    let waiting = [Device::new("f-gone-sn2").at_line(Some("t7")), server_made(Some("t7"), "f-gone-sn3")];
    let answers = line.stream(waiting.to_vec()).await;
    for request in &waiting {
        let by_call = refused(line.ask(request).await, Reason::UpstreamUnreachable, Code::Unavailable);
        let by_stream = refusal_of(&answers[&request.request_id], Reason::UpstreamUnreachable, Code::Unavailable);
        for refusal in [by_call, by_stream] {
            assert!(refusal.retry_delay().is_some(), "{refusal}");
        }
        assert_eq!(line.unit(&request.device_id).await.state(), UnitState::Requested);
    }
    // What was issued before does not need the signer.
    assert_eq!(line.unit("f-gone-sn1").await.chain, before.chain);
    line.confirm(&confirmation("f-gone-sn1", &before.chain[0])).await.unwrap();

    chain.restart().await;
    let line = Line::of(&chain);
    for request in &waiting {
        assert_eq!(line.provision(request).await.state(), UnitState::Issued);
    }
}

/// Sends the signer a signal.
fn signal(chain: &Chain, name: &str) {
    let pid = chain.world.service(TECHNICIAN, "intermediate-ca").unwrap().pid.to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// Asks until a request for this unit is on record.
async fn until_requested(line: &Line, id: &str) {
    let request = GetUnitRequest { device_id: id.to_owned() };
    while let Err(status) = line.0.clone().get_unit(request.clone()).await {
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
    }
}

#[tokio::test]
async fn a_station_that_reads_late_loses_nothing() {
    let lot = "f-late";
    let custody = Custody::at_technician("flow-late", lot, 300).await;
    let line = Line::of(custody.chain);
    let requests: Vec<_> =
        (0..300).map(|number| Device::new(&format!("f-late-sn{number}")).at_line(Some(lot))).collect();
    let items = requests
        .clone()
        .into_iter()
        .map(|r| ProvisionStreamRequest { request: Some(r), ..ProvisionStreamRequest::default() });
    let mut answers = line.0.clone().provision_stream(tokio_stream::iter(items)).await.unwrap().into_inner();
    // Before a single answer is read, another station is served: nobody waits for the one that does not read.
    let other = Line::of(custody.chain).provision(&requests[0]).await;
    let mut units = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        units.push(unit_of(&answer.result.unwrap()).clone());
    }
    assert_eq!(units.len(), 300);
    assert!(units.contains(&other));
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 300);
}
