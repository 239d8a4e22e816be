//! One unit's day, across the line and its signer.

use api::{
    issuance::v1::{
        AllowReworkRequest, DeviceState, GetDeviceRequest, Occasion, ScrapDeviceRequest,
        issuance_service_client::IssuanceServiceClient,
    },
    provisioning::v1::{ListInDoubtRequest, ProvisionRequest, ScrapUnitRequest, UnitRequest, UnitState},
    reason::v1::Reason,
};
use tonic::Code;

use super::again;
use crate::{
    answers::refused,
    custody::Custody,
    devices::{Device, Line, confirmation, server_made},
    world::{At, TECHNICIAN, Who, fresh_id},
};

#[tokio::test]
async fn a_board_that_rebooted_with_a_new_key_gets_a_replacement_and_the_lot_pays_once() {
    let custody = Custody::at_technician("day-replace", "d-rep", 4).await;
    let line = Line::of(custody.chain);
    let first = line.provision(&Device::new("d-rep1").at_line(Some("d-rep"))).await;
    let rebooted = Device::new("d-rep1");
    let request = again(&rebooted, Occasion::Replacement);
    let second = line.provision(&request).await;
    assert_ne!(second.chain[0], first.chain[0]);
    assert_eq!((second.generation, second.state()), (1, UnitState::Issued));
    assert_eq!(line.provision(&request).await, second);
    let tally = custody.lot("d-rep").await.tally.unwrap();
    assert_eq!((tally.provisioned, tally.remaining), (1, Some(3)));
    // Three replacements are allowed by the terms; this was one.
    for _ in 0..2 {
        line.provision(&again(&Device::new("d-rep1"), Occasion::Replacement)).await;
    }
    let fourth = line.ask(&again(&Device::new("d-rep1"), Occasion::Replacement)).await;
    refused(fourth, Reason::ReplacementCapSpent, Code::FailedPrecondition);
    let stale = line.confirm(&confirmation("d-rep1", &second.chain[0])).await;
    refused(stale, Reason::WrittenCertificateDiffers, Code::FailedPrecondition);
}

#[tokio::test]
async fn a_rework_needs_the_signers_operator_and_gives_the_next_generation() {
    let custody = Custody::at_technician("day-rework", "d-rew", 4).await;
    let chain = custody.chain;
    let device = custody.written("d-rew", "d-rew1").await;
    custody.until_written("d-rew", 1).await;
    let line = Line::of(chain);
    let request = again(&Device::new("d-rew1"), Occasion::Rework);
    let allow = AllowReworkRequest { request_id: fresh_id(), device_id: device.id.clone() };
    let mut by_line = IssuanceServiceClient::new(chain.channel(Who::Provisioner, At::TechnicianCa));
    refused(by_line.allow_rework(allow.clone()).await, Reason::RpcNotAllowed, Code::PermissionDenied);
    let mut operator = IssuanceServiceClient::new(chain.channel(Who::TechnicianOperator, At::TechnicianCa));
    assert_eq!(operator.allow_rework(allow).await.unwrap().into_inner().next_generation, 2);
    let reworked = line.provision(&request).await;
    assert_eq!((reworked.generation, reworked.state()), (2, UnitState::Issued));
    let story = operator.get_device(GetDeviceRequest { device_id: device.id.clone() }).await.unwrap().into_inner();
    assert_eq!(story.state(), DeviceState::Issued);
    assert_eq!(story.history.len(), 4, "issued, written, allowed, issued again");
    assert_eq!(custody.tally(TECHNICIAN, "d-rew").await.remaining, Some(3));
}

