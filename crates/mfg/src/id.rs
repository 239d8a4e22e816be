//! Identities: one newtype each, checked where they enter.
//!
//! Each is a DNS label (RFC 1035 section 2.3.1 as relaxed by RFC 1123 section 2.1), because each becomes a label of
//! the device's DNS name. Only a [`DeviceId`] is lower-cased at input; every other identity that is not written in
//! lower case is refused, so that two spellings never name one thing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest DNS label, in octets (RFC 1035 section 2.3.4).
pub const MAX_LABEL_LENGTH: usize = 63;

/// Why a text is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRefusal {
    /// Not a lower-case DNS label within the bound of its kind.
    #[error("{kind} {text:?} is not a lower-case dns label of 1 to {max} characters")]
    Label {
        /// What the text should have named.
        kind: &'static str,
        /// The text, cut to a bounded length.
        text: String,
        /// Longest accepted length in octets.
        max: usize,
    },
    /// Not a DNS label within the bound of a device id.
    #[error("device id {text:?} is not a dns label of 1 to 63 characters")]
    DeviceId {
        /// The text, cut to a bounded length.
        text: String,
    },
}

impl IdRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Label { .. } => "LABEL_INVALID",
            Self::DeviceId { .. } => "DEVICE_ID_INVALID",
        }
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Longest accepted length in octets.
            pub const MAX_LENGTH: usize = $max;

            /// Reads a label that is already in lower case.
            ///
            /// # Errors
            /// `LABEL_INVALID`.
            pub fn parse(text: &str) -> Result<Self, IdRefusal> {
                if is_label(text, $max) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdRefusal::Label { kind: $kind, text: shown(text), max: $max })
                }
            }

            /// The label, in lower case.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_identity!($name);
    };
}

macro_rules! text_identity {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = IdRefusal;
            fn from_str(text: &str) -> Result<Self, IdRefusal> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({})", stringify!($name), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

identity! {
    /// A manufacturer: an organisation, one hop. A DNS label of at most 24 characters.
    ManufacturerId, "manufacturer id", 24
}
identity! {
    /// A lot, unique at its sender. A DNS label of at most 24 characters.
    LotId, "lot id", 24
}
identity! {
    /// A program: one product family under one trust anchor. A DNS label of at most 32 characters.
    ProgramId, "program id", 32
}
identity! {
    /// A production order. A DNS label of at most 32 characters.
    OrderId, "order id", 32
}

/// What the hub knows a device by: the leaf's CN and the first label of its DNS name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(String);

impl DeviceId {
    /// Longest accepted length in octets; a program may set a smaller one.
    pub const MAX_LENGTH: usize = MAX_LABEL_LENGTH;

    /// Reads a device id in any case; it is kept, shown and answered in lower case.
    ///
    /// # Errors
    /// `DEVICE_ID_INVALID`.
    pub fn parse(text: &str) -> Result<Self, IdRefusal> {
        let lower = text.to_ascii_lowercase();
        if is_label(&lower, Self::MAX_LENGTH) {
            Ok(Self(lower))
        } else {
            Err(IdRefusal::DeviceId { text: shown(text) })
        }
    }

    /// The device id, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_identity!(DeviceId);

fn is_label(text: &str, max: usize) -> bool {
    let ldh = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=max).contains(&text.len())
        && text.bytes().all(ldh)
        && !text.starts_with('-')
        && !text.ends_with('-')
        // RFC 5890 section 2.3.2.1: an A-label stands for other characters; verifiers differ on what they compare.
        && !text.starts_with("xn--")
}

/// A refused text may be hostile: only its beginning goes into messages.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_are_refused_by_name() {
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "xn--a", "a b", "a\0", &"a".repeat(25)] {
            assert_eq!(ManufacturerId::parse(bad).unwrap_err().reason(), "LABEL_INVALID", "{bad:?}");
            assert_eq!(LotId::parse(bad).unwrap_err().reason(), "LABEL_INVALID", "{bad:?}");
        }
        for good in ["a", "0", "factory-y", "a--b", &"a".repeat(24)] {
            assert_eq!(LotId::parse(good).unwrap().as_str(), good);
        }
        assert!(ProgramId::parse(&"p".repeat(32)).is_ok());
        assert_eq!(OrderId::parse(&"p".repeat(33)).unwrap_err().reason(), "LABEL_INVALID");
    }

    #[test]
    fn only_a_device_id_is_lower_cased() {
        assert_eq!(DeviceId::parse("SN0000001").unwrap().as_str(), "sn0000001");
        for bad in ["", "sn.1", "sn_1", "-1", &"s".repeat(64)] {
            assert_eq!(DeviceId::parse(bad).unwrap_err().reason(), "DEVICE_ID_INVALID", "{bad:?}");
        }
        assert!(DeviceId::parse(&"S".repeat(63)).is_ok());
    }

    #[test]
    fn serde_is_a_checked_string() {
        let id: LotId = serde_json::from_str("\"b0032\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"b0032\"");
        assert!(serde_json::from_str::<LotId>("\"B\"").is_err());
    }
}
