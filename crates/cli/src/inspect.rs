//! `countersign inspect`: what a file is, in words.
//!
//! Every file becomes a list of facts, `(name, value)`; words and JSON are two ways to print the same list.

mod certificate;
mod pfx;
mod request;

use std::process::ExitCode;

use mfg::{Bundle, Terms};
use pki::{Certificate, CertificateRequest, PublicKey, RevocationList, pem};
use serde_json::{Map, Value};

use crate::{
    args::{InspectArgs, Output},
    failure::{Failure, read_file},
    files::as_pem,
};

/// What was found: the kind of file and its facts, several for a chain.
pub(crate) struct Finding {
    what: String,
    facts: Vec<Facts>,
}

/// Facts about one thing, in the order in which a person wants them.
pub(crate) type Facts = Vec<(&'static str, Value)>;

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let octets = read_file(&args.file)?;
    let finding = match as_pem(&octets) {
        Some(text) => in_pem(args, text)?,
        None => in_octets(args, &octets)?,
    };
    match args.output {
        Output::Json => println!("{}", as_json(&finding)),
        Output::Text => print_words(&finding),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_pem(args: &InspectArgs, text: &str) -> Result<Finding, Failure> {
    let malformed = |e: &dyn std::fmt::Display| Failure::malformed(&args.file, e);
    let blocks = pem::blocks(text).map_err(|e| malformed(&e))?;
    let labels: Vec<&str> = blocks.iter().map(pem::Block::label).collect();
    match (labels.as_slice(), blocks.first()) {
        (["CERTIFICATE", ..], _) if labels.iter().all(|label| *label == "CERTIFICATE") => {
            let chain = pem::certificates(text).map_err(|e| malformed(&e))?;
            Ok(certificate::chain(&chain))
        }
        (["CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST"], Some(block)) => {
            CertificateRequest::parse(block.der()).map(|r| request::csr(&r)).map_err(|e| malformed(&e))
        }
        (["X509 CRL"], Some(block)) => {
            RevocationList::parse(block.der()).map(|list| request::revocation_list(&list)).map_err(|e| malformed(&e))
        }
        (["PUBLIC KEY"], Some(block)) => {
            PublicKey::parse(block.der()).map(|k| request::public_key(&k)).map_err(|e| malformed(&e))
        }
        (["PRIVATE KEY"], Some(block)) => {
            request::private_key(block.der()).ok_or_else(|| malformed(&"no private key of a kind that is used here"))
        }
        (["ENCRYPTED PRIVATE KEY"], Some(_)) => {
            Ok(Finding { what: "an encrypted private key".to_owned(), facts: Vec::new() })
        }
        _ => Err(malformed(&format!("PEM with {}, which is nothing that is known here", labels.join(", ")))),
    }
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
        return Ok(request::public_key(&key));
    }
    if let Some(finding) = request::private_key(octets) {
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
    serde_json::json!({ "what": finding.what, "facts": finding.facts.iter().map(object).collect::<Vec<_>>() })
}

fn print_words(finding: &Finding) {
    println!("{}", finding.what);
    for facts in &finding.facts {
        println!();
        for (name, value) in facts {
            match value {
                Value::String(text) => println!("  {name:<22} {text}"),
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let name = if index == 0 { name } else { &"" };
                        println!("  {name:<22} {}", item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => println!("  {name:<22} {value}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn inspect(content: &[u8]) -> Result<Finding, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, content).unwrap();
        let args = InspectArgs { file, password_file: None, output: Output::Json };
        match as_pem(content) {
            Some(text) => in_pem(&args, text),
            None => in_octets(&args, content),
        }
    }

    #[test]
    fn a_request_and_a_key_are_told_apart_and_no_secret_is_printed() {
        let key = issuance::SoftwareKey::generate(issuance::KeyKind::P256).unwrap();
        let csr = issuance::make_csr(&key, "sn1").unwrap();
        assert!(inspect(&csr).unwrap().what.contains("request"));
        let pkcs8 = key.to_pkcs8().unwrap();
        let found = inspect(pem::encode("PRIVATE KEY", &pkcs8).as_bytes()).unwrap();
        assert!(found.what.contains("private key"));
        assert!(!as_json(&found).to_string().contains(&pki::hex::encode(pkcs8.get(36..68).unwrap())));
    }

    #[test]
    fn what_is_nothing_known_or_cut_short_is_refused() {
        let key = issuance::SoftwareKey::generate(issuance::KeyKind::P256).unwrap();
        let csr = issuance::make_csr(&key, "sn1").unwrap();
        for length in 0..csr.len() {
            assert!(inspect(csr.get(..length).unwrap()).is_err(), "{length}");
        }
        for text in ["", "hello", "-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n", "{\"version\":1}"] {
            assert!(inspect(text.as_bytes()).is_err(), "{text}");
        }
    }
}
