//! What devices say on the wire, as octets and as values: MQTT 3.1.1 packets, AMQP 1.0 frames, property bags and topics.
//!
//! Both ends use it: the hub, and the simulated device. It does not know sockets, TLS, clocks, who may connect, or what a
//! message is for. A decoder takes what has arrived and says "not yet", a value, or why it can never be one.
//!
//! Invariant: no input panics, and none takes more memory than a small multiple of the limit that the caller gives.
//!
//! Start with [`mqtt::decode`] and [`amqp::frame::decode`]; [`bag`] and [`topic`] are what this kind of hub adds to MQTT.

pub mod amqp;
pub mod bag;
pub mod mqtt;
pub mod topic;
