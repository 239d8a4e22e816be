//! The line's face: streams, keys made by the provisioner, confirmations, lots that roll over.

mod confirm;
mod flow;

use std::time::{Duration, SystemTime};

use api::{
    provisioning::v1::{
        GetUnitRequest, PreflightRequest, ProvisionRequest, Unit, UnitRequest, UnitState,
        provision_stream_response::Result as Item, provisioning_service_client::ProvisioningServiceClient,
        unit_request::Key,
    },
    reason::v1::Reason,
};
use service::identity::Role;
use simulator::Clients;
use tonic::{Code, transport::Channel};

use crate::{
    answers::{cut_off, refused, refused_item},
    custody::Custody,
    devices::{Device, Line, Signer, server_made, unit_request},
    issue::forged,
    world::{At, FACTORY, TECHNICIAN, Who},
};

#[track_caller]
fn unit_of(item: &Item) -> &Unit {
    match item {
        Item::Unit(unit) => unit,
        Item::Refusal(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
fn refusal_of(item: &Item, reason: Reason, code: Code) -> api::Refusal {
    match item {
        Item::Unit(unit) => panic!("provisioned: {unit:?}"),
        Item::Refusal(refusal) => refused_item(refusal.clone(), reason, code),
    }
}

#[tokio::test]
async fn a_refused_item_does_not_end_the_stream_and_its_neighbours_are_issued() {
    let lot = "l-neigh";
    let custody = Custody::at_technician("line-neighbours", lot, 10).await;
    let line = Line::of(custody.chain);
    let good = [1, 2, 3].map(|number| Device::new(&format!("l-neigh-sn{number}")).at_line(Some(lot)));
    let forged = unit_request(Some(lot), "l-neigh-sn4", Key::Csr(forged::wants_to_be_ca("l-neigh-sn4").remove(0)));
    let nowhere = Device::new("l-neigh-sn5").at_line(Some("l-nowhere"));
    let answers =
        line.stream(vec![good[0].clone(), forged.clone(), good[1].clone(), nowhere.clone(), good[2].clone()]).await;
    for request in &good {
        assert_eq!(unit_of(&answers[&request.request_id]).device_id, request.device_id);
    }
    refusal_of(&answers[&forged.request_id], Reason::CsrAsksForCa, Code::InvalidArgument);
    refusal_of(&answers[&nowhere.request_id], Reason::LotUnknown, Code::NotFound);
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 3);
}

/// Requests that are refused, each for its reason.
fn hopeless(lot: &str) -> Vec<(UnitRequest, Reason, Code)> {
    let csr = |id: &str, csr| unit_request(Some(lot), id, Key::Csr(csr));
    let gate = [
        (csr("l-alike-x1", forged::malformed("l-alike-x1").remove(1)), Reason::CsrMalformed),
        (csr("l-alike-x2", forged::without_possession().remove(1)), Reason::CsrPossessionInvalid),
        (csr("l-alike-x3", forged::unfit_algorithm().remove(0)), Reason::CsrSignatureAlgorithm),
        (csr("l-alike-x4", forged::weak().remove(0)), Reason::CsrKeyWeak),
        (csr("l-alike-x5", forged::on_another_curve().remove(0)), Reason::CsrKeyNotAllowed),
        (csr("l-alike-x6", forged::wants_to_be_ca("l-alike-x6").remove(0)), Reason::CsrAsksForCa),
        (csr("l-alike-x7", forged::wants_names("l-alike-x7").remove(0)), Reason::CsrAsksForNames),
        (csr("l-alike-x8", forged::wants_usages("l-alike-x8").remove(0)), Reason::CsrAsksForExtensions),
        (Device::new("l_alike").at_line(Some(lot)), Reason::DeviceIdInvalid),
        (Device::new(&"l".repeat(33)).at_line(Some(lot)), Reason::DeviceIdTooLong),
        (UnitRequest { key: None, ..Device::new("l-alike-x9").at_line(Some(lot)) }, Reason::RequestMalformed),
    ];
    let mut all: Vec<_> = gate.into_iter().map(|(request, reason)| (request, reason, Code::InvalidArgument)).collect();
    all.push((server_made(Some("l-nowhere"), "l-alike-xa"), Reason::LotUnknown, Code::NotFound));
    all.push((Device::new("l-alike-xb").at_line(Some("l-nowhere")), Reason::LotUnknown, Code::NotFound));
    all
}

#[tokio::test]
async fn stream_and_unary_call_answer_alike_and_refuse_alike() {
    let lot = "l-alike";
    let custody = Custody::at_technician("line-alike", lot, 10).await;
    let line = Line::of(custody.chain);
    let before = custody.picture().await;
    let hopeless = hopeless(lot);
    let streamed = line.stream(hopeless.iter().map(|(request, _, _)| request.clone()).collect()).await;
    for (request, reason, code) in &hopeless {
        let by_stream = refusal_of(&streamed[&request.request_id], *reason, *code);
        let by_call = refused(line.ask(request).await, *reason, *code);
        assert_eq!(by_stream.message(), by_call.message());
        assert_eq!(by_stream.metadata(), by_call.metadata());
    }
    custody.unchanged(&before).await;

    let (own, made) = (Device::new("l-alike-sn1").at_line(Some(lot)), server_made(Some(lot), "l-alike-sn2"));
    let streamed = line.stream(vec![own.clone(), made.clone()]).await;
    for request in [own, made] {
        assert_eq!(unit_of(&streamed[&request.request_id]), &line.provision(&request).await);
    }
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 2);
}

#[tokio::test]
async fn a_refused_unit_can_be_provisioned_by_another_request() {
    let lot = "l-after";
    let custody = Custody::at_technician("line-after-refusal", lot, 2).await;
    let line = Line::of(custody.chain);
    let device = Device::new("l-after-sn1");
    let typo = device.at_line(Some("l-aftre"));
    refused(line.ask(&typo).await, Reason::LotUnknown, Code::NotFound);
    refused(line.ask(&typo).await, Reason::LotUnknown, Code::NotFound);
    let unit = line.provision(&device.at_line(Some(lot))).await;
    assert_eq!((unit.lot.as_str(), unit.state()), (lot, UnitState::Issued));
    // The refused request stands for what it asked for: it gets no unit of another lot.
    refused(line.ask(&typo).await, Reason::DeviceIdTaken, Code::AlreadyExists);
    let mut corrected = typo;
    corrected.lot = Some(lot.to_owned());
    refused(line.ask(&corrected).await, Reason::RequestIdReused, Code::AlreadyExists);
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn a_conflict_at_the_line_says_what_differs() {
    let lot = "l-con";
    let custody = Custody::at_technician("line-conflict", lot, 9).await;
    let line = Line::of(custody.chain);
    let device = Device::new("l-con-sn1");
    let request = device.at_line(Some(lot));
    line.provision(&request).await;
    let others = [
        (Device::new("l-con-sn2").at_line(Some(lot)), "device id"),
        (Device::new("l-con-sn1").at_line(Some(lot)), "public key"),
        (server_made(Some(lot), "l-con-sn1"), "public key"),
        (device.at_line(Some("t7")), "lot"),
    ];
    for (mut other, differs) in others {
        if differs != "device id" {
            let refusal = refused(line.ask(&other).await, Reason::DeviceIdTaken, Code::AlreadyExists);
            assert_eq!(refusal.metadata()["differs"], differs);
        }
        other.request_id.clone_from(&request.request_id);
        let refusal = refused(line.ask(&other).await, Reason::RequestIdReused, Code::AlreadyExists);
        assert_eq!(refusal.metadata()["differs"], differs);
    }
    line.provision(&Device::new("l-con-sn2").at_line(Some(lot))).await;
}

#[tokio::test]
async fn a_device_that_the_signer_issued_already_is_the_same_unit_for_its_key_and_taken_for_any_other() {
    let lot = "l-else";
    let custody = Custody::at_technician("line-elsewhere", lot, 3).await;
    let line = Line::of(custody.chain);
    let device = Device::new("l-else-sn1");
    let issued = Signer::of(custody.chain).issue(&device.at_signer(lot)).await;
    let before = custody.picture().await;
    refused(line.ask(&Device::new("l-else-sn1").at_line(Some(lot))).await, Reason::DeviceIdTaken, Code::AlreadyExists);
    refused(line.ask(&server_made(Some(lot), "l-else-sn1")).await, Reason::DeviceIdTaken, Code::AlreadyExists);
    let clone = Device { id: "l-else-sn2".to_owned(), key: device.key };
    refused(line.ask(&clone.at_line(Some(lot))).await, Reason::PublicKeyTaken, Code::AlreadyExists);
    custody.unchanged(&before).await;
    let device = Device { id: "l-else-sn1".to_owned(), key: clone.key };
    assert_eq!(line.provision(&device.at_line(Some(lot))).await.chain[0], issued.certificate);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn a_unit_that_nobody_asked_for_is_unknown() {
    let custody = Custody::at_technician("line-never", "l-never", 1).await;
    let mut client = custody.chain.line();
    let request = GetUnitRequest { device_id: "l-never-sn1".to_owned() };
    refused(client.get_unit(request).await, Reason::DeviceUnknown, Code::NotFound);
}

#[tokio::test]
async fn only_stations_of_this_company_are_given_units() {
    let lot = "l-who";
    let custody = Custody::at_technician("line-who", lot, 2).await;
    let chain = custody.chain;
    let before = custody.picture().await;
    let device = Device::new("l-who-sn1");
    let request = ProvisionRequest { request: Some(device.at_line(Some(lot))), validate_only: false };
    let provision_as = async |channel: Channel| {
        let mut client = ProvisioningServiceClient::new(channel);
        client.provision(request.clone()).await
    };
    // Our own operator may look at units, and may not ask for one.
    let operator = provision_as(chain.channel(Who::TechnicianOperator, At::Provisioner)).await;
    refused(operator, Reason::RpcNotAllowed, Code::PermissionDenied);
    // A role that the line knows nobody of, and companies that it does not know, get no further than the handshake.
    for stranger in [Who::Provisioner, Who::FactoryOperator, Who::Alice] {
        cut_off(provision_as(chain.channel(stranger, At::Provisioner)).await);
    }
    let factory = chain.organisation(FACTORY);
    factory.enroll("station", "station", Some("station-1")).unwrap();
    let station = Clients::load(factory, "station", &[chain.organisation(TECHNICIAN)]).unwrap();
    let station = station.channel(chain.address(At::Provisioner), TECHNICIAN, Role::Provisioner).unwrap();
    cut_off(provision_as(station).await);
    custody.unchanged(&before).await;
    Line::of(chain).provision(&device.at_line(Some(lot))).await;
}

#[tokio::test]
async fn a_station_learns_before_its_shift_who_it_is_and_what_is_left() {
    let lot = "l-shift";
    let custody = Custody::at_technician("line-shift", lot, 7).await;
    let line = Line::of(custody.chain);
    let before = custody.picture().await;
    let an_hour_ago = prost_types::Timestamp::from(SystemTime::now() - Duration::from_secs(3600));
    let asked = PreflightRequest { station_time: Some(an_hour_ago), lot: Some(lot.to_owned()) };
    let answer = line.0.clone().preflight(asked.clone()).await.unwrap().into_inner();
    assert_eq!(answer.identity, "spiffe://technician-z.example/technician-z/station/station-1");
    assert_eq!((answer.lot.as_str(), answer.tally.unwrap().remaining), (lot, Some(7)));
    assert!((-3_700_000..=-3_590_000).contains(&answer.clock_difference_ms), "{}", answer.clock_difference_ms);
    assert!((3600..=3650).contains(&answer.certificate_days_left), "{}", answer.certificate_days_left);
    let elsewhere = PreflightRequest { lot: Some("l-nowhere".to_owned()), ..asked.clone() };
    refused(line.0.clone().preflight(elsewhere).await, Reason::LotUnknown, Code::NotFound);
    let timeless = PreflightRequest { station_time: None, ..asked };
    refused(line.0.clone().preflight(timeless).await, Reason::RequestMalformed, Code::InvalidArgument);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn what_is_no_lot_id_is_refused_before_it_is_recorded() {
    let lot = "l-label";
    let custody = Custody::at_technician("line-label", lot, 1).await;
    let line = Line::of(custody.chain);
    let before = custody.picture().await;
    let device = Device::new("l-label-sn1");
    for wrong in ["", "L-LABEL", "l label", "../l-label", &"l".repeat(25), &"l".repeat(100_000)] {
        let request = device.at_line(Some(wrong));
        refused(line.ask(&request).await, Reason::LabelInvalid, Code::InvalidArgument);
        let unit = line.0.clone().get_unit(GetUnitRequest { device_id: device.id.clone() }).await;
        refused(unit, Reason::DeviceUnknown, Code::NotFound);
    }
    custody.unchanged(&before).await;
    line.provision(&device.at_line(Some(lot))).await;
}
