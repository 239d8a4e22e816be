//! AMQP connections: what the SDKs do, what is refused, and how connections end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use device_wire::amqp::{
    self, Begin, DeliveryState, Disposition, Performative, Role, Transfer, Value,
    message::{Message, Properties},
};
use serde_json::json;

use super::{
    client::{Amqp, Client, open},
    porter::Event,
    world::World,
};
use crate::{
    admission::{MethodCall, Sessions as _, Settlement},
    wire::DeviceLimits,
};

async fn opened(world: &World, device: &str) -> Amqp {
    let client = Amqp::open(world, device).await;
    assert_eq!(world.porter.next().await, Event::Connected(device.to_owned()));
    client
}

fn condition(performative: Performative) -> (String, String) {
    let error = match performative {
        Performative::Close(close) => close.error,
        Performative::Detach(detach) => detach.error,
        other => panic!("{other:?}"),
    };
    let error = error.expect("an error");
    let reason = error.info.first().and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned();
    (error.condition, reason)
}

#[tokio::test]
async fn telemetry_in_pieces_is_kept_and_accepted() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    let answer = device.attach(0, Role::Sender, "/devices/d1/messages/events").await;
    assert!(matches!(answer, Performative::Attach(attach) if attach.role == Role::Receiver));
    assert!(matches!(device.next().await, Performative::Flow(flow) if flow.link_credit == Some(100)));
    let message = Message {
        properties: Properties {
            message_id: Some(Value::text("m")),
            content_type: Some("application/json".to_owned()),
            ..Properties::default()
        },
        application: vec![("temperatureAlert".to_owned(), Value::text("true"))],
        body: Bytes::from(vec![b'x'; 500]),
        ..Message::default()
    };
    device.transfer(0, 0, &message).await;
    let Event::Telemetry(_, kept) = world.porter.next().await else { panic!() };
    assert_eq!(kept.properties, [("temperatureAlert".to_owned(), "true".to_owned())]);
    assert_eq!((kept.system[0].1.as_str(), kept.body.len()), ("m", 500));
    let accepted =
        Disposition { role: Role::Receiver, first: 0, last: None, settled: true, state: Some(DeliveryState::Accepted) };
    assert_eq!(device.next().await, Performative::Disposition(accepted));
}

#[tokio::test]
async fn what_comes_with_open_is_heard_and_what_is_said_with_close_is_kept() {
    let world = World::new().await;
    let identity = world.device("d1");
    let mut device = Amqp(Client::connect(&world, world.bound.amqp.as_ref().unwrap(), Some(&identity)).await);
    let begin = Performative::Begin(Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 100,
        outgoing_window: 100,
        handle_max: None,
    });
    let mut out = BytesMut::from(&amqp::PROTOCOL_HEADER[..]);
    for performative in [open(65_536), begin] {
        amqp::frame::encode(0, &performative, b"", &mut out);
    }
    device.0.write(&out).await;
    device.header().await;
    assert!(matches!(device.next().await, Performative::Open(_)));
    assert!(matches!(device.next().await, Performative::Begin(_)), "before anything more is said");
    device.attach(0, Role::Sender, "/devices/d1/messages/events").await;
    device.next().await;

    let message = Message { body: Bytes::from_static(b"last"), ..Message::default() };
    let mut out = BytesMut::new();
    let transfer = Transfer { handle: 0, delivery_id: Some(0), message_format: Some(0), ..Transfer::default() };
    amqp::frame::encode(0, &Performative::Transfer(transfer), &message.encode(), &mut out);
    amqp::frame::encode(0, &Performative::Close(amqp::Close { error: None }), b"", &mut out);
    device.0.write(&out).await;
    let accepted = device.next().await;
    assert!(matches!(accepted, Performative::Disposition(d) if d.state == Some(DeliveryState::Accepted)));
    assert_eq!(device.next().await, Performative::Close(amqp::Close { error: None }));
    assert_eq!(world.porter.next().await, Event::Connected("d1".to_owned()));
    let Event::Telemetry(_, kept) = world.porter.next().await else { panic!() };
    assert_eq!(kept.body, "last");
}

