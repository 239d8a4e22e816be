//! Certificates and chains in words.

use mfg::{OidArc, oid};
use pki::{Certificate, UnixTime, hex};
use serde_json::{Value, json};

use super::{Facts, Finding, Kind, extension, key};

/// One certificate, or several in the order of the file.
pub(super) fn chain(chain: &[Certificate]) -> Finding {
    let linked = chain.windows(2).all(|pair| matches!(pair, [below, above] if is_signed_by(below, above)));
    let (kind, what) = match chain {
        [only] => (Kind::Certificate, kind(only).to_owned()),
        [first, rest @ ..] if linked => (Kind::Chain, chain_in_words(first, rest)),
        all => (Kind::Certificates, format!("{} certificates, which are no chain in this order", all.len())),
    };
    let arc = arc_of(chain);
    let mut facts: Vec<Facts> = chain.iter().map(|certificate| facts(certificate, &arc)).collect();
    for (pair, facts) in chain.windows(2).zip(facts.iter_mut()) {
        if let [below, above] = pair {
            facts.push(("signed by the next", json!(signed_by(below, above))));
        }
    }
    Finding { kind, what, facts }
}

/// The arc under which private extensions stand: a chain says it by its topmost handoff certificate. A certificate alone cannot tell
/// whose extension another arc's would be, so only the documentation arc is read in it.
fn arc_of(chain: &[Certificate]) -> OidArc {
    let topmost = chain.iter().rev().find_map(extension::handoff);
    topmost.map_or_else(OidArc::documentation, |(arc, _)| arc)
}

fn chain_in_words(first: &Certificate, rest: &[Certificate]) -> String {
    let root = rest.last().is_some_and(Certificate::is_self_issued);
    let intermediates = rest.len() - usize::from(root);
    let with = if root { "with the root" } else { "without the root, as a device presents it" };
    format!("a chain: {} and {intermediates} intermediates, {with}", kind(first))
}

fn kind(certificate: &Certificate) -> &'static str {
    let handoff = extension::handoff(certificate).is_some();
    match (certificate.is_ca(), certificate.is_self_issued(), handoff) {
        (true, _, true) => "a handoff certificate: the CA of one lot",
        (true, true, false) => "a root certificate: a trust anchor",
        (true, false, false) => "a CA certificate",
        (false, _, _) => "an end-entity certificate",
    }
}

fn is_signed_by(below: &Certificate, above: &Certificate) -> bool {
    let verifies = |algorithm| above.public_key().verify(algorithm, below.tbs(), below.signature()).is_ok();
    below.issuer() == above.subject() && below.signature_algorithm().is_some_and(verifies)
}

/// Whether `above` signed `below`, in words.
fn signed_by(below: &Certificate, above: &Certificate) -> &'static str {
    match (below.issuer() == above.subject(), is_signed_by(below, above)) {
        (true, true) => "yes, and the signature verifies",
        (true, false) => "its name fits, but the signature does not verify",
        (false, _) => "no: another issuer is named",
    }
}

fn facts(certificate: &Certificate, arc: &OidArc) -> Facts {
    let key = certificate.public_key();
    let mut facts: Facts = vec![
        ("subject", json!(certificate.subject().to_string())),
        ("issuer", json!(certificate.issuer().to_string())),
        ("certificate serial", json!(certificate.serial().to_string())),
        ("valid from", json!(certificate.not_before().to_string())),
        ("valid until", json!(until(certificate.not_after()))),
        ("key", json!(key::algorithm(key))),
        ("key sha256", json!(key.sha256().to_string())),
        ("key id", json!(certificate.subject_key_id().map(hex::encode))),
        ("issuer key id", json!(certificate.authority_key_id().and_then(|id| id.key_id.as_deref()).map(hex::encode))),
        ("sha256", json!(certificate.sha256().to_string())),
        ("may", json!(uses(certificate))),
    ];
    let names: Vec<Value> = certificate.subject_alt_names().iter().map(|name| json!(extension::name(name))).collect();
    if !names.is_empty() {
        facts.push(("names", Value::Array(names)));
    }
    facts.extend(limits(certificate));
    facts.extend(countersign(certificate, arc));
    let others = extension::others(certificate, arc);
    if !others.is_empty() {
        facts.push(("other extensions", Value::Array(others)));
    }
    facts
}

