//! Requests, revocation lists, bundles and terms in words.

use mfg::{Bundle, Terms};
use pki::{CertificateRequest, CertificateSerial, RevocationList, RevokedEntry, hex};
use serde_json::{Value, json};

use super::{Finding, Kind, certificate::until, extension, key::algorithm};

/// Revoked certificates that are listed; the count says how many there are.
const MOST_LISTED: usize = 100;

pub(super) fn csr(request: &CertificateRequest) -> Finding {
    let names: Vec<Value> = request.subject_alt_names().iter().map(|name| json!(extension::name(name))).collect();
    let extensions: Vec<Value> = request.extensions().map(|asked| extension::listed(&asked)).collect();
    let ca = request.basic_constraints().is_some_and(|b| b.ca);
    let facts = vec![
        ("possession", json!("proven: it is signed by the key that it names")),
        ("key", json!(algorithm(request.public_key()))),
        ("key sha256", json!(request.public_key().sha256().to_string())),
        ("asks for subject", json!(request.subject().to_string())),
        ("asks for names", Value::Array(names)),
        ("asks for extensions", Value::Array(extensions)),
        ("asks to be a CA", json!(if ca { "yes: it will be refused" } else { "no" })),
        ("what is copied", json!("the key and nothing else")),
    ];
    Finding { kind: Kind::Request, what: "a certificate request (PKCS#10)".to_owned(), facts: vec![facts] }
}

pub(super) fn revocation_list(list: &RevocationList) -> Finding {
    let mut entries: Vec<(&CertificateSerial, RevokedEntry)> = list.entries().collect();
    entries.sort_unstable_by_key(|(serial, entry)| (entry.at, serial.to_string()));
    let entry = |(serial, entry): &(&CertificateSerial, RevokedEntry)| {
        json!({
            "certificate_serial": serial.to_string(),
            "at": entry.at.to_string(),
            "reason": entry.reason.map_or("not stated", reason),
        })
    };
    let facts = vec![
        ("issuer", json!(list.issuer().to_string())),
        ("this update", json!(list.this_update().to_string())),
        ("next update", json!(list.next_update().map_or_else(|| "not stated".to_owned(), until))),
        ("number", json!(list.number().map(hex::encode))),
        ("issuer key id", json!(list.authority_key_id().and_then(|id| id.key_id.as_deref()).map(hex::encode))),
        ("revoked", json!(list.revoked_count())),
        ("revoked certificates", Value::Array(entries.iter().take(MOST_LISTED).map(entry).collect())),
        ("extensions", Value::Array(list.extensions().map(|found| extension::listed(&found)).collect())),
    ];
    Finding { kind: Kind::RevocationList, what: "a certificate revocation list".to_owned(), facts: vec![facts] }
}

/// CRLReason (RFC 5280 section 5.3.1).
fn reason(code: u8) -> &'static str {
    match code {
        0 => "unspecified",
        1 => "keyCompromise",
        2 => "cACompromise",
        3 => "affiliationChanged",
        4 => "superseded",
        5 => "cessationOfOperation",
        6 => "certificateHold",
        8 => "removeFromCRL",
        9 => "privilegeWithdrawn",
        10 => "aACompromise",
        _ => "unknown",
    }
}

pub(super) fn bundle(bundle: &Bundle) -> Finding {
    let anchors = bundle.anchors.iter().map(|a| json!(format!("{} (sha256 {})", a.subject(), a.sha256()))).collect();
    let keys = bundle
        .identity_keys
        .iter()
        .map(|k| json!(format!("{}: {} (sha256 {})", k.manufacturer, algorithm(&k.public_key), k.public_key.sha256())))
        .collect();
    let programs = bundle
        .programs
        .iter()
        .map(|p| json!(format!("{} under {}, oid arc {}", p.id, p.base_name, p.oid_arc)))
        .collect();
    let facts = vec![
        ("trust anchors", Value::Array(anchors)),
        ("identity keys", Value::Array(keys)),
        ("programs", Value::Array(programs)),
    ];
    Finding { kind: Kind::Bundle, what: "a trust bundle".to_owned(), facts: vec![facts] }
}

pub(super) fn terms(terms: &Terms) -> Finding {
    let document = terms.document();
    let routes = document.graph.iter().map(|e| json!(format!("{} -> {}", e.from, e.to))).collect();
    let issuers = document.device_issuers.iter().map(|m| json!(m.as_str())).collect();
    let authorised = terms.authorised().units().map_or_else(|| json!("unlimited"), |n| json!(n));
    let facts = vec![
        ("order", json!(format!("{} version {}", document.order, document.order_version))),
        ("brand", json!(document.brand.as_str())),
        ("program", json!(document.program.id.as_str())),
        ("units authorised", authorised),
        ("routes", Value::Array(routes)),
        ("device issuers", Value::Array(issuers)),
        ("terms digest", json!(terms.digest().to_string())),
    ];
    Finding { kind: Kind::Terms, what: "the terms of a production order".to_owned(), facts: vec![facts] }
}
