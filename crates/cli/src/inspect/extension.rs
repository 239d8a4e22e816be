//! Extensions and names in words: those that nothing else here reads are listed, so that none goes unseen.

use mfg::{Generation, Handoff, OidArc, oid as private};
use pki::{Certificate, Extension, GeneralName, ObjectIdentifier, Subtree, oid};
use serde_json::{Value, json};

/// The extensions whose content is told as facts of their own.
const TOLD: [ObjectIdentifier; 8] = [
    oid::SUBJECT_KEY_ID,
    oid::KEY_USAGE,
    oid::PRIVATE_KEY_USAGE_PERIOD,
    oid::SUBJECT_ALT_NAME,
    oid::BASIC_CONSTRAINTS,
    oid::NAME_CONSTRAINTS,
    oid::AUTHORITY_KEY_ID,
    oid::EXTENDED_KEY_USAGE,
];

/// The handoff of a CA certificate, with the arc under which it stands.
pub(super) fn handoff(certificate: &Certificate) -> Option<(OidArc, Handoff)> {
    if !certificate.is_ca() {
        return None;
    }
    certificate.extensions().find_map(|extension| {
        let arc = OidArc::of_handoff(&ObjectIdentifier::from_bytes(extension.oid_octets).ok()?)?;
        Handoff::from_der(extension.value).ok().map(|handoff| (arc, handoff))
    })
}

/// The generation of a device certificate under this arc.
pub(super) fn generation(certificate: &Certificate, arc: &OidArc) -> Option<Generation> {
    if certificate.is_ca() {
        return None;
    }
    certificate.extension(&arc.generation()).and_then(|extension| Generation::from_der(extension.value).ok())
}

/// Every extension of a certificate that no other fact tells: which, whether critical, how long.
pub(super) fn others(certificate: &Certificate, arc: &OidArc) -> Vec<Value> {
    let is_told = |extension: &Extension<'_>| {
        let is = |id: &ObjectIdentifier| extension.oid_octets == id.as_bytes();
        TOLD.iter().any(is)
            || (is(&arc.generation()) && generation(certificate, arc).is_some())
            || handoff(certificate).is_some_and(|(arc, _)| is(&arc.handoff()))
            || (is(&private::DEVELOPMENT_MARKER) && private::is_development_anchor(certificate))
    };
    certificate.extensions().filter(|extension| !is_told(extension)).map(|extension| listed(&extension)).collect()
}

/// One extension without its content: the octets are as long as `length`.
pub(super) fn listed(extension: &Extension<'_>) -> Value {
    json!({ "oid": extension.dotted(), "critical": extension.critical, "length": extension.value.len() })
}

/// An alternative name with its kind.
pub(super) fn name(name: &GeneralName) -> String {
    match name {
        GeneralName::Dns(name) => format!("DNS {name}"),
        GeneralName::Ip(address) => format!("IP {address}"),
        GeneralName::Uri(uri) => format!("URI {uri}"),
        GeneralName::Email(mailbox) => format!("email {mailbox}"),
        GeneralName::Directory(name) => format!("directory name {name}"),
        GeneralName::Other { tag, der } => format!("{} of {} octets", other_kind(*tag), der.len()),
    }
}

/// A subtree of name constraints: a DNS name alone, every other kind named.
pub(super) fn subtree(subtree: &Subtree) -> String {
    match subtree {
        Subtree::Dns(name) if name.is_empty() => "every DNS name".to_owned(),
        Subtree::Dns(name) => name.clone(),
        Subtree::Ip { address, mask } => format!("IP {address} mask {mask}"),
        Subtree::Uri(host) => format!("URI host {host}"),
        Subtree::Email(mailboxes) => format!("email {mailboxes}"),
        Subtree::Directory(name) => format!("directory name {name}"),
        Subtree::Other { tag } => other_kind(*tag).to_owned(),
    }
}

/// RFC 5280 section 4.2.1.6: the kinds of GeneralName that nothing here reads.
fn other_kind(tag: u32) -> &'static str {
    match tag {
        0 => "other name",
        3 => "X.400 address",
        5 => "EDI party name",
        8 => "registered id",
        _ => "name of an unknown kind",
    }
}
