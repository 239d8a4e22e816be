//! Devices that make the hub hold things for them: begin messages and do not end them, ask and do not take the answer. Each is bounded,
//! and is nobody else's trouble.

use api::hub::v1::ChainRules;
use bytes::{Bytes, BytesMut};
use device_wire::{
    amqp::{
        Performative, Role, Transfer, Value, frame,
        message::{Message, Properties},
    },
    mqtt::Clean,
};

use super::{
    client::{Amqp, Client, Mqtt, connect},
    house::House,
    porter::Event,
    world::World,
};
use crate::{forge::Forge, registry::tests, wire::DeviceLimits};

/// Most octets of one message with what stands around its body.
const MOST: usize = 256 * 1024 + 65_535;

#[tokio::test]
async fn messages_that_are_begun_over_many_links_are_bounded_together() {
    let world = World::new().await;
    let mut device = Amqp::open(&world, "d1").await;
    assert_eq!(world.porter.next().await, Event::Connected("d1".to_owned()));
    let part = vec![b'x'; 60 * 1024];
    let begin = |handle: u32, first: bool| Transfer {
        handle,
        delivery_id: first.then_some(handle),
        delivery_tag: first.then(|| handle.to_be_bytes().to_vec().into()),
        message_format: Some(0),
        settled: false,
        more: true,
        aborted: false,
    };
    // Four parts are less than one message may have; eleven are more than two may.
    assert!(4 * part.len() < MOST && 10 * part.len() < 2 * MOST && 11 * part.len() > 2 * MOST);
    for number in 0..11 {
        let (handle, first) = (number / 4, number % 4 == 0);
        if first {
            device.attach_unread(handle, Role::Sender, "/devices/d1/messages/events").await;
        }
        let mut out = BytesMut::new();
        frame::encode(0, &Performative::Transfer(begin(handle, first)), &part, &mut out);
        device.0.write(&out).await;
    }
    let close = loop {
        if let Performative::Close(close) = device.next().await {
            break close;
        }
    };
    let error = close.error.unwrap();
    assert_eq!(error.info[0].1.as_str(), Some("MESSAGE_TOO_LARGE"));
}

#[tokio::test]
async fn answers_that_a_device_does_not_take_are_bounded_together() {
    let hub = tests::World::with(crate::registry::Stage::Development, None);
    let forge = Forge::new();
    hub.trust("root", &forge.root(), ChainRules::Countersign);
    hub.create("sn0000001");
    let house = House::at_free_ports(hub).await;
    let mut device = Amqp::greet(house.dial(house.doors.bound.amqp.as_ref(), &forge).await).await.begin().await;
    device.attach(0, Role::Sender, "/devices/sn0000001/twin").await;
    for handle in 1..=8 {
        device.attach_unread(handle, Role::Receiver, "/devices/sn0000001/twin").await;
    }
    let ask = |number: u32, operation: &str, resource: &str, body: String| Message {
        annotations: vec![
            ("operation".to_owned(), Value::text(operation)),
            ("resource".to_owned(), Value::text(resource)),
        ],
        properties: Properties { correlation_id: Some(Value::text(number.to_string())), ..Properties::default() },
        body: Bytes::from(body),
        ..Message::default()
    };
    // A twin of some size, which every answer repeats.
    let text = "x".repeat(4000);
    let reported = serde_json::json!({"a": &text, "b": &text, "c": &text, "d": &text, "e": &text, "f": &text});
    device.transfer(0, 0, &ask(0, "PATCH", "/properties/reported", reported.to_string())).await;
    const ASKED: u32 = 99;
    for number in 1..=ASKED {
        device.transfer(0, number, &ask(number, "GET", "", String::new())).await;
    }
    // All were heard: each is settled.
    let mut settled = 0;
    while settled <= ASKED {
        settled += u32::from(matches!(device.next().await, Performative::Disposition(_)));
    }
    for handle in 1..=8 {
        device.credit(handle, 0, 100).await;
    }
    // One more, which is answered after all that was held.
    device.transfer(0, ASKED + 1, &ask(ASKED + 1, "GET", "", String::new())).await;
    let mut answers = 0;
    loop {
        let frame = device.frame().await;
        match frame.performative {
            Some(Performative::Transfer(transfer)) => answers += u32::from(!transfer.more),
            Some(Performative::Disposition(_)) if answers > 0 => break,
            _ => {}
        }
    }
    let octets = 24_000 * answers;
    assert!((20..=30).contains(&answers), "{answers} answers, {octets} octets, were held");
}

/// Nobody reads a connection that cannot be written to, and so nobody would notice that it is to end.
#[tokio::test]
async fn a_stranger_that_asks_over_https_and_takes_no_answer_makes_room() {
    let world = World::with(DeviceLimits { max_strangers: 1, greeting_ms: 500, ..DeviceLimits::default() }).await;
    let sitting = Client::connect(&world, world.bound.https.as_ref().unwrap(), Some(&world.device("d2"))).await;
    let asking = tokio::spawn(async move {
        let mut sitting = sitting;
        let requests = "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
        // Until the hub closes it.
        while sitting.try_write(requests.as_bytes()).await.is_ok() {}
    });
    let opened = async {
        loop {
            let (address, device) = (world.bound.mqtt.as_ref().unwrap(), world.device("d1"));
            let dialled = Client::connect_with(&world, address, Some(&device), &rustls::version::TLS13).await;
            if let Ok(client) = dialled
                && Mqtt(client).greet(connect("d1", Clean::Start)).await.is_some()
            {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), opened).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(20), asking).await.expect("it is still open").unwrap();
}
