//! MQTT sessions: what the SDKs do, what is refused, and how sessions end.

use std::time::Duration;

use bytes::Bytes;
use device_wire::mqtt::{Clean, ConnectCode, Delivery, Packet, PacketId, QoS, Resumed, Retain, SubscribeCode, Will};
use serde_json::{Value, json};

use super::{
    client::{Client, Mqtt, connect},
    porter::Event,
    world::World,
};
use crate::{
    admission::{MethodCall, Sessions as _, Settlement},
    wire::DeviceLimits,
};

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn refused(claimed: &str, reason: &'static str, chain: usize) -> Event {
    Event::Refused { claimed: claimed.to_owned(), reason, chain }
}

fn gone(device: &str, why: &str) -> Event {
    Event::Disconnected(device.to_owned(), why.to_owned())
}

async fn opened(world: &World, device: &str) -> Mqtt {
    let (client, _) = Mqtt::open(world, device, Clean::Start).await;
    assert_eq!(world.porter.next().await, Event::Connected(device.to_owned()));
    client
}

#[tokio::test]
async fn telemetry_is_acknowledged_in_order_when_it_is_kept() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    for number in 1..=50 {
        device
            .publish("devices/d1/messages/events/%24.ct=application%2Fjson&temperatureAlert=true", Some(number), "{}")
            .await;
    }
    for number in 1..=50 {
        let Event::Telemetry(_, message) = world.porter.next().await else { panic!() };
        assert_eq!(message.properties, [("temperatureAlert".to_owned(), "true".to_owned())]);
        assert_eq!(message.system, [("ct".to_owned(), "application/json".to_owned())]);
        assert_eq!(device.next().await, Some(Packet::PubAck(id(number))));
    }
    device.publish("devices/d1/messages/events/", None, "0").await;
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp));
    device.send(Packet::Disconnect).await;
    assert!(matches!(world.porter.next().await, Event::Telemetry(..)));
    assert_eq!(world.porter.next().await, gone("d1", "DISCONNECTED_BY_DEVICE"));
    device.0.closed().await;
}

