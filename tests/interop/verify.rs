//! Our own verifier on the demo's chains: what it answers fits what the demo says it did.

use std::path::Path;

use serde_json::Value;

use crate::demo::{self, HOPS, countersign, said};

#[test]
fn every_chain_tells_its_journey_and_every_acceptance_is_proven_by_the_bundle() {
    for hops in HOPS {
        let directory = demo::demo(hops);
        for device in demo::manifest(&directory) {
            let answer = verify(&directory, "bundle.json", &device);
            assert_eq!(answer["valid"], true, "{answer}");
            assert_eq!(answer["plain"], false);
            assert_eq!(answer["device_id"], device["device_id"]);
            assert_eq!(answer["intermediates"], hops);
            assert_eq!(journey(&answer["hops"]), journey(&device["hops"]));
            assert_eq!(device["hops"].as_array().unwrap().len(), hops);
            assert_eq!(device["hops"][hops - 1]["lot"], device["lot"]);
            assert_eq!(acceptances(&answer), vec!["proven"; hops], "{answer}");
        }
    }
}

#[test]
fn without_the_identity_keys_acceptances_are_not_checked() {
    let directory = demo::demo(2);
    for device in demo::manifest(&directory) {
        let answer = verify(&directory, "root.pem", &device);
        assert_eq!(answer["valid"], true, "{answer}");
        assert_eq!(acceptances(&answer), ["not checked"; 2], "{answer}");
    }
}

#[test]
fn a_chain_is_refused_under_another_demos_root() {
    let directory = demo::demo(1);
    let stranger = demo::demo(2);
    let chain = directory.join(demo::manifest(&directory)[0]["chain"].as_str().unwrap());
    let root = stranger.join("trust/root.pem");
    let output = countersign(&["verify", "--trust", root.to_str().unwrap(), "-o", "json", chain.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["valid"], false);
    assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{answer}");
}

/// RFC 5280 section 4.2.1.10 wants a nameConstraints to be critical; our own rules enforce it either way.
#[test]
fn compatible_chains_are_accepted_by_our_rules_and_refused_by_plain_ones() {
    for (directory, plain) in [(demo::demo(3), None), (demo::compatible_demo(3), Some("NAME_CONSTRAINTS_NOT_CRITICAL"))]
    {
        for device in demo::manifest(&directory) {
            assert_eq!(acceptances(&verify(&directory, "bundle.json", &device)), ["proven"; 3]);
            let chain = directory.join(device["chain"].as_str().unwrap());
            let root = directory.join("trust/root.pem");
            let flags = ["verify", "--plain", "-o", "json", "--trust", root.to_str().unwrap(), chain.to_str().unwrap()];
            let answer: Value = serde_json::from_slice(&countersign(&flags).stdout).unwrap();
            assert_eq!(
                (answer["valid"].as_bool(), answer["reason"].as_str()),
                (Some(plain.is_none()), plain),
                "{answer}"
            );
        }
    }
}

/// Verifiers refuse a seventh intermediate, so the order is refused before anything is signed.
#[test]
fn seven_hops_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = demo::run_demo(&directory.path().join("demo"), 7, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("CHAIN_TOO_DEEP"), "{}", said(&output));
    assert!(!directory.path().join("demo/manifest.json").exists());
}

#[test]
fn a_demo_does_not_become_compatible_afterwards() {
    for (directory, flags, said_was) in [
        (demo::demo(1), &["--compatible"][..], "was made with --devices 2 --hops 1\n"),
        (demo::compatible_demo(1), &[], "was made with --devices 2 --hops 1 --compatible\n"),
    ] {
        let output = demo::run_demo(&directory, 1, flags);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("DEMO_DIR_DIFFERS") && stderr.contains(said_was), "{stderr}");
    }
}

fn verify(directory: &Path, trust: &str, device: &Value) -> Value {
    let trust = directory.join("trust").join(trust);
    let chain = directory.join(device["chain"].as_str().unwrap());
    let output = countersign(&["verify", "--trust", trust.to_str().unwrap(), "-o", "json", chain.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("no JSON alone on stdout: {e}: {}", said(&output)))
}

/// The facts of each hop that the manifest and the verifier must agree on.
fn journey(hops: &Value) -> Vec<[Value; 5]> {
    let facts = |hop: &Value| ["from", "to", "lot", "quantity", "subtree"].map(|fact| hop[fact].clone());
    let journey: Vec<_> = hops.as_array().unwrap().iter().map(facts).collect();
    assert!(journey.iter().flatten().all(|fact| !fact.is_null()), "a hop lacks a fact: {hops}");
    journey
}

fn acceptances(answer: &Value) -> Vec<&str> {
    answer["hops"].as_array().unwrap().iter().map(|hop| hop["accepted"].as_str().unwrap()).collect()
}
