//! The root goes offline: an order CA signs first handoffs from then on, and everything that the root signed goes on.

use std::{fs, process::Command};

use api::{
    lot::v1::ReceiveLotRequest,
    order::v1::{CreateOrderRequest, OrderDraft, Route},
    program::v1::GetBundleRequest,
    provisioning::v1::Unit,
    reason::v1::Reason,
};
use bytes::Bytes;
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
    organisations::registered,
    world::{At, BINARY, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// The root's key, where no service looks for it.
const VAULT: &str = "vault.key";

/// Holds a ceremony that makes an order CA's key, under a passphrase, and its certificate under the root. The root-ca signs with it from
/// then on, in place of the root, whose key goes to the vault, or of the order CA before.
pub(super) async fn takes_over(chain: &mut Chain, before: Option<&str>, name: &str) {
    let brand = chain.world.brand.folder().clone();
    let killed = chain.world.kill_service(BRAND, "root-ca").await.unwrap();
    if before.is_none() {
        fs::rename(brand.join("root.key"), brand.join(VAULT)).unwrap();
    }
    let ceremony = include_str!("../../../deploy/ceremony/order-ca.toml")
        .replace("\"root.pem\"", "\"../trust/root.pem\"")
        .replace("\"root.key\"", &format!("\"{VAULT}\""))
        .replace("protection = \"file-mode\"", "protection = \"passphrase\"")
        .replace("#passphrase_file = \"order-ca.", "passphrase_file = \"order-ca.")
        .replace("\"order-ca", &format!("\"{name}"))
        .replace("Company-X Order CA 2026", &format!("Company-X {name}"));
    let input = format!("{name}.toml");
    brand.write(&input, ceremony.as_bytes()).unwrap();
    brand.write_secret(&format!("{name}.passphrase"), format!("the passphrase of {name}\n").as_bytes()).unwrap();
    let held = Command::new(BINARY).args(["ceremony", "--input"]).arg(brand.join(&input)).output().unwrap();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    let key = brand.read(&format!("{name}.key")).unwrap();
    assert!(key.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"));

    let signs_by = |name: &str| {
        format!("order_ca = \"{name}.pem\"\nkey = \"{name}.key\"\nkey_passphrase_file = \"{name}.passphrase\"")
    };
    let config = String::from_utf8(brand.read("root-ca.toml").unwrap()).unwrap();
    let changed = config.replace(&before.map_or("key = \"root.key\"".to_owned(), signs_by), &signs_by(name));
    assert_ne!(changed, config);
    brand.write("root-ca.toml", changed.as_bytes()).unwrap();
    chain.world.start_again(killed).await.unwrap();
}

/// Proposes an order and has it approved.
pub(super) async fn ordered(chain: &Chain, draft: OrderDraft) {
    let request = CreateOrderRequest { request_id: fresh_id(), draft: Some(draft) };
    let order = chain.orders(Who::Alice).create_order(request).await.unwrap().into_inner().order.unwrap();
    for who in [Who::Alice, Who::Bob] {
        chain.orders(who).approve_order(approval(chain, who, &order)).await.unwrap();
    }
}

/// Hands a lot from the order to technician-z.
pub(super) async fn handed_over(chain: &Chain, order: &str, lots: [&str; 2]) {
    let [above, last] = lots.map(str::to_owned);
    chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer(order, FACTORY, &above, 3)).await.unwrap();
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: above.clone(), from: BRAND.to_owned() };
    chain.lots(Who::FactoryOperator, At::FactoryCa).receive_lot(request).await.unwrap();
    let offered = offer(&above, TECHNICIAN, &last, 3);
    chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(offered).await.unwrap();
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: last, from: FACTORY.to_owned() };
    chain.lots(Who::TechnicianOperator, At::TechnicianCa).receive_lot(request).await.unwrap();
}

/// Provisions a device, and reads its chain.
async fn provisioned(chain: &Chain, device: &str, lot: &str) -> (usize, Vec<(String, &'static str)>) {
    let unit = Line::of(chain).provision(&Device::new(device).at_line(Some(lot))).await;
    judged(chain, &unit).await
}

/// How many CAs stand above a device, and through whose hands it went, as its chain proves to a verifier with the brand's bundle.
pub(crate) async fn judged(chain: &Chain, unit: &Unit) -> (usize, Vec<(String, &'static str)>) {
    let parse = |der: &Bytes| Certificate::parse(der).unwrap();
    let certificates: Vec<Certificate> = unit.chain.iter().map(parse).collect();
    let bundle = chain.programs(Who::Alice).get_bundle(GetBundleRequest {}).await.unwrap().into_inner().bundle;
    let bundle = Bundle::parse(&bundle).unwrap();
    let (leaf, candidates) = certificates.split_first().unwrap();
    let options = PathOptions::new(SystemClock.now(), Purpose::Client);
    let path = verify_path(leaf, candidates, &bundle.anchors, &options).unwrap();
    let journey = journey::read(&path, Some(&bundle)).unwrap();
    assert_eq!(journey.device_id.as_str(), unit.device_id);
    let hops = journey.hops.iter().map(|hop| (hop.to.to_string(), hop.accepted.as_str())).collect();
    (path.intermediates().len(), hops)
}

#[tokio::test]
async fn an_order_ca_takes_over_from_a_root_that_goes_offline() {
    let (mut chain, _folder) = Chain::alone().await;
    takes_over(&mut chain, None, "order-ca").await;
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
        registered(&chain, &node(id)).await;
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
