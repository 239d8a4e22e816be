//! What makes a mutation repeatable (AIP-155).

use std::fmt;

use uuid::Uuid;

use crate::Refusal;

/// The caller's name for one intention; a retry carries the same one. A UUID, kept in its canonical lower-case form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Reads the field `request_id`.
    ///
    /// # Errors
    /// `REQUEST_ID_INVALID` for anything but a UUID that is not nil.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() && text.len() == 36 => Ok(Self(id)),
            Ok(_) | Err(_) => Err(Refusal::new("REQUEST_ID_INVALID", "request_id is not a uuid")
                .violation("request_id", "must be a UUID such as 2f1c6a52-9c4f-4c0e-8a39-51d6c1f0f5b2")),
        }
    }

    /// A UUID made of octets that the caller drew at random or derived from names (RFC 9562 section 5.8).
    #[must_use]
    pub fn from_octets(octets: [u8; 16]) -> Self {
        Self(Uuid::new_v8(octets))
    }

    /// Its octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uuids_are_request_ids() {
        let id = RequestId::from_octets([7; 16]);
        assert_eq!(RequestId::parse(&id.to_string().to_uppercase()), Ok(id));
        for wrong in ["", "1", "00000000-0000-0000-0000-000000000000", "2f1c6a529c4f4c0e8a3951d6c1f0f5b2", "🦀"] {
            assert_eq!(RequestId::parse(wrong).map_err(|r| r.reason()), Err("REQUEST_ID_INVALID"), "{wrong}");
        }
    }
}
