//! Octets to packets.

use bytes::{Buf as _, Bytes, BytesMut};

use super::fault::MAX_FILTERS;
use super::{
    Clean, ConnAck, Connect, ConnectCode, Delivery, Fault, Packet, PacketId, Publish, QoS, Resumed, Retain,
    SubscribeCode, Will,
};

/// Takes one packet off the front of what has arrived. None: not all of it has arrived yet. `limit` is the most octets of
/// one packet, its header included.
///
/// # Errors
/// [`Fault`]; nothing after it can be read.
pub fn decode(arrived: &mut BytesMut, limit: usize) -> Result<Option<Packet>, Fault> {
    let Some(header) = Header::read(arrived)? else { return Ok(None) };
    check_first(header.first)?;
    let octets = header.octets.saturating_add(header.remaining);
    if octets > limit {
        return Err(Fault::TooLong { octets, limit });
    }
    if arrived.len() < octets {
        return Ok(None);
    }
    let mut packet = arrived.split_to(octets).freeze();
    packet.advance(header.octets);
    let mut fields = Fields(packet);
    let decoded = body(header.first, &mut fields)?;
    if fields.0.is_empty() { Ok(Some(decoded)) } else { Err(Fault::Shape("octets behind the last field")) }
}

struct Header {
    first: u8,
    remaining: usize,
    octets: usize,
}

impl Header {
    /// The fixed header (section 2.2): type and flags, then the remaining length in one to four octets of seven bits.
    fn read(arrived: &[u8]) -> Result<Option<Self>, Fault> {
        let Some((first, rest)) = arrived.split_first() else { return Ok(None) };
        let mut remaining = 0;
        for (at, octet) in rest.iter().take(4).enumerate() {
            remaining |= usize::from(octet & 0x7f) << (7 * at);
            if octet & 0x80 == 0 {
                return Ok(Some(Self { first: *first, remaining, octets: at + 2 }));
            }
        }
        if rest.len() < 4 { Ok(None) } else { Err(Fault::Length) }
    }
}

/// Section 2.2.2: outside PUBLISH the flags are fixed, and anything else closes the connection; whoever speaks another protocol is
/// found here, by its first octet.
fn check_first(first: u8) -> Result<(), Fault> {
    match (first >> 4, first & 0x0f) {
        (3, _) | (8 | 10, 2) | (1 | 2 | 4 | 9 | 11..=14, 0) => Ok(()),
        (5..=7, _) => Err(Fault::QoS2),
        _ => Err(Fault::Reserved),
    }
}

fn body(first: u8, fields: &mut Fields) -> Result<Packet, Fault> {
    match (first >> 4, first & 0x0f) {
        (1, 0) => connect(fields),
        (2, 0) => connack(fields),
        (3, flags) => publish(flags, fields),
        (4, 0) => Ok(Packet::PubAck(fields.packet_id()?)),
        (5..=7, _) => Err(Fault::QoS2),
        (8, 2) => subscribe(fields),
        (9, 0) => suback(fields),
        (10, 2) => unsubscribe(fields),
        (11, 0) => Ok(Packet::UnsubAck(fields.packet_id()?)),
        (12, 0) => Ok(Packet::PingReq),
        (13, 0) => Ok(Packet::PingResp),
        (14, 0) => Ok(Packet::Disconnect),
        _ => Err(Fault::Reserved),
    }
}

fn connect(fields: &mut Fields) -> Result<Packet, Fault> {
    // Version 3.1 called itself MQIsdp; its level, 3, is answered like any other that is not 4.
    let name = fields.text()?;
    if name != "MQTT" && name != "MQIsdp" {
        return Err(Fault::Protocol);
    }
    let level = fields.octet()?;
    if level != 4 || name != "MQTT" {
        return Err(Fault::Level(level));
    }
    let flags = fields.octet()?;
    let keep_alive = fields.number()?;
    if flags & 0x01 != 0 {
        return Err(Fault::Reserved);
    }
    let client_id = fields.text()?;
    let will = will(flags, fields)?;
    let username = if flags & 0x80 != 0 { Some(fields.text()?) } else { None };
    let password = if flags & 0x40 != 0 { Some(fields.binary()?) } else { None };
    // Section 3.1.2.9: no password without a user name.
    if password.is_some() && username.is_none() {
        return Err(Fault::Reserved);
    }
    let clean = if flags & 0x02 != 0 { Clean::Start } else { Clean::Resume };
    Ok(Packet::Connect(Connect { client_id, clean, keep_alive, will, username, password }))
}

fn will(flags: u8, fields: &mut Fields) -> Result<Option<Will>, Fault> {
    if flags & 0x04 == 0 {
        // Section 3.1.2.6 and 3.1.2.7: without a will its QoS and retain are 0.
        return if flags & 0x38 == 0 { Ok(None) } else { Err(Fault::Reserved) };
    }
    let qos = qos((flags >> 3) & 0x03)?;
    let retain = if flags & 0x20 != 0 { Retain::Yes } else { Retain::No };
    Ok(Some(Will { topic: fields.topic()?, message: fields.binary()?, qos, retain }))
}

