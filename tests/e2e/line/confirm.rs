//! Two phases: a unit is issued, and written once the station says what it read back from the device.

use api::{
    provisioning::v1::{KeyAlgorithm, ServerMadeKey, UnitState, unit_request::Key},
    reason::v1::Reason,
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey};
use pki::Certificate;
use tonic::Code;

use crate::{
    answers::refused,
    custody::Custody,
    devices::{Device, Line, confirmation, server_made, unit_request},
    world::{TECHNICIAN, fresh_id},
};

#[tokio::test]
async fn a_server_made_key_is_answered_until_the_unit_is_confirmed_and_then_the_chain_alone() {
    let lot = "c-key";
    let custody = Custody::at_technician("confirm-key", lot, 5).await;
    let line = Line::of(custody.chain);
    let request = server_made(Some(lot), "c-key-sn1");
    let unit = line.provision(&request).await;
    let key = SoftwareKey::from_pkcs8(unit.private_key.as_ref().unwrap()).unwrap();
    let leaf = Certificate::parse(&unit.chain[0]).unwrap();
    assert_eq!(leaf.public_key(), key.public_key());
    assert_eq!((unit.state(), unit.key_withheld), (UnitState::Issued, None));
    for _ in 0..3 {
        assert_eq!(line.provision(&request).await, unit, "the same key until it is confirmed");
    }
    assert_eq!(line.unit("c-key-sn1").await.private_key, None, "reading a unit shows no key");
    let wrapped = format!("escrow/{}.wrapped", key.public_key().sha256());
    let wrapped = custody.chain.organisation(TECHNICIAN).folder().join(&wrapped);
    assert!(wrapped.exists());

    let confirm = confirmation("c-key-sn1", &unit.chain[0]);
    let written = line.confirm(&confirm).await.unwrap().into_inner().unit.unwrap();
    assert_eq!((written.state(), &written.chain, written.private_key), (UnitState::Written, &unit.chain, None));
    assert!(!wrapped.exists(), "the key is destroyed");
    for _ in 0..2 {
        let again = line.provision(&request).await;
        assert_eq!((again.state(), &again.chain), (UnitState::Written, &unit.chain));
        assert_eq!((again.private_key, again.key_withheld), (None, Some(Reason::KeyAlreadyDelivered.into())));
    }
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 1);
}

#[tokio::test]
async fn the_line_makes_every_kind_of_key_that_it_offers() {
    let lot = "c-kinds";
    let custody = Custody::at_technician("confirm-kinds", lot, 5).await;
    let line = Line::of(custody.chain);
    let kinds = [
        (KeyAlgorithm::Unspecified, KeyKind::P256),
        (KeyAlgorithm::P256, KeyKind::P256),
        (KeyAlgorithm::P384, KeyKind::P384),
        (KeyAlgorithm::Ed25519, KeyKind::Ed25519),
    ];
    for (number, (algorithm, kind)) in kinds.into_iter().enumerate() {
        let key = Key::ServerMadeKey(ServerMadeKey { algorithm: algorithm.into() });
        let unit = line.provision(&unit_request(Some(lot), &format!("c-kinds-sn{number}"), key)).await;
        let key = SoftwareKey::from_pkcs8(&unit.private_key.unwrap()).unwrap();
        assert_eq!(key.kind(), kind);
        assert_eq!(Certificate::parse(&unit.chain[0]).unwrap().public_key(), key.public_key());
    }
}

#[tokio::test]
async fn a_confirmation_of_another_certificate_is_refused_and_changes_nothing() {
    let lot = "c-other";
    let custody = Custody::at_technician("confirm-other", lot, 5).await;
    let line = Line::of(custody.chain);
    let request = server_made(Some(lot), "c-other-sn1");
    let unit = line.provision(&request).await;
    let neighbour = line.provision(&Device::new("c-other-sn2").at_line(Some(lot))).await;
    let before = custody.picture().await;

    // The neighbour's certificate, the lot's CA, and nobody's.
    for wrong in [&neighbour.chain[0], &unit.chain[1], &Bytes::from_static(b"nobody")] {
        let mut confirm = confirmation("c-other-sn1", wrong);
        let refusal =
            refused(line.confirm(&confirm).await, Reason::WrittenCertificateDiffers, Code::FailedPrecondition);
        assert_eq!(
            refusal.metadata()["expected_sha256"],
            Certificate::parse(&unit.chain[0]).unwrap().sha256().to_string()
        );
        confirm.certificate_sha256 = confirm.certificate_sha256.slice(..31);
        refused(line.confirm(&confirm).await, Reason::RequestMalformed, Code::InvalidArgument);
    }
    assert_eq!(line.unit("c-other-sn1").await.state(), UnitState::Issued);
    assert_eq!(line.provision(&request).await, unit, "with its key");
    custody.unchanged(&before).await;

    line.confirm(&confirmation("c-other-sn1", &unit.chain[0])).await.unwrap();
    // What is written stays written, and still is no other certificate.
    let wrong = confirmation("c-other-sn1", &neighbour.chain[0]);
    refused(line.confirm(&wrong).await, Reason::WrittenCertificateDiffers, Code::FailedPrecondition);
    assert_eq!(line.unit("c-other-sn1").await.state(), UnitState::Written);
}

