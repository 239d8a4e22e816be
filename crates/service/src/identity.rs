//! Who a process or a person is: one SPIFFE id in the service certificate.
//!
//! `spiffe://<trust-domain>/<manufacturer>/<role>[/<name>]`

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use pki::{Sha256, UnixTime};
use serde::Deserialize;

/// SPIFFE ID, section 2.1: a trust domain name has at most 255 octets.
const MAX_TRUST_DOMAIN: usize = 255;
const MAX_MANUFACTURER: usize = 24;
const MAX_NAME: usize = 64;

/// Why a text is not an identity of this system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not of the form `spiffe://trust-domain/manufacturer/role[/name]`.
    #[error("not of the form spiffe://trust-domain/manufacturer/role[/name]")]
    Form,
    /// The trust domain breaks the SPIFFE rules.
    #[error("trust domain is not 1 to 255 of a-z, 0-9, '.', '-', '_'")]
    TrustDomain,
    /// The manufacturer is not a DNS label of at most 24 characters.
    #[error("manufacturer is not a lower-case DNS label of 1 to 24 characters")]
    Manufacturer,
    /// No such role.
    #[error("role is none of root-ca, intermediate-ca, provisioner, hub, station, operator, auditor")]
    Role,
    /// The name at the end breaks the SPIFFE rules for a path segment, or is too long.
    #[error("name is not 1 to 64 of A-Z, a-z, 0-9, '.', '-', '_'")]
    Name,
}

/// The root of trust that vouches for an id: a lower-case name, not necessarily a DNS name that resolves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > MAX_TRUST_DOMAIN || !text.bytes().all(allowed) {
            return Err(IdentityError::TrustDomain);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The organisation that an identity belongs to, as its id: a DNS label of at most 24 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Manufacturer(String);

impl Manufacturer {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Manufacturer {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let in_length = (1..=MAX_MANUFACTURER).contains(&text.len());
        if !in_length || !text.bytes().all(allowed) || text.starts_with('-') || text.ends_with('-') {
            return Err(IdentityError::Manufacturer);
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text_identity {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdentityError;
            fn try_from(text: String) -> Result<Self, IdentityError> {
                text.parse()
            }
        }
    };
}
text_identity!(TrustDomain);
text_identity!(Manufacturer);

/// What a certificate's holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The brand owner's root or order CA.
    RootCa,
    /// A manufacturer's CA.
    IntermediateCa,
    /// The face of a production line.
    Provisioner,
    /// The cloud side that devices connect to.
    Hub,
    /// One place on a line where devices are provisioned.
    Station,
    /// A person, or a tool on a person's behalf, who may change things.
    Operator,
    /// A person, or a tool on a person's behalf, who may only look.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::RootCa,
        Self::IntermediateCa,
        Self::Provisioner,
        Self::Hub,
        Self::Station,
        Self::Operator,
        Self::Auditor,
    ];

    /// The role as it stands in ids and configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootCa => "root-ca",
            Self::IntermediateCa => "intermediate-ca",
            Self::Provisioner => "provisioner",
            Self::Hub => "hub",
            Self::Station => "station",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(IdentityError::Role)
    }
}

/// `spiffe://<trust-domain>/<manufacturer>/<role>[/<name>]`, in its only spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    /// Who vouches for it.
    pub trust_domain: TrustDomain,
    /// The organisation.
    pub manufacturer: Manufacturer,
    /// What it is.
    pub role: Role,
    /// Which one of several, for example a station's number.
    pub name: Option<String>,
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        // SPIFFE ID, section 2: no port, user info, query, fragment or percent-encoding. None of their
        // characters is allowed in any part below, so the split needs no further look.
        let path = text.strip_prefix("spiffe://").ok_or(IdentityError::Form)?;
        let mut parts = path.split('/');
        let (Some(trust_domain), Some(manufacturer), Some(role), name, None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdentityError::Form);
        };
        Ok(Self {
            trust_domain: trust_domain.parse()?,
            manufacturer: manufacturer.parse()?,
            role: role.parse()?,
            name: name.map(parse_name).transpose()?,
        })
    }
}

fn parse_name(text: &str) -> Result<String, IdentityError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    // SPIFFE ID, section 2.2: a segment is never empty, "." or "..".
    if text.is_empty() || text.len() > MAX_NAME || text == "." || text == ".." || !text.bytes().all(allowed) {
        return Err(IdentityError::Name);
    }
    Ok(text.to_owned())
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.trust_domain, self.manufacturer, self.role)?;
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

/// A peer whose certificate was verified against the bundle of its own trust domain.
///
/// Only the TLS handshake makes one, and the process shell puts it into every request: cloning it costs little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity(Arc<Verified>);

#[derive(Debug, PartialEq, Eq)]
struct Verified {
    id: SpiffeId,
    certificate_sha256: Sha256,
    not_after: UnixTime,
}

impl PeerIdentity {
    pub(crate) fn new(id: SpiffeId, certificate_sha256: Sha256, not_after: UnixTime) -> Self {
        Self(Arc::new(Verified { id, certificate_sha256, not_after }))
    }

    /// The identity of the peer that sent a request; none when the request did not come through the shell.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Self> {
        request.extensions().get::<Self>()
    }

    /// The verified id.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.0.id
    }

    /// The peer's organisation.
    #[must_use]
    pub fn manufacturer(&self) -> &Manufacturer {
        &self.0.id.manufacturer
    }

    /// The peer's role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.id.role
    }

    /// SHA-256 of the certificate (DER) that the peer presented.
    #[must_use]
    pub fn certificate_sha256(&self) -> &Sha256 {
        &self.0.certificate_sha256
    }

    /// When that certificate expires.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.0.not_after
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_survives_the_round_trip() {
        for text in ["spiffe://a.example/factory-y/provisioner", "spiffe://a/b/station/line-1.S2"] {
            assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        use IdentityError::{Form, Manufacturer, Name, Role, TrustDomain};
        let cases = [
            ("https://a/b/hub", Form),
            ("SPIFFE://a/b/hub", Form),
            ("spiffe://a/b", Form),
            ("spiffe://a/b/hub/n/m", Form),
            ("spiffe:///b/hub", TrustDomain),
            ("spiffe://A/b/hub", TrustDomain),
            ("spiffe://a:1/b/hub", TrustDomain),
            ("spiffe://u@a/b/hub", TrustDomain),
            ("spiffe://a/B/hub", Manufacturer),
            ("spiffe://a/-b/hub", Manufacturer),
            ("spiffe://a//hub", Manufacturer),
            ("spiffe://a/abcdefghijklmnopqrstuvwxy/hub", Manufacturer),
            ("spiffe://a/b/root", Role),
            ("spiffe://a/b/hub?x", Role),
            ("spiffe://a/b/hub/", Name),
            ("spiffe://a/b/hub/..", Name),
            ("spiffe://a/b/hub/a%2f", Name),
            ("spiffe://a/b/hub/a#b", Name),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<SpiffeId>().unwrap_err(), expected, "{text}");
        }
    }
}
