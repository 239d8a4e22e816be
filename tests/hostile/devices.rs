//! What a device that behaves says after it was let in: each thing that a session knows, once.

use bytes::{Bytes, BytesMut};
use device_wire::{
    amqp::{
        Attach, Begin, Close, DeliveryState, Detach, Disposition, End, Flow, Performative, Role, SenderSettle,
        Transfer, Value, frame,
        message::{Message, Properties},
        terminus,
    },
    mqtt::{self, Delivery, Packet, PacketId, Publish, QoS, Retain},
};

/// Packets, each encoded by itself.
pub(crate) fn mqtt_packets() -> Vec<Vec<u8>> {
    let id = |number| PacketId::new(number).unwrap();
    let publish = |topic: &str, delivery, payload: &'static str| {
        let (topic, payload) = (topic.to_owned(), Bytes::from_static(payload.as_bytes()));
        Packet::Publish(Publish { topic, delivery, retain: Retain::No, payload })
    };
    let filters = [
        "devices/d1/messages/devicebound/#",
        "$iothub/methods/POST/#",
        "$iothub/twin/res/#",
        "$iothub/twin/PATCH/properties/desired/#",
    ];
    let packets = [
        Packet::Subscribe(id(1), filters.map(|filter| (filter.to_owned(), QoS::AtLeastOnce)).to_vec()),
        publish("devices/d1/messages/events/%24.ct=application%2Fjson&alert=true", Delivery::First(id(2)), "{}"),
        publish("devices/d1/messages/events/", Delivery::AtMostOnce, "x"),
        publish("$iothub/twin/GET/?$rid=1", Delivery::AtMostOnce, " "),
        publish("$iothub/twin/PATCH/properties/reported/?$rid=2", Delivery::Again(id(3)), "{\"a\":1}"),
        publish("$iothub/methods/res/200/?$rid=1", Delivery::First(id(4)), "{}"),
        Packet::PubAck(id(1)),
        Packet::PingReq,
        Packet::Unsubscribe(id(5), vec![filters[0].to_owned()]),
        Packet::Disconnect,
    ];
    let encoded = packets.iter().map(|packet| {
        let mut out = BytesMut::new();
        mqtt::encode(packet, &mut out);
        out.to_vec()
    });
    encoded.collect()
}

/// A whole connection from Begin to Close.
pub(crate) fn amqp_connection() -> Vec<u8> {
    let begin = Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 100,
        outgoing_window: 100,
        handle_max: None,
    };
    let flow = Flow {
        handle: Some(1),
        next_incoming_id: Some(0),
        incoming_window: 100,
        delivery_count: Some(0),
        link_credit: Some(10),
        ..Flow::default()
    };
    let settled = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(1),
        settled: true,
        state: Some(DeliveryState::Accepted),
    };
    let twin = Message {
        annotations: vec![("operation".to_owned(), Value::text("GET"))],
        properties: Properties { correlation_id: Some(Value::text("c")), ..Properties::default() },
        ..Message::default()
    };
    let telemetry = Message {
        application: vec![("alert".to_owned(), Value::text("true"))],
        body: Bytes::from_static(b"{}"),
        ..Message::default()
    };
    let said = [
        (Performative::Begin(begin), Bytes::new()),
        (attach(0, Role::Sender, "/devices/d1/messages/events"), Bytes::new()),
        (attach(1, Role::Receiver, "/devices/d1/messages/devicebound"), Bytes::new()),
        (attach(2, Role::Sender, "/devices/d1/twin"), Bytes::new()),
        (attach(3, Role::Receiver, "/devices/d1/twin"), Bytes::new()),
        (Performative::Flow(flow), Bytes::new()),
        (transfer(0, 0), telemetry.encode()),
        (transfer(2, 1), twin.encode()),
        (Performative::Disposition(settled), Bytes::new()),
        (Performative::Detach(Detach { handle: 1, closed: true, error: None }), Bytes::new()),
        (Performative::End(End { error: None }), Bytes::new()),
        (Performative::Close(Close { error: None }), Bytes::new()),
    ];
    let mut out = BytesMut::new();
    for (performative, payload) in &said {
        frame::encode(0, performative, payload, &mut out);
    }
    out.to_vec()
}

fn attach(handle: u32, role: Role, address: &str) -> Performative {
    let (source, target) = match role {
        Role::Sender => (Value::Null, terminus(Role::Receiver, address)),
        Role::Receiver => (terminus(Role::Sender, address), Value::Null),
    };
    Performative::Attach(Box::new(Attach {
        name: format!("link-{handle}"),
        handle,
        role,
        sender_settle: SenderSettle::Mixed,
        receiver_settle: None,
        source,
        target,
        initial_delivery_count: (role == Role::Sender).then_some(0),
        max_message_size: None,
        properties: Vec::new(),
    }))
}

fn transfer(handle: u32, delivery: u32) -> Performative {
    Performative::Transfer(Transfer {
        handle,
        delivery_id: Some(delivery),
        delivery_tag: Some(Bytes::copy_from_slice(&delivery.to_be_bytes())),
        message_format: Some(0),
        settled: false,
        more: false,
        aborted: false,
    })
}