#[tokio::test]
async fn a_refused_confirmation_may_be_made_again_with_what_is_right() {
    let lot = "c-again";
    let custody = Custody::at_technician("confirm-again", lot, 5).await;
    let line = Line::of(custody.chain);
    let unit = line.provision(&Device::new("c-again-sn1").at_line(Some(lot))).await;
    let right = confirmation("c-again-sn1", &unit.chain[0]);
    let mut wrong = confirmation("c-again-sn1", b"nobody");
    wrong.request_id.clone_from(&right.request_id);
    refused(line.confirm(&wrong).await, Reason::WrittenCertificateDiffers, Code::FailedPrecondition);
    let confirmed = line.confirm(&right).await.unwrap().into_inner();
    assert_eq!(line.confirm(&right).await.unwrap().into_inner(), confirmed, "a repetition is answered alike");
    let mut anew = right.clone();
    anew.request_id = fresh_id();
    assert_eq!(line.confirm(&anew).await.unwrap().into_inner(), confirmed, "another station's as well");
    // From now on the request id stands for this confirmation.
    refused(line.confirm(&wrong).await, Reason::RequestIdReused, Code::AlreadyExists);
}

#[tokio::test]
async fn a_confirmation_under_a_used_request_id_is_a_conflict_and_changes_nothing() {
    let lot = "c-reuse";
    let custody = Custody::at_technician("confirm-reuse", lot, 5).await;
    let line = Line::of(custody.chain);
    let (first, second) =
        (Device::new("c-reuse-sn1").at_line(Some(lot)), Device::new("c-reuse-sn2").at_line(Some(lot)));
    let (one, two) = (line.provision(&first).await, line.provision(&second).await);
    let used = confirmation("c-reuse-sn1", &one.chain[0]);
    line.confirm(&used).await.unwrap();
    // The confirmation of another unit, and the requests that made the units.
    for id in [&used.request_id, &first.request_id, &second.request_id] {
        let mut confirm = confirmation("c-reuse-sn2", &two.chain[0]);
        confirm.request_id.clone_from(id);
        refused(line.confirm(&confirm).await, Reason::RequestIdReused, Code::AlreadyExists);
        assert_eq!(line.unit("c-reuse-sn2").await.state(), UnitState::Issued);
    }
    // And the other way round: a confirmation's id asks for no unit.
    for mut request in [first, Device::new("c-reuse-sn3").at_line(Some(lot))] {
        request.request_id.clone_from(&used.request_id);
        refused(line.ask(&request).await, Reason::RequestIdReused, Code::AlreadyExists);
    }
    line.confirm(&confirmation("c-reuse-sn2", &two.chain[0])).await.unwrap();
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 2);
}

#[tokio::test]
async fn what_has_no_certificate_cannot_be_confirmed() {
    let lot = "c-none";
    let custody = Custody::at_technician("confirm-none", lot, 5).await;
    let line = Line::of(custody.chain);
    let device = Device::new("c-none-sn1");
    let nobody = confirmation("c-none-sn1", b"nobody");
    refused(line.confirm(&nobody).await, Reason::DeviceUnknown, Code::NotFound);
    refused(line.ask(&device.at_line(Some("c-nowhere"))).await, Reason::LotUnknown, Code::NotFound);
    refused(line.confirm(&nobody).await, Reason::UnitNotIssued, Code::FailedPrecondition);
    let unit = line.provision(&device.at_line(Some(lot))).await;
    line.confirm(&confirmation("c-none-sn1", &unit.chain[0])).await.unwrap();
}
