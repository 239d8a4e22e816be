//! Runs the published path validation vectors of x509-limbo against our verifier: see README.md beside this file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use pki::path::{PathOptions, Purpose, ReferenceName, Rules, verify_path};
use pki::{Certificate, RevocationList, UnixTime, pem};
use serde::Deserialize;

/// Cases that we decide differently, each with its reason. Empty is as it should be.
const DIFFERENT: &[(&str, &str)] = &[];

/// For cases without a time of their own: all of them are valid for a thousand years.
const NOW: &str = "2026-11-24T00:00:00Z";

#[derive(Deserialize)]
struct Vectors {
    version: u32,
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: Kind,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: Outcome,
    expected_peer_name: Option<PeerName>,
    max_chain_depth: Option<u32>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Outcome {
    Success,
    Failure,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

#[test]
fn every_case_is_decided_as_published() {
    let vectors: Vectors = serde_json::from_str(include_str!("limbo.json")).unwrap();
    assert_eq!(vectors.version, 1);
    let listed: BTreeMap<&str, &str> = DIFFERENT.iter().copied().collect();
    let mut wrong = Vec::new();
    for case in &vectors.testcases {
        let verdict = judge(case);
        let outcome = if verdict.is_ok() { Outcome::Success } else { Outcome::Failure };
        let differs = outcome != case.expected_result;
        println!("{}: {}", case.id, verdict.as_ref().map_or_else(|reason| reason.as_str(), |()| "accepted"));
        match (differs, listed.contains_key(case.id.as_str())) {
            (true, false) => wrong.push(format!("{}: expected {:?}, got {verdict:?}", case.id, case.expected_result)),
            (false, true) => wrong.push(format!("{}: is on the list of differences and does not differ", case.id)),
            (true, true) | (false, false) => {}
        }
    }
    let known: Vec<&str> = vectors.testcases.iter().map(|case| case.id.as_str()).collect();
    wrong
        .extend(listed.keys().filter(|id| !known.contains(id)).map(|id| format!("{id}: is listed and does not exist")));
    println!("{} cases ran, {} decided differently for a reason", known.len(), listed.len());
    assert!(known.len() >= 91, "the vectors are incomplete");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The reason of a refusal, of whichever document.
fn judge(case: &Case) -> Result<(), String> {
    // What does not parse among the certificates at hand is as good as absent; it may not be needed.
    let parse_some =
        |texts: &[String]| -> Vec<Certificate> { texts.iter().filter_map(|text| certificate(text).ok()).collect() };
    let leaf = certificate(&case.peer_certificate)?;
    let crls = case.crls.iter().map(|text| revocation_list(text)).collect::<Result<Vec<_>, _>>()?;
    let name = case.expected_peer_name.as_ref().map(|name| ReferenceName::parse(&name.value));
    let options = PathOptions {
        at: UnixTime::parse(case.validation_time.as_deref().unwrap_or(NOW)).unwrap(),
        purpose: match case.validation_kind {
            Kind::Server => Purpose::Server,
            Kind::Client => Purpose::Client,
        },
        name: name.transpose().map_err(|error| error.reason().to_owned())?,
        crls: &crls,
        max_depth: case.max_chain_depth,
        rules: Rules::Plain,
    };
    let candidates = parse_some(&case.untrusted_intermediates);
    let anchors = parse_some(&case.trusted_certs);
    let path = verify_path(&leaf, &candidates, &anchors, &options).map_err(|refusal| refusal.reason().to_owned())?;
    assert_eq!(path.leaf(), &leaf, "{}: a path for another leaf", case.id);
    Ok(())
}

fn certificate(text: &str) -> Result<Certificate, String> {
    let block = pem::single(text, pem::CERTIFICATE).map_err(|error| error.reason().to_owned())?;
    Certificate::parse(block.der()).map_err(|error| error.reason().to_owned())
}

fn revocation_list(text: &str) -> Result<RevocationList, String> {
    let block = pem::single(text, pem::X509_CRL).map_err(|error| error.reason().to_owned())?;
    RevocationList::parse(block.der()).map_err(|error| error.reason().to_owned())
}
