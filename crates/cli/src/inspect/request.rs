//! Requests, keys, revocation lists, bundles and terms in words.

use issuance::{SigningKey as _, SoftwareKey};
use mfg::{Bundle, Terms};
use pki::{CertificateRequest, PublicKey, RevocationList};
use serde_json::{Value, json};

use super::{
    Finding,
    certificate::{key_kind, until},
};

pub(super) fn csr(request: &CertificateRequest) -> Finding {
    let asks: Vec<Value> = request.subject_alt_names().iter().map(|name| json!(format!("{name:?}"))).collect();
    let ca = request.basic_constraints().is_some_and(|b| b.ca);
    let facts = vec![
        ("possession", json!("proven: it is signed by the key that it names")),
        ("key", json!(key_kind(request.public_key()))),
        ("key sha256", json!(request.public_key().sha256().to_string())),
        ("asks for subject", json!(request.subject().to_string())),
        ("asks for names", Value::Array(asks)),
        ("asks to be a CA", json!(if ca { "yes: it will be refused" } else { "no" })),
        ("what is copied", json!("the key and nothing else")),
    ];
    Finding { what: "a certificate request (PKCS#10)".to_owned(), facts: vec![facts] }
}

pub(super) fn revocation_list(list: &RevocationList) -> Finding {
    let facts = vec![
        ("issuer", json!(list.issuer().to_string())),
        ("this update", json!(list.this_update().to_string())),
        ("next update", json!(list.next_update().map_or_else(|| "not stated".to_owned(), until))),
        ("number", json!(list.number().map(pki::hex::encode))),
        ("revoked", json!(list.revoked_count())),
    ];
    Finding { what: "a certificate revocation list".to_owned(), facts: vec![facts] }
}

pub(super) fn public_key(key: &PublicKey) -> Finding {
    let facts = vec![("key", json!(key_kind(key))), ("key sha256", json!(key.sha256().to_string()))];
    Finding { what: "a public key".to_owned(), facts: vec![facts] }
}

/// What kind of private key it is; the secret itself is never printed.
pub(super) fn private_key(der: &[u8]) -> Option<Finding> {
    let key = SoftwareKey::from_pkcs8(der).ok()?;
    let mut finding = public_key(key.public_key());
    finding.what = "a private key (PKCS#8, not encrypted): keep it at mode 0600".to_owned();
    Some(finding)
}

pub(super) fn bundle(bundle: &Bundle) -> Finding {
    let anchors = bundle.anchors.iter().map(|a| json!(format!("{} (sha256 {})", a.subject(), a.sha256()))).collect();
    let keys = bundle
        .identity_keys
        .iter()
        .map(|k| json!(format!("{}: {} (sha256 {})", k.manufacturer, key_kind(&k.public_key), k.public_key.sha256())))
        .collect();
    let programs = bundle.programs.iter().map(|p| json!(format!("{} under {}", p.id, p.base_name))).collect();
    let facts = vec![
        ("trust anchors", Value::Array(anchors)),
        ("identity keys", Value::Array(keys)),
        ("programs", Value::Array(programs)),
    ];
    Finding { what: "a trust bundle".to_owned(), facts: vec![facts] }
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
    Finding { what: "the terms of a production order".to_owned(), facts: vec![facts] }
}
