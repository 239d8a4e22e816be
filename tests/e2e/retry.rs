//! Same request, same bytes: repeated, at once from many sides, and after a restart.

use api::{
    Refusal,
    issuance::v1::issue_devices_response,
    lot::v1::{GetLotRequest, ReceiveLotRequest},
    provisioning::v1::{GetUnitRequest, UnitState},
    reason::v1::Reason,
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    answers::refused,
    custody::{Custody, offer},
    devices::{Device, Line, Signer, confirmation, server_made},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// Callers that ask at the same time.
const MANY: usize = 32;

/// Makes all of these calls at the same time.
async fn at_once<T: Send + 'static>(calls: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    calls.collect::<JoinSet<T>>().join_all().await
}

#[tokio::test]
async fn the_same_request_is_answered_with_the_same_bytes() {
    let lot = "r-same";
    let custody = Custody::at_technician("retry-same", lot, 5).await;
    let signer = Signer::of(custody.chain);
    let request = Device::new("r-same-sn1").at_signer(lot);
    let first = signer.issue(&request).await;
    assert_eq!(first.generation, 1);
    for _ in 0..3 {
        assert_eq!(signer.issue(&request).await, first);
    }
    let mut shouted = request.clone();
    shouted.request_id = request.request_id.to_uppercase();
    assert_eq!(signer.issue(&shouted).await, first, "a uuid is the same in any case");
    let streamed = signer.stream(vec![request.clone()]).await;
    assert_eq!(streamed[&request.request_id], issue_devices_response::Result::Certificate(first));
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn another_request_for_the_same_device_and_key_is_answered_with_the_same_bytes() {
    let lot = "r-again";
    let custody = Custody::at_technician("retry-again", lot, 5).await;
    let signer = Signer::of(custody.chain);
    let device = Device::new("r-again-sn1");
    let first = signer.issue(&device.at_signer(lot)).await;
    for _ in 0..3 {
        let again = device.at_signer(lot);
        assert_eq!(signer.issue(&again).await, first);
    }
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn thirty_two_tries_of_one_request_at_once_make_one_certificate() {
    let lot = "r-many";
    let custody = Custody::at_technician("retry-many", lot, 100).await;
    let request = Device::new("r-many-sn1").at_signer(lot);
    let try_it = |_| {
        let (signer, request) = (Signer::of(custody.chain), request.clone());
        async move { signer.issue(&request).await }
    };
    let answers = at_once((0..MANY).map(try_it)).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    let tally = custody.tally(TECHNICIAN, lot).await;
    assert_eq!((tally.provisioned, tally.remaining), (1, Some(99)));
}

#[tokio::test]
async fn thirty_two_requests_for_one_device_at_once_make_one_certificate() {
    let lot = "r-reqs";
    let custody = Custody::at_technician("retry-requests", lot, 100).await;
    let device = Device::new("r-reqs-sn1");
    let ask = |_| {
        let (signer, request) = (Signer::of(custody.chain), device.at_signer(lot));
        async move { signer.issue(&request).await }
    };
    let answers = at_once((0..MANY).map(ask)).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn thirty_two_keys_for_one_device_at_once_make_one_certificate() {
    let lot = "r-keys";
    let custody = Custody::at_technician("retry-keys", lot, 100).await;
    let ask = |_| {
        let (signer, request) = (Signer::of(custody.chain), Device::new("r-keys-sn1").at_signer(lot));
        async move { signer.ask(&request).await }
    };
    let mut issued = 0;
    for answer in at_once((0..MANY).map(ask)).await {
        match answer {
            Ok(_) => issued += 1,
            refusal @ Err(_) => drop(refused(refusal, Reason::DeviceIdTaken, Code::AlreadyExists)),
        }
    }
    assert_eq!(issued, 1);
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn the_last_unit_of_a_lot_goes_to_one_of_thirty_two() {
    let lot = "r-last";
    let custody = Custody::at_technician("retry-last", lot, 1).await;
    let ask = |number| {
        let (signer, device) = (Signer::of(custody.chain), Device::new(&format!("r-last-sn{number}")));
        async move { signer.ask(&device.at_signer("r-last")).await }
    };
    let mut issued = 0;
    for answer in at_once((0..MANY).map(ask)).await {
        match answer {
            Ok(_) => issued += 1,
            refusal @ Err(_) => drop(refused(refusal, Reason::QuantitySpent, Code::ResourceExhausted)),
        }
    }
    let tally = custody.tally(TECHNICIAN, lot).await;
    assert_eq!((issued, tally.provisioned, tally.remaining), (1, 1, Some(0)));
}

#[tokio::test]
async fn a_request_id_with_other_content_is_a_conflict_and_changes_nothing() {
    let custody = Custody::ordered("retry-conflict", 8).await;
    custody.hand_to_factory("r-con-f", 8).await;
    custody.hand_to_technician("r-con-f", "r-con-a", 4).await;
    custody.hand_to_technician("r-con-f", "r-con-b", 4).await;
    let signer = Signer::of(custody.chain);
    let device = Device::new("r-con-sn1");
    let request = device.at_signer("r-con-a");
    let issued = signer.issue(&request).await;
    let before = custody.picture().await;

    let other_device = Device::new("r-con-sn2").at_signer("r-con-a");
    let other_key = Device::new("r-con-sn1").at_signer("r-con-a");
    let other_lot = device.at_signer("r-con-b");
    for (mut other, differs) in [(other_device, "device id"), (other_key, "public key"), (other_lot, "lot")] {
        other.request_id.clone_from(&request.request_id);
        let refusal = refused(signer.ask(&other).await, Reason::RequestIdReused, Code::AlreadyExists);
        assert_eq!(refusal.metadata()["differs"], differs);
    }
    custody.unchanged(&before).await;
    assert_eq!(signer.issue(&request).await, issued);
    // The refused device is free to come under a request id of its own.
    signer.issue(&Device::new("r-con-sn2").at_signer("r-con-a")).await;
}

#[tokio::test]
async fn a_request_id_serves_one_kind_of_request() {
    let custody = Custody::ordered("retry-kinds", 2).await;
    custody.hand_to_factory("r-kind-f", 2).await;
    let offer = offer("r-kind-f", TECHNICIAN, "r-kind", 2);
    custody.chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(offer).await.unwrap();
    let receive = ReceiveLotRequest { request_id: fresh_id(), lot: "r-kind".to_owned(), from: FACTORY.to_owned() };
    let mut lots = custody.chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    lots.receive_lot(receive.clone()).await.unwrap();

    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let mut request = Device::new("r-kind-sn1").at_signer("r-kind");
    request.request_id = receive.request_id;
    refused(signer.ask(&request).await, Reason::RequestIdReused, Code::AlreadyExists);
    custody.unchanged(&before).await;
    request.request_id = fresh_id();
    signer.issue(&request).await;
}

#[tokio::test]
async fn thirty_two_tries_of_one_unit_at_once_make_one_unit_with_one_key() {
    let lot = "r-unit";
    let custody = Custody::at_technician("retry-unit", lot, 100).await;
    for request in [Device::new("r-unit-sn1").at_line(Some(lot)), server_made(Some(lot), "r-unit-sn2")] {
        let try_it = |_| {
            let (line, request) = (Line::of(custody.chain), request.clone());
            async move { line.provision(&request).await }
        };
        let answers = at_once((0..MANY).map(try_it)).await;
        assert!(answers.iter().all(|answer| answer == &answers[0]));
    }
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 2);
}

#[tokio::test]
async fn thirty_two_tries_of_one_hopeless_unit_at_once_are_refused_alike() {
    let custody = Custody::at_technician("retry-hopeless", "r-hope", 1).await;
    let request = server_made(Some("r-nowhere"), "r-hope-sn1");
    let try_it = |_| {
        let (line, request) = (Line::of(custody.chain), request.clone());
        async move { line.ask(&request).await }
    };
    for answer in at_once((0..MANY).map(try_it)).await {
        let refusal = Refusal::from_status(&answer.unwrap_err());
        // Which try is made while another one is refused is chance.
        assert!(["LOT_UNKNOWN", "IN_PROGRESS"].contains(&refusal.reason()), "{refusal}");
        assert_eq!(refusal.reason() == "IN_PROGRESS", refusal.retry_delay().is_some());
    }
    refused(Line::of(custody.chain).ask(&request).await, Reason::LotUnknown, Code::NotFound);
}

#[tokio::test]
async fn a_station_that_goes_away_finds_its_unit_by_a_retry() {
    let lot = "r-gone";
    let custody = Custody::at_technician("retry-gone", lot, 40).await;
    let (line, mut other) = (Line::of(custody.chain), custody.chain.line());
    for number in 0..20 {
        let id = format!("r-gone-sn{number}");
        let request = if number % 2 == 0 { Device::new(&id).at_line(Some(lot)) } else { server_made(Some(lot), &id) };
        // The call is dropped when another, shorter one is answered, wherever it is by then.
        tokio::select! {
            _ = line.ask(&request) => {}
            _ = other.get_unit(GetUnitRequest { device_id: id.clone() }) => {}
        }
        let unit = line.provision(&request).await;
        assert_eq!(line.provision(&request).await, unit);
    }
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 20);
}

#[tokio::test]
async fn what_was_answered_before_a_power_cut_is_answered_after_it() {
    let (mut chain, _folder) = Chain::alone().await;
    let lot = "t7";
    let device = Device::new("r-cut-sn1");
    let request = device.at_signer(lot);
    let issued = Signer::of(&chain).issue(&request).await;
    let kept = server_made(Some(lot), "r-cut-sn2");
    let with_key = Line::of(&chain).provision(&kept).await;
    let written = server_made(Some(lot), "r-cut-sn3");
    let confirmed = Line::of(&chain).provision(&written).await;
    let confirm = confirmation("r-cut-sn3", &confirmed.chain[0]);
    let after_confirmation = Line::of(&chain).confirm(&confirm).await.unwrap().into_inner();
    let before = tally(&chain, lot).await;
    assert_eq!(before.provisioned, 4, "and the one of the journey");

    chain.restart().await;
    let (signer, line) = (Signer::of(&chain), Line::of(&chain));
    assert_eq!(signer.issue(&request).await, issued);
    assert_eq!(signer.issue(&device.at_signer(lot)).await, issued);
    let mut other = Device::new("r-cut-sn4").at_signer(lot);
    other.request_id.clone_from(&request.request_id);
    refused(signer.ask(&other).await, Reason::RequestIdReused, Code::AlreadyExists);
    refused(signer.ask(&Device::new("r-cut-sn1").at_signer(lot)).await, Reason::DeviceIdTaken, Code::AlreadyExists);

    assert_eq!(line.provision(&kept).await, with_key, "with its key, which nobody confirmed");
    let again = line.provision(&written).await;
    assert_eq!((&again.chain, again.state()), (&confirmed.chain, UnitState::Written));
    assert_eq!((again.private_key, again.key_withheld), (None, Some(Reason::KeyAlreadyDelivered.into())));
    assert_eq!(line.confirm(&confirm).await.unwrap().into_inner(), after_confirmation);
    assert_eq!(tally(&chain, lot).await, before, "a repetition spends nothing");
}

async fn tally(chain: &Chain, lot: &str) -> api::custody::v1::Tally {
    let mut lots = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let answer = lots.get_lot(GetLotRequest { lot: lot.to_owned() }).await.unwrap().into_inner();
    answer.lot.unwrap().tally.unwrap()
}