#[tokio::test]
async fn what_comes_with_connect_is_heard_without_more() {
    let world = World::new().await;
    world.porter.send("d1", 1, &[], "hello");
    let identity = world.device("d1");
    let mut device = Mqtt(Client::connect(&world, world.bound.mqtt.as_ref().unwrap(), Some(&identity)).await);
    let filters = vec![("devices/d1/messages/devicebound/#".to_owned(), QoS::AtLeastOnce)];
    let mut out = bytes::BytesMut::new();
    for packet in [Packet::Connect(connect("d1", Clean::Start)), Packet::Subscribe(id(1), filters), Packet::PingReq] {
        device_wire::mqtt::encode(&packet, &mut out);
    }
    device.0.write(&out).await;
    assert!(matches!(device.next().await, Some(Packet::ConnAck(_))));
    assert!(matches!(device.next().await, Some(Packet::SubAck(..))));
    assert_eq!(device.next_publish().await.payload, "hello");
    assert_eq!(device.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn what_is_said_in_the_same_breath_as_goodbye_is_kept() {
    let world = World::new().await;
    for last in [Some(Packet::Disconnect), None] {
        let mut device = opened(&world, "d1").await;
        let mut out = bytes::BytesMut::new();
        for (delivery, payload) in [(Delivery::AtMostOnce, "0"), (Delivery::First(id(1)), "1")] {
            let (topic, payload) = ("devices/d1/messages/events/".to_owned(), payload.into());
            let publish = device_wire::mqtt::Publish { topic, delivery, retain: Retain::No, payload };
            device_wire::mqtt::encode(&Packet::Publish(publish), &mut out);
        }
        let why = if last.is_some() { "DISCONNECTED_BY_DEVICE" } else { "CONNECTION_LOST" };
        last.iter().for_each(|packet| device_wire::mqtt::encode(packet, &mut out));
        device.0.write_and_close(&out).await;
        for body in ["0", "1"] {
            let Event::Telemetry(_, message) = world.porter.next().await else { panic!("{body} is lost") };
            assert_eq!(message.body, body);
        }
        assert_eq!(world.porter.next().await, gone("d1", why));
        assert_eq!(device.next().await, Some(Packet::PubAck(id(1))));
    }
}

#[tokio::test]
async fn a_refused_device_gets_code_5_and_its_chain_is_on_record() {
    let world = World::new().await;
    world.porter.refuse("d1", "DEVICE_DISABLED");
    let identity = world.device("d1");
    let address = world.bound.mqtt.as_ref().unwrap();
    for (claimed, reason) in [("d1", "DEVICE_DISABLED"), ("d2", "DEVICE_ID_MISMATCH")] {
        let mut device = Mqtt(Client::connect(&world, address, Some(&identity)).await);
        let answer = device.greet(connect(claimed, Clean::Resume)).await.unwrap();
        assert_eq!((answer.code, answer.resumed), (ConnectCode::NotAuthorized, Resumed::Anew));
        device.0.closed().await;
        assert_eq!(world.porter.next().await, refused(claimed, reason, 2));
    }
}

#[tokio::test]
async fn a_device_without_a_certificate_is_refused_in_its_protocol() {
    let world = World::new().await;
    let mut device = Mqtt(Client::connect(&world, world.bound.mqtt.as_ref().unwrap(), None).await);
    assert_eq!(device.greet(connect("d1", Clean::Start)).await.map(|a| a.code), Some(ConnectCode::NotAuthorized));
    assert_eq!(world.porter.next().await, refused("d1", "CHAIN_NOT_PRESENTED", 0));
}

#[tokio::test]
async fn an_endless_chain_is_refused_and_kept_up_to_the_bound() {
    let world = World::new().await;
    let mut identity = world.device("d1");
    let ca = identity.chain[1].clone();
    identity.chain.extend(std::iter::repeat_n(ca, 12));
    let mut device = Mqtt(Client::connect(&world, world.bound.mqtt.as_ref().unwrap(), Some(&identity)).await);
    assert_eq!(device.greet(connect("d1", Clean::Start)).await.map(|a| a.code), Some(ConnectCode::NotAuthorized));
    assert_eq!(world.porter.next().await, refused("d1", "CHAIN_TOO_LARGE", 10));
}

#[tokio::test]
async fn two_names_in_one_connect_are_refused() {
    let world = World::new().await;
    let identity = world.device("d1");
    let mut device = Mqtt(Client::connect(&world, world.bound.mqtt.as_ref().unwrap(), Some(&identity)).await);
    let mut lying = connect("d1", Clean::Start);
    lying.username = Some("localhost/d2/?api-version=2021-04-12".to_owned());
    assert_eq!(device.greet(lying).await.map(|answer| answer.code), Some(ConnectCode::NotAuthorized));
    assert_eq!(world.porter.next().await, refused("d1", "CLAIMED_NAME_DIFFERS", 2));
}

#[tokio::test]
async fn a_later_connection_takes_over_and_the_earlier_is_closed() {
    let world = World::new().await;
    let mut first = opened(&world, "d1").await;
    let mut second = opened(&world, "d1").await;
    first.0.closed().await;
    assert_eq!(world.porter.next().await, gone("d1", "SESSION_TAKEN_OVER"));
    assert_eq!(world.sessions.count(), 1);
    second.send(Packet::PingReq).await;
    assert_eq!(second.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn a_withdrawn_device_is_cut_off_and_the_others_stay() {
    let world = World::new().await;
    let mut withdrawn = opened(&world, "d1").await;
    let mut other = opened(&world, "d2").await;
    world.porter.withdraw("d1");
    withdrawn.0.closed().await;
    assert_eq!(world.porter.next().await, gone("d1", "DEVICE_DISABLED"));
    other.send(Packet::PingReq).await;
    assert_eq!(other.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn messages_of_the_queue_come_once_subscribed_and_are_done_with_puback() {
    let world = World::new().await;
    world.porter.send("d1", 7, &[("alert", "1 & 2")], "hello");
    let mut device = opened(&world, "d1").await;
    let granted = device.subscribe("devices/d1/messages/devicebound/#", QoS::AtLeastOnce).await;
    assert_eq!(granted, Packet::SubAck(id(1), vec![SubscribeCode::Granted(QoS::AtLeastOnce)]));
    let message = device.next_publish().await;
    let bag = "%24.mid=m-7&%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound&alert=1%20%26%202";
    assert_eq!(message.topic, format!("devices/d1/messages/devicebound/{bag}"));
    assert_eq!(message.payload, "hello");
    device.send(Packet::PubAck(message.delivery.packet_id().unwrap())).await;
    assert_eq!(world.porter.next().await, Event::Settled(7, Settlement::Complete));

    world.porter.send("d1", 8, &[], "again");
    let unacknowledged = device.next_publish().await;
    assert!(matches!(unacknowledged.delivery, Delivery::First(_)));
    drop(device);
    assert_eq!(world.porter.next().await, Event::Settled(8, Settlement::Abandon));
    assert_eq!(world.porter.next().await, gone("d1", "CONNECTION_LOST"));
}

#[tokio::test]
async fn no_more_messages_are_held_than_the_limit() {
    let world = World::with(DeviceLimits { max_held: 2, ..DeviceLimits::default() }).await;
    (1..=3).for_each(|sequence| world.porter.send("d1", sequence, &[], "x"));
    let mut device = opened(&world, "d1").await;
    device.subscribe("devices/d1/messages/devicebound/#", QoS::AtLeastOnce).await;
    let first = device.next_publish().await;
    device.next_publish().await;
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp), "a third message came before there was room");
    device.send(Packet::PubAck(first.delivery.packet_id().unwrap())).await;
    assert!(device.next_publish().await.topic.contains("m-3"));
}

#[tokio::test]
async fn subscriptions_outlive_the_connection_unless_it_is_clean() {
    let world = World::new().await;
    let (mut device, resumed) = Mqtt::open(&world, "d1", Clean::Resume).await;
    assert_eq!(resumed, Resumed::Anew);
    device.subscribe("devices/d1/messages/devicebound/#", QoS::AtLeastOnce).await;
    device.send(Packet::Disconnect).await;
    device.0.closed().await;
    world.porter.send("d1", 1, &[], "waiting");
    let (mut device, resumed) = Mqtt::open(&world, "d1", Clean::Resume).await;
    assert_eq!(resumed, Resumed::Present);
    assert_eq!(device.next_publish().await.payload, "waiting");
    device.send(Packet::Disconnect).await;
    device.0.closed().await;
    let (_, resumed) = Mqtt::open(&world, "d1", Clean::Start).await;
    assert_eq!(resumed, Resumed::Anew);
}

#[tokio::test]
async fn a_method_goes_to_the_device_and_its_answer_back() {
    let world = World::new().await;
    let call = || MethodCall {
        name: "reboot".to_owned(),
        payload: Bytes::from_static(b"{\"in\":1}"),
        timeout: Duration::from_secs(10),
    };
    let refusal = world.sessions.invoke("d1", call()).await.unwrap_err();
    assert_eq!(refusal.reason(), "DEVICE_NOT_CONNECTED");
    let mut device = opened(&world, "d1").await;
    assert_eq!(world.sessions.invoke("d1", call()).await.unwrap_err().reason(), "DEVICE_NOT_CONNECTED");
    device.subscribe("$iothub/methods/POST/#", QoS::AtMostOnce).await;
    let device = async {
        let request = device.next_publish().await;
        assert_eq!(
            (request.topic.as_str(), &request.payload[..]),
            ("$iothub/methods/POST/reboot/?$rid=1", &b"{\"in\":1}"[..])
        );
        device.publish("$iothub/methods/res/202/?$rid=1", Some(9), "{\"ok\":true}").await;
        assert_eq!(device.next().await, Some(Packet::PubAck(id(9))));
        device
    };
    let (answer, _device) = tokio::join!(world.sessions.invoke("d1", call()), device);
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.payload), (202, Bytes::from_static(b"{\"ok\":true}")));
}

#[tokio::test]
async fn a_method_that_is_not_answered_times_out() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.subscribe("$iothub/methods/POST/#", QoS::AtLeastOnce).await;
    let call = MethodCall { name: "slow".to_owned(), payload: Bytes::new(), timeout: Duration::from_millis(50) };
    assert_eq!(world.sessions.invoke("d1", call).await.unwrap_err().reason(), "METHOD_TIMEOUT");
}

#[tokio::test]
async fn the_twin_is_read_reported_and_its_desired_properties_are_pushed() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.subscribe("$iothub/twin/res/#", QoS::AtMostOnce).await;
    device.publish("$iothub/twin/GET/?$rid=a", None, " ").await;
    let answer = device.next_publish().await;
    assert_eq!(answer.topic, "$iothub/twin/res/200/?$rid=a");
    let twin: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(twin, json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));

    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=b", None, "{\"level\":3}").await;
    assert_eq!(device.next_publish().await.topic, "$iothub/twin/res/204/?$rid=b&$version=2");
    assert_eq!(world.porter.reported("d1"), json!({"level": 3}));
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=c", None, "[").await;
    let answer = device.next_publish().await;
    assert_eq!(answer.topic.split('?').next(), Some("$iothub/twin/res/400/"));
    let problem: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(problem["reason"], "TWIN_PATCH_INVALID");

    device.subscribe("$iothub/twin/PATCH/properties/desired/#", QoS::AtMostOnce).await;
    world.porter.desire("d1", json!({"interval": 5}));
    let change = device.next_publish().await;
    assert_eq!(change.topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    let patch: Value = serde_json::from_slice(&change.payload).unwrap();
    assert_eq!(patch, json!({"interval": 5, "$version": 2}));
}

#[tokio::test]
async fn what_a_device_may_not_do_closes_its_session_with_a_name() {
    let world = World::with(DeviceLimits { max_message_bytes: 1024, ..DeviceLimits::default() }).await;
    let publish = |topic: &str| {
        let delivery = Delivery::AtMostOnce;
        Packet::Publish(device_wire::mqtt::Publish {
            topic: topic.to_owned(),
            delivery,
            retain: Retain::No,
            payload: Bytes::new(),
        })
    };
    let cases = [
        (publish("devices/d2/messages/events/"), "TOPIC_REFUSED"),
        (publish("other"), "TOPIC_REFUSED"),
        (publish("devices/d1/messages/events/a=%zz"), "PROPERTIES_MALFORMED"),
        (Packet::Connect(connect("d1", Clean::Start)), "PACKET_MALFORMED"),
        (Packet::PingResp, "PACKET_MALFORMED"),
    ];
    for (packet, reason) in cases {
        let mut device = opened(&world, "d1").await;
        device.send(packet).await;
        device.0.closed().await;
        assert_eq!(world.porter.next().await, refused("d1", reason, 0));
        assert_eq!(world.porter.next().await, gone("d1", reason));
    }
    let octets: [(&[u8], &str); 3] = [
        (&[0x62, 2, 0, 1], "PROTOCOL_NOT_SPOKEN"),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], "MESSAGE_TOO_LARGE"),
        (&[0x00, 0], "PACKET_MALFORMED"),
    ];
    for (octets, reason) in octets {
        let mut device = opened(&world, "d1").await;
        device.0.write(octets).await;
        device.0.closed().await;
        assert_eq!(world.porter.next().await, refused("d1", reason, 0));
        assert_eq!(world.porter.next().await, gone("d1", reason));
    }
    let mut device = opened(&world, "d1").await;
    device.publish("devices/d1/messages/events/", None, &"x".repeat(1025)).await;
    device.0.closed().await;
    assert_eq!(world.porter.next().await, refused("d1", "MESSAGE_TOO_LARGE", 0));
}

