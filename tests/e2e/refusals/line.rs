//! Devices: at the signer, as its line asks, and at the line, as its stations ask.

use api::{
    issuance::v1::{
        AllowReworkRequest, ConfirmDevicesRequest, ConfirmDevicesResponse, DeviceRequest, IssueDeviceRequest,
        IssueDevicesRequest, IssueDevicesResponse, Occasion, ScrapDeviceRequest, WrittenDevice, issue_devices_response,
    },
    provisioning::v1::{
        ConfirmWrittenRequest, ProvisionRequest, ProvisionStreamRequest, ProvisionStreamResponse, ScrapUnitRequest,
        SendAgainRequest, UnitRequest, provision_stream_response,
    },
    reason::v1::{self as wire, Reason},
};
use bytes::Bytes;
use pki::Sha256;

use super::{
    scene::Scene,
    table::{Caller, Row},
};
use crate::{
    devices::{Device, confirmation, server_made},
    world::{At, Who, fresh_id},
};

const ISSUE: &str = "issuance.v1.IssuanceService/IssueDevice";
const ISSUE_MANY: &str = "issuance.v1.IssuanceService/IssueDevices";
const CONFIRM_MANY: &str = "issuance.v1.IssuanceService/ConfirmDevices";
const ALLOW: &str = "issuance.v1.IssuanceService/AllowRework";
const SCRAP_DEVICE: &str = "issuance.v1.IssuanceService/ScrapDevice";
const PROVISION: &str = "provisioning.v1.ProvisioningService/Provision";
const PROVISION_MANY: &str = "provisioning.v1.ProvisioningService/ProvisionStream";
const CONFIRM: &str = "provisioning.v1.ProvisioningService/ConfirmWritten";
const SCRAP_UNIT: &str = "provisioning.v1.ProvisioningService/ScrapUnit";
const SEND_AGAIN: &str = "provisioning.v1.ProvisioningService/SendAgain";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    [
        issued(scene),
        confirmed_at_signer(scene),
        reworked(scene),
        provisioned(scene),
        written(scene),
        scrapped(scene),
        sent_again(scene),
    ]
    .concat()
}

fn issued(scene: &Scene) -> Vec<Row> {
    let line = Caller::of(scene.chain, Who::Provisioner, At::TechnicianCa);
    let fresh = Device::new("d-new");
    let other_key = Device::new("d-issued");
    let same_key = Device {
        id: "d-new".to_owned(),
        key: issuance::SoftwareKey::from_pkcs8(&scene.issued.key.to_pkcs8().unwrap()).unwrap(),
    };
    let as_rework =
        |device: &Device, occasion: Occasion| DeviceRequest { occasion: occasion.into(), ..device.at_signer("t-open") };
    let cases = [
        ("from a spent lot", fresh.at_signer("t-spent"), Reason::QuantitySpent),
        ("from a closed lot", fresh.at_signer("t-closed"), Reason::LotClosed),
        ("from a lot that is not open yet", fresh.at_signer("t-file"), Reason::LotNotOpen),
        ("from a lot that is on offer", fresh.at_signer("t-offer"), Reason::LotUnknown),
        ("from another manufacturer's lot", fresh.at_signer("f-open"), Reason::LotUnknown),
        ("twice, with another key", other_key.at_signer("t-open"), Reason::DeviceIdTaken),
        ("twice, with another key, from another lot", other_key.at_signer("t-done"), Reason::DeviceIdTaken),
        ("with the key of another device", same_key.at_signer("t-open"), Reason::PublicKeyTaken),
        ("twice, from another lot", scene.issued.at_signer("t-done"), Reason::DeviceIdTaken),
        (
            "under an id that is used",
            DeviceRequest { request_id: scene.ids.technician.clone(), ..fresh.at_signer("t-open") },
            Reason::RequestIdReused,
        ),
        ("as a replacement of nothing", as_rework(&fresh, Occasion::Replacement), Reason::DeviceUnknown),
        ("as a rework of what was never written", as_rework(&other_key, Occasion::Rework), Reason::NotWritten),
        (
            "as a replacement of what is written",
            as_rework(&Device::new("u-written"), Occasion::Replacement),
            Reason::AlreadyWritten,
        ),
        (
            "as a rework that nobody allowed",
            as_rework(&Device::new("u-written"), Occasion::Rework),
            Reason::ReworkNotAllowed,
        ),
        ("of what is scrapped", as_rework(&Device::new("u-scrapped"), Occasion::Replacement), Reason::DeviceScrapped),
    ];
    let refusal: fn(IssueDevicesResponse) -> Option<wire::Refusal> = |answer| match answer.result.unwrap() {
        issue_devices_response::Result::Refusal(refusal) => Some(refusal),
        issue_devices_response::Result::Certificate(_) => None,
    };
    let both = |(situation, request, reason): (&'static str, DeviceRequest, Reason)| {
        let one = IssueDeviceRequest { request: Some(request.clone()) };
        let many = IssueDevicesRequest { request: Some(request), ..IssueDevicesRequest::default() };
        [line.row(ISSUE, situation, one, reason), line.stream(ISSUE_MANY, situation, many, refusal, reason)]
    };
    cases.into_iter().flat_map(both).collect()
}

