//! The nine performatives (section 2.7), the delivery states (section 3.4) and the ends of links (section 3.5).

mod link;
mod read;
mod write;

use bytes::Bytes;

use super::Value;

pub use link::{address, terminus};
pub(super) use read::read;
pub(super) use write::write;

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performative {
    /// Section 2.7.1
    Open(Open),
    /// Section 2.7.2
    Begin(Begin),
    /// Section 2.7.3
    Attach(Box<Attach>),
    /// Section 2.7.4
    Flow(Flow),
    /// Section 2.7.5
    Transfer(Transfer),
    /// Section 2.7.6
    Disposition(Disposition),
    /// Section 2.7.7
    Detach(Detach),
    /// Section 2.7.8
    End(End),
    /// Section 2.7.9
    Close(Close),
}

/// Opens a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Who speaks.
    pub container_id: String,
    /// Whom it wants to speak to.
    pub hostname: Option<String>,
    /// Most octets of one frame that it takes.
    pub max_frame_size: Option<u32>,
    /// Highest channel that it takes.
    pub channel_max: Option<u16>,
    /// Milliseconds of silence after which it gives up.
    pub idle_time_out: Option<u32>,
}

/// Begins a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// In an answer: the channel that is answered.
    pub remote_channel: Option<u16>,
    /// The transfer id of the next transfer sent.
    pub next_outgoing_id: u32,
    /// How many transfers may be sent to it.
    pub incoming_window: u32,
    /// How many transfers it may send.
    pub outgoing_window: u32,
    /// Highest handle that it takes.
    pub handle_max: Option<u32>,
}

/// Which end of a link speaks (section 2.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that sends messages.
    Sender,
    /// The one that receives them.
    Receiver,
}

/// Whether the sender of a link settles what it sends (section 2.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderSettle {
    /// It waits for the receiver.
    Unsettled,
    /// It does not wait.
    Settled,
    /// As each message says.
    Mixed,
}

/// Attaches a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The link's name.
    pub name: String,
    /// The sender of this frame calls the link so.
    pub handle: u32,
    /// Which end the sender of this frame is.
    pub role: Role,
    /// Who settles first.
    pub sender_settle: SenderSettle,
    /// 0: the receiver settles first, 1: second (section 2.8.3). Kept as it is to be repeated.
    pub receiver_settle: Option<u8>,
    /// Where messages come from, as it stands on the wire.
    pub source: Value,
    /// Where messages go, as it stands on the wire.
    pub target: Value,
    /// The sender's first delivery count.
    pub initial_delivery_count: Option<u32>,
    /// Most octets of one message.
    pub max_message_size: Option<u64>,
    /// Whatever else was said about the link.
    pub properties: Vec<(String, Value)>,
}

/// Changes what may flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flow {
    /// The transfer id that is expected next; absent before the other's Begin.
    pub next_incoming_id: Option<u32>,
    /// How many transfers may be sent.
    pub incoming_window: u32,
    /// The transfer id of the next transfer sent.
    pub next_outgoing_id: u32,
    /// How many transfers it may send.
    pub outgoing_window: u32,
    /// The link, when it is about one.
    pub handle: Option<u32>,
    /// The link's delivery count.
    pub delivery_count: Option<u32>,
    /// How many messages may be sent over the link.
    pub link_credit: Option<u32>,
    /// How many messages wait at the sender.
    pub available: Option<u32>,
    /// Credit that is not used at once is to be given up.
    pub drain: bool,
    /// An answer is wanted.
    pub echo: bool,
}

/// Part of a message, or all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transfer {
    /// The link.
    pub handle: u32,
    /// The delivery; only the first transfer of a message needs it.
    pub delivery_id: Option<u32>,
    /// The sender's name of the delivery.
    pub delivery_tag: Option<Bytes>,
    /// 0: the format of section 3.2.
    pub message_format: Option<u32>,
    /// The sender waits for nothing.
    pub settled: bool,
    /// The message goes on in the next transfer.
    pub more: bool,
    /// What was sent of this delivery is to be forgotten.
    pub aborted: bool,
}

/// What became of a delivery (section 3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Part of it has arrived.
    Received,
    /// It was taken.
    Accepted,
    /// It cannot be taken, ever.
    Rejected(Option<ErrorCondition>),
    /// It was not looked at.
    Released,
    /// It was tried.
    Modified {
        /// It is not to be sent here again.
        undeliverable: bool,
    },
}

/// Says what became of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// Which end speaks.
    pub role: Role,
    /// The first delivery.
    pub first: u32,
    /// The last one; absent: only the first.
    pub last: Option<u32>,
    /// They are forgotten from now on.
    pub settled: bool,
    /// What became of them.
    pub state: Option<DeliveryState>,
}

/// Detaches a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detach {
    /// The link.
    pub handle: u32,
    /// For ever.
    pub closed: bool,
    /// Why.
    pub error: Option<ErrorCondition>,
}

/// Ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub error: Option<ErrorCondition>,
}

/// Closes a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub error: Option<ErrorCondition>,
}

/// Why something ended (section 2.8.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCondition {
    /// A symbol such as `amqp:unauthorized-access`.
    pub condition: String,
    /// In words.
    pub description: Option<String>,
    /// For machines.
    pub info: Vec<(String, Value)>,
}
