//! MQTT 3.1.1 (OASIS standard, 29 October 2014): control packets to octets and back.
//!
//! QoS 2 is no part of it: a PUBLISH that asks for it, and the packets of its handshake, are refused.

mod decode;
mod encode;
mod fault;
mod packet;

pub use decode::decode;
pub use encode::encode;
pub use fault::Fault;
pub use packet::{
    Clean, ConnAck, Connect, ConnectCode, Delivery, Packet, PacketId, Publish, QoS, Resumed, Retain, SubscribeCode,
    Will,
};
