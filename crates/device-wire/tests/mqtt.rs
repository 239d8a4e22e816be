//! MQTT 3.1.1 packets: what is read, what is refused, and that both directions agree.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use bytes::{BufMut as _, Bytes, BytesMut};
use device_wire::mqtt::{
    Clean, ConnAck, Connect, ConnectCode, Delivery, Fault, Packet, PacketId, Publish, QoS, Resumed, Retain,
    SubscribeCode, Will, decode, encode,
};
use proptest::prelude::*;

const LIMIT: usize = 4096;

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn read(octets: &[u8]) -> Result<Option<Packet>, Fault> {
    decode(&mut BytesMut::from(octets), LIMIT)
}

fn connect() -> Connect {
    Connect {
        client_id: "d1".to_owned(),
        clean: Clean::Resume,
        keep_alive: 60,
        will: Some(Will {
            topic: "devices/d1/messages/events/".to_owned(),
            message: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: Retain::Yes,
        }),
        username: Some("localhost/d1/?api-version=2021-04-12".to_owned()),
        password: Some(Bytes::from_static(b"x")),
    }
}

fn samples() -> Vec<Packet> {
    let publish = |delivery, retain| {
        Packet::Publish(Publish { topic: "a/b".to_owned(), delivery, retain, payload: Bytes::from_static(b"{}") })
    };
    vec![
        Packet::Connect(connect()),
        Packet::Connect(Connect { clean: Clean::Start, will: None, username: None, password: None, ..connect() }),
        Packet::ConnAck(ConnAck { resumed: Resumed::Present, code: ConnectCode::Accepted }),
        Packet::ConnAck(ConnAck { resumed: Resumed::Anew, code: ConnectCode::NotAuthorized }),
        publish(Delivery::AtMostOnce, Retain::No),
        publish(Delivery::First(id(7)), Retain::Yes),
        publish(Delivery::Again(id(65535)), Retain::No),
        Packet::PubAck(id(9)),
        Packet::Subscribe(id(1), vec![("a/#".to_owned(), QoS::AtLeastOnce), ("b".to_owned(), QoS::AtMostOnce)]),
        Packet::SubAck(id(1), vec![SubscribeCode::Granted(QoS::AtLeastOnce), SubscribeCode::Failure]),
        Packet::Unsubscribe(id(2), vec!["a/#".to_owned()]),
        Packet::UnsubAck(id(2)),
        Packet::PingReq,
        Packet::PingResp,
        Packet::Disconnect,
    ]
}

#[test]
fn every_packet_comes_back_as_it_went_also_octet_by_octet() {
    let mut stream = BytesMut::new();
    samples().iter().for_each(|packet| encode(packet, &mut stream));
    let mut arrived = BytesMut::new();
    let mut read = Vec::new();
    for octet in stream {
        arrived.put_u8(octet);
        read.extend(decode(&mut arrived, LIMIT).unwrap());
    }
    assert_eq!(read, samples());
    assert!(arrived.is_empty());
}

#[test]
fn a_long_packet_is_refused_by_its_header_alone() {
    let mut long = BytesMut::new();
    long.put_slice(&[0x30, 0xff, 0xff, 0x7f]);
    assert_eq!(decode(&mut long, LIMIT), Err(Fault::TooLong { octets: 2_097_155, limit: LIMIT }));
    assert_eq!(read(&[0x30, 0x80, 0x80, 0x80]), Ok(None));
    assert_eq!(read(&[0x30, 0x80, 0x80, 0x80, 0x80]), Err(Fault::Length));
}

#[test]
fn malformed_packets_are_refused_by_name() {
    let cases: [(&[u8], Fault); 17] = [
        (&[0x00, 0], Fault::Reserved),
        (&[0xf0, 0], Fault::Reserved),
        (&[0xc1, 0], Fault::Reserved),
        (&[0x80, 0], Fault::Reserved),
        (&[0x34, 5, 0, 1, b'a', 0, 1], Fault::QoS2),
        (&[0x36, 5, 0, 1, b'a', 0, 1], Fault::QoS),
        (&[0x38, 3, 0, 1, b'a'], Fault::Reserved),
        (&[0x62, 2, 0, 1], Fault::QoS2),
        (&[0x32, 5, 0, 1, b'a', 0, 0], Fault::PacketId),
        (&[0x30, 2, 0, 0], Fault::Topic),
        (&[0x30, 3, 0, 1, b'#'], Fault::Topic),
        (&[0x30, 3, 0, 1, 0xff], Fault::Text),
        (&[0x30, 3, 0, 1, 0], Fault::Text),
        (&[0x30, 3, 0, 9, b'a'], Fault::Shape("ends within a string")),
        (&[0x40, 3, 0, 1, 0], Fault::Shape("octets behind the last field")),
        (&[0x82, 2, 0, 1], Fault::Filters),
        (&[0x82, 6, 0, 1, 0, 1, b'a', 3], Fault::QoS),
    ];
    for (octets, fault) in cases {
        assert_eq!(read(octets), Err(fault), "{octets:?}");
    }
    let mut many = BytesMut::new();
    encode(&Packet::Unsubscribe(id(1), vec!["a".to_owned(); 17]), &mut many);
    assert_eq!(decode(&mut many, LIMIT), Err(Fault::Filters));
}

#[test]
fn a_refusal_that_speaks_of_a_session_is_refused_by_name() {
    assert_eq!(read(&[0x20, 2, 1, 4]), Err(Fault::Reserved));
    assert_eq!(
        read(&[0x20, 2, 1, 0]).unwrap().unwrap(),
        Packet::ConnAck(ConnAck { resumed: Resumed::Present, code: ConnectCode::Accepted })
    );
}

#[test]
fn a_connect_of_another_protocol_or_level_says_so() {
    let connect = |name: &[u8], level: u8, flags: u8| {
        let mut packet = vec![0x10, u8::try_from(name.len()).unwrap() + 8, 0, u8::try_from(name.len()).unwrap()];
        packet.extend(name);
        packet.extend([level, flags, 0, 0, 0, 0]);
        packet
    };
    assert_eq!(read(&connect(b"MQTT", 5, 2)), Err(Fault::Level(5)));
    assert_eq!(read(&connect(b"MQIsdp", 3, 2)), Err(Fault::Level(3)));
    assert_eq!(read(&connect(b"HTTP", 4, 2)), Err(Fault::Protocol));
    for flags in [0x03, 0x08, 0x20] {
        assert_eq!(read(&connect(b"MQTT", 4, flags)), Err(Fault::Reserved), "{flags:#x}");
    }
}

proptest! {
    #[test]
    fn no_octets_panic_and_what_is_read_is_written_as_it_was(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut arrived = BytesMut::from(octets.as_slice());
        while let Ok(Some(packet)) = decode(&mut arrived, LIMIT) {
            let mut written = BytesMut::new();
            encode(&packet, &mut written);
            prop_assert_eq!(decode(&mut written, LIMIT), Ok(Some(packet)));
        }
    }

    #[test]
    fn a_damaged_packet_never_panics(which in 0..15_usize, at in any::<prop::sample::Index>(), octet: u8, cut in any::<prop::sample::Index>()) {
        let mut written = BytesMut::new();
        encode(&samples()[which], &mut written);
        let place = at.index(written.len());
        written[place] = octet;
        written.truncate(cut.index(written.len()) + 1);
        let _ = decode(&mut written, LIMIT);
    }
}
