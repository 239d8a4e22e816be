//! What the issuing service refuses, and that a refusal spends nothing.

mod csr;
pub(crate) mod forged;
#[path = "../hostile/mutate.rs"]
mod mutate;
mod mutated;

use api::{
    issuance::v1::{
        GetDeviceRequest, IssueDeviceRequest, issuance_service_client::IssuanceServiceClient,
        issue_devices_response::Result as Item,
    },
    reason::v1::Reason,
};
use service::identity::Role;
use simulator::Clients;
use tonic::Code;

use crate::{
    answers::{refused, refused_item},
    custody::Custody,
    devices::{Device, Signer, device_request},
    world::{At, FACTORY, TECHNICIAN},
};

#[tokio::test]
async fn what_is_no_device_id_is_refused() {
    let lot = "i-badid";
    let custody = Custody::at_technician("issue-bad-id", lot, 1).await;
    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let honest = Device::new("i-badid-sn1").at_signer(lot);
    let (long, endless) = ("s".repeat(64), "s".repeat(100_000));
    for id in ["", "-sn1", "sn1-", "sn_1", "sn.1", "sn 1", "sn1\0", "sn\u{fc}", "xn--sn1", &long, &endless] {
        let mut request = honest.clone();
        request.device_id = id.to_owned();
        refused(signer.ask(&request).await, Reason::DeviceIdInvalid, Code::InvalidArgument);
    }
    custody.unchanged(&before).await;
    signer.issue(&honest).await;
}

#[tokio::test]
async fn a_device_id_longer_than_the_program_allows_is_refused_and_the_longest_is_issued() {
    let lot = "i-long";
    let custody = Custody::at_technician("issue-long-id", lot, 1).await;
    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let too_long = Device::new(&format!("{lot}-{}", "s".repeat(26)));
    assert_eq!(too_long.id.len(), 33);
    refused(signer.ask(&too_long.at_signer(lot)).await, Reason::DeviceIdTooLong, Code::InvalidArgument);
    custody.unchanged(&before).await;
    let longest = Device::new(&too_long.id[..32]);
    assert_eq!(signer.issue(&longest.at_signer(lot)).await.device_id, longest.id);
}

