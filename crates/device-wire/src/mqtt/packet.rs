//! The control packets as values.

use std::num::NonZeroU16;

use bytes::Bytes;

/// Identifies a packet that will be acknowledged, within one direction of one connection (section 2.3.1).
pub type PacketId = NonZeroU16;

/// How often a message may arrive (section 4.3), without "exactly once".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// At most once; never acknowledged.
    AtMostOnce,
    /// At least once; acknowledged by PUBACK.
    AtLeastOnce,
}

/// Whether what the last connection left is to be used (section 3.1.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clean {
    /// Begin anew and leave nothing.
    Start,
    /// Go on with the subscriptions of the last connection.
    Resume,
}

/// Whether the server still had what the last connection left (section 3.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It had nothing: subscribe again.
    Anew,
    /// The subscriptions hold.
    Present,
}

/// Whether a PUBLISH asks to be kept for later subscribers (section 3.3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// It does not.
    No,
    /// It does.
    Yes,
}

/// Whether a PUBLISH may have arrived before (the DUP flag, section 3.3.1.1) and whether it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1, sent the first time.
    First(PacketId),
    /// QoS 1, sent again.
    Again(PacketId),
}

/// What the server publishes in the client's name when the connection breaks (section 3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub message: Bytes,
    /// How.
    pub qos: QoS,
    /// Whether to keep it.
    pub retain: Retain,
}

/// CONNECT (section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Who connects; may be empty on the wire.
    pub client_id: String,
    /// Whether the last connection's subscriptions are wanted.
    pub clean: Clean,
    /// Most seconds between two packets of the client; 0: no limit.
    pub keep_alive: u16,
    /// The last will.
    pub will: Option<Will>,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Bytes>,
}

/// The return code of a CONNACK (section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectCode {
    /// 0
    Accepted,
    /// 1: the server does not speak this level of the protocol.
    UnacceptableProtocol,
    /// 2: the client id is not acceptable.
    IdentifierRejected,
    /// 3: come back later.
    ServerUnavailable,
    /// 4: user name or password are malformed.
    BadUserNameOrPassword,
    /// 5: may not connect.
    NotAuthorized,
}

/// CONNACK (section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether subscriptions were kept; only where accepted.
    pub resumed: Resumed,
    /// The answer.
    pub code: ConnectCode,
}

/// PUBLISH (section 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where to: no wildcards.
    pub topic: String,
    /// QoS, packet id and DUP.
    pub delivery: Delivery,
    /// Whether to keep it.
    pub retain: Retain,
    /// What.
    pub payload: Bytes,
}

/// What a SUBACK says about one filter (section 3.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeCode {
    /// Granted, with this QoS at most.
    Granted(QoS),
    /// 0x80
    Failure,
}

/// A control packet of either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Client to server, the first.
    Connect(Connect),
    /// Its answer.
    ConnAck(ConnAck),
    /// A message, either way.
    Publish(Publish),
    /// The acknowledgement of a QoS 1 PUBLISH.
    PubAck(PacketId),
    /// Asks for messages: filters with the most QoS wanted (2 is read as 1). At least one.
    Subscribe(PacketId, Vec<(String, QoS)>),
    /// Its answer, one code a filter.
    SubAck(PacketId, Vec<SubscribeCode>),
    /// Ends subscriptions. At least one.
    Unsubscribe(PacketId, Vec<String>),
    /// Its answer.
    UnsubAck(PacketId),
    /// Says that the client lives.
    PingReq,
    /// Its answer.
    PingResp,
    /// The client ends the connection in an orderly way.
    Disconnect,
}

impl QoS {
    pub(super) fn bits(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

impl ConnectCode {
    /// Every code with its number.
    pub const ALL: [(Self, u8); 6] = [
        (Self::Accepted, 0),
        (Self::UnacceptableProtocol, 1),
        (Self::IdentifierRejected, 2),
        (Self::ServerUnavailable, 3),
        (Self::BadUserNameOrPassword, 4),
        (Self::NotAuthorized, 5),
    ];
}

impl Delivery {
    /// The id to acknowledge, if there is one.
    #[must_use]
    pub fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::First(id) | Self::Again(id) => Some(id),
        }
    }
}