#[tokio::test]
async fn a_subscription_to_another_topic_fails_and_is_on_record() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    let answer = device.subscribe("devices/d2/messages/devicebound/#", QoS::AtLeastOnce).await;
    assert_eq!(answer, Packet::SubAck(id(1), vec![SubscribeCode::Failure]));
    assert_eq!(world.porter.next().await, refused("d1", "TOPIC_REFUSED", 0));
}

#[tokio::test]
async fn a_subscription_with_qos_2_is_granted_with_1() {
    let world = World::new().await;
    world.porter.send("d1", 1, &[], "hello");
    let mut device = opened(&world, "d1").await;
    let filter = "devices/d1/messages/devicebound/#";
    let mut packet = vec![0x82, u8::try_from(filter.len() + 5).unwrap(), 0, 1, 0, u8::try_from(filter.len()).unwrap()];
    packet.extend_from_slice(filter.as_bytes());
    packet.push(2);
    device.0.write(&packet).await;
    let granted = Packet::SubAck(id(1), vec![SubscribeCode::Granted(QoS::AtLeastOnce)]);
    assert_eq!(device.next().await, Some(granted));
    assert!(matches!(device.next_publish().await.delivery, Delivery::First(_)));
}

#[tokio::test]
async fn what_was_to_be_retained_is_not_and_the_back_end_learns_that_it_was_wanted() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    for (number, retain, properties) in [(1, Retain::Yes, vec!["a", "x-opt-retain"]), (2, Retain::No, vec!["a"])] {
        let (topic, delivery) = ("devices/d1/messages/events/a=b".to_owned(), Delivery::First(id(number)));
        let publish = device_wire::mqtt::Publish { topic, delivery, retain, payload: Bytes::from_static(b"{}") };
        device.send(Packet::Publish(publish)).await;
        assert_eq!(device.next().await, Some(Packet::PubAck(id(number))));
        let Event::Telemetry(_, message) = world.porter.next().await else { panic!() };
        assert_eq!(message.properties.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), properties);
    }
    device.subscribe("devices/d1/messages/devicebound/#", QoS::AtLeastOnce).await;
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp), "nothing was retained for whoever subscribes");
}

