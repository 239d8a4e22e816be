//! How many units a lot covers.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A positive number of units, at most [`Units::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Units(u32);

impl Units {
    /// The largest lot: 2^31 - 1, so that a quantity is the same number in DER, protobuf, JSON and SQL.
    pub const MAX: u32 = i32::MAX as u32;

    /// The number of units, 1 to [`Units::MAX`].
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

/// What a lot covers: a number of units, or no limit (a standing CA). In JSON an integer or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// So many units.
    Units(Units),
    /// No limit; units are counted all the same.
    Unlimited,
}

/// A number that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is 1 to 2147483647 units, not {0}")]
pub struct QuantityRefusal(pub u64);

impl QuantityRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "QUANTITY_INVALID"
    }
}

impl Quantity {
    /// A quantity of `count` units.
    ///
    /// # Errors
    /// `QUANTITY_INVALID` for 0 and for more than [`Units::MAX`].
    pub fn of(count: u64) -> Result<Self, QuantityRefusal> {
        match u32::try_from(count) {
            Ok(units) if (1..=Units::MAX).contains(&units) => Ok(Self::Units(Units(units))),
            Ok(_) | Err(_) => Err(QuantityRefusal(count)),
        }
    }

    /// The number of units, none when unlimited.
    #[must_use]
    pub fn units(self) -> Option<u32> {
        match self {
            Self::Units(units) => Some(units.get()),
            Self::Unlimited => None,
        }
    }

    /// Whether a lot of this quantity may hand on a lot of `inner`: an unlimited one only under an unlimited one.
    #[must_use]
    pub fn covers(self, inner: Self) -> bool {
        match (self, inner) {
            (Self::Unlimited, _) => true,
            (Self::Units(outer), Self::Units(inner)) => inner <= outer,
            (Self::Units(_), Self::Unlimited) => false,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(units) => write!(out, "{}", units.get()),
            Self::Unlimited => out.write_str("unlimited"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Units(units) => to.serialize_u32(units.get()),
            Self::Unlimited => to.serialize_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a number of units from 1 to 2147483647, or \"unlimited\"")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Quantity, E> {
        Quantity::of(count).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Quantity, E> {
        // TOML gives every integer as i64.
        u64::try_from(count).map_err(E::custom).and_then(|count| self.visit_u64(count))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        match text {
            "unlimited" => Ok(Quantity::Unlimited),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bounds() {
        assert_eq!(Quantity::of(0).unwrap_err().reason(), "QUANTITY_INVALID");
        assert!(Quantity::of(1 << 31).is_err());
        assert!(Quantity::of(u64::MAX).is_err());
        assert_eq!(Quantity::of((1 << 31) - 1).unwrap().units(), Some(Units::MAX));
    }

    #[test]
    fn an_unlimited_lot_only_under_an_unlimited_one() {
        let (one, two) = (Quantity::of(1).unwrap(), Quantity::of(2).unwrap());
        assert!(two.covers(one) && two.covers(two) && !one.covers(two));
        assert!(Quantity::Unlimited.covers(one) && Quantity::Unlimited.covers(Quantity::Unlimited));
        assert!(!two.covers(Quantity::Unlimited));
    }

    #[test]
    fn json_is_an_integer_or_unlimited() {
        assert_eq!(serde_json::to_string(&Quantity::Unlimited).unwrap(), "\"unlimited\"");
        assert_eq!(serde_json::from_str::<Quantity>("5000").unwrap(), Quantity::of(5000).unwrap());
        for bad in ["0", "-1", "2147483648", "1.5", "\"none\"", "null", "\"5\""] {
            assert!(serde_json::from_str::<Quantity>(bad).is_err(), "{bad}");
        }
    }
}
