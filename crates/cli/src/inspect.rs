//! `countersign inspect`: what a file is, in words.
//!
//! Every file becomes a list of facts, `(name, value)`; words and JSON are two ways to print the same list. The names are a contract:
//! JSON has them with underscores, and `tests` holds them fast for each kind of file. No private key is ever printed, whole or in part.

mod certificate;
mod extension;
mod handoff_file;
mod key;
mod pfx;
mod request;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use mfg::{Bundle, Terms};
use pki::{Certificate, CertificateRequest, PublicKey, RevocationList, pem};
use serde_json::{Map, Value, json};

use crate::{
    args::{InspectArgs, Output},
    failure::{Failure, read_file},
    files::as_pem,
    stdout::say,
};

/// What kind of file it is; JSON has it as `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Certificate,
    Chain,
    Certificates,
    Request,
    RevocationList,
    PublicKey,
    PrivateKey,
    EncryptedPrivateKey,
    Pfx,
    Bundle,
    Terms,
    HandoffFile,
    Several,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Chain => "chain",
            Self::Certificates => "certificates",
            Self::Request => "request",
            Self::RevocationList => "crl",
            Self::PublicKey => "public_key",
            Self::PrivateKey => "private_key",
            Self::EncryptedPrivateKey => "encrypted_private_key",
            Self::Pfx => "pfx",
            Self::Bundle => "bundle",
            Self::Terms => "terms",
            Self::HandoffFile => "handoff_file",
            Self::Several => "several",
        }
    }
}

/// What was found: the kind of file and its facts, several for a chain.
pub(crate) struct Finding {
    kind: Kind,
    what: String,
    facts: Vec<Facts>,
}

/// Facts about one thing, in the order in which a person wants them.
pub(crate) type Facts = Vec<(&'static str, Value)>;

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let finding = find(args, &read_file(&args.file)?)?;
    match args.output {
        Output::Json => say!("{}", as_json(&finding)),
        Output::Text => say!("{}", in_words(&finding)),
    }
    Ok(ExitCode::SUCCESS)
}

fn find(args: &InspectArgs, octets: &[u8]) -> Result<Finding, Failure> {
    match as_pem(octets) {
        Some(text) => in_pem(args, text),
        None => in_octets(args, octets),
    }
}

/// Certificates that follow each other are one thing, every other block is one of its own.
fn in_pem(args: &InspectArgs, text: &str) -> Result<Finding, Failure> {
    let malformed = |e: &dyn std::fmt::Display| Failure::malformed(&args.file, e);
    let blocks = pem::blocks(text).map_err(|e| malformed(&e))?;
    let mut found = Vec::new();
    for part in blocks.chunk_by(|one, next| is_certificate(one) && is_certificate(next)) {
        found.push(in_blocks(part).map_err(|e| malformed(&e))?);
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            found.push(last);
            Ok(several(found))
        }
        (None, _) => Err(malformed(&"PEM without any block")),
    }
}

fn is_certificate(block: &pem::Block) -> bool {
    block.label() == pem::CERTIFICATE
}

/// Certificates in a row, or one block of another kind.
fn in_blocks(blocks: &[pem::Block]) -> Result<Finding, String> {
    let Some(first) = blocks.first() else { return Err("nothing".to_owned()) };
    let text = |e: pki::ParseError| e.to_string();
    match first.label() {
        pem::CERTIFICATE => {
            let all = blocks.iter().map(|block| Certificate::parse(block.der())).collect::<Result<Vec<_>, _>>();
            all.map(|all| certificate::chain(&all)).map_err(text)
        }
        pem::CERTIFICATE_REQUEST | "NEW CERTIFICATE REQUEST" => {
            CertificateRequest::parse(first.der()).map(|r| request::csr(&r)).map_err(text)
        }
        pem::X509_CRL => RevocationList::parse(first.der()).map(|list| request::revocation_list(&list)).map_err(text),
        pem::PUBLIC_KEY => PublicKey::parse(first.der()).map(|k| key::public(&k)).map_err(text),
        pem::PRIVATE_KEY => {
            key::private(first.der()).ok_or_else(|| "no private key of a kind that is used here".to_owned())
        }
        crate::handoff_file::LABEL => handoff_file::message(first.der()),
        pem::ENCRYPTED_PRIVATE_KEY => key::encrypted(first.der()).ok_or_else(|| "no encrypted PKCS#8 key".to_owned()),
        label @ ("EC PRIVATE KEY" | "RSA PRIVATE KEY" | "DSA PRIVATE KEY") => Ok(key::traditional(label)),
        other => Err(format!("PEM with {other}, which is nothing that is known here")),
    }
}

/// Several things in one file, each told after the other.
fn several(found: Vec<Finding>) -> Finding {
    let names: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
    let what = format!("a PEM file with {} parts: {}", names.len(), names.join("; "));
    let mut facts = Vec::new();
    for finding in found {
        for mut part in finding.facts {
            part.insert(0, ("part", json!(finding.kind.as_str())));
            facts.push(part);
        }
    }
    Finding { kind: Kind::Several, what, facts }
}

fn in_octets(args: &InspectArgs, octets: &[u8]) -> Result<Finding, Failure> {
    if let Ok(certificate) = Certificate::parse(octets) {
        return Ok(certificate::chain(&[certificate]));
    }
    if let Ok(list) = RevocationList::parse(octets) {
        return Ok(request::revocation_list(&list));
    }
    if let Ok(found) = CertificateRequest::parse(octets) {
        return Ok(request::csr(&found));
    }
    if let Ok(bundle) = Bundle::parse(octets) {
        return Ok(request::bundle(&bundle));
    }
    if let Ok(terms) = Terms::parse(octets) {
        return Ok(request::terms(&terms));
    }
    if let Ok(key) = PublicKey::parse(octets) {
        return Ok(key::public(&key));
    }
    if let Some(finding) = key::private(octets).or_else(|| key::encrypted(octets)) {
        return Ok(finding);
    }
    pfx::open(args, octets)
}

fn as_json(finding: &Finding) -> Value {
    let object = |facts: &Facts| -> Value {
        let members: Map<String, Value> =
            facts.iter().map(|(name, value)| (name.replace(' ', "_"), value.clone())).collect();
        Value::Object(members)
    };
    json!({
        "kind": finding.kind.as_str(),
        "what": finding.what,
        "facts": finding.facts.iter().map(object).collect::<Vec<_>>(),
    })
}

fn in_words(finding: &Finding) -> String {
    let mut lines = vec![printable(&finding.what)];
    for facts in &finding.facts {
        lines.push(String::new());
        for (name, value) in facts {
            let mut name = *name;
            let items = match value {
                Value::Array(items) => items.as_slice(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    std::slice::from_ref(value)
                }
            };
            for item in items {
                lines.push(format!("  {name:<22} {}", printable(&value_in_words(item))));
                name = "";
            }
        }
    }
    lines.join("\n")
}

fn value_in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| format!("{} {}", name.replace('_', " "), value_in_words(value));
            members.iter().map(member).collect::<Vec<_>>().join(", ")
        }
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

/// What a certificate says must not steer the terminal it is shown on.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(shown).collect()
}
