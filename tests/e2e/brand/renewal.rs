//! CAs are renewed between lots: the order CA by a ceremony, the upstream's by the next lot, whose key is new by design. Nothing that the
//! ones before signed is taken back.

use std::{fs, process::Command, time::Duration};

use api::provisioning::v1::{Unit, UnitState};
use pki::pem;
use simulator::device::{self, Afterwards, DeviceIdentity, DevicePlan, DeviceProtocol};

use super::order_ca::{handed_over, judged, ordered, takes_over};
use crate::{
    custody::draft,
    devices::{Device, Line, confirmation},
    world::{At, BINARY, Chain, FACTORY, TECHNICIAN},
};

/// Provisions a device from the line's current lot, writes it, and waits until the hub has heard of it.
async fn built(chain: &Chain, device: &Device) -> Unit {
    let line = Line::of(chain);
    let unit = line.provision(&device.at_line(None)).await;
    line.confirm(&confirmation(&device.id, &unit.chain[0])).await.unwrap();
    let registered = async {
        while line.unit(&device.id).await.state() != UnitState::Registered {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), registered).await.expect("the hub hears of it");
    unit
}

/// The hub believes the root, as long as the root can still prove itself.
fn believe_root(chain: &Chain) {
    chain.world.write_profiles().unwrap();
    let profile = chain.world.brand.folder().join("as-alice.toml");
    let proven = Command::new(BINARY).args(["hub", "ca", "prove", "root", "--as"]).arg(profile).output().unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
}

/// The hub lets the device in by its chain.
async fn connected(chain: &Chain, device: &Device, unit: &Unit) {
    let (manufacturer, role) = At::Hub.identity();
    let door = &chain.world.service(manufacturer, role.as_str()).unwrap().further["mqtt"];
    let own: String = unit.chain.iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect();
    let key = pem::encode(pem::PRIVATE_KEY, &device.key.to_pkcs8().unwrap());
    let hub_ca = fs::read_to_string(chain.world.hub_ca_path()).unwrap();
    let plan = DevicePlan {
        host: "localhost".to_owned(),
        port: door.rsplit(':').next().unwrap().parse().unwrap(),
        anchors: pem::certificates(&hub_ca).unwrap().iter().map(|ca| ca.der().to_vec()).collect(),
        identity: DeviceIdentity::from_pem(&own, &key).unwrap(),
        device_id: device.id.clone(),
        protocol: DeviceProtocol::Mqtt,
        count: 1,
        afterwards: Afterwards::Leave,
    };
    device::run(&plan, &mut |_| {}).await.unwrap();
}

#[tokio::test]
async fn renewed_cas_take_over_between_lots_and_the_chains_of_both_hold() {
    let (mut chain, _folder) = Chain::alone().await;
    believe_root(&chain);
    takes_over(&mut chain, None, "order-ca-1").await;
    ordered(&chain, draft("renewed", 6)).await;
    handed_over(&chain, "renewed", ["a1-f", "a1-t"]).await;
    let devices: Vec<_> = (1..=4).map(|number| Device::new(&format!("renewed-{number}"))).collect();
    let mut units = vec![built(&chain, &devices[0]).await];

    // The next lot of the same order comes by the renewed order CA and by factory-y's next key; the line goes on with what it has.
    takes_over(&mut chain, Some("order-ca-1"), "order-ca-2").await;
    units.push(built(&chain, &devices[1]).await);
    handed_over(&chain, "renewed", ["a2-f", "a2-t"]).await;
    for device in &devices[2..] {
        units.push(built(&chain, device).await);
    }
    let lots: Vec<_> = units.iter().map(|unit| unit.lot.as_str()).collect();
    assert_eq!(lots, ["a1-t", "a1-t", "a1-t", "a2-t"], "the line rolls over when the first lot is spent");
    // Of [device, technician-z, factory-y, order CA], every CA is another one.
    for (above, below) in [(1, "technician-z"), (2, "factory-y"), (3, "the order CA")] {
        assert_eq!(units[0].chain[above], units[2].chain[above], "{below}");
        assert_ne!(units[0].chain[above], units[3].chain[above], "{below}");
    }
    let journey = vec![(FACTORY.to_owned(), "proven"), (TECHNICIAN.to_owned(), "proven")];
    for (device, unit) in devices.iter().zip(&units) {
        assert_eq!(judged(&chain, unit).await, (3, journey.clone()), "{}", device.id);
        connected(&chain, device, unit).await;
    }
}
