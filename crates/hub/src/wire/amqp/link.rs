//! Sessions and links of one connection, and what their addresses mean.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

/// What a link is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Telemetry; the device sends.
    Events,
    /// Messages of the device's queue; the device receives.
    CloudToDevice,
    /// Direct methods, both ways.
    Methods,
    /// The twin, both ways.
    Twin,
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// The device that it names.
    pub(super) device: &'a str,
    /// What it is about.
    pub(super) kind: Kind,
}

impl<'a> Address<'a> {
    /// Reads `/devices/{id}/messages/events` and the like, also with scheme and host before it; the words behind the id in any case.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => text.strip_prefix('/').unwrap_or(text),
        };
        let mut parts = path.splitn(3, '/');
        let (devices, device, verb) = (parts.next()?, parts.next()?, parts.next()?);
        if !devices.eq_ignore_ascii_case("devices") || device.is_empty() {
            return None;
        }
        let known = [
            ("messages/events", Kind::Events),
            ("messages/devicebound", Kind::CloudToDevice),
            ("methods/devicebound", Kind::Methods),
            ("twin", Kind::Twin),
        ];
        let verb = verb.strip_suffix('/').unwrap_or(verb);
        let (_, kind) = known.into_iter().find(|(words, _)| words.eq_ignore_ascii_case(verb))?;
        Some(Self { device, kind })
    }
}

/// A session (section 2.5).
#[derive(Debug)]
pub(super) struct Channel {
    /// The id of the next transfer that we send.
    pub(super) next_outgoing: u32,
    /// The id of the next message that we send; a message may take several transfers.
    pub(super) next_delivery: u32,
    /// The id of the next transfer that we get.
    pub(super) next_incoming: u32,
    /// How many transfers the device still takes.
    pub(super) window: u32,
    /// Transfers that we got since the device was last told our window.
    pub(super) unreported: u32,
    /// Links by the device's handle, which is ours as well.
    pub(super) links: HashMap<u32, Link>,
    /// Our deliveries that the device has not settled: the number in its queue.
    pub(super) held: HashMap<u32, u64>,
}

/// A link (section 2.6).
#[derive(Debug)]
pub(super) struct Link {
    pub(super) kind: Kind,
    pub(super) way: Way,
}

/// Who sends.
#[derive(Debug)]
pub(super) enum Way {
    /// The device.
    Up(Up),
    /// We.
    Down(Down),
}

/// What we know of a link over which the device sends.
#[derive(Debug)]
pub(super) struct Up {
    /// Messages that came.
    pub(super) count: u32,
    /// Messages that may still come.
    pub(super) credit: u32,
    /// A message of which more is to come.
    pub(super) partial: Option<Partial>,
}

/// The beginning of a message.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) delivery: u32,
    /// 0: one message as section 3.2 writes it. Batches of messages have another.
    pub(super) format: u32,
    pub(super) settled: bool,
    pub(super) octets: BytesMut,
}

/// What we know of a link over which we send.
#[derive(Debug)]
pub(super) struct Down {
    /// Messages that went.
    pub(super) count: u32,
    /// Messages that the device takes.
    pub(super) credit: u32,
    /// The device wants no settlement: what is sent is done.
    pub(super) settled: bool,
    /// Messages that wait for credit.
    pub(super) waiting: VecDeque<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_all_sdks_are_known() {
        let cases = [
            ("/devices/d1/messages/events", Kind::Events),
            ("devices/d1/messages/events/", Kind::Events),
            ("amqps://localhost/devices/d1/messages/events", Kind::Events),
            ("/devices/d1/messages/deviceBound", Kind::CloudToDevice),
            ("/devices/d1/methods/devicebound", Kind::Methods),
            ("/devices/d1/twin", Kind::Twin),
        ];
        for (text, kind) in cases {
            assert_eq!(Address::parse(text), Some(Address { device: "d1", kind }), "{text}");
        }
    }

    #[test]
    fn other_addresses_lead_nowhere() {
        for text in
            ["", "/", "/devices/d1", "/devices//twin", "/devices/d1/modules/m/twin", "amqps://localhost", "$cbs"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        assert_eq!(Address::parse("/devices/D1/twin").map(|address| address.device), Some("D1"));
    }
}