#[tokio::test]
async fn a_device_that_is_cut_off_has_no_last_word() {
    let world = World::new().await;
    let identity = world.device("d1");
    let mut device = Mqtt(Client::connect(&world, world.bound.mqtt.as_ref().unwrap(), Some(&identity)).await);
    let (topic, message) = ("devices/d1/messages/events/".to_owned(), Bytes::from_static(b"gone"));
    let will = Some(Will { topic, message, qos: QoS::AtLeastOnce, retain: Retain::No });
    device.greet(device_wire::mqtt::Connect { will, ..connect("d1", Clean::Start) }).await.unwrap();
    assert_eq!(world.porter.next().await, Event::Connected("d1".to_owned()));
    world.porter.withdraw("d1");
    device.0.closed().await;
    assert_eq!(world.porter.next().await, gone("d1", "DEVICE_DISABLED"));
}

#[tokio::test]
async fn a_message_that_cannot_be_kept_ends_the_session() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    world.porter.refuse_telemetry("DEVICE_RATE_EXCEEDED");
    device.publish("devices/d1/messages/events/", Some(1), "x").await;
    device.0.closed().await;
    assert_eq!(world.porter.next().await, refused("d1", "DEVICE_RATE_EXCEEDED", 0));
}

#[tokio::test]
async fn a_silent_device_is_disconnected_and_its_will_is_executed() {
    let world = World::with(DeviceLimits { max_keep_alive_s: 1, ..DeviceLimits::default() }).await;
    let identity = world.device("d1");
    let mut device = Mqtt(Client::connect(&world, world.bound.mqtt.as_ref().unwrap(), Some(&identity)).await);
    let (topic, message) = ("devices/d1/messages/events/a=b".to_owned(), Bytes::from_static(b"gone"));
    let will = Some(Will { topic, message, qos: QoS::AtMostOnce, retain: Retain::Yes });
    device.greet(device_wire::mqtt::Connect { will, keep_alive: 0, ..connect("d1", Clean::Start) }).await.unwrap();
    assert_eq!(world.porter.next().await, Event::Connected("d1".to_owned()));
    let Event::Telemetry(_, message) = world.porter.next().await else { panic!() };
    assert_eq!(message.body, "gone");
    for (name, value) in [("iothub-MessageType", "Will"), ("x-opt-retain", "true")] {
        assert!(message.properties.contains(&(name.to_owned(), value.to_owned())), "{:?}", message.properties);
    }
    assert_eq!(world.porter.next().await, gone("d1", "KEEP_ALIVE_EXPIRED"));
    device.0.closed().await;
}

#[tokio::test]
async fn other_protocols_and_levels_are_refused_by_name() {
    let world = World::new().await;
    let identity = world.device("d1");
    let address = world.bound.mqtt.as_ref().unwrap();
    let level_5 = [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 2, b'd', b'1'];
    let cases: [(&[u8], &str, &[u8]); 3] = [
        (&level_5, "PROTOCOL_NOT_SPOKEN", &[0x20, 2, 0, 1]),
        (b"GET / HTTP/1.1\r\n\r\n", "PACKET_MALFORMED", &[]),
        (&[0xc0, 0], "PACKET_MALFORMED", &[]),
    ];
    for (octets, reason, answer) in cases {
        let mut client = Client::connect(&world, address, Some(&identity)).await;
        client.write(octets).await;
        assert_eq!(client.rest().await.as_bytes(), answer, "{reason}");
        assert_eq!(world.porter.next().await, refused("", reason, 2));
    }
}
