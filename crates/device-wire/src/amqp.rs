//! AMQP 1.0 (OASIS standard, 29 October 2012): frames, performatives and messages to octets and back.
//!
//! What devices of this kind of hub need of it: the transport layer without SASL, and messages whose body is octets. Transactions,
//! recovery of deliveries and the other message bodies are left out.

mod encode;
mod fault;
mod fields;
pub mod frame;
pub mod message;
mod performative;
mod symbol;
mod value;

pub use fault::Fault;
pub use performative::{
    Attach, Begin, Close, DeliveryState, Detach, Disposition, End, ErrorCondition, Flow, Open, Performative, Role,
    SenderSettle, Transfer, address, terminus,
};
pub use value::Value;

/// The first octets of a connection in both directions: AMQP 1.0.0 without SASL (section 2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
/// The smallest maximum of a frame that a peer may ask for (section 2.7.1).
pub const MIN_MAX_FRAME: u32 = 512;
