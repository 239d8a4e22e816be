//! `countersign verify`: the shape of its answers, and its exit codes: 0 valid, 1 not, 2 flags, 3 files that are not there.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    demo_folder::{demo, inside},
    run::{Ended, countersign},
};

const DEVICE: &str = "sn0000001";
const NAME: &str = "sn0000001.t7.technician-z.b0032.factory-y.smart-widget.company-x.example";

/// Verifies the first device's chain of the demo with two hops, with more flags.
fn verify(flags: &[&str]) -> Ended {
    let folder = demo(2);
    let trust = inside(&folder, "trust/bundle.json");
    let chain = inside(&folder, "devices/sn0000001/chain.pem");
    let mut arguments = vec!["verify", "--trust", &trust, &chain, "-o", "json"];
    arguments.extend(flags);
    countersign(&arguments)
}

fn assert_valid(ended: &Ended) {
    assert_eq!(
        (ended.code, ended.json()["valid"].clone()),
        (Some(0), json!(true)),
        "{} {}",
        ended.stdout,
        ended.stderr
    );
}

fn assert_not_valid(ended: &Ended, reason: &str) {
    let answer = ended.json();
    assert_eq!((ended.code, &answer["valid"], &answer["reason"]), (Some(1), &json!(false), &json!(reason)), "{answer}");
    assert_eq!(fields(&answer), ["detail", "reason", "valid"]);
    assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
}

fn fields(object: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn a_valid_chain_is_answered_with_its_journey() {
    let ended = verify(&[]);
    assert_valid(&ended);
    assert_eq!(ended.stderr, "");
    let answer = ended.json();
    let promised = ["anchor_sha256", "device_id", "hops", "intermediates", "plain", "valid"];
    assert!(promised.iter().all(|field| fields(&answer).contains(field)), "{answer}");
    assert_eq!(
        (&answer["device_id"], &answer["plain"], &answer["intermediates"]),
        (&json!(DEVICE), &json!(false), &json!(2))
    );
    let anchor = answer["anchor_sha256"].as_str().unwrap();
    assert!(anchor.len() == 64 && anchor.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)), "{anchor}");
    let subtree = NAME.split_once('.').unwrap().1;
    let expected = json!([
        { "from": "company-x", "to": "factory-y", "lot": "b0032", "quantity": 5000,
          "subtree": subtree.strip_prefix("t7.technician-z.").unwrap(), "accepted": "proven" },
        { "from": "factory-y", "to": "technician-z", "lot": "t7", "quantity": 4980,
          "subtree": subtree, "accepted": "proven" },
    ]);
    assert_eq!(answer["hops"], expected);
}

#[test]
fn words_say_the_same() {
    let folder = demo(2);
    let (trust, chain) = (inside(&folder, "trust/bundle.json"), inside(&folder, "devices/sn0000001/chain.pem"));
    let valid = countersign(&["verify", "--trust", &trust, &chain]);
    assert_eq!(valid.code, Some(0), "{}", valid.stderr);
    assert!(valid.stdout.starts_with("valid: sn0000001"), "{}", valid.stdout);
    for said in ["company-x -> factory-y", "lot t7, 4980 units", "acceptance proven"] {
        assert!(valid.stdout.contains(said), "{said}: {}", valid.stdout);
    }
    let refused = countersign(&["verify", "--trust", &trust, "--purpose", "server", &chain]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.starts_with("not valid: PURPOSE_NOT_ALLOWED\n"), "{}", refused.stdout);
    assert!(refused.stdout.contains("what to do: "), "{}", refused.stdout);
}

#[test]
fn plain_rules_accept_it_and_tell_no_journey() {
    let ended = verify(&["--plain"]);
    assert_valid(&ended);
    let answer = ended.json();
    assert_eq!((&answer["plain"], &answer["device_id"], &answer["hops"]), (&json!(true), &json!(DEVICE), &json!([])));
}

#[test]
fn purpose_name_depth_and_moment_are_judged() {
    for flags in [["--purpose", "client"], ["--purpose", "any"], ["--name", NAME], ["--max-depth", "2"]] {
        assert_valid(&verify(&flags));
    }
    assert_valid(&verify(&["--at", "9999-01-01T00:00:00Z"]));
    assert_valid(&verify(&["--at", "2027-01-01T00:00:00+02:00"]));
    assert_not_valid(&verify(&["--purpose", "server"]), "PURPOSE_NOT_ALLOWED");
    assert_not_valid(&verify(&["--name", "sn0000002.example"]), "NAME_MISMATCH");
    assert_not_valid(&verify(&["--name", "192.0.2.1"]), "NAME_MISMATCH");
    assert_not_valid(&verify(&["--max-depth", "1"]), "MAX_DEPTH_EXCEEDED");
    let early = verify(&["--at", "2025-06-01T00:00:00Z"]);
    let reason = early.json()["reason"].as_str().unwrap().to_owned();
    assert!(early.code == Some(1) && reason.ends_with("NOT_YET_VALID"), "{}", early.stdout);
}

