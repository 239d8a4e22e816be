//! The same for devices: at the signer and at the line, by unary call and by stream.

use api::{
    issuance::v1::{IssueDeviceRequest, issue_devices_response},
    provisioning::v1::{
        ConfirmWrittenRequest, ProvisionRequest, ScrapUnitRequest, SendAgainRequest, UnitRequest, UnitState,
        provision_stream_response, provisioning_service_client::ProvisioningServiceClient,
    },
    reason::v1::Reason,
};
use tonic::Code;

use super::repeated;
use crate::{
    answers::{refused, refused_item},
    custody::Custody,
    devices::{Device, Line, Signer, confirmation},
    world::{At, Chain, TECHNICIAN, Who, fresh_id},
};

pub(super) async fn issue_device() {
    let custody = Custody::at_technician("repeat-issue", "rep-is", 5).await;
    let signer = Signer::of(custody.chain);
    let good = Device::new("rep-is-1").at_signer("rep-is");
    let mut others = vec![Device::new("rep-is-1").at_signer("rep-is"), Device::new("rep-is-2").at_signer("rep-is")];
    for other in &mut others {
        other.request_id.clone_from(&good.request_id);
    }
    let call = |request| {
        let mut client = signer.0.clone();
        async move { client.issue_device(IssueDeviceRequest { request: Some(request) }).await }
    };
    repeated(good, others, call).await;
    assert_eq!(custody.tally(TECHNICIAN, "rep-is").await.provisioned, 1);
}

pub(super) async fn issue_devices() {
    let custody = Custody::at_technician("repeat-issues", "rep-ss", 5).await;
    let signer = Signer::of(custody.chain);
    let good = Device::new("rep-ss-1").at_signer("rep-ss");
    let id = good.request_id.clone();
    let one = async |request| signer.stream(vec![request]).await.remove(&id).unwrap();
    let first = one(good.clone()).await;
    assert_eq!(one(good.clone()).await, first);
    for other in [Device::new("rep-ss-1").at_signer("rep-ss"), Device::new("rep-ss-2").at_signer("rep-ss")] {
        match one(api::issuance::v1::DeviceRequest { request_id: id.clone(), ..other }).await {
            issue_devices_response::Result::Refusal(item) => {
                refused_item(item, Reason::RequestIdReused, Code::AlreadyExists);
            }
            issue_devices_response::Result::Certificate(issued) => panic!("issued {issued:?}"),
        }
    }
    assert_eq!(one(good).await, first);
    assert_eq!(custody.tally(TECHNICIAN, "rep-ss").await.provisioned, 1);
}

pub(super) async fn provision() {
    let custody = Custody::at_technician("repeat-prov", "rep-pr", 5).await;
    let line = Line::of(custody.chain);
    let good = Device::new("rep-pr-1").at_line(Some("rep-pr"));
    let mut others =
        vec![Device::new("rep-pr-1").at_line(Some("rep-pr")), Device::new("rep-pr-2").at_line(Some("rep-pr"))];
    for other in &mut others {
        other.request_id.clone_from(&good.request_id);
    }
    let call = |request| {
        let mut client = line.0.clone();
        async move { client.provision(ProvisionRequest { request: Some(request), ..ProvisionRequest::default() }).await }
    };
    repeated(good, others, call).await;
    assert_eq!(custody.tally(TECHNICIAN, "rep-pr").await.provisioned, 1);
}

pub(super) async fn provision_stream() {
    let custody = Custody::at_technician("repeat-provs", "rep-ps", 5).await;
    let line = Line::of(custody.chain);
    let good = Device::new("rep-ps-1").at_line(Some("rep-ps"));
    let id = good.request_id.clone();
    let one = async |request| line.stream(vec![request]).await.remove(&id).unwrap();
    let first = one(good.clone()).await;
    assert_eq!(one(good.clone()).await, first);
    for other in [Device::new("rep-ps-1").at_line(Some("rep-ps")), Device::new("rep-ps-2").at_line(Some("rep-ps"))] {
        match one(UnitRequest { request_id: id.clone(), ..other }).await {
            provision_stream_response::Result::Refusal(item) => {
                refused_item(item, Reason::RequestIdReused, Code::AlreadyExists);
            }
            provision_stream_response::Result::Unit(unit) => panic!("provisioned {unit:?}"),
        }
    }
    assert_eq!(one(good).await, first);
    assert_eq!(custody.tally(TECHNICIAN, "rep-ps").await.provisioned, 1);
}

pub(super) async fn confirm_written() {
    let custody = Custody::at_technician("repeat-conf", "rep-co", 5).await;
    let line = Line::of(custody.chain);
    let mut written = Vec::new();
    for id in ["rep-co-1", "rep-co-2"] {
        written.push(line.provision(&Device::new(id).at_line(Some("rep-co"))).await);
    }
    let good = confirmation("rep-co-1", &written[0].chain[0]);
    let others = vec![ConfirmWrittenRequest {
        request_id: good.request_id.clone(),
        ..confirmation("rep-co-2", &written[1].chain[0])
    }];
    let call = |request| {
        let mut client = line.0.clone();
        async move { client.confirm_written(request).await }
    };
    repeated(good, others, call).await;
    assert_eq!(line.unit("rep-co-2").await.state(), UnitState::Issued);
}

pub(super) async fn scrap_unit() {
    let custody = Custody::at_technician("repeat-scrap-unit", "rep-scu", 5).await;
    let line = Line::of(custody.chain);
    for id in ["rep-scu-1", "rep-scu-2"] {
        line.provision(&Device::new(id).at_line(Some("rep-scu"))).await;
    }
    let good = ScrapUnitRequest { request_id: fresh_id(), device_id: "rep-scu-1".to_owned(), why: "bent".to_owned() };
    let others = vec![
        ScrapUnitRequest { why: "lost".to_owned(), ..good.clone() },
        ScrapUnitRequest { device_id: "rep-scu-2".to_owned(), ..good.clone() },
    ];
    let call = |request| {
        let mut client = line.0.clone();
        async move { client.scrap_unit(request).await }
    };
    repeated(good.clone(), others, call).await;
    call(ScrapUnitRequest { request_id: fresh_id(), ..good.clone() }).await.unwrap();
    let other = ScrapUnitRequest { request_id: fresh_id(), why: "lost".to_owned(), ..good };
    let refusal = refused(call(other).await, Reason::DeviceScrapped, Code::FailedPrecondition);
    assert_eq!(refusal.metadata()["why"], "bent");
    assert_eq!(custody.tally(TECHNICIAN, "rep-scu").await.scrapped, 1);
}

pub(super) async fn send_again() {
    let chain = Chain::shared().await;
    let operator = ProvisioningServiceClient::new(chain.channel(Who::TechnicianOperator, At::Provisioner));
    let good = SendAgainRequest { request_id: fresh_id(), destination: "signer".to_owned() };
    let others = vec![SendAgainRequest { destination: "hub".to_owned(), ..good.clone() }];
    let call = |request| {
        let mut client = operator.clone();
        async move { client.send_again(request).await }
    };
    repeated(good, others, call).await;
}
