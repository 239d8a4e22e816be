//! Why a profile does not start.

use crate::encode::EncodeRefusal;

/// Why a profile was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileRefusal {
    /// A name of the subject is empty, too long, or has white space or control characters where none belong.
    #[error("{field} {text:?} is not 1 to 64 plain characters")]
    Name {
        /// Which name.
        field: &'static str,
        /// Its beginning.
        text: String,
    },
    /// A period ends before it begins.
    #[error("a period's end is not after its beginning")]
    NotOrdered,
    /// The key could sign when its certificate is not valid.
    #[error("the signing window does not lie inside the validity")]
    WindowNotNested,
    /// The documentation arc in production.
    #[error("the documentation arc 1.3.6.1.4.1.32473 is not for production")]
    DocumentationArc,
    /// More CAs below than any chain may have.
    #[error("a path length of {0}, at most 5 fit below an order ca")]
    PathLength(u8),
    /// The base name is no DNS name.
    #[error("the base name {0:?} is not a dns name")]
    BaseName(String),
    /// The sample could not be made.
    #[error("making a sample certificate failed")]
    Encode(#[from] EncodeRefusal),
    /// The sample is not what the design wants.
    #[error("the profile's sample certificate is wrong: {0}")]
    Sample(String),
}

impl ProfileRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name { .. } => "PROFILE_NAME_INVALID",
            Self::NotOrdered => "PERIOD_NOT_ORDERED",
            Self::WindowNotNested => "SIGNING_WINDOW_NOT_NESTED",
            Self::DocumentationArc => "DOCUMENTATION_ARC",
            Self::PathLength(_) => "CHAIN_TOO_DEEP",
            Self::BaseName(_) => "BASE_NAME_INVALID",
            Self::Encode(cause) => cause.reason(),
            Self::Sample(_) => "PROFILE_SAMPLE_WRONG",
        }
    }
}
