//! Packets to octets.

use bytes::{BufMut as _, BytesMut};

use super::{Clean, ConnAck, Connect, ConnectCode, Delivery, Packet, Publish, QoS, Resumed, Retain, SubscribeCode};

/// Most octets after the fixed header (section 2.2.3).
const MAX_REMAINING: usize = 268_435_455;

/// Writes a packet behind what `out` already holds. A string of more than 65,535 octets is cut there and a packet of more than
/// 256 MiB is not written at all: the wire has no way to say them, and no caller here makes them.
pub fn encode(packet: &Packet, out: &mut BytesMut) {
    match packet {
        Packet::Connect(connect) => write_connect(connect, out),
        Packet::ConnAck(answer) => write_connack(*answer, out),
        Packet::Publish(publish) => write_publish(publish, out),
        Packet::PubAck(id) => out.put_slice(&with_id(0x40, id.get())),
        Packet::Subscribe(id, filters) => {
            let mut body = BytesMut::new();
            body.put_u16(id.get());
            for (filter, qos) in filters {
                text(filter.as_bytes(), &mut body);
                body.put_u8(qos.bits());
            }
            whole(0x82, &body, out);
        }
        Packet::SubAck(id, codes) => {
            let mut body = BytesMut::new();
            body.put_u16(id.get());
            codes.iter().for_each(|code| body.put_u8(suback_code(*code)));
            whole(0x90, &body, out);
        }
        Packet::Unsubscribe(id, filters) => {
            let mut body = BytesMut::new();
            body.put_u16(id.get());
            filters.iter().for_each(|filter| text(filter.as_bytes(), &mut body));
            whole(0xa2, &body, out);
        }
        Packet::UnsubAck(id) => out.put_slice(&with_id(0xb0, id.get())),
        Packet::PingReq => out.put_slice(&[0xc0, 0]),
        Packet::PingResp => out.put_slice(&[0xd0, 0]),
        Packet::Disconnect => out.put_slice(&[0xe0, 0]),
    }
}

fn write_connect(connect: &Connect, out: &mut BytesMut) {
    let mut flags = match connect.clean {
        Clean::Start => 0x02,
        Clean::Resume => 0,
    };
    let mut body = BytesMut::new();
    text(connect.client_id.as_bytes(), &mut body);
    if let Some(will) = &connect.will {
        flags |= 0x04 | (will.qos.bits() << 3) | (retain_bit(will.retain) << 5);
        text(will.topic.as_bytes(), &mut body);
        text(&will.message, &mut body);
    }
    if let Some(name) = &connect.username {
        flags |= 0x80;
        text(name.as_bytes(), &mut body);
    }
    if let Some(password) = &connect.password {
        flags |= 0x40;
        text(password, &mut body);
    }
    let mut all = BytesMut::new();
    text(b"MQTT", &mut all);
    all.put_u8(4);
    all.put_u8(flags);
    all.put_u16(connect.keep_alive);
    all.put_slice(&body);
    whole(0x10, &all, out);
}

fn write_connack(answer: ConnAck, out: &mut BytesMut) {
    // Section 3.2.2.2: a refusal never says that a session is present.
    let resumed = match (answer.resumed, answer.code) {
        (Resumed::Present, ConnectCode::Accepted) => 1,
        (Resumed::Present | Resumed::Anew, _) => 0,
    };
    let code = ConnectCode::ALL.iter().find(|(known, _)| *known == answer.code).map_or(3, |(_, number)| *number);
    out.put_slice(&[0x20, 2, resumed, code]);
}

fn write_publish(publish: &Publish, out: &mut BytesMut) {
    let (flags, id) = match publish.delivery {
        Delivery::AtMostOnce => (0, None),
        Delivery::First(id) => (0x02, Some(id)),
        Delivery::Again(id) => (0x0a, Some(id)),
    };
    let first = 0x30 | flags | retain_bit(publish.retain);
    let topic = publish.topic.as_bytes();
    let topic = topic.get(..usize::from(u16::MAX)).unwrap_or(topic);
    let remaining = 2 + topic.len() + id.map_or(0, |_| 2) + publish.payload.len();
    if !header(first, remaining, out) {
        return;
    }
    text(topic, out);
    if let Some(id) = id {
        out.put_u16(id.get());
    }
    out.put_slice(&publish.payload);
}

fn whole(first: u8, body: &[u8], out: &mut BytesMut) {
    if header(first, body.len(), out) {
        out.put_slice(body);
    }
}

fn header(first: u8, remaining: usize, out: &mut BytesMut) -> bool {
    if remaining > MAX_REMAINING {
        return false;
    }
    out.reserve(5 + remaining);
    out.put_u8(first);
    let mut left = remaining;
    loop {
        let seven = u8::try_from(left & 0x7f).unwrap_or(0x7f);
        left >>= 7;
        if left == 0 {
            out.put_u8(seven);
            return true;
        }
        out.put_u8(seven | 0x80);
    }
}

fn with_id(first: u8, id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [first, 2, high, low]
}

fn text(octets: &[u8], out: &mut BytesMut) {
    let octets = octets.get(..usize::from(u16::MAX)).unwrap_or(octets);
    out.put_u16(u16::try_from(octets.len()).unwrap_or(u16::MAX));
    out.put_slice(octets);
}

fn retain_bit(retain: Retain) -> u8 {
    match retain {
        Retain::No => 0,
        Retain::Yes => 1,
    }
}

fn suback_code(code: SubscribeCode) -> u8 {
    match code {
        SubscribeCode::Granted(QoS::AtMostOnce) => 0,
        SubscribeCode::Granted(QoS::AtLeastOnce) => 1,
        SubscribeCode::Failure => 0x80,
    }
}