#[tokio::test]
async fn a_device_id_in_upper_case_is_lowered_and_answered_so() {
    let lot = "i-upper";
    let custody = Custody::at_technician("issue-upper-case", lot, 2).await;
    let signer = Signer::of(custody.chain);
    let device = Device::new("I-Upper-SN1");
    let issued = signer.issue(&device.at_signer(lot)).await;
    assert_eq!(issued.device_id, "i-upper-sn1");
    // Another spelling is the same device, not a second one.
    let spelled = device_request(lot, "i-UPPER-sn1", device.csr());
    assert_eq!(signer.issue(&spelled).await, issued);
    let request = GetDeviceRequest { device_id: "I-UPPER-SN1".to_owned() };
    let found = signer.0.clone().get_device(request).await.unwrap().into_inner().certificate.unwrap();
    assert_eq!(found, issued);
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn a_refusal_names_what_is_taken_and_takes_nothing_itself() {
    let lot = "i-taken";
    let custody = Custody::at_technician("issue-taken", lot, 3).await;
    let signer = Signer::of(custody.chain);
    let first = Device::new("i-taken-sn1");
    let issued = signer.issue(&first.at_signer(lot)).await;
    let second = Device::new("i-taken-sn1");
    let refusal = refused(signer.ask(&second.at_signer(lot)).await, Reason::DeviceIdTaken, Code::AlreadyExists);
    assert_eq!(refusal.metadata()["differs"], "public key");
    let clone = Device { id: "i-taken-sn2".to_owned(), key: first.key };
    let refusal = refused(signer.ask(&clone.at_signer(lot)).await, Reason::PublicKeyTaken, Code::AlreadyExists);
    assert_eq!(refusal.metadata()["device_id"], issued.device_id);
    // Neither the refused key nor the refused id is anybody's.
    signer.issue(&Device { id: "i-taken-sn2".to_owned(), key: second.key }.at_signer(lot)).await;
}

#[tokio::test]
async fn a_lot_that_is_not_here_is_unknown() {
    let lot = "i-unk";
    let custody = Custody::at_technician("issue-unknown-lot", lot, 1).await;
    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let device = Device::new("i-unk-sn1");
    // Nobody's lot, the sender's lot, and what is no lot id at all.
    for wrong in ["i-nobody", "i-unk-f", "I-UNK", "", " ", "i-unk\0", "../i-unk"] {
        refused(signer.ask(&device.at_signer(wrong)).await, Reason::LotUnknown, Code::NotFound);
    }
    custody.unchanged(&before).await;
    signer.issue(&device.at_signer(lot)).await;
}

#[tokio::test]
async fn a_lot_id_of_any_length_is_refused_in_few_words() {
    let custody = Custody::at_technician("issue-long-lot", "i-words", 1).await;
    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let device = Device::new("i-words-sn1");
    let refusal =
        refused(signer.ask(&device.at_signer(&"l".repeat(100_000))).await, Reason::LotUnknown, Code::NotFound);
    assert!(refusal.message().len() < 2000, "{} octets", refusal.message().len());
    custody.unchanged(&before).await;
    signer.issue(&device.at_signer("i-words")).await;
}

#[tokio::test]
async fn a_lot_of_three_gives_three_and_its_refusals_spend_nothing() {
    let lot = "i-three";
    let custody = Custody::at_technician("issue-three", lot, 3).await;
    let signer = Signer::of(custody.chain);
    let mut issued = Vec::new();
    for number in 1..=3 {
        let device = Device::new(&format!("i-three-sn{number}"));
        let mut forged = device.at_signer(lot);
        forged.csr = forged::wants_to_be_ca(&device.id).remove(0);
        refused(signer.ask(&forged).await, Reason::CsrAsksForCa, Code::InvalidArgument);
        let request = device.at_signer(lot);
        issued.push((request.clone(), signer.issue(&request).await));
    }
    let tally = custody.tally(TECHNICIAN, lot).await;
    assert_eq!((tally.provisioned, tally.remaining), (3, Some(0)));

    let before = custody.picture().await;
    let fourth = Device::new("i-three-sn4").at_signer(lot);
    for _ in 0..2 {
        let refusal = refused(signer.ask(&fourth).await, Reason::QuantitySpent, Code::ResourceExhausted);
        assert_eq!(refusal.metadata()["lot"], lot);
    }
    custody.unchanged(&before).await;
    for (request, certificate) in issued {
        assert_eq!(signer.issue(&request).await, certificate, "a spent lot still answers what it issued");
    }
}

#[tokio::test]
async fn a_device_refused_by_a_spent_lot_can_come_from_another_under_the_same_request_id() {
    let custody = Custody::ordered("issue-spent-then-other", 3).await;
    custody.hand_to_factory("i-next-f", 3).await;
    custody.hand_to_technician("i-next-f", "i-next-a", 1).await;
    custody.hand_to_technician("i-next-f", "i-next-b", 2).await;
    let signer = Signer::of(custody.chain);
    signer.issue(&Device::new("i-next-sn1").at_signer("i-next-a")).await;
    let device = Device::new("i-next-sn2");
    let mut request = device.at_signer("i-next-a");
    refused(signer.ask(&request).await, Reason::QuantitySpent, Code::ResourceExhausted);
    request.lot = "i-next-b".to_owned();
    assert_eq!(signer.issue(&request).await.lot, "i-next-b");
}

#[tokio::test]
async fn a_refused_item_does_not_end_the_stream_and_is_refused_as_by_a_call() {
    let lot = "i-strm";
    let custody = Custody::at_technician("issue-stream", lot, 2).await;
    let signer = Signer::of(custody.chain);
    let (first, last) = (Device::new("i-strm-sn1").at_signer(lot), Device::new("i-strm-sn2").at_signer(lot));
    let forged = device_request(lot, "i-strm-sn3", forged::wants_to_be_ca("i-strm-sn3").remove(0));
    let nowhere = Device::new("i-strm-sn4").at_signer("i-nowhere");
    let nameless = Device::new("i_strm").at_signer(lot);
    let answers =
        signer.stream(vec![forged.clone(), first.clone(), nowhere.clone(), nameless.clone(), last.clone()]).await;
    for request in [first, last] {
        assert_eq!(answers[&request.request_id], Item::Certificate(signer.issue(&request).await));
    }
    for (request, reason, code) in [
        (forged, Reason::CsrAsksForCa, Code::InvalidArgument),
        (nowhere, Reason::LotUnknown, Code::NotFound),
        (nameless, Reason::DeviceIdInvalid, Code::InvalidArgument),
    ] {
        let by_call = refused(signer.ask(&request).await, reason, code);
        let Item::Refusal(item) = answers[&request.request_id].clone() else { panic!("issued {request:?}") };
        assert_eq!(refused_item(item, reason, code).message(), by_call.message());
    }
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 2);
}