/// "never" for RFC 5280 section 4.1.2.5's 99991231235959Z.
pub(super) fn until(at: UnixTime) -> String {
    if at == UnixTime::NEVER { "never expires (9999-12-31)".to_owned() } else { at.to_string() }
}

fn uses(certificate: &Certificate) -> String {
    let mut uses = Vec::new();
    if certificate.is_ca() {
        uses.push(match certificate.basic_constraints().and_then(|b| b.path_len) {
            Some(0) => "sign end-entity certificates, no further CA".to_owned(),
            Some(length) => format!("sign certificates, with at most {length} CAs below it"),
            None => "sign certificates, with any number of CAs below it".to_owned(),
        });
    }
    if let Some(usage) = certificate.key_usage() {
        uses.push(usage.names().join(", "));
    }
    if let Some(extended) = certificate.extended_key_usage() {
        uses.push(match (extended.client_auth(), extended.server_auth()) {
            (true, true) => "authenticate a TLS client or server".to_owned(),
            (true, false) => "authenticate a TLS client".to_owned(),
            (false, true) => "authenticate a TLS server".to_owned(),
            (false, false) => format!("extended usages {}", extended.dotted().join(", ")),
        });
    }
    if uses.is_empty() { "anything: no usage is stated".to_owned() } else { uses.join("; ") }
}

/// What a CA's subtree and signing window say.
fn limits(certificate: &Certificate) -> Facts {
    let mut facts = Facts::new();
    if let Some(constraints) = certificate.name_constraints() {
        let critical = certificate.extension(&pki::oid::NAME_CONSTRAINTS).is_some_and(|e| e.critical);
        let profile = if critical {
            "critical: who cannot read it refuses the chain"
        } else {
            "not critical (compatible): for devices whose TLS stack cannot read a critical one; our verifier enforces it all the same"
        };
        facts.push((
            "may name under",
            Value::Array(constraints.permitted.iter().map(|s| json!(extension::subtree(s))).collect()),
        ));
        if !constraints.excluded.is_empty() {
            facts.push((
                "may not name under",
                Value::Array(constraints.excluded.iter().map(|s| json!(extension::subtree(s))).collect()),
            ));
        }
        facts.push(("name constraints", json!(profile)));
    }
    if let Some(window) = certificate.private_key_usage_period() {
        let end = |at: Option<UnixTime>| at.map_or_else(|| "open".to_owned(), until);
        facts.push(("signing window", json!(format!("{} to {}", end(window.not_before), end(window.not_after)))));
    }
    facts
}

/// What the private extensions say.
fn countersign(certificate: &Certificate, arc: &OidArc) -> Facts {
    let mut facts = Facts::new();
    if let Some((arc, handoff)) = extension::handoff(certificate) {
        let lot = &handoff.consignment;
        let units = lot.quantity.units().map_or_else(|| "unlimited units".to_owned(), |n| format!("{n} units"));
        facts
            .push(("handoff", json!(format!("hop {}: {} -> {}, lot {}, {units}", lot.hop, lot.from, lot.to, lot.lot))));
        facts.push(("order", json!(format!("{} of program {}", lot.order, lot.program))));
        facts.push(("terms digest", json!(lot.terms_digest.to_string())));
        if let Some(manifest) = &handoff.manifest_digest {
            facts.push(("manifest digest", json!(manifest.to_string())));
        }
        facts.push(("accepted with key", json!(handoff.acceptance.identity_key_digest.to_string())));
        facts.push(("oid arc", json!(arc.to_string())));
    }
    if let Some(generation) = extension::generation(certificate, arc) {
        facts.push(("generation", json!(generation.get())));
    }
    if oid::is_development_anchor(certificate) {
        facts.push(("development only", json!("carries the development marker: production mode refuses it")));
    }
    facts
}
