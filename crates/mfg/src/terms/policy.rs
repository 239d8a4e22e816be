//! The parts of the terms that say how certificates look.

use std::fmt;

use pki::{KeyAlgorithm, UnixTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Algorithm of lot keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandoffKeyAlgorithm {
    /// ECDSA on P-256, the default.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// An algorithm that device keys may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKeyAlgorithm {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
}

impl HandoffKeyAlgorithm {
    /// Whether a key is of this algorithm.
    #[must_use]
    pub fn fits(self, key: KeyAlgorithm) -> bool {
        match self {
            Self::P256 => key == KeyAlgorithm::P256,
            Self::P384 => key == KeyAlgorithm::P384,
            Self::Ed25519 => key == KeyAlgorithm::Ed25519,
        }
    }
}

impl DeviceKeyAlgorithm {
    /// Whether a key is of this algorithm and size.
    #[must_use]
    pub fn fits(self, key: KeyAlgorithm) -> bool {
        match self {
            Self::P256 => key == KeyAlgorithm::P256,
            Self::P384 => key == KeyAlgorithm::P384,
            Self::Ed25519 => key == KeyAlgorithm::Ed25519,
            Self::Rsa2048 => matches!(key, KeyAlgorithm::Rsa { bits: 2048 }),
            Self::Rsa3072 => matches!(key, KeyAlgorithm::Rsa { bits: 3072 }),
        }
    }
}

/// How handoff certificates carry their name constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameConstraintsProfile {
    /// Critical, as RFC 5280 section 4.2.1.10 wants it; the default.
    Critical,
    /// Not critical, for devices whose stack cannot parse a critical one (mbedTLS 2.28).
    Compatible,
}

/// Whether lots without a quantity may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnlimitedLots {
    /// Standing CAs are permitted.
    Allowed,
    /// Every lot has a quantity.
    Refused,
}

/// A point in time in terms: RFC 3339, or `"never"` for 9999-12-31T23:59:59Z (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TermsTime(pub UnixTime);

const NEVER: &str = "never";

impl TermsTime {
    /// The end of certificates that never expire.
    #[must_use]
    pub fn never() -> Self {
        Self(UnixTime::NEVER)
    }
}

impl fmt::Display for TermsTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == UnixTime::NEVER { out.write_str(NEVER) } else { self.0.fmt(out) }
    }
}

impl fmt::Debug for TermsTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TermsTime({self})")
    }
}

impl Serialize for TermsTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TermsTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == NEVER {
            return Ok(Self::never());
        }
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// From when to when, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// The first second.
    pub not_before: TermsTime,
    /// The last second.
    pub not_after: TermsTime,
}

impl Period {
    /// Whether the ends are in order.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.not_before < self.not_after
    }

    /// Whether `inner` lies inside, equal ends included.
    #[must_use]
    pub fn encloses(&self, inner: &Self) -> bool {
        self.not_before <= inner.not_before && inner.not_after <= self.not_after
    }

    /// Whether `now` lies inside.
    #[must_use]
    pub fn contains(&self, now: UnixTime) -> bool {
        self.not_before.0 <= now && now <= self.not_after.0
    }
}
