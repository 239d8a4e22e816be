//! AMQP 1.0 frames and messages: what is read, what is refused, and that both directions agree.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use bytes::{BufMut as _, Bytes, BytesMut};
use device_wire::amqp::{
    Attach, Begin, Close, DeliveryState, Detach, Disposition, End, ErrorCondition, Fault, Flow, Open, Performative,
    Role, SenderSettle, Transfer, Value, address,
    frame::{self, Frame},
    message::{Message, Properties},
    terminus,
};
use proptest::prelude::*;

const LIMIT: usize = 64 * 1024;

fn samples() -> Vec<Performative> {
    let error = ErrorCondition {
        condition: "amqp:unauthorized-access".to_owned(),
        description: Some("no".to_owned()),
        info: vec![("reason".to_owned(), Value::text("DEVICE_UNKNOWN"))],
    };
    vec![
        Performative::Open(Open {
            container_id: "c".to_owned(),
            hostname: Some("localhost".to_owned()),
            max_frame_size: Some(65536),
            channel_max: Some(7),
            idle_time_out: Some(120_000),
        }),
        Performative::Begin(Begin {
            remote_channel: Some(0),
            next_outgoing_id: 0,
            incoming_window: 2048,
            outgoing_window: u32::MAX,
            handle_max: None,
        }),
        Performative::Attach(Box::new(Attach {
            name: "link".to_owned(),
            handle: 300,
            role: Role::Receiver,
            sender_settle: SenderSettle::Mixed,
            receiver_settle: Some(1),
            source: terminus(Role::Sender, "/devices/d1/messages/devicebound"),
            target: Value::Null,
            initial_delivery_count: Some(0),
            max_message_size: Some(1 << 40),
            properties: vec![("com.microsoft:api-version".to_owned(), Value::text("2021-04-12"))],
        })),
        Performative::Flow(Flow { handle: Some(1), link_credit: Some(100), echo: true, ..Flow::default() }),
        Performative::Transfer(Transfer {
            handle: 1,
            delivery_id: Some(4),
            delivery_tag: Some(Bytes::from_static(b"t")),
            message_format: Some(0),
            settled: false,
            more: true,
            aborted: false,
        }),
        Performative::Disposition(Disposition {
            role: Role::Receiver,
            first: 1,
            last: Some(3),
            settled: true,
            state: Some(DeliveryState::Rejected(Some(error.clone()))),
        }),
        Performative::Disposition(Disposition {
            role: Role::Sender,
            first: 1,
            last: None,
            settled: false,
            state: Some(DeliveryState::Modified { undeliverable: true }),
        }),
        Performative::Detach(Detach { handle: 0, closed: true, error: None }),
        Performative::End(End { error: None }),
        Performative::Close(Close { error: Some(error) }),
    ]
}

fn written(performative: &Performative) -> BytesMut {
    let mut out = BytesMut::new();
    let payload: &[u8] = if matches!(performative, Performative::Transfer(_)) { b"payload" } else { b"" };
    frame::encode(3, performative, payload, &mut out);
    out
}

#[test]
fn every_performative_comes_back_as_it_went_also_octet_by_octet() {
    for sample in samples() {
        let mut arrived = BytesMut::new();
        let mut frames = Vec::new();
        for octet in written(&sample) {
            arrived.put_u8(octet);
            frames.extend(frame::decode(&mut arrived, LIMIT).unwrap());
        }
        let [Frame { channel: 3, performative: Some(read), .. }] = frames.as_slice() else { panic!("{frames:?}") };
        assert_eq!(*read, sample);
    }
}

#[test]
fn an_address_is_found_in_a_source() {
    assert_eq!(address(&terminus(Role::Sender, "/a")), Some("/a"));
    assert_eq!(address(&Value::Null), None);
}

#[test]
fn frames_out_of_bounds_are_refused_by_name() {
    let frame = |octets: &[u8]| frame::decode(&mut BytesMut::from(octets), 1024);
    assert_eq!(frame(&[0, 0, 4, 1, 2, 0, 0, 0]), Err(Fault::TooLong { octets: 1025, limit: 1024 }));
    assert_eq!(frame(&[0, 0, 0, 8, 1, 0, 0, 0]), Err(Fault::Header));
    assert_eq!(frame(&[0, 0, 0, 7, 2, 0, 0, 0]), Err(Fault::Header));
    assert_eq!(frame(&[0, 0, 0, 8, 2, 1, 0, 0]), Err(Fault::Header));
    assert_eq!(frame(&[0, 0, 0, 8, 2, 0, 0, 0]).unwrap().unwrap().performative, None);
    assert_eq!(frame(&[0, 0, 0, 9, 2, 0, 0, 0, 0x40]), Err(Fault::Performative));
    assert_eq!(frame(&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x30, 0x45]), Err(Fault::Performative));
    assert_eq!(frame(&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x10, 0x45]), Err(Fault::Field("container-id")));
    assert_eq!(frame::decode_header(&mut BytesMut::from(&b"AMQP\x03\x01\x00\x00"[..])), Err(Fault::Protocol));
    assert_eq!(frame::decode_header(&mut BytesMut::from(&b"AMQP"[..])), Ok(None));
    assert_eq!(frame::decode_header(&mut BytesMut::from(&b"GET"[..])), Err(Fault::Protocol));
}

