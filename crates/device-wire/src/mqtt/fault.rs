//! Why octets are no packet.

/// Why what arrived can never become a packet; the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The remaining length has more than four octets (section 2.2.3).
    #[error("a remaining length of more than four octets")]
    Length,
    /// The packet is longer than the limit.
    #[error("a packet of {octets} octets where {limit} are allowed")]
    TooLong {
        /// What it announces.
        octets: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The packet ends within a field, or goes on behind the last.
    #[error("a packet whose fields do not fill it: {0}")]
    Shape(&'static str),
    /// Packet type 0 or 15, or flags that are fixed otherwise (section 2.2.2).
    #[error("a packet type or flags that are reserved")]
    Reserved,
    /// A string that is not UTF-8 or holds U+0000 (section 1.5.3).
    #[error("a string that is not UTF-8 or holds NUL")]
    Text,
    /// The protocol's name is not "MQTT" (section 3.1.2.1).
    #[error("a protocol that is not MQTT")]
    Protocol,
    /// The protocol's level is not 4 (section 3.1.2.2): MQTT 3.1.1.
    #[error("protocol level {0} where 4 is spoken (MQTT 3.1.1)")]
    Level(u8),
    /// QoS 3 (section 3.3.1.2).
    #[error("a QoS that does not exist")]
    QoS,
    /// QoS 2, which is not offered.
    #[error("QoS 2, which is not offered")]
    QoS2,
    /// A packet id of 0 (section 2.3.1).
    #[error("a packet id of 0")]
    PacketId,
    /// A topic that is empty or holds wildcards (section 4.7.1, 4.7.3).
    #[error("a topic that is empty or holds a wildcard")]
    Topic,
    /// SUBSCRIBE or UNSUBSCRIBE without filters (section 3.8.3), or with too many.
    #[error("no topic filters, or more than {MAX_FILTERS}")]
    Filters,
    /// Return codes that do not exist.
    #[error("a return code that does not exist")]
    Code,
}

/// Most filters in one packet; this kind of hub has four topics to subscribe to.
pub(super) const MAX_FILTERS: usize = 16;
