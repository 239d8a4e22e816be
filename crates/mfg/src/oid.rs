//! The program's OID arc and what stands under it.
//!
//! | under the arc | what |
//! |---|---|
//! | `.1.1` | handoff extension, in every handoff certificate |
//! | `.1.2` | generation extension, in every device certificate: `Generation ::= INTEGER (1..2147483647)` |
//! | `.2.1` | the certificate policy of the program's certificates |
//!
//! How a verifier finds the arc: a chain says it itself, by the one extension ending in `.1.1` of its topmost
//! handoff certificate, which the trust anchor or its order CA signed; every certificate below must use the same.
//! A bundle that lists programs also pins the arc of each.
//!
//! The development marker is one fixed OID under the documentation arc, so that no verifier needs to know a program
//! to refuse a development anchor in production mode.

use std::fmt;
use std::str::FromStr;

use pki::{Certificate, ObjectIdentifier};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The arc for documentation (RFC 5612); refused in production mode.
pub const DOCUMENTATION_ARC: &str = "1.3.6.1.4.1.32473";

/// Marks a development anchor: a non-critical extension whose value is a DER NULL.
pub const DEVELOPMENT_MARKER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.3");

/// The development marker's value: a DER NULL.
pub const DEVELOPMENT_MARKER_VALUE: [u8; 2] = [0x05, 0x00];

/// Whether a trust anchor carries the development marker; production mode refuses it.
#[must_use]
pub fn is_development_anchor(anchor: &Certificate) -> bool {
    anchor.extension(&DEVELOPMENT_MARKER).is_some()
}

const HANDOFF: [u32; 2] = [1, 1];
const GENERATION: [u32; 2] = [1, 2];
const POLICY: [u32; 2] = [2, 1];
/// Under these arcs `.1.1` is an extension of others: id-pkix (authorityInfoAccess) and Netscape's (cert-type).
const TAKEN: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7"), ObjectIdentifier::new_unwrap("2.16.840.1.113730")];
const MAX_ARCS: usize = 12;

/// A program's OID arc, e.g. `1.3.6.1.4.1.32473`. Every arc is below 2^31: Go and others cannot read larger ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OidArc {
    arc: ObjectIdentifier,
    handoff: ObjectIdentifier,
    generation: ObjectIdentifier,
    policy: ObjectIdentifier,
}

/// A text that is no usable OID arc.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("oid arc {0:?} is not a dotted oid of 2 to 12 arcs, each below 2^31")]
pub struct OidArcRefusal(pub String);

impl OidArcRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "OID_ARC_INVALID"
    }
}

impl OidArc {
    /// Reads a dotted OID.
    ///
    /// # Errors
    /// `OID_ARC_INVALID`.
    pub fn parse(text: &str) -> Result<Self, OidArcRefusal> {
        let refusal = || OidArcRefusal(text.chars().take(80).collect());
        let arcs = text.split('.').take(MAX_ARCS + 1).map(small_arc).collect::<Option<Vec<_>>>();
        let arcs = arcs.filter(|arcs| (2..=MAX_ARCS).contains(&arcs.len())).ok_or_else(refusal)?;
        let root = ObjectIdentifier::new(text).map_err(|_| refusal())?;
        // The text must be the one spelling of that OID.
        if root.to_string() != text || arcs.len() != root.arcs().count() {
            return Err(refusal());
        }
        Self::under(root).ok_or_else(refusal)
    }

    fn under(arc: ObjectIdentifier) -> Option<Self> {
        let child = |tail: [u32; 2]| tail.into_iter().try_fold(arc, |oid, arc| oid.push_arc(arc).ok());
        if TAKEN.contains(&arc) {
            return None;
        }
        Some(Self { arc, handoff: child(HANDOFF)?, generation: child(GENERATION)?, policy: child(POLICY)? })
    }

    /// The documentation arc, for development chains.
    #[must_use]
    pub fn documentation() -> Self {
        const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap(DOCUMENTATION_ARC);
        const HANDOFF: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.1");
        const GENERATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.2");
        const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.2.1");
        Self { arc: ARC, handoff: HANDOFF, generation: GENERATION, policy: POLICY }
    }

    /// The arc of which `extension` is the handoff extension, if its ending says so.
    #[must_use]
    pub fn of_handoff(extension: &ObjectIdentifier) -> Option<Self> {
        let arc = extension.to_string();
        let arc = arc.strip_suffix(".1.1")?;
        Self::parse(arc).ok()
    }

    /// Whether this is the documentation arc, refused in production mode.
    #[must_use]
    pub fn is_documentation(&self) -> bool {
        *self == Self::documentation()
    }

    /// The arc itself.
    #[must_use]
    pub fn arc(&self) -> ObjectIdentifier {
        self.arc
    }

    /// OID of the handoff extension.
    #[must_use]
    pub fn handoff(&self) -> ObjectIdentifier {
        self.handoff
    }

    /// OID of the generation extension.
    #[must_use]
    pub fn generation(&self) -> ObjectIdentifier {
        self.generation
    }

    /// OID of the certificate policy.
    #[must_use]
    pub fn policy(&self) -> ObjectIdentifier {
        self.policy
    }
}

fn small_arc(text: &str) -> Option<u32> {
    text.parse().ok().filter(|arc| *arc < 1 << 31)
}

impl FromStr for OidArc {
    type Err = OidArcRefusal;
    fn from_str(text: &str) -> Result<Self, OidArcRefusal> {
        Self::parse(text)
    }
}

impl fmt::Display for OidArc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arc.fmt(out)
    }
}

impl fmt::Debug for OidArc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "OidArc({})", self.arc)
    }
}

impl Serialize for OidArc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.arc)
    }
}

impl<'de> Deserialize<'de> for OidArc {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_stands_under_an_arc() {
        let arc = OidArc::parse(DOCUMENTATION_ARC).unwrap();
        assert_eq!(arc, OidArc::documentation());
        assert_eq!(arc.handoff().to_string(), "1.3.6.1.4.1.32473.1.1");
        assert_eq!(arc.generation().to_string(), "1.3.6.1.4.1.32473.1.2");
        assert_eq!(arc.policy().to_string(), "1.3.6.1.4.1.32473.2.1");
        assert_eq!(OidArc::of_handoff(&arc.handoff()), Some(arc));
        assert_eq!(OidArc::of_handoff(&arc.generation()), None);
    }

    #[test]
    fn refused_arcs() {
        let long = ["1.3"; 20].join(".");
        for bad in [
            "",
            "1",
            "1.3.",
            ".1.3",
            "1..3",
            "3.1",
            "1.40",
            "1.03",
            "1.+3",
            "2.25.2147483648",
            "1.3.x",
            "1.3.6.1.5.5.7",
            &long,
        ] {
            assert_eq!(OidArc::parse(bad).map_err(|r| r.reason()), Err("OID_ARC_INVALID"), "{bad}");
        }
        assert!(OidArc::parse("2.25.2147483647").is_ok());
    }
}