#[tokio::test]
async fn credit_is_given_again_before_it_is_used_up() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Sender, "/devices/d1/messages/events").await;
    let (mut flows, mut accepted) = (0, 0);
    for delivery in 0..300 {
        device.transfer(0, delivery, &Message { body: Bytes::from_static(b"x"), ..Message::default() }).await;
    }
    while accepted < 300 {
        match device.next().await {
            Performative::Flow(_) => flows += 1,
            Performative::Disposition(_) => accepted += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(flows > 3, "{flows} flows");
}

#[tokio::test]
async fn one_message_can_be_rejected_and_the_next_accepted() {
    let world = World::with(DeviceLimits { max_message_bytes: 1024, ..DeviceLimits::default() }).await;
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Sender, "/devices/d1/messages/events").await;
    device.next().await;
    device.transfer(0, 0, &Message { body: Bytes::from(vec![0; 1025]), ..Message::default() }).await;
    let Performative::Disposition(Disposition { state: Some(DeliveryState::Rejected(Some(error))), .. }) =
        device.next().await
    else {
        panic!()
    };
    assert_eq!(error.info, [("reason".to_owned(), Value::text("MESSAGE_TOO_LARGE"))]);
    device.transfer(0, 1, &Message { body: Bytes::from(vec![0; 1024]), ..Message::default() }).await;
    let answer = device.next().await;
    assert!(matches!(answer, Performative::Disposition(d) if d.state == Some(DeliveryState::Accepted)));
}

#[tokio::test]
async fn a_batch_of_messages_is_rejected_and_not_taken_for_one() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Sender, "/devices/d1/messages/events").await;
    device.next().await;
    device.transfer_as(0x8001_3700, 0, 0, &Message::default()).await;
    let Performative::Disposition(Disposition { state: Some(DeliveryState::Rejected(Some(error))), .. }) =
        device.next().await
    else {
        panic!()
    };
    assert_eq!(error.info, [("reason".to_owned(), Value::text("PROTOCOL_NOT_SPOKEN"))]);
}

#[tokio::test]
async fn a_refused_device_gets_open_and_close_with_unauthorized_access() {
    let world = World::new().await;
    world.porter.refuse("d1", "DEVICE_DISABLED");
    let mut device = Amqp::knock(&world, "d1").await;
    assert!(matches!(device.next().await, Performative::Open(_)));
    let expected = ("amqp:unauthorized-access".to_owned(), "DEVICE_DISABLED".to_owned());
    assert_eq!(condition(device.next().await), expected);
    let on_record = Event::Refused { claimed: "d1".to_owned(), reason: "DEVICE_DISABLED", chain: 2 };
    assert_eq!(world.porter.next().await, on_record);
}

#[tokio::test]
async fn an_address_of_another_device_is_refused_and_at_last_the_connection_closed() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    let expected = ("amqp:unauthorized-access".to_owned(), "DEVICE_ID_MISMATCH".to_owned());
    for attempt in 0..17 {
        let answer = device.attach(0, Role::Sender, "/devices/d2/messages/events").await;
        let on_record = Event::Refused { claimed: "d2".to_owned(), reason: "DEVICE_ID_MISMATCH", chain: 2 };
        assert_eq!(world.porter.next().await, on_record);
        if attempt == 16 {
            assert!(matches!(answer, Performative::Close(_)));
            assert_eq!(condition(answer), expected);
            return;
        }
        assert!(matches!(answer, Performative::Attach(attach) if attach.target == Value::Null));
        assert_eq!(condition(device.next().await), expected);
    }
}

