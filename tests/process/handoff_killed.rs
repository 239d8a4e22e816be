//! Both sides of a handoff killed in its middle: the offer is made, the acceptance on its way or its certificate on its way back.

use std::{fs, path::PathBuf};

use api::{
    custody::v1::{Quantity, quantity::Amount},
    handoff::v1::{OfferHandoffRequest, handoff_service_client::HandoffServiceClient},
    lot::v1::{Lot, LotState, ReceiveLotRequest},
    order::v1::{GetOrderRequest, order_service_client::OrderServiceClient},
};
use pki::Certificate;
use service::identity::Role;
use simulator::{BRAND, Clients, ORDER, Plan, World};
use tonic::transport::Channel;

use crate::{
    people::{Answer, Stream, operator, request_id, station, unit_requests},
    world::journey,
};

const RECEIVER: &str = "factory-y";
const UNITS: u32 = 10;
/// The lot of the journey itself.
const BEFORE: u64 = 5000;

/// Something on disk that shows how far a handoff came.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// The receiver made its lot key.
    LotKeyMade,
    /// The receiver put its acceptance on record.
    AcceptanceRecorded,
    /// The sender put on record what it is about to sign.
    SenderRecorded,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_goes_on_after_both_sides_were_killed_in_its_middle() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(folder.path(), &Plan::new(1, 1).unwrap()).await;
    let signs = [Sign::LotKeyMade, Sign::AcceptanceRecorded, Sign::SenderRecorded, Sign::SenderRecorded];
    for (number, sign) in (0..).zip(signs) {
        let lot = format!("k{number}");
        offer(&world, &lot, request_id(100 + number)).await;
        kill_at(&mut world, sign, &lot, number).await;
        let received = receive(&world, &lot, number).await.unwrap();
        assert_eq!(received.state(), LotState::Open, "{sign:?}");
        assert_eq!(units(&received), u64::from(UNITS));
        let again = receive(&world, &lot, number).await.unwrap();
        assert_eq!(again.chain, received.chain, "{sign:?}");
        assert_signs_devices(&world, &lot, &received, number).await;
        let handed_over = BEFORE + u64::from((number + 1) * UNITS);
        assert_eq!(order_handed_over(&world).await, handed_over, "{sign:?}: spent exactly once");
    }
    world.kill().await.unwrap();
}

fn brand_operator(world: &World) -> Channel {
    let address = &world.service(BRAND, "root-ca").unwrap().grpc;
    Clients::load(&world.brand, "alice", &[&world.brand]).unwrap().channel(address, BRAND, Role::RootCa).unwrap()
}

async fn offer(world: &World, lot: &str, request_id: String) {
    let offer = OfferHandoffRequest {
        request_id,
        source: ORDER.to_owned(),
        to: RECEIVER.to_owned(),
        lot: lot.to_owned(),
        quantity: Some(Quantity { amount: Some(Amount::Units(UNITS)) }),
        ..OfferHandoffRequest::default()
    };
    HandoffServiceClient::new(brand_operator(world)).offer_handoff(offer).await.unwrap();
}

async fn receive(world: &World, lot: &str, number: u32) -> Result<Lot, tonic::Status> {
    let request =
        ReceiveLotRequest { request_id: request_id(200 + number), lot: lot.to_owned(), from: BRAND.to_owned() };
    Ok(operator(world, 0).receive_lot(request).await?.into_inner().lot.unwrap())
}

/// Has the lot received, kills both services at the sign, and starts them again.
async fn kill_at(world: &mut World, sign: Sign, lot: &str, number: u32) {
    let watched = watched(world, sign);
    let before = octets_in(&watched);
    let mut client = operator(world, 0);
    let request =
        ReceiveLotRequest { request_id: request_id(200 + number), lot: lot.to_owned(), from: BRAND.to_owned() };
    let mut receiving = tokio::spawn(async move { client.receive_lot(request).await });
    // Asked without a pause: what is waited for passes within milliseconds.
    while octets_in(&watched) == before && !receiving.is_finished() {
        tokio::task::yield_now().await;
    }
    let sender = world.kill_service(BRAND, "root-ca").await.unwrap();
    let receiver = world.kill_service(RECEIVER, "intermediate-ca").await.unwrap();
    // Answered or cut off: both are endings that a receiver must be able to go on from.
    let _ = (&mut receiving).await.unwrap();
    world.start_again(sender).await.unwrap();
    world.start_again(receiver).await.unwrap();
}

/// The folder that grows at the sign.
fn watched(world: &World, sign: Sign) -> PathBuf {
    let receiver = world.manufacturers[0].1.folder();
    match sign {
        Sign::LotKeyMade => receiver.join("lot-keys"),
        Sign::AcceptanceRecorded => receiver.join("intermediate-ca-store/journal"),
        Sign::SenderRecorded => world.brand.folder().join("root-ca-store/journal"),
    }
}

fn octets_in(folder: &PathBuf) -> u64 {
    fs::read_dir(folder).unwrap().filter_map(|entry| entry.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn units(lot: &Lot) -> u64 {
    match lot.facts.as_ref().unwrap().quantity.as_ref().unwrap().amount.unwrap() {
        Amount::Units(units) => units.into(),
        Amount::Unlimited(_) => panic!("unlimited"),
    }
}

/// The lot's key and its certificate belong together: a device certificate comes out, issued by that certificate.
async fn assert_signs_devices(world: &World, lot: &str, received: &Lot, number: u32) {
    let mut stream = Stream::open(station(world)).await;
    // A station asks again when the signer was away for a moment.
    for request in unit_requests(lot, 300 + number, 1).iter().cycle().take(10) {
        stream.ask(std::slice::from_ref(request)).await;
        match stream.next().await {
            Answer::Unit(unit) => {
                assert_eq!(unit.chain[1..], received.chain[..]);
                let issuer = Certificate::parse(&received.chain[0]).unwrap();
                assert_eq!(Certificate::parse(&unit.chain[0]).unwrap().issuer(), issuer.subject());
                return;
            }
            Answer::Refused { refusal, .. } => assert!(refusal.retry_after.is_some(), "{refusal:?}"),
            Answer::End(end) => panic!("{end:?}"),
        }
    }
    panic!("lot {lot} signs no device");
}

async fn order_handed_over(world: &World) -> u64 {
    let mut orders = OrderServiceClient::new(brand_operator(world));
    let order = orders
        .get_order(GetOrderRequest { order: ORDER.to_owned(), ..GetOrderRequest::default() })
        .await
        .unwrap()
        .into_inner()
        .order;
    order.unwrap().tally.unwrap().handed_over
}