fn framed(value: &[u8]) -> Result<Option<Frame>, Fault> {
    let mut octets = BytesMut::new();
    octets.put_u32(u32::try_from(value.len() + 8).unwrap());
    octets.put_slice(&[2, 0, 0, 0]);
    octets.put_slice(value);
    frame::decode(&mut octets, LIMIT)
}

#[test]
fn an_array_of_items_without_octets_cannot_fill_the_memory() {
    let bomb = [0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40];
    assert_eq!(framed(&bomb), Err(Fault::Items));
    let list_of_nulls: Vec<u8> = [&[0xd0, 0, 0, 0x80, 0x04, 0, 0, 0x80, 0][..], &[0x40; 0x8000]].concat();
    assert_eq!(framed(&list_of_nulls), Err(Fault::Items));
}

#[test]
fn values_nested_without_end_are_refused() {
    assert_eq!(framed(&[0; 5000]), Err(Fault::Depth));
    let mut nested = vec![0x45];
    for _ in 0..20 {
        let size = u8::try_from(nested.len() + 1).unwrap();
        nested = [&[0xc0, size, 1][..], &nested].concat();
    }
    assert_eq!(framed(&nested), Err(Fault::Depth));
}

fn message() -> Message {
    Message {
        annotations: vec![("operation".to_owned(), Value::text("GET"))],
        properties: Properties {
            message_id: Some(Value::text("m-1")),
            to: Some("/devices/d1/messages/events".to_owned()),
            correlation_id: Some(Value::Uuid([7; 16])),
            content_type: Some("application/json".to_owned()),
            absolute_expiry_time: Some(1),
            ..Properties::default()
        },
        application: vec![("temperatureAlert".to_owned(), Value::text("true")), ("n".to_owned(), Value::int(-5))],
        body: Bytes::from(vec![b'x'; 300]),
    }
}

#[test]
fn a_message_comes_back_as_it_went() {
    assert_eq!(Message::decode(message().encode()).unwrap(), message());
    assert_eq!(Message::decode(Bytes::new()).unwrap(), Message::default());
}

#[test]
fn several_data_sections_are_one_body_and_a_text_is_one_too() {
    let two = [0, 0x53, 0x75, 0xa0, 1, b'a', 0, 0x53, 0x75, 0xa0, 2, b'b', b'c'];
    assert_eq!(Message::decode(Bytes::copy_from_slice(&two)).unwrap().body, "abc");
    assert_eq!(Message::decode(Bytes::from_static(&[0, 0x53, 0x77, 0xa1, 1, b'a'])).unwrap().body, "a");
}

#[test]
fn messages_out_of_order_or_without_octets_are_refused_by_name() {
    let cases: [(&[u8], Fault); 5] = [
        (&[0, 0x53, 0x75, 0xa0, 0, 0, 0x53, 0x74, 0xc1, 1, 0], Fault::Sections),
        (&[0, 0x53, 0x73, 0x45, 0, 0x53, 0x73, 0x45], Fault::Sections),
        (&[0, 0x53, 0x10, 0x45], Fault::Sections),
        (&[0, 0x53, 0x76, 0x45], Fault::Body),
        (&[0x40], Fault::Value),
    ];
    for (octets, fault) in cases {
        assert_eq!(Message::decode(Bytes::copy_from_slice(octets)), Err(fault), "{octets:x?}");
    }
}

proptest! {
    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = framed(&octets);
        let _ = Message::decode(Bytes::from(octets.clone()));
        let _ = frame::decode(&mut BytesMut::from(octets.as_slice()), LIMIT);
    }

    #[test]
    fn a_damaged_frame_never_panics(which in 0..10_usize, at in any::<prop::sample::Index>(), octet: u8) {
        let mut octets = written(&samples()[which]);
        let place = at.index(octets.len());
        octets[place] = octet;
        let _ = frame::decode(&mut octets, LIMIT);
        let mut whole = message().encode().to_vec();
        let place = at.index(whole.len());
        whole[place] = octet;
        let _ = Message::decode(Bytes::from(whole));
    }
}
