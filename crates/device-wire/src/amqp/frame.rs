//! Frames (section 2.3): one performative, and behind it what it carries.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{Fault, PROTOCOL_HEADER, Performative, encode, performative, value::Reader};

/// A frame of AMQP; SASL frames are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which session it belongs to.
    pub channel: u16,
    /// What it says; None: only that the peer lives (section 2.4.5).
    pub performative: Option<Performative>,
    /// Part of a message, behind a transfer.
    pub payload: Bytes,
}

/// Octets of a frame's own header.
const HEADER: usize = 8;

/// Takes the protocol header off the front. None: not all of it has arrived yet.
///
/// # Errors
/// [`Fault::Protocol`]
pub fn decode_header(arrived: &mut BytesMut) -> Result<Option<()>, Fault> {
    let known = arrived.len().min(PROTOCOL_HEADER.len());
    if arrived.get(..known) != PROTOCOL_HEADER.get(..known) {
        return Err(Fault::Protocol);
    }
    if known < PROTOCOL_HEADER.len() {
        return Ok(None);
    }
    arrived.advance(known);
    Ok(Some(()))
}

/// Takes one frame off the front. None: not all of it has arrived yet. `limit` is the most octets of a frame.
///
/// # Errors
/// [`Fault`]; nothing after it can be read.
pub fn decode(arrived: &mut BytesMut, limit: usize) -> Result<Option<Frame>, Fault> {
    let Some(mut header) = arrived.get(..HEADER) else { return Ok(None) };
    let octets = usize::try_from(header.get_u32()).unwrap_or(usize::MAX);
    let offset = usize::from(header.get_u8()) * 4;
    let kind = header.get_u8();
    let channel = header.get_u16();
    if octets > limit {
        return Err(Fault::TooLong { octets, limit });
    }
    if offset < HEADER || offset > octets || kind != 0 {
        return Err(Fault::Header);
    }
    if arrived.len() < octets {
        return Ok(None);
    }
    let mut body = arrived.split_to(octets).freeze();
    body.advance(offset);
    if body.is_empty() {
        return Ok(Some(Frame { channel, performative: None, payload: Bytes::new() }));
    }
    let mut reader = Reader::new(body);
    let performative = performative::read(reader.value()?)?;
    let is_transfer = matches!(performative, Performative::Transfer(_));
    if !is_transfer && !reader.octets.is_empty() {
        return Err(Fault::Header);
    }
    Ok(Some(Frame { channel, performative: Some(performative), payload: reader.octets }))
}

/// Writes a frame behind what `out` holds. The caller cuts messages so that the frame fits the peer's limit; see [`room`].
pub fn encode(channel: u16, performative: &Performative, payload: &[u8], out: &mut BytesMut) {
    let mut body = BytesMut::new();
    encode::value(&performative::write(performative), &mut body);
    header(channel, body.len() + payload.len(), out);
    out.put_slice(&body);
    out.put_slice(payload);
}

/// Writes a frame that says only that this side lives.
pub fn encode_empty(out: &mut BytesMut) {
    header(0, 0, out);
}

/// How many octets of a message fit behind a transfer in a frame of at most `max_frame_size`. A transfer with all its fields has less
/// than 100 octets.
#[must_use]
pub fn room(max_frame_size: u32) -> usize {
    usize::try_from(max_frame_size).unwrap_or(usize::MAX).saturating_sub(128).max(256)
}

fn header(channel: u16, body: usize, out: &mut BytesMut) {
    out.reserve(HEADER + body);
    out.put_u32(u32::try_from(HEADER + body).unwrap_or(u32::MAX));
    out.put_slice(&[2, 0]);
    out.put_u16(channel);
}
