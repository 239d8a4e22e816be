//! The root goes offline: an order CA signs first handoffs from then on, and everything that the root signed goes on.

use std::{fs, process::Command};

use api::{
    lot::v1::ReceiveLotRequest,
    manufacturer::v1::{Manufacturer, RegisterManufacturerRequest},
    order::v1::{CreateOrderRequest, OrderDraft, Route},
    program::v1::GetBundleRequest,
    reason::v1::Reason,
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey};
use mfg::{Bundle, journey};
use pki::{
    Certificate,
    path::{PathOptions, Purpose, verify_path},
};
use service::clock::{Clock as _, SystemClock};
use simulator::BRAND;
use tonic::Code;

use crate::{
    answers::refused,
    custody::{approval, draft, offer},
    devices::{Device, Line},
    world::{At, BINARY, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// Holds a ceremony that makes an order CA's key, under a passphrase, and its certificate under the root; the root-ca signs with it from
/// then on, and the root's key is taken away.
async fn take_the_root_offline(chain: &mut Chain) {
    let brand = chain.world.brand.folder().clone();
    let ceremony = include_str!("../../../deploy/ceremony/order-ca.toml")
        .replace("\"root.pem\"", "\"../trust/root.pem\"")
        .replace("protection = \"file-mode\"", "protection = \"passphrase\"")
        .replace("#passphrase_file = \"order-ca.passphrase\"", "passphrase_file = \"order-ca.passphrase\"");
    brand.write("order-ca.toml", ceremony.as_bytes()).unwrap();
    brand.write_secret("order-ca.passphrase", b"correct horse battery staple\n").unwrap();
    let input = brand.join("order-ca.toml");
    let held = Command::new(BINARY).args(["ceremony", "--input"]).arg(input).output().unwrap();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    let key = brand.read("order-ca.key").unwrap();
    assert!(key.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"));

    let killed = chain.world.kill_service(BRAND, "root-ca").await.unwrap();
    fs::remove_file(brand.join("root.key")).unwrap();
    let config = String::from_utf8(brand.read("root-ca.toml").unwrap()).unwrap();
    let order_ca = "order_ca = \"order-ca.pem\"\nkey = \"order-ca.key\"\nkey_passphrase_file = \"order-ca.passphrase\"";
    let changed = config.replace("key = \"root.key\"", order_ca);
    assert_ne!(changed, config);
    brand.write("root-ca.toml", changed.as_bytes()).unwrap();
    chain.world.start_again(killed).await.unwrap();
}

/// Proposes an order and has it approved.
async fn ordered(chain: &Chain, draft: OrderDraft) {
    let request = CreateOrderRequest { request_id: fresh_id(), draft: Some(draft) };
    let order = chain.orders(Who::Alice).create_order(request).await.unwrap().into_inner().order.unwrap();
    for who in [Who::Alice, Who::Bob] {
        chain.orders(who).approve_order(approval(chain, who, &order)).await.unwrap();
    }
}

/// Hands a lot from the order to technician-z.
async fn handed_over(chain: &Chain, order: &str, lots: [&str; 2]) {
    let [above, last] = lots.map(str::to_owned);
    chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer(order, FACTORY, &above, 3)).await.unwrap();
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: above.clone(), from: BRAND.to_owned() };
    chain.lots(Who::FactoryOperator, At::FactoryCa).receive_lot(request).await.unwrap();
    let offered = offer(&above, TECHNICIAN, &last, 3);
    chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(offered).await.unwrap();
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: last, from: FACTORY.to_owned() };
    chain.lots(Who::TechnicianOperator, At::TechnicianCa).receive_lot(request).await.unwrap();
}

/// Provisions a device, and reads who made it how from its chain, as a verifier with the brand's bundle does.
async fn provisioned(chain: &Chain, device: &str, lot: &str) -> (usize, Vec<(String, &'static str)>) {
    let unit = Line::of(chain).provision(&Device::new(device).at_line(Some(lot))).await;
    let parse = |der: &Bytes| Certificate::parse(der).unwrap();
    let certificates: Vec<Certificate> = unit.chain.iter().map(parse).collect();
    let bundle = chain.programs(Who::Alice).get_bundle(GetBundleRequest {}).await.unwrap().into_inner().bundle;
    let bundle = Bundle::parse(&bundle).unwrap();
    let (leaf, candidates) = certificates.split_first().unwrap();
    let options = PathOptions::new(SystemClock.now(), Purpose::Client);
    let path = verify_path(leaf, candidates, &bundle.anchors, &options).unwrap();
    let journey = journey::read(&path, Some(&bundle)).unwrap();
    assert_eq!(journey.device_id.as_str(), device);
    let hops = journey.hops.iter().map(|hop| (hop.to.to_string(), hop.accepted.as_str())).collect();
    (path.intermediates().len(), hops)
}

#[tokio::test]
async fn an_order_ca_takes_over_from_a_root_that_goes_offline() {
    let (mut chain, _folder) = Chain::alone().await;
    take_the_root_offline(&mut chain).await;
    let journey = vec![(FACTORY.to_owned(), "proven"), (TECHNICIAN.to_owned(), "proven")];

    // A new order under the order CA, down to a device: one intermediate more, the same journey.
    ordered(&chain, draft("after", 3)).await;
    handed_over(&chain, "after", ["af-f", "af-t"]).await;
    assert_eq!(provisioned(&chain, "after-1", "af-t").await, (3, journey.clone()));
    // What the root signed before goes on, and so does its order.
    assert_eq!(provisioned(&chain, "before-1", "t7").await, (2, journey.clone()));

    // The order CA counts: six handoffs do not fit below it.
    let mut deep = draft("deep", 3);
    deep.routes = (0..6).map(|hop| Route { from: node(hop), to: node(hop + 1) }).collect();
    for id in 3..=6 {
        register(&chain, &node(id)).await;
    }
    let request = CreateOrderRequest { request_id: fresh_id(), draft: Some(deep.clone()) };
    let answer = chain.orders(Who::Alice).create_order(request).await;
    refused(answer, Reason::ChainTooDeep, Code::FailedPrecondition);
    deep.routes.truncate(5);
    ordered(&chain, deep).await;
}

/// The manufacturers of a long route.
fn node(hop: usize) -> String {
    match hop {
        0 => BRAND.to_owned(),
        1 => FACTORY.to_owned(),
        2 => TECHNICIAN.to_owned(),
        other => format!("maker-{other}"),
    }
}

async fn register(chain: &Chain, id: &str) {
    let key = SoftwareKey::generate(KeyKind::P256).unwrap();
    let manufacturer = Manufacturer {
        manufacturer: id.to_owned(),
        display_name: id.to_owned(),
        identity_key: Bytes::copy_from_slice(key.public_key().spki()),
        ..Manufacturer::default()
    };
    let request = RegisterManufacturerRequest { request_id: fresh_id(), manufacturer: Some(manufacturer) };
    chain.manufacturers(Who::Alice).register_manufacturer(request).await.unwrap();
}
