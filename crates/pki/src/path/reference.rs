//! The name that a leaf must bear (RFC 9525 section 6; RFC 6125 before it).

use std::net::IpAddr;

use crate::certificate::Certificate;
use crate::dns::{DnsName, DnsNameError};
use crate::general_name::GeneralName;

/// A name that was asked for. The leaf's commonName is never looked at (RFC 9525 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceName {
    /// A host.
    Dns(DnsName),
    /// An address.
    Ip(IpAddr),
}

impl ReferenceName {
    /// An address if the text is one, else a DNS name, in any case.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<ReferenceName, DnsNameError> {
        match text.parse() {
            Ok(address) => Ok(ReferenceName::Ip(address)),
            Err(_) => DnsName::from_any_case(text).map(ReferenceName::Dns),
        }
    }

    /// Whether one of the leaf's alternative names is this one.
    pub(crate) fn is_borne_by(&self, leaf: &Certificate) -> bool {
        leaf.subject_alt_names().iter().any(|name| match (self, name) {
            (ReferenceName::Dns(wanted), GeneralName::Dns(presented)) => dns_matches(presented, wanted),
            (ReferenceName::Ip(wanted), GeneralName::Ip(presented)) => wanted == presented,
            (
                ReferenceName::Dns(_) | ReferenceName::Ip(_),
                GeneralName::Email(_)
                | GeneralName::Dns(_)
                | GeneralName::Directory(_)
                | GeneralName::Uri(_)
                | GeneralName::Ip(_)
                | GeneralName::Other { .. },
            ) => false,
        })
    }
}

impl std::fmt::Display for ReferenceName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReferenceName::Dns(name) => name.fmt(out),
            ReferenceName::Ip(address) => address.fmt(out),
        }
    }
}

/// RFC 9525 section 6.3: a wildcard is the whole left-most label and stands for exactly one.
fn dns_matches(presented: &str, wanted: &DnsName) -> bool {
    if let Some(rest) = presented.strip_prefix("*.") {
        // A wildcard over a single label would cover a whole top-level domain.
        let Ok(rest) = DnsName::from_any_case(rest) else { return false };
        return rest.labels().count() > 1 && wanted.parent() == Some(rest);
    }
    DnsName::from_any_case(presented).is_ok_and(|presented| presented == *wanted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        let wanted = DnsName::parse("a.b.example").unwrap();
        for (presented, matches) in [
            ("a.b.example", true),
            ("A.B.Example", true),
            ("*.b.example", true),
            ("*.example", false),
            ("a.*.example", false),
            ("*a.b.example", false),
            ("*", false),
            ("b.example", false),
            ("a.b.example.", false),
            ("", false),
        ] {
            assert_eq!(dns_matches(presented, &wanted), matches, "{presented}");
        }
        assert!(!dns_matches("*.example", &DnsName::parse("a.example").unwrap()));
        assert_eq!(ReferenceName::parse("::1").unwrap(), ReferenceName::Ip("::1".parse().unwrap()));
        assert!(ReferenceName::parse("foo_bar").is_err());
    }
}
