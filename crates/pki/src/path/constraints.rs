//! Name constraints (RFC 5280 section 4.2.1.10), failing closed: what cannot be compared does not pass.

use std::net::IpAddr;

use super::judge::{Budget, refuse};
use super::{PathReason, PathRefusal};
use crate::certificate::Certificate;
use crate::dns::DnsName;
use crate::general_name::{GeneralName, NameConstraints, Subtree};
use crate::name::Name;

/// The constraints of one CA, ready to compare.
pub(super) struct Constraints {
    permitted: Vec<Base>,
    excluded: Vec<Base>,
}

/// A subtree's base, its text parsed once.
enum Base {
    Mailbox {
        local: String,
        host: DnsName,
    },
    MailHost(DnsName),
    /// Written with a leading dot: hosts below, not the domain itself.
    MailDomain(DnsName),
    /// Empty: every name.
    EveryDns,
    Dns(DnsName),
    Directory(Name),
    UriHost(DnsName),
    /// Written with a leading dot.
    UriDomain(DnsName),
    Ip {
        address: IpAddr,
        mask: IpAddr,
    },
    Other {
        tag: u32,
    },
}

/// Which bases a name is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Email,
    Dns,
    Directory,
    Uri,
    Ip,
    Other(u32),
}

/// A name of a certificate, ready to compare.
enum Presented<'a> {
    Mailbox {
        local: String,
        host: DnsName,
    },
    Dns(DnsName),
    /// `*.rest`.
    Wildcard(DnsName),
    Directory(&'a Name),
    Uri(DnsName),
    Ip(IpAddr),
    /// Of this kind, and nothing that we can compare.
    Opaque(Kind),
}

impl Constraints {
    /// `None` when a base is no name of its kind.
    pub(super) fn prepare(constraints: &NameConstraints) -> Option<Constraints> {
        let all = |subtrees: &[Subtree]| subtrees.iter().map(Base::prepare).collect::<Option<Vec<Base>>>();
        Some(Constraints { permitted: all(&constraints.permitted)?, excluded: all(&constraints.excluded)? })
    }
}

/// Holds every name of the certificate to every CA's constraints (RFC 5280 section 6.1.3 (b), (c)).
pub(super) fn check_names(
    certificate: &Certificate,
    constraints: &[Constraints],
    budget: &mut Budget,
) -> Result<(), PathRefusal> {
    if constraints.is_empty() {
        return Ok(());
    }
    let names = presented_names(certificate);
    for of_one_ca in constraints {
        let bases = of_one_ca.permitted.len() + of_one_ca.excluded.len();
        budget.spend(bases.saturating_mul(names.len()))?;
        for (name, shown) in &names {
            check_name(name, of_one_ca)
                .map_err(|(reason, what)| refuse(reason, certificate, &format!("{shown} {what}")))?;
        }
    }
    Ok(())
}

fn check_name(name: &Presented<'_>, constraints: &Constraints) -> Result<(), (PathReason, &'static str)> {
    let kind = name.kind();
    let of_kind = |base: &&Base| base.kind() == kind;
    let mut permitted = constraints.permitted.iter().filter(of_kind).peekable();
    let mut excluded = constraints.excluded.iter().filter(of_kind).peekable();
    if permitted.peek().is_none() && excluded.peek().is_none() {
        return Ok(());
    }
    if matches!(name, Presented::Opaque(_)) {
        return Err((PathReason::NameConstraintUnsupported, "is of a constrained kind and cannot be compared"));
    }
    // Section 4.2.1.10: what is excluded is excluded, whatever else permits it.
    if excluded.any(|base| name.may_touch(base)) {
        return Err((PathReason::NameExcluded, "is excluded by a CA above"));
    }
    if permitted.peek().is_some() && !permitted.any(|base| name.lies_within(base)) {
        return Err((PathReason::NameNotPermitted, "is not permitted by a CA above"));
    }
    Ok(())
}

impl Base {
    fn prepare(subtree: &Subtree) -> Option<Base> {
        let name = |text: &str| DnsName::from_any_case(text).ok();
        Some(match subtree {
            Subtree::Email(text) => match (text.contains('@'), text.strip_prefix('.')) {
                (true, _) => mailbox(text).map(|(local, host)| Base::Mailbox { local, host })?,
                (false, Some(domain)) => Base::MailDomain(name(domain)?),
                (false, None) => Base::MailHost(name(text)?),
            },
            Subtree::Dns(text) if text.is_empty() => Base::EveryDns,
            // No wildcard and no leading dot: those forms belong to other kinds or to nobody.
            Subtree::Dns(text) => Base::Dns(name(text)?),
            Subtree::Directory(base) => Base::Directory(base.clone()),
            Subtree::Uri(text) => match text.strip_prefix('.') {
                Some(domain) => Base::UriDomain(name(domain)?),
                None => Base::UriHost(name(text)?),
            },
            Subtree::Ip { address, mask } => Base::Ip { address: *address, mask: *mask },
            Subtree::Other { tag } => Base::Other { tag: *tag },
        })
    }