fn confirmed_at_signer(scene: &Scene) -> Vec<Row> {
    let line = Caller::of(scene.chain, Who::Provisioner, At::TechnicianCa);
    let confirm = |id: &str, certificate: &[u8]| ConfirmDevicesRequest {
        devices: vec![WrittenDevice {
            device_id: id.to_owned(),
            certificate_sha256: Bytes::copy_from_slice(Sha256::of(certificate).as_bytes()),
        }],
    };
    let refusal: fn(ConfirmDevicesResponse) -> _ = |answer| answer.devices.into_iter().find_map(|d| d.refusal);
    vec![
        line.item(
            CONFIRM_MANY,
            "of another certificate",
            confirm("d-issued", b"nobody"),
            refusal,
            Reason::WrittenCertificateDiffers,
        ),
        line.item(
            CONFIRM_MANY,
            "of what was never issued",
            confirm("d-new", b"nobody"),
            refusal,
            Reason::DeviceUnknown,
        ),
        line.item(
            CONFIRM_MANY,
            "of what is scrapped, and of another certificate",
            confirm("u-scrapped", b"nobody"),
            refusal,
            Reason::WrittenCertificateDiffers,
        ),
    ]
}

fn reworked(scene: &Scene) -> Vec<Row> {
    let operator = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let foreign = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let allow = |request_id: String, id: &str| AllowReworkRequest { request_id, device_id: id.to_owned() };
    let scrap = |request_id: String, id: &str| ScrapDeviceRequest {
        request_id,
        device_id: id.to_owned(),
        why: "fell".to_owned(),
    };
    let used = || scene.ids.technician.clone();
    let other_cause = ScrapDeviceRequest { why: "lost".to_owned(), ..scrap(fresh_id(), "u-scrapped") };
    vec![
        operator.row(ALLOW, "of what was never written", allow(fresh_id(), "d-issued"), Reason::NotWritten),
        operator.row(ALLOW, "of what is scrapped", allow(fresh_id(), "u-scrapped"), Reason::DeviceScrapped),
        operator.row(ALLOW, "of what was never issued", allow(fresh_id(), "d-new"), Reason::DeviceUnknown),
        operator.row(ALLOW, "under an id that is used", allow(used(), "u-written"), Reason::RequestIdReused),
        foreign.row(ALLOW, "of another manufacturer's device", allow(fresh_id(), "u-written"), Reason::DeviceUnknown),
        operator
            .row(SCRAP_DEVICE, "twice, for another cause", other_cause, Reason::DeviceScrapped)
            .saying("why", "fell"),
        operator.row(SCRAP_DEVICE, "of what was never issued", scrap(fresh_id(), "d-new"), Reason::DeviceUnknown),
        operator.row(SCRAP_DEVICE, "under an id that is used", scrap(used(), "d-issued"), Reason::RequestIdReused),
        foreign.row(
            SCRAP_DEVICE,
            "of another manufacturer's device",
            scrap(fresh_id(), "u-written"),
            Reason::DeviceUnknown,
        ),
    ]
}

