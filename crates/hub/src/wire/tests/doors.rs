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
    assert!(matches!(world.porter.next().await, Event::Connected(_)));
    let address = world.bound.mqtt.as_ref().unwrap();
    let stranger = Client::connect(&world, address, None).await;
    let refused = Client::connect_with(&world, address, None, &rustls::version::TLS13).await;
    assert!(refused.is_err(), "a second stranger came in");
    assert_eq!(world.porter.next().await, Event::TurnedAway("CONNECTION_LIMIT_REACHED"));
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp));
    drop(stranger);
}

/// Over HTTPS nobody has to say anything for a minute.
#[tokio::test]
async fn who_takes_long_to_say_who_it_is_makes_room_for_devices() {
    let world = World::with(DeviceLimits { max_strangers: 1, greeting_ms: 500, ..DeviceLimits::default() }).await;
    let mut sitting = Client::connect(&world, world.bound.https.as_ref().unwrap(), Some(&world.device("d2"))).await;
    let opened = async {
        // Until it has been there for long.
        loop {
            let (address, device) = (world.bound.mqtt.as_ref().unwrap(), world.device("d1"));
            let dialled = Client::connect_with(&world, address, Some(&device), &rustls::version::TLS13).await;
            if let Ok(client) = dialled
                && let Some(answer) = Mqtt(client).greet(connect("d1", Clean::Start)).await
            {
                return answer.code;
            }
        }
    };
    let code = tokio::time::timeout(std::time::Duration::from_secs(20), opened).await.unwrap();
    assert_eq!(code, ConnectCode::Accepted);
    sitting.closed().await;
}

#[tokio::test]
async fn who_is_known_over_https_makes_room_for_nobody() {
    let world = World::with(DeviceLimits { max_strangers: 1, ..DeviceLimits::default() }).await;
    let https = world.bound.https.as_ref().unwrap();
    let mut known = Client::connect(&world, https, Some(&world.device("d1"))).await;
    let send = "POST /devices/d1/messages/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    for stranger in [false, true] {
        // There is a place for it only once the other one is known.
        let _stranger = if stranger { Some(Client::connect(&world, https, None).await) } else { None };
        known.write(send.as_bytes()).await;
        assert!(known.answer().await.starts_with("HTTP/1.1 204"));
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_counted_and_nobody_elses_trouble() {
    let world = World::with(DeviceLimits { max_connections: 2, ..DeviceLimits::default() }).await;
    let (mut first, _) = Mqtt::open(&world, "d1", Clean::Start).await;
    let (second, _) = Mqtt::open(&world, "d2", Clean::Start).await;
    for _ in 0..2 {
        assert!(matches!(world.porter.next().await, Event::Connected(_)));
    }
    // Whatever the door.
    for address in [&world.bound.mqtt, &world.bound.amqp, &world.bound.https] {
        let identity = world.device("d3");
        let address = address.as_ref().unwrap();
        let refused = Client::connect_with(&world, address, Some(&identity), &rustls::version::TLS13).await;
        assert!(refused.is_err(), "a third connection came in");
        assert_eq!(world.porter.next().await, Event::TurnedAway("CONNECTION_LIMIT_REACHED"));
        first.send(Packet::PingReq).await;
        assert_eq!(first.next().await, Some(Packet::PingResp));
    }
    // One leaves, and the next comes in.
    drop(second);
    assert_eq!(world.porter.next().await, Event::Disconnected("d2".to_owned(), "CONNECTION_LOST".to_owned()));
    let opened = async {
        let identity = world.device("d3");
        let address = world.bound.mqtt.as_ref().unwrap();
        // Its place is free when its connection is closed at last, which nobody is told.
        loop {
            let dialled = Client::connect_with(&world, address, Some(&identity), &rustls::version::TLS13).await;
            if let Ok(client) = dialled {
                break Mqtt(client).greet(connect("d3", Clean::Start)).await;
            }
        }
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), opened).await.unwrap().unwrap();
    assert_eq!(answer.code, ConnectCode::Accepted);
}

#[tokio::test]
async fn handshakes_that_break_or_stall_are_counted_by_name() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::with(DeviceLimits { greeting_ms: 200, ..DeviceLimits::default() }).await;
    let dial = || tokio::net::TcpStream::connect(world.bound.amqp.as_ref().unwrap());
    let stalled = dial().await.unwrap();
    assert_eq!(world.porter.next().await, Event::TurnedAway("PEER_HANDSHAKE_TIMEOUT"));
    let mut broken = dial().await.unwrap();
    broken.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(world.porter.next().await, Event::TurnedAway("PEER_HANDSHAKE_FAILED"));
    drop(stalled);
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