fn connack(fields: &mut Fields) -> Result<Packet, Fault> {
    let resumed = match fields.octet()? {
        0 => Resumed::Anew,
        1 => Resumed::Present,
        _ => return Err(Fault::Reserved),
    };
    let number = fields.octet()?;
    let found = ConnectCode::ALL.iter().find(|(_, known)| *known == number);
    let (code, _) = found.ok_or(Fault::Code)?;
    // Section 3.2.2.2: a refusal never says that a session is present.
    if resumed == Resumed::Present && *code != ConnectCode::Accepted {
        return Err(Fault::Reserved);
    }
    Ok(Packet::ConnAck(ConnAck { resumed, code: *code }))
}

fn publish(flags: u8, fields: &mut Fields) -> Result<Packet, Fault> {
    let again = flags & 0x08 != 0;
    let qos = qos((flags >> 1) & 0x03)?;
    let retain = if flags & 0x01 != 0 { Retain::Yes } else { Retain::No };
    let topic = fields.topic()?;
    let delivery = match (qos, again) {
        (QoS::AtMostOnce, false) => Delivery::AtMostOnce,
        // Section 3.3.1.1: DUP is 0 for QoS 0.
        (QoS::AtMostOnce, true) => return Err(Fault::Reserved),
        (QoS::AtLeastOnce, false) => Delivery::First(fields.packet_id()?),
        (QoS::AtLeastOnce, true) => Delivery::Again(fields.packet_id()?),
    };
    Ok(Packet::Publish(Publish { topic, delivery, retain, payload: std::mem::take(&mut fields.0) }))
}

fn subscribe(fields: &mut Fields) -> Result<Packet, Fault> {
    let id = fields.packet_id()?;
    let filters = fields.filters(|fields| {
        let filter = fields.text()?;
        // Section 3.8.4 lets a server grant less than was asked for, so 2 is no fault here.
        match fields.octet()? {
            0 => Ok((filter, QoS::AtMostOnce)),
            1 | 2 => Ok((filter, QoS::AtLeastOnce)),
            _ => Err(Fault::QoS),
        }
    })?;
    Ok(Packet::Subscribe(id, filters))
}

fn suback(fields: &mut Fields) -> Result<Packet, Fault> {
    let id = fields.packet_id()?;
    let codes = fields.filters(|fields| match fields.octet()? {
        0 => Ok(SubscribeCode::Granted(QoS::AtMostOnce)),
        1 => Ok(SubscribeCode::Granted(QoS::AtLeastOnce)),
        0x80 => Ok(SubscribeCode::Failure),
        _ => Err(Fault::Code),
    })?;
    Ok(Packet::SubAck(id, codes))
}

fn unsubscribe(fields: &mut Fields) -> Result<Packet, Fault> {
    let id = fields.packet_id()?;
    Ok(Packet::Unsubscribe(id, fields.filters(Fields::text)?))
}

fn qos(bits: u8) -> Result<QoS, Fault> {
    match bits {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Err(Fault::QoS2),
        _ => Err(Fault::QoS),
    }
}

/// What is left of a packet.
struct Fields(Bytes);

impl Fields {
    fn octet(&mut self) -> Result<u8, Fault> {
        self.0.try_get_u8().map_err(|_| Fault::Shape("ends within a field"))
    }

    fn number(&mut self) -> Result<u16, Fault> {
        self.0.try_get_u16().map_err(|_| Fault::Shape("ends within a number"))
    }

    fn packet_id(&mut self) -> Result<PacketId, Fault> {
        PacketId::new(self.number()?).ok_or(Fault::PacketId)
    }

    fn binary(&mut self) -> Result<Bytes, Fault> {
        let octets = usize::from(self.number()?);
        if self.0.len() < octets { Err(Fault::Shape("ends within a string")) } else { Ok(self.0.split_to(octets)) }
    }

    fn text(&mut self) -> Result<String, Fault> {
        let octets = self.binary()?;
        let text = std::str::from_utf8(&octets).map_err(|_| Fault::Text)?;
        // Section 1.5.3: no U+0000.
        if text.contains('\0') { Err(Fault::Text) } else { Ok(text.to_owned()) }
    }

    /// A topic to publish to: section 3.3.2.1, no wildcards; section 4.7.3, not empty.
    fn topic(&mut self) -> Result<String, Fault> {
        let topic = self.text()?;
        if topic.is_empty() || topic.contains(['+', '#']) { Err(Fault::Topic) } else { Ok(topic) }
    }

    /// One or more of the same, up to the end of the packet.
    fn filters<T>(&mut self, mut next: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            if all.len() == MAX_FILTERS {
                return Err(Fault::Filters);
            }
            all.push(next(self)?);
        }
        if all.is_empty() { Err(Fault::Filters) } else { Ok(all) }
    }
}