fn provisioned(scene: &Scene) -> Vec<Row> {
    let station = Caller::of(scene.chain, Who::Station, At::Provisioner);
    let again =
        |id: &str, occasion: Occasion| UnitRequest { occasion: occasion.into(), ..Device::new(id).at_line(None) };
    // The line remembers a first request before its signer refuses it, so that a retry under any luck is the same request.
    let remembered = [
        ("from a spent lot", Device::new("u-new-1").at_line(Some("t-spent")), Reason::QuantitySpent),
        ("from a closed lot", Device::new("u-new-2").at_line(Some("t-closed")), Reason::LotClosed),
        ("from a lot that is not open yet", Device::new("u-new-5").at_line(Some("t-file")), Reason::LotNotOpen),
        ("from an unknown lot", Device::new("u-new-3").at_line(Some("nothing")), Reason::LotUnknown),
        ("with a key made here, from a spent lot", server_made(Some("t-spent"), "u-new-4"), Reason::QuantitySpent),
        (
            "of a device that the signer made for another key",
            Device::new("d-issued").at_line(Some("t-open")),
            Reason::DeviceIdTaken,
        ),
        ("as a rework that nobody allowed", again("u-written", Occasion::Rework), Reason::ReworkNotAllowed),
    ];
    let refused_here = [
        ("twice, with another key", Device::new("u-issued").at_line(Some("t-open")), Reason::DeviceIdTaken),
        ("twice, with a key made here", server_made(Some("t-open"), "u-issued"), Reason::DeviceIdTaken),
        (
            "twice, with another key, from another lot",
            Device::new("u-issued").at_line(Some("t-done")),
            Reason::DeviceIdTaken,
        ),
        ("as a replacement of what is scrapped", again("u-scrapped", Occasion::Replacement), Reason::DeviceScrapped),
        (
            "under an id that is used",
            UnitRequest { request_id: scene.ids.line.clone(), ..Device::new("u-new").at_line(Some("t-open")) },
            Reason::RequestIdReused,
        ),
    ];
    let refusal: fn(ProvisionStreamResponse) -> Option<wire::Refusal> = |answer| match answer.result.unwrap() {
        provision_stream_response::Result::Refusal(refusal) => Some(refusal),
        provision_stream_response::Result::Unit(_) => None,
    };
    let both = |(situation, request, reason): (&'static str, UnitRequest, Reason)| {
        let one = ProvisionRequest { request: Some(request.clone()), validate_only: false };
        let many = ProvisionStreamRequest { request: Some(request), ..ProvisionStreamRequest::default() };
        [
            station.row(PROVISION, situation, one, reason),
            station.stream(PROVISION_MANY, situation, many, refusal, reason),
        ]
    };
    let here = refused_here.into_iter().flat_map(both);
    let remembered = remembered.into_iter().flat_map(both).map(|row| row.recorded_at(At::Provisioner));
    let mut rows: Vec<Row> = here.chain(remembered).collect();
    rows.push(station.row(PROVISION, "of nothing", ProvisionRequest::default(), Reason::RequestMalformed));
    rows
}

fn written(scene: &Scene) -> Vec<Row> {
    let station = Caller::of(scene.chain, Who::Station, At::Provisioner);
    let reused =
        ConfirmWrittenRequest { request_id: scene.ids.line.clone(), ..confirmation("u-issued", &scene.in_doubt) };
    let torn = confirmation("u-issued", &scene.in_doubt);
    let torn = ConfirmWrittenRequest { certificate_sha256: torn.certificate_sha256.slice(..31), ..torn };
    vec![
        station.row(
            CONFIRM,
            "of another certificate",
            confirmation("u-issued", b"nobody"),
            Reason::WrittenCertificateDiffers,
        ),
        station.row(
            CONFIRM,
            "twice, of another certificate",
            confirmation("u-written", &scene.in_doubt),
            Reason::WrittenCertificateDiffers,
        ),
        station.row(CONFIRM, "of a truncated digest", torn, Reason::RequestMalformed),
        station.row(CONFIRM, "of what was never asked for", confirmation("u-new", b"nobody"), Reason::DeviceUnknown),
        station.row(
            CONFIRM,
            "of what is scrapped",
            confirmation("u-scrapped", &scene.scrapped),
            Reason::DeviceScrapped,
        ),
        station.row(CONFIRM, "under an id that is used", reused, Reason::RequestIdReused),
    ]
}

fn scrapped(scene: &Scene) -> Vec<Row> {
    let station = Caller::of(scene.chain, Who::Station, At::Provisioner);
    let scrap = |request_id: String, id: &str| ScrapUnitRequest {
        request_id,
        device_id: id.to_owned(),
        why: "fell".to_owned(),
    };
    let other_cause = ScrapUnitRequest { why: "lost".to_owned(), ..scrap(fresh_id(), "u-scrapped") };
    vec![
        station.row(SCRAP_UNIT, "twice, for another cause", other_cause, Reason::DeviceScrapped).saying("why", "fell"),
        station.row(SCRAP_UNIT, "of what was never asked for", scrap(fresh_id(), "u-new"), Reason::DeviceUnknown),
        station.row(
            SCRAP_UNIT,
            "under an id that is used",
            scrap(scene.ids.line.clone(), "u-written"),
            Reason::RequestIdReused,
        ),
    ]
}

fn sent_again(scene: &Scene) -> Vec<Row> {
    let operator = Caller::of(scene.chain, Who::TechnicianOperator, At::Provisioner);
    let again =
        |request_id: String, destination: &str| SendAgainRequest { request_id, destination: destination.to_owned() };
    let station = Caller::of(scene.chain, Who::Station, At::Provisioner);
    vec![
        operator.row(SEND_AGAIN, "to nobody", again(fresh_id(), ""), Reason::RequestMalformed),
        operator.row(SEND_AGAIN, "to an unknown destination", again(fresh_id(), "moon"), Reason::RequestMalformed),
        operator.row(SEND_AGAIN, "under no id", again(String::new(), "hub"), Reason::RequestIdInvalid),
        operator.row(
            SEND_AGAIN,
            "under an id that is used",
            again(scene.ids.line.clone(), "hub"),
            Reason::RequestIdReused,
        ),
        station.row(SEND_AGAIN, "by a station", again(fresh_id(), "hub"), Reason::RpcNotAllowed),
    ]
}