#[tokio::test]
async fn a_scrapped_unit_is_counted_at_the_signer_and_told_at_the_line() {
    let custody = Custody::at_technician("day-scrap", "d-scr", 4).await;
    let line = Line::of(custody.chain);
    custody.written("d-scr", "d-scr1").await;
    let request = ScrapUnitRequest {
        request_id: fresh_id(),
        device_id: "d-scr1".to_owned(),
        why: "fell off the bench".to_owned(),
    };
    for _ in 0..2 {
        let scrapped = line.0.clone().scrap_unit(request.clone()).await.unwrap().into_inner().unit.unwrap();
        assert_eq!(scrapped.state(), UnitState::Scrapped);
    }
    let tally = custody.lot("d-scr").await.tally.unwrap();
    assert_eq!((tally.scrapped, tally.provisioned, tally.remaining), (1, 0, Some(3)));
    let before = custody.picture().await;
    let long = ScrapUnitRequest { request_id: fresh_id(), why: "x".repeat(201), ..request };
    let mut operator = IssuanceServiceClient::new(custody.chain.channel(Who::TechnicianOperator, At::TechnicianCa));
    let long = ScrapDeviceRequest { request_id: long.request_id, device_id: long.device_id, why: long.why };
    refused(operator.scrap_device(long).await, Reason::RequestMalformed, Code::InvalidArgument);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn a_request_that_is_only_judged_spends_nothing_and_says_what_would_stand_against_it() {
    let custody = Custody::at_technician("day-validate", "d-val", 1).await;
    let line = Line::of(custody.chain);
    let before = custody.picture().await;
    let judge = async |request: UnitRequest| {
        line.0.clone().provision(ProvisionRequest { request: Some(request), validate_only: true }).await
    };
    let device = Device::new("d-val1");
    let unit = judge(device.at_line(Some("d-val"))).await.unwrap().into_inner().unit.unwrap();
    assert_eq!((unit.lot.as_str(), unit.chain.len()), ("d-val", 0));
    refused(judge(device.at_line(Some("d-none"))).await, Reason::LotUnknown, Code::NotFound);
    custody.unchanged(&before).await;
    line.provision(&device.at_line(Some("d-val"))).await;
    let spent = judge(Device::new("d-val2").at_line(Some("d-val"))).await;
    refused(spent, Reason::QuantitySpent, Code::ResourceExhausted);
    let taken = judge(Device::new("d-val1").at_line(Some("d-val"))).await;
    refused(taken, Reason::DeviceIdTaken, Code::AlreadyExists);
    // What was answered would be answered again, spent lot or not, whoever made the key.
    let custody = Custody::at_technician("day-validate-2", "d-va2", 1).await;
    let made_here = server_made(Some("d-va2"), "d-va2-1");
    line.provision(&made_here).await;
    let before = custody.picture().await;
    assert_eq!(judge(made_here.clone()).await.unwrap().into_inner().unit.unwrap().lot, "d-va2");
    let other = server_made(Some("d-va2"), "d-va2-1");
    refused(judge(other).await, Reason::DeviceIdTaken, Code::AlreadyExists);
    let elsewhere = UnitRequest { device_id: "d-va2-2".to_owned(), ..made_here };
    refused(judge(elsewhere).await, Reason::RequestIdReused, Code::AlreadyExists);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn units_in_doubt_are_listed_at_the_line_until_they_are_confirmed() {
    let custody = Custody::at_technician("day-doubt", "d-dou", 4).await;
    let line = Line::of(custody.chain);
    let mut units = Vec::new();
    for id in ["d-dou1", "d-dou2", "d-dou3"] {
        units.push(line.provision(&Device::new(id).at_line(Some("d-dou"))).await);
    }
    line.confirm(&confirmation("d-dou2", &units[1].chain[0])).await.unwrap();
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListInDoubtRequest { page_size: 1, page_token, lot: String::new() };
        let page = line.0.clone().list_in_doubt(request).await.unwrap().into_inner();
        listed.extend(page.units.into_iter().filter(|unit| unit.lot == "d-dou").map(|unit| unit.device_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ["d-dou1", "d-dou3"]);
    let foreign = ListInDoubtRequest { lot: String::new(), page_size: 1, page_token: "quarantine:7".to_owned() };
    refused(line.0.clone().list_in_doubt(foreign).await, Reason::PageTokenInvalid, Code::InvalidArgument);
}