#[tokio::test]
async fn an_address_that_does_not_exist_is_refused_and_the_connection_stays() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    let answer = device.attach(0, Role::Sender, "/devices/d1/elsewhere").await;
    assert!(matches!(answer, Performative::Attach(attach) if attach.target == Value::Null));
    assert_eq!(condition(device.next().await), ("amqp:unauthorized-access".to_owned(), "TOPIC_REFUSED".to_owned()));
    let answer = device.attach(1, Role::Sender, "amqps://localhost/devices/d1/messages/events").await;
    assert!(matches!(answer, Performative::Attach(attach) if attach.target != Value::Null));
}

#[tokio::test]
async fn messages_of_the_queue_wait_for_credit_and_are_settled_by_the_device() {
    let world = World::new().await;
    (1..=3).for_each(|sequence| world.porter.send("d1", sequence, &[("alert", "1")], "hello"));
    let mut device = opened(&world, "d1").await;
    device.attach(3, Role::Receiver, "/devices/d1/messages/deviceBound").await;
    for (sequence, (state, settlement)) in (1..).zip([
        (DeliveryState::Accepted, Settlement::Complete),
        (DeliveryState::Rejected(None), Settlement::Reject),
        (DeliveryState::Released, Settlement::Abandon),
    ]) {
        let (transfer, message) = device.next_message().await;
        assert_eq!(message.body, "hello");
        assert_eq!(message.application, [("alert".to_owned(), Value::text("1"))]);
        let first = transfer.delivery_id.unwrap();
        device
            .send(&Performative::Disposition(Disposition {
                role: Role::Receiver,
                first,
                last: None,
                settled: true,
                state: Some(state),
            }))
            .await;
        assert_eq!(world.porter.next().await, Event::Settled(sequence, settlement));
    }
    // The released one comes again, and is nobody's when the connection ends.
    device.next_message().await;
    drop(device);
    assert_eq!(world.porter.next().await, Event::Settled(3, Settlement::Abandon));
    assert_eq!(world.porter.next().await, Event::Disconnected("d1".to_owned(), "CONNECTION_LOST".to_owned()));
}

#[tokio::test]
async fn a_device_that_settles_second_is_answered() {
    let world = World::new().await;
    world.porter.send("d1", 1, &[], "hello");
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Receiver, "/devices/d1/messages/devicebound").await;
    let (transfer, _) = device.next_message().await;
    let (first, state) = (transfer.delivery_id.unwrap(), Some(DeliveryState::Accepted));
    device
        .send(&Performative::Disposition(Disposition {
            role: Role::Receiver,
            first,
            last: None,
            settled: false,
            state: state.clone(),
        }))
        .await;
    let settled = Disposition { role: Role::Sender, first, last: None, settled: true, state };
    assert_eq!(device.next().await, Performative::Disposition(settled));
    assert_eq!(world.porter.next().await, Event::Settled(1, Settlement::Complete));
}

#[tokio::test]
async fn a_method_goes_to_the_device_and_its_answer_back() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Sender, "/devices/d1/methods/devicebound").await;
    assert!(matches!(device.next().await, Performative::Flow(_)));
    device.attach(1, Role::Receiver, "/devices/d1/methods/devicebound").await;
    let call =
        MethodCall { name: "reboot".to_owned(), payload: Bytes::from_static(b"1"), timeout: Duration::from_secs(10) };
    let device = async {
        let (_, request) = device.next_message().await;
        assert_eq!(request.application, [("IoThub-methodname".to_owned(), Value::text("reboot"))]);
        let answer = Message {
            properties: Properties { correlation_id: request.properties.correlation_id, ..Properties::default() },
            application: vec![("IoThub-status".to_owned(), Value::int(200))],
            body: Bytes::from_static(b"{}"),
            ..Message::default()
        };
        device.transfer(0, 0, &answer).await;
        device
    };
    let (answer, _device) = tokio::join!(world.sessions.invoke("d1", call), device);
    assert_eq!(answer.map(|answer| (answer.status, answer.payload)), Ok((200, Bytes::from_static(b"{}"))));
}

