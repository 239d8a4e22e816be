//! What holds for every door: TLS versions, bounds, and the end.

use device_wire::mqtt::{Clean, ConnectCode, Packet};

use super::{
    client::{Client, Mqtt, connect},
    porter::Event,
    world::World,
};
use crate::wire::DeviceLimits;

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let world = World::new().await;
    let address = world.bound.mqtt.as_ref().unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let identity = world.device("d1");
        let mut device = Mqtt(Client::connect_with(&world, address, Some(&identity), version).await.unwrap());
        let answer = device.greet(connect("d1", Clean::Start)).await.unwrap();
        assert_eq!(answer.code, ConnectCode::Accepted, "{version:?}");
    }
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_closed_in_time_and_on_record() {
    let world = World::with(DeviceLimits { greeting_ms: 200, ..DeviceLimits::default() }).await;
    let identity = world.device("d1");
    for address in [&world.bound.mqtt, &world.bound.amqp] {
        let mut silent = Client::connect(&world, address.as_ref().unwrap(), Some(&identity)).await;
        assert_eq!(silent.rest().await, "");
        let expected = Event::Refused { claimed: String::new(), reason: "DEVICE_TOO_SLOW", chain: 2 };
        assert_eq!(world.porter.next().await, expected);
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_closed_in_time() {
    use tokio::io::AsyncReadExt as _;
    let world = World::with(DeviceLimits { greeting_ms: 200, ..DeviceLimits::default() }).await;
    let mut tcp = tokio::net::TcpStream::connect(world.bound.mqtt.as_ref().unwrap()).await.unwrap();
    assert_eq!(tcp.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn strangers_beyond_the_limit_are_closed_and_devices_stay() {
    let world = World::with(DeviceLimits { max_strangers: 1, ..DeviceLimits::default() }).await;
    let (mut device, _) = Mqtt::open(&world, "d1", Clean::Start).await;
    let address = world.bound.mqtt.as_ref().unwrap();
    let stranger = Client::connect(&world, address, None).await;
    let refused = Client::connect_with(&world, address, None, &rustls::version::TLS13).await;
    assert!(refused.is_err(), "a second stranger came in");
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp));
    drop(stranger);
}

#[tokio::test]
async fn stopping_ends_every_session() {
    let world = World::new().await;
    let (mut device, _) = Mqtt::open(&world, "d1", Clean::Start).await;
    assert_eq!(world.porter.next().await, Event::Connected("d1".to_owned()));
    world.stop.cancel();
    device.0.closed().await;
    assert_eq!(world.porter.next().await, Event::Disconnected("d1".to_owned(), "SHUTTING_DOWN".to_owned()));
}
