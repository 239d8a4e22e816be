//! A manufacturer that is suspended, comes from elsewhere, or lost its key: over the wire, at the brand and at the next sender.

use std::{process::Command, time::Duration};

use api::{
    handoff::v1::{AcceptHandoffRequest, OfferHandoffRequest},
    manufacturer::v1::{
        ReinstateManufacturerRequest, RotateIdentityKeyRequest, ServiceIdentity, SetServiceIdentityRequest,
        SuspendManufacturerRequest, rotate_identity_key_request::Word,
    },
    program::v1::GetBundleRequest,
    reason::v1::Reason,
};
use bytes::Bytes;
use issuance::SigningKey as _;
use mfg::{ManufacturerId, Statement};
use serde_json::Value;
use simulator::ORDER;
use tonic::Code;

use crate::{
    answers::refused,
    custody::{acceptance, offer},
    operated::{log, reconfigure, until},
    organisations::fresh_key,
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

async fn suspend(chain: &Chain, manufacturer: &str) {
    let request = SuspendManufacturerRequest {
        request_id: fresh_id(),
        manufacturer: manufacturer.to_owned(),
        why: "an audit".to_owned(),
    };
    chain.manufacturers(Who::Alice).suspend_manufacturer(request).await.unwrap();
}

async fn reinstate(chain: &Chain, manufacturer: &str) {
    let request = ReinstateManufacturerRequest { request_id: fresh_id(), manufacturer: manufacturer.to_owned() };
    chain.manufacturers(Who::Alice).reinstate_manufacturer(request).await.unwrap();
}

/// factory-y's acceptance of a lot that is offered to it.
async fn accepted_by_factory(chain: &Chain, lot: &str) -> AcceptHandoffRequest {
    let (lot_key, own) = (fresh_key(), chain.identity_key(FACTORY));
    acceptance(chain, (Who::FactoryCa, At::RootCa), lot, &lot_key, &own).await
}

async fn offer_to_factory(chain: &Chain, lot: &str) -> OfferHandoffRequest {
    let request = offer(ORDER, FACTORY, lot, 1);
    chain.handoffs(Who::Alice, At::RootCa).offer_handoff(request.clone()).await.unwrap();
    request
}

#[tokio::test]
async fn the_brand_neither_offers_to_nor_takes_an_acceptance_from_whom_it_should_not() {
    let (chain, _folder) = Chain::alone().await;
    let mut brand = chain.handoffs(Who::Alice, At::RootCa);
    let mut factory = chain.handoffs(Who::FactoryCa, At::RootCa);

    // Suspended.
    offer_to_factory(&chain, "st-1").await;
    suspend(&chain, FACTORY).await;
    let waiting = accepted_by_factory(&chain, "st-1").await;
    let answer = factory.accept_handoff(waiting.clone()).await;
    refused(answer, Reason::ManufacturerSuspended, Code::FailedPrecondition);
    let refused_offer = offer(ORDER, FACTORY, "st-2", 1);
    let answer = brand.offer_handoff(refused_offer.clone()).await;
    refused(answer, Reason::ManufacturerSuspended, Code::FailedPrecondition);
    reinstate(&chain, FACTORY).await;
    factory.accept_handoff(waiting.clone()).await.unwrap();
    brand.offer_handoff(refused_offer).await.unwrap();
    suspend(&chain, FACTORY).await;
    // What was answered is answered.
    factory.accept_handoff(waiting).await.unwrap();
    reinstate(&chain, FACTORY).await;

    // Registered under another trust domain than the one that it comes from.
    let services = |domain: &str| SetServiceIdentityRequest {
        request_id: fresh_id(),
        manufacturer: FACTORY.to_owned(),
        service_identity: Some(ServiceIdentity { trust_domain: domain.to_owned(), ..ServiceIdentity::default() }),
    };
    let mut registry = chain.manufacturers(Who::Alice);
    registry.set_service_identity(services("elsewhere.example")).await.unwrap();
    let waiting = accepted_by_factory(&chain, "st-2").await;
    let answer = factory.accept_handoff(waiting.clone()).await;
    refused(answer, Reason::TrustDomainMismatch, Code::PermissionDenied);
    let own = chain.organisation(FACTORY).trust_domain().to_string();
    registry.set_service_identity(services(&own)).await.unwrap();
    factory.accept_handoff(waiting).await.unwrap();

    // Its key is lost: whoever has it accepts nothing more.
    offer_to_factory(&chain, "st-3").await;
    let waiting = accepted_by_factory(&chain, "st-3").await;
    registry.rotate_identity_key(lost(&chain)).await.unwrap();
    let answer = factory.accept_handoff(waiting).await;
    refused(answer, Reason::IdentityKeyLost, Code::PermissionDenied);
}

/// factory-y's key is lost, and another takes its place.
fn lost(chain: &Chain) -> RotateIdentityKeyRequest {
    let (former, new) = (chain.identity_key(FACTORY), fresh_key());
    let who = ManufacturerId::parse(FACTORY).unwrap();
    let statement = Statement::key_rotation(&who, &former.public_key().sha256(), &new.public_key().sha256());
    RotateIdentityKeyRequest {
        request_id: fresh_id(),
        manufacturer: FACTORY.to_owned(),
        new_key: Bytes::copy_from_slice(new.public_key().spki()),
        proof: Bytes::from(new.sign(statement.to_be_signed()).unwrap()),
        word: Some(Word::LostBecause("the laptop is gone".to_owned())),
    }
}

#[tokio::test]
async fn the_next_sender_refuses_whom_its_bundle_says_is_suspended() {
    let (mut chain, _folder) = Chain::alone().await;
    reconfigure(&mut chain, At::FactoryCa, &[("credentials_poll_ms", "20")]).await;
    let early = offer("b0032", TECHNICIAN, "st-9", 1);
    chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(early).await.unwrap();
    suspend(&chain, TECHNICIAN).await;
    let bundle = chain.programs(Who::Alice).get_bundle(GetBundleRequest {}).await.unwrap().into_inner().bundle;
    chain.world.trust().write("bundle.json", &bundle).unwrap();
    // What it built before is genuine, and who verifies it is told.
    assert!(verified(&chain, "text").contains("the brand has suspended technician-z"));
    let told: Value = serde_json::from_str(&verified(&chain, "json")).unwrap();
    assert_eq!((&told["valid"], &told["hops"][0]["suspended"]), (&true.into(), &Value::Null));
    assert_eq!((&told["hops"][1]["to"], &told["hops"][1]["suspended"]), (&TECHNICIAN.into(), &true.into()));
    until(&chain, At::FactoryCa, "countersign_file_reloads_total{files=\"bundle\"}", |reloads| reloads == 1.0).await;
    let mut factory = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let answer = factory.offer_handoff(offer("b0032", TECHNICIAN, "st-10", 1)).await;
    refused(answer, Reason::ManufacturerSuspended, Code::FailedPrecondition);
    let (lot_key, own) = (fresh_key(), chain.identity_key(TECHNICIAN));
    let waiting = acceptance(&chain, (Who::TechnicianCa, At::FactoryCa), "st-9", &lot_key, &own).await;
    let answer = chain.handoffs(Who::TechnicianCa, At::FactoryCa).accept_handoff(waiting).await;
    refused(answer, Reason::ManufacturerSuspended, Code::FailedPrecondition);
}

#[tokio::test]
async fn a_bundle_that_is_no_good_is_not_taken_and_the_one_before_stays_in_use() {
    let (mut chain, _folder) = Chain::alone().await;
    for at in [At::FactoryCa, At::Hub] {
        reconfigure(&mut chain, at, &[("credentials_poll_ms", "20")]).await;
    }
    suspend(&chain, TECHNICIAN).await;
    let good = chain.programs(Who::Alice).get_bundle(GetBundleRequest {}).await.unwrap().into_inner().bundle;
    let mut elsewhere: Value = serde_json::from_slice(&good).unwrap();
    elsewhere["anchors"] = Value::Array(Vec::new());
    let refused_now = "countersign_files_refused{files=\"bundle\"}";
    // Half of the suspension and another brand's: neither tells the factory that anybody is suspended.
    for (octets, reason) in [
        (good[..good.len() / 2].to_vec(), "BUNDLE_MALFORMED"),
        (elsewhere.to_string().into_bytes(), "BUNDLE_LACKS_LOT"),
    ] {
        chain.world.trust().write("bundle.json", &octets).unwrap();
        let said = async {
            while !log(&chain, At::FactoryCa).contains(reason) {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(Duration::from_secs(60), said).await.expect("the log says why");
        until(&chain, At::FactoryCa, refused_now, |state| state == 1.0).await;
        // The hub has no lots that a bundle could fail to prove.
        if reason == "BUNDLE_MALFORMED" {
            until(&chain, At::Hub, refused_now, |state| state == 1.0).await;
        }
        let mut factory = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
        factory.offer_handoff(offer("b0032", TECHNICIAN, &format!("st-{}", octets.len()), 1)).await.unwrap();
    }
    chain.world.trust().write("bundle.json", &good).unwrap();
    for at in [At::FactoryCa, At::Hub] {
        until(&chain, at, refused_now, |state| state == 0.0).await;
    }
}

/// What `countersign verify` says about the device of the first journey, with the bundle that is on disk; it exits 0.
fn verified(chain: &Chain, output: &str) -> String {
    let manifest: Value = serde_json::from_slice(&chain.world.folder().read("manifest.json").unwrap()).unwrap();
    let device = manifest["devices"][0]["chain"].as_str().unwrap();
    let answer = Command::new(env!("CARGO_BIN_EXE_countersign-under-test"))
        .args(["verify", "-o", output, "--trust"])
        .arg(chain.world.trust().join("bundle.json"))
        .arg(chain.world.folder().join(device))
        .output()
        .unwrap();
    assert!(answer.status.success(), "{answer:?}");
    String::from_utf8(answer.stdout).unwrap()
}