#[tokio::test]
async fn a_request_without_an_id_or_content_is_malformed() {
    let lot = "i-empty";
    let custody = Custody::at_technician("issue-empty", lot, 1).await;
    let signer = Signer::of(custody.chain);
    let before = custody.picture().await;
    let mut client = signer.0.clone();
    let nothing = IssueDeviceRequest { request: None };
    refused(client.issue_device(nothing).await, Reason::RequestMalformed, Code::InvalidArgument);
    let honest = Device::new("i-empty-sn1").at_signer(lot);
    for id in ["", "1", "00000000-0000-0000-0000-000000000000", &honest.request_id.replace('-', "")] {
        let mut request = honest.clone();
        request.request_id = id.to_owned();
        refused(signer.ask(&request).await, Reason::RequestIdInvalid, Code::InvalidArgument);
    }
    custody.unchanged(&before).await;
    signer.issue(&honest).await;
}

#[tokio::test]
async fn a_device_that_was_never_issued_is_unknown() {
    let custody = Custody::at_technician("issue-never", "i-never", 1).await;
    let mut client = custody.chain.issuing();
    let mut get = async |id: &str| client.get_device(GetDeviceRequest { device_id: id.to_owned() }).await;
    refused(get("i-never-sn1").await, Reason::DeviceUnknown, Code::NotFound);
    refused(get("i never").await, Reason::DeviceIdInvalid, Code::InvalidArgument);
}

#[tokio::test]
async fn a_manufacturer_that_may_not_issue_devices_does_not() {
    let custody = Custody::ordered("issue-not-allowed", 1).await;
    custody.hand_to_factory("i-fact-f", 1).await;
    let before = custody.picture().await;
    // factory-y has no line in the order, but nothing keeps it from setting one up.
    let factory = custody.chain.organisation(FACTORY);
    factory.enroll("line", "provisioner", Some("line-1")).unwrap();
    let channel = Clients::load(factory, "line", &[factory])
        .unwrap()
        .channel(custody.chain.address(At::FactoryCa), FACTORY, Role::IntermediateCa)
        .unwrap();
    let signer = Signer(IssuanceServiceClient::new(channel));
    let request = Device::new("i-fact-sn1").at_signer("i-fact-f");
    refused(signer.ask(&request).await, Reason::DeviceIssuerNotAllowed, Code::FailedPrecondition);
    custody.unchanged(&before).await;
    let lot = custody.hand_to_technician("i-fact-f", "i-fact", 1).await;
    assert_eq!(lot.tally.unwrap().remaining, Some(1));
}
