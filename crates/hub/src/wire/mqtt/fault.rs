//! What the codec finds wrong, as published reasons.

use api::Refusal;
use device_wire::{bag::BagFault, mqtt::Fault, topic::TopicFault};

/// Octets that are no packet, or one that is not spoken here.
pub(super) fn packet(fault: Fault) -> Refusal {
    let reason = match fault {
        Fault::TooLong { .. } => "MESSAGE_TOO_LARGE",
        Fault::Protocol | Fault::Level(_) | Fault::QoS2 => "PROTOCOL_NOT_SPOKEN",
        Fault::Length
        | Fault::Shape(_)
        | Fault::Reserved
        | Fault::Text
        | Fault::QoS
        | Fault::PacketId
        | Fault::Topic
        | Fault::Filters
        | Fault::Code => "PACKET_MALFORMED",
    };
    Refusal::new(reason, fault.to_string())
}

/// A packet that a device does not send, or not now.
pub(super) fn unexpected(what: &str) -> Refusal {
    Refusal::new("PACKET_MALFORMED", format!("{what}, which a device does not send here"))
}

/// A topic that is not the device's.
pub(super) fn topic(topic: &str, fault: TopicFault) -> Refusal {
    Refusal::new("TOPIC_REFUSED", format!("{fault}: {topic}"))
}

/// A property bag that cannot be read.
pub(super) fn bag(fault: BagFault) -> Refusal {
    Refusal::new("PROPERTIES_MALFORMED", fault.to_string())
}
