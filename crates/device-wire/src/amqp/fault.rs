//! Why octets are no frame.

/// Why what arrived can never become a frame or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first octets are not AMQP 1.0.0 without SASL (section 2.2).
    #[error("a protocol header that is not AMQP 1.0 without SASL")]
    Protocol,
    /// The frame is longer than the limit.
    #[error("a frame of {octets} octets where {limit} are allowed")]
    TooLong {
        /// What it announces.
        octets: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The frame's own header makes no sense (section 2.3.1).
    #[error("a frame header that makes no sense")]
    Header,
    /// A value ends early, or has a code that does not exist (section 1.6).
    #[error("a value that is not of the AMQP type system")]
    Value,
    /// Values in values deeper than anything here needs.
    #[error("values nested too deeply")]
    Depth,
    /// More values in one frame than anything here needs.
    #[error("too many values in one frame")]
    Items,
    /// Not one of the nine performatives (section 2.7).
    #[error("a frame that is none of the nine performatives")]
    Performative,
    /// A field that is missing or of another type.
    #[error("the field {0} is missing or of another type")]
    Field(&'static str),
    /// A message whose sections are unknown, repeated or out of order (section 3.2).
    #[error("a message with unknown, repeated or misplaced sections")]
    Sections,
    /// A message body that is neither octets nor text.
    #[error("a message whose body is neither octets nor text")]
    Body,
}