#[test]
fn malformed_flags_are_usage_whatever_the_files_are() {
    let nowhere = ["verify", "--trust", "/nowhere/root.pem", "/nowhere/chain.pem", "-o", "json"];
    let refused = [
        ["--at", "yesterday"],
        ["--at", "2026-13-01T00:00:00Z"],
        ["--at", "2026-01-01"],
        ["--name", ""],
        ["--name", "a..b"],
        ["--name", "a b"],
    ];
    for flags in refused {
        countersign(&[&nowhere[..], &flags[..]].concat()).assert_failed(2, "USAGE");
    }
    for flags in [["--max-depth", "deep"], ["--max-depth", "4294967296"], ["--purpose", "fun"], ["-o", "yaml"]] {
        countersign(&[&nowhere[..4], &flags[..]].concat()).assert_usage(flags[0].trim_start_matches('-'));
    }
    countersign(&["verify", "--trust", "/nowhere/root.pem"]).assert_usage("CHAIN");
    countersign(&["verify", "/nowhere/chain.pem"]).assert_usage("--trust");
}

#[test]
fn a_file_that_is_not_there_ends_with_three() {
    let folder = demo(2);
    let good = inside(&folder, "trust/bundle.json");
    let chain = inside(&folder, "devices/sn0000001/chain.pem");
    let (absent, directory) = (inside(&folder, "absent.pem"), inside(&folder, "trust"));
    for (bad, reason) in [(&absent, "FILE_MISSING"), (&directory, "FILE_UNREADABLE")] {
        countersign(&["verify", "--trust", bad, &chain, "-o", "json"]).assert_failed(3, reason);
        countersign(&["verify", "--trust", &good, bad, "-o", "json"]).assert_failed(3, reason);
        countersign(&["verify", "--trust", &good, "--crl", bad, &chain]).assert_failed(3, reason);
        countersign(&["verify", "--trust", &good, "--trust", bad, &chain]).assert_failed(3, reason);
    }
}

#[test]
fn content_that_cannot_be_read_is_not_valid() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read_to_string(demo(2).join("devices/sn0000001/chain.pem")).unwrap();
    let contents: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("words", b"hello"),
        ("half", &whole.as_bytes()[..whole.len() / 2]),
        ("nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("braces", b"{}"),
    ];
    let good = inside(&demo(2), "trust/bundle.json");
    let chain = inside(&demo(2), "devices/sn0000001/chain.pem");
    for (name, content) in contents {
        let bad = inside(folder.path(), name);
        fs::write(&bad, content).unwrap();
        assert_not_valid(&countersign(&["verify", "--trust", &good, &bad, "-o", "json"]), "FILE_MALFORMED");
        assert_not_valid(&countersign(&["verify", "--trust", &bad, &chain, "-o", "json"]), "FILE_MALFORMED");
        let crl = countersign(&["verify", "--trust", &good, "--crl", &bad, &chain, "-o", "json"]);
        assert_not_valid(&crl, "FILE_MALFORMED");
        countersign(&["verify", "--trust", &good, &bad]).assert_failed(1, "FILE_MALFORMED");
    }
}

#[test]
fn the_leaf_stands_first_and_the_rest_is_candidates_in_any_order() {
    let demo_folder = demo(2);
    let chain = fs::read_to_string(demo_folder.join("devices/sn0000001/chain.pem")).unwrap();
    let parts: Vec<String> = chain.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect();
    let [leaf, technician, factory] = parts.as_slice() else { panic!("{} certificates", parts.len()) };
    let root = fs::read_to_string(demo_folder.join("trust/root.pem")).unwrap();
    let stranger = fs::read_to_string(demo_folder.join("devices/sn0000002/device.pem")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let judged = |certificates: &[&str]| judge(folder.path(), &demo_folder, &certificates.concat());
    assert_valid(&judged(&[leaf, factory, technician]));
    assert_valid(&judged(&[leaf, technician, technician, &root, factory, &stranger]));
    assert_not_valid(&judged(&[leaf, technician]), "UNKNOWN_ISSUER");
    assert_not_valid(&judged(&[leaf]), "UNKNOWN_ISSUER");
    let not_first = judged(&[technician, leaf, factory]);
    assert_eq!((not_first.code, &not_first.json()["valid"]), (Some(1), &json!(false)), "a ca is no device");
}

fn judge(folder: &Path, demo_folder: &Path, pem: &str) -> Ended {
    let file = inside(folder, "chain.pem");
    fs::write(&file, pem).unwrap();
    countersign(&["verify", "--trust", &inside(demo_folder, "trust/bundle.json"), &file, "-o", "json"])
}

#[test]
fn a_stranger_to_the_anchors_is_refused_until_its_own_is_added() {
    let (one, two) = (demo(1), demo(2));
    let (own, other) = (inside(&two, "trust/bundle.json"), inside(&one, "trust/root.pem"));
    let chain = inside(&two, "devices/sn0000001/chain.pem");
    let refused = countersign(&["verify", "--trust", &other, &chain, "-o", "json"]);
    assert_eq!((refused.code, &refused.json()["valid"]), (Some(1), &json!(false)));
    assert_valid(&countersign(&["verify", "--trust", &other, "--trust", &own, &chain, "-o", "json"]));
}