    fn kind(&self) -> Kind {
        match self {
            Base::Mailbox { .. } | Base::MailHost(_) | Base::MailDomain(_) => Kind::Email,
            Base::EveryDns | Base::Dns(_) => Kind::Dns,
            Base::Directory(_) => Kind::Directory,
            Base::UriHost(_) | Base::UriDomain(_) => Kind::Uri,
            Base::Ip { .. } => Kind::Ip,
            Base::Other { tag } => Kind::Other(*tag),
        }
    }
}

/// The names that constraints apply to, each with how to show it.
fn presented_names(certificate: &Certificate) -> Vec<(Presented<'_>, String)> {
    let mut names: Vec<(Presented<'_>, String)> = Vec::new();
    let subject = certificate.subject();
    if !subject.is_empty() {
        names.push((Presented::Directory(subject), format!("its subject {subject}")));
    }
    let alternatives = certificate.subject_alt_names();
    names.extend(alternatives.iter().map(|name| (Presented::prepare(name), format!("its name {name:?}"))));
    if !alternatives.iter().any(|name| matches!(name, GeneralName::Email(_))) {
        // Section 4.2.1.10: legacy addresses in the subject count when there is no alternative name of the kind.
        names.extend(subject.email_addresses().iter().map(|text| (email(text), format!("its address {text:?}"))));
    }
    names
}

impl<'a> Presented<'a> {
    fn prepare(name: &'a GeneralName) -> Presented<'a> {
        let opaque = |kind| Presented::Opaque(kind);
        match name {
            GeneralName::Email(text) => email(text),
            GeneralName::Dns(text) => {
                let parsed = match text.strip_prefix("*.") {
                    Some(rest) => DnsName::from_any_case(rest).map(Presented::Wildcard),
                    None => DnsName::from_any_case(text).map(Presented::Dns),
                };
                parsed.unwrap_or_else(|_| opaque(Kind::Dns))
            }
            GeneralName::Directory(name) => Presented::Directory(name),
            GeneralName::Uri(text) => uri_host(text).map_or_else(|| opaque(Kind::Uri), Presented::Uri),
            GeneralName::Ip(address) => Presented::Ip(*address),
            GeneralName::Other { tag, .. } => opaque(Kind::Other(*tag)),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Presented::Mailbox { .. } => Kind::Email,
            Presented::Dns(_) | Presented::Wildcard(_) => Kind::Dns,
            Presented::Directory(_) => Kind::Directory,
            Presented::Uri(_) => Kind::Uri,
            Presented::Ip(_) => Kind::Ip,
            Presented::Opaque(kind) => *kind,
        }
    }

    /// Whether all that this name stands for lies within the base. Bases of other kinds hold nothing of it.
    fn lies_within(&self, base: &Base) -> bool {
        match (self, base) {
            (Presented::Mailbox { local, host }, Base::Mailbox { local: other, host: at }) => {
                local == other && host == at
            }
            (Presented::Mailbox { host, .. }, Base::MailHost(at)) => host == at,
            (Presented::Mailbox { host, .. }, Base::MailDomain(domain)) => host != domain && host.is_within(domain),
            (Presented::Dns(_) | Presented::Wildcard(_), Base::EveryDns) => true,
            (Presented::Dns(name) | Presented::Wildcard(name), Base::Dns(subtree)) => name.is_within(subtree),
            (Presented::Directory(name), Base::Directory(subtree)) => name.is_within(subtree),
            (Presented::Uri(host), Base::UriHost(at)) => host == at,
            (Presented::Uri(host), Base::UriDomain(domain)) => host != domain && host.is_within(domain),
            (Presented::Ip(IpAddr::V4(name)), Base::Ip { address: IpAddr::V4(net), mask: IpAddr::V4(mask) }) => {
                name & mask == net & mask
            }
            (Presented::Ip(IpAddr::V6(name)), Base::Ip { address: IpAddr::V6(net), mask: IpAddr::V6(mask) }) => {
                name & mask == net & mask
            }
            _ => false,
        }
    }

    /// Whether anything that this name stands for lies within the base: a wildcard may reach into an excluded subtree
    /// that begins below it.
    fn may_touch(&self, base: &Base) -> bool {
        match (self, base) {
            (Presented::Wildcard(rest), Base::Dns(subtree)) => {
                rest.is_within(subtree) || subtree.parent().as_ref() == Some(rest)
            }
            _ => self.lies_within(base),
        }
    }
}

fn email(text: &str) -> Presented<'static> {
    mailbox(text).map_or(Presented::Opaque(Kind::Email), |(local, host)| Presented::Mailbox { local, host })
}

/// One `@`; the local part as it stands, the host in any case (section 7.5). An asterisk is a character like others.
fn mailbox(text: &str) -> Option<(String, DnsName)> {
    let (local, host) = text.split_once('@')?;
    if local.is_empty() {
        return None;
    }
    Some((local.to_owned(), DnsName::from_any_case(host).ok()?))
}

/// The host of an absolute URI with an authority; addresses and everything else cannot be constrained.
fn uri_host(text: &str) -> Option<DnsName> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let named = !scheme.is_empty() && host.parse::<IpAddr>().is_err();
    DnsName::from_any_case(host).ok().filter(|_| named)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn verdict(permitted: &[Subtree], excluded: &[Subtree], name: &GeneralName) -> Option<PathReason> {
        let constraints = NameConstraints { permitted: permitted.to_vec(), excluded: excluded.to_vec() };
        let prepared = Constraints::prepare(&constraints).unwrap();
        check_name(&Presented::prepare(name), &prepared).err().map(|(reason, _)| reason)
    }

    fn dns(text: &str) -> GeneralName {
        GeneralName::Dns(text.to_owned())
    }

    #[test]
    fn dns_names_within_and_without() {
        let subtree = [Subtree::Dns("b.Example".to_owned())];
        for (name, permitted, excluded) in [
            ("b.example", None, Some(PathReason::NameExcluded)),
            ("a.B.example", None, Some(PathReason::NameExcluded)),
            ("ab.example", Some(PathReason::NameNotPermitted), None),
            ("*.b.example", None, Some(PathReason::NameExcluded)),
            ("*.example", Some(PathReason::NameNotPermitted), Some(PathReason::NameExcluded)),
            ("*.a.example", Some(PathReason::NameNotPermitted), None),
            (".b.example", Some(PathReason::NameConstraintUnsupported), Some(PathReason::NameConstraintUnsupported)),
        ] {
            assert_eq!(verdict(&subtree, &[], &dns(name)), permitted, "permitted {name}");
            assert_eq!(verdict(&[], &subtree, &dns(name)), excluded, "excluded {name}");
        }
        assert_eq!(verdict(&subtree, &[], &GeneralName::Ip("192.0.2.1".parse().unwrap())), None);
        assert_eq!(verdict(&[], &[Subtree::Dns(String::new())], &dns("a")), Some(PathReason::NameExcluded));
    }

    #[test]
    fn mail_and_uri_hosts() {
        let mail = |text: &str| GeneralName::Email(text.to_owned());
        let no = Some(PathReason::NameNotPermitted);
        for (base, name, expected) in [
            ("example.com", "a@EXAMPLE.com", None),
            ("example.com", "a@b.example.com", no),
            (".example.com", "a@b.example.com", None),
            (".example.com", "a@example.com", no),
            ("a@example.com", "a@example.com", None),
            ("a@example.com", "A@example.com", no),
            ("example.com", "a@b@example.com", Some(PathReason::NameConstraintUnsupported)),
        ] {
            assert_eq!(verdict(&[Subtree::Email(base.to_owned())], &[], &mail(name)), expected, "{base} {name}");
        }
        let uri = |text: &str| GeneralName::Uri(text.to_owned());
        for (base, name, expected) in [
            ("host.example", "https://u@host.example:1/x?y", None),
            (".example", "spiffe://host.example/x", None),
            (".host.example", "spiffe://host.example/x", no),
            ("host.example", "urn:x", Some(PathReason::NameConstraintUnsupported)),
            ("host.example", "https://192.0.2.1/", Some(PathReason::NameConstraintUnsupported)),
        ] {
            assert_eq!(verdict(&[Subtree::Uri(base.to_owned())], &[], &uri(name)), expected, "{base} {name}");
        }
    }

    #[test]
    fn unknown_kinds_fail_closed_and_bad_bases_are_refused() {
        let other = GeneralName::Other { tag: 0, der: Vec::new() };
        let constraint = [Subtree::Other { tag: 0 }];
        assert_eq!(verdict(&[], &constraint, &other), Some(PathReason::NameConstraintUnsupported));
        assert_eq!(verdict(&[], &[Subtree::Other { tag: 8 }], &other), None);
        for base in [
            Subtree::Dns("*.a".to_owned()),
            Subtree::Dns(".a".to_owned()),
            Subtree::Email("a@b@c".to_owned()),
            Subtree::Email(String::new()),
            Subtree::Uri("https://x".to_owned()),
        ] {
            assert!(Base::prepare(&base).is_none(), "{base:?}");
        }
    }
}
