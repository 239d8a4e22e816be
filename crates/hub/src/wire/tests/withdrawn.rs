//! A key is cut off while devices are connected: their sessions end at once, by the event and not by a clock. The hub's clock stands
//! still in these tests, so that nothing can wait for it.

use api::hub::v1::{ChainRules, DeviceStatus};
use device_wire::{
    amqp::Performative,
    mqtt::{Clean, ConnectCode, Packet},
};

use super::{
    client::{Amqp, Client, Mqtt, connect},
    house::House,
};
use crate::{
    forge::Forge,
    registry::{
        StatusChange,
        tests::{World, change},
    },
};

/// Devices with lots of their own under one root.
struct Scene {
    house: House,
    root: Forge,
}

impl Scene {
    async fn open() -> Self {
        let root = Forge::new();
        let world = World::with(crate::registry::Stage::Development, None);
        world.trust("root", &root.root(), ChainRules::Countersign);
        Self { house: House::at_free_ports(world).await, root }
    }

    /// A device of a lot of its own, known to the hub.
    fn device(&self, id: &str) -> Forge {
        let mut forge = Forge { root_key: crate::forge::copy(&self.root.root_key), ..Forge::new() };
        forge.name_leaf(id);
        self.house.world.create(id);
        forge
    }

    async fn mqtt(&self, id: &str, forge: &Forge) -> Mqtt {
        let address = self.house.doors.bound.mqtt.as_ref();
        let mut device = Mqtt(self.house.dial(address, forge).await);
        assert_eq!(device.greet(connect(id, Clean::Start)).await.unwrap().code, ConnectCode::Accepted);
        device
    }

    async fn amqp(&self, forge: &Forge) -> Amqp {
        let address = self.house.doors.bound.amqp.as_ref();
        let client = self.house.dial(address, forge).await;
        Amqp::greet(client).await.begin().await
    }

    async fn https(&self, forge: &Forge) -> Client {
        let address = self.house.doors.bound.https.as_ref();
        self.house.dial(address, forge).await
    }

    /// The reason on record, newest first, that is one.
    async fn on_record(&self, id: &str) -> String {
        self.house.world.last_refusal(id).await.reason
    }
}

async fn is_alive(device: &mut Mqtt) {
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp));
}

/// What an AMQP connection is closed with.
async fn closed(device: &mut Amqp) -> String {
    let Performative::Close(close) = device.next().await else { panic!("not a Close") };
    let error = close.error.expect("an error");
    assert_eq!(error.condition, "amqp:unauthorized-access");
    error.info.first().and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
}

fn post(id: &str) -> String {
    format!(
        "POST /devices/{id}/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn a_disabled_key_ends_what_is_connected_under_it_over_every_protocol_and_nothing_else() {
    let scene = Scene::open().await;
    let forges = ["by-mqtt", "by-amqp", "by-https", "other"].map(|id| scene.device(id));
    let [by_mqtt, by_amqp, by_https, other] = &forges;
    let mut mqtt = scene.mqtt("by-mqtt", by_mqtt).await;
    let mut amqp = scene.amqp(by_amqp).await;
    let mut https = scene.https(by_https).await;
    https.write(post("by-https").as_bytes()).await;
    assert!(https.answer().await.starts_with("HTTP/1.1 204"));
    let mut other = scene.mqtt("other", other).await;

    // The lot's own key, its sender's, and once more the lot's: any key of the chain will do.
    let books = &scene.house.world.books;
    for key in [by_mqtt.cas[1].key_sha256(), by_amqp.cas[0].key_sha256(), by_https.cas[1].key_sha256()] {
        books.disable_ca_key(&change(), &key, "stolen").unwrap();
    }
    mqtt.0.closed().await;
    assert_eq!(closed(&mut amqp).await, "CA_DISABLED");
    https.write(post("by-https").as_bytes()).await;
    let answer = https.answer().await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("CA_DISABLED"), "{answer}");
    for id in ["by-mqtt", "by-amqp", "by-https"] {
        assert_eq!(scene.on_record(id).await, "CA_DISABLED", "{id}");
    }
    is_alive(&mut other).await;
    // The root's key is everybody's.
    books.disable_ca_key(&change(), &scene.root.root().public_key().sha256(), "lost").unwrap();
    other.0.closed().await;
}

#[tokio::test]
async fn a_disabled_device_and_a_deleted_ca_end_sessions_over_every_protocol() {
    let scene = Scene::open().await;
    let forges = ["by-mqtt", "by-amqp", "other"].map(|id| scene.device(id));
    let [by_mqtt, by_amqp, other] = &forges;
    let mut mqtt = scene.mqtt("by-mqtt", by_mqtt).await;
    let mut amqp = scene.amqp(by_amqp).await;
    let mut other = scene.mqtt("other", other).await;
    let books = &scene.house.world.books;
    for id in ["by-mqtt", "by-amqp"] {
        let (device_id, why) = (id.to_owned(), "recalled".to_owned());
        let disable = StatusChange { device_id, status: DeviceStatus::Disabled, why, etag: None };
        books.set_status(&change(), &disable).unwrap();
    }
    mqtt.0.closed().await;
    assert_eq!(closed(&mut amqp).await, "DEVICE_DISABLED");
    is_alive(&mut other).await;
    let etag = books.ca("root").unwrap().etag;
    books.delete_ca(&change(), "root", &etag).unwrap();
    other.0.closed().await;
    assert_eq!(scene.on_record("other").await, "UNKNOWN_ISSUER");
}