#[tokio::test]
async fn the_twin_is_read_reported_and_its_desired_properties_are_pushed() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Sender, "/devices/d1/twin").await;
    device.next().await;
    device.attach(1, Role::Receiver, "/devices/d1/twin").await;
    let request = |operation: &str, resource: Option<&str>, body: &'static str| {
        let annotation = |name: &str, value: &str| (name.to_owned(), Value::text(value));
        let mut annotations = vec![annotation("operation", operation)];
        annotations.extend(resource.map(|resource| annotation("resource", resource)));
        let properties = Properties { correlation_id: Some(Value::text("c")), ..Properties::default() };
        Message { annotations, properties, body: Bytes::from_static(body.as_bytes()), ..Message::default() }
    };
    let desired = Some("/notifications/twin/properties/desired");
    let cases = [
        (request("GET", None, ""), 200),
        (request("PATCH", Some("/properties/reported"), "{\"a\":1}"), 204),
        (request("PATCH", Some("/properties/reported"), "["), 400),
        (request("FLY", None, ""), 403),
        (request("PUT", desired, ""), 200),
    ];
    for (delivery, (request, status)) in (0..).zip(cases) {
        device.transfer(0, delivery, &request).await;
        let mut answered = None;
        let mut accepted = false;
        while answered.is_none() || !accepted {
            if !accepted && answered.is_some() {
                accepted = matches!(device.next().await, Performative::Disposition(_));
                continue;
            }
            answered = Some(device.next_message().await.1);
        }
        let answer = answered.unwrap();
        assert_eq!(answer.properties.correlation_id, Some(Value::text("c")));
        assert_eq!(answer.annotations[0], ("status".to_owned(), Value::int(status)));
    }
    assert_eq!(world.porter.reported("d1"), json!({"a": 1}));
    world.porter.desire("d1", json!({"interval": 5}));
    let (_, change) = device.next_message().await;
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&change.body).unwrap(),
        json!({"interval": 5, "$version": 2})
    );
    assert_eq!(change.properties.correlation_id, None);
}

#[tokio::test]
async fn a_later_connection_of_another_protocol_takes_over() {
    let world = World::new().await;
    let mut first = opened(&world, "d1").await;
    let (_second, _) = super::client::Mqtt::open(&world, "d1", device_wire::mqtt::Clean::Start).await;
    assert_eq!(condition(first.next().await).0, "amqp:connection:forced");
}

#[tokio::test]
async fn octets_that_are_no_amqp_are_refused_by_name_and_the_header_is_told() {
    let world = World::new().await;
    let identity = world.device("d1");
    let address = world.bound.amqp.as_ref().unwrap();
    let header = amqp::PROTOCOL_HEADER;
    let cases: [(&[u8], &str); 3] = [
        (b"AMQP\x03\x01\x00\x00", "PROTOCOL_NOT_SPOKEN"),
        (b"GET / HTTP/1.1\r\n\r\n", "PROTOCOL_NOT_SPOKEN"),
        (b"AMQP\x00\x01\x00\x00\x7f\xff\xff\xff\x02\x00\x00\x00", "MESSAGE_TOO_LARGE"),
    ];
    for (octets, reason) in cases {
        let mut client = Client::connect(&world, address, Some(&identity)).await;
        client.write(octets).await;
        assert_eq!(client.rest().await.as_bytes(), header, "{reason}");
        assert_eq!(world.porter.next().await, Event::Refused { claimed: String::new(), reason, chain: 2 });
    }
}

#[tokio::test]
async fn a_message_without_credit_closes_the_connection() {
    let world = World::new().await;
    let mut device = opened(&world, "d1").await;
    device.attach(0, Role::Receiver, "/devices/d1/messages/devicebound").await;
    device.transfer(0, 0, &Message::default()).await;
    assert_eq!(condition(device.next().await).1, "PACKET_MALFORMED");
}
