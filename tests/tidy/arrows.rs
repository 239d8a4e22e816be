//! Which crate may depend on which. Arrows go down only, and siblings do not know each other: who holds which secret is then a
//! question that the compiler answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

use crate::tree;

/// Every crate of the workspace and the ones below it that it may depend on; fewer is fine. Dev-dependencies aside.
const ARROWS: &[(&str, &[&str])] = &[
    ("pki", &[]),
    ("mfg", &["pki"]),
    ("issuance", &["mfg", "pki"]),
    ("api", &[]),
    ("device-wire", &[]),
    ("store", &["issuance", "mfg", "pki"]),
    ("service", &["api", "pki"]),
    ("ceremony", &["api", "issuance", "mfg", "pki", "service"]),
    ("records", &["api", "mfg", "pki", "service", "store"]),
    ("authority", &["api", "issuance", "mfg", "pki", "records", "service", "store"]),
    ("root-ca", &["api", "authority", "issuance", "mfg", "pki", "records", "service", "store"]),
    ("intermediate-ca", &["api", "authority", "issuance", "mfg", "pki", "records", "service", "store"]),
    ("hub", &["api", "device-wire", "mfg", "pki", "records", "service", "store"]),
    ("provisioner", &["api", "issuance", "mfg", "pki", "records", "service", "store"]),
    (
        "simulator",
        &[
            "api",
            "authority",
            "ceremony",
            "device-wire",
            "hub",
            "intermediate-ca",
            "issuance",
            "mfg",
            "pki",
            "provisioner",
            "records",
            "root-ca",
            "service",
            "store",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "authority",
            "ceremony",
            "device-wire",
            "hub",
            "intermediate-ca",
            "issuance",
            "mfg",
            "pki",
            "provisioner",
            "records",
            "root-ca",
            "service",
            "simulator",
            "store",
        ],
    ),
    ("countersign-tests", &["cli"]),
];

/// Crates from outside that one crate alone may name.
const SOLE_OWNERS: &[(&str, &str)] = &[("rcgen", "issuance"), ("sled", "store")];

/// What the pure crates must not reach, not even through others.
const NOT_IN_PURE: &[&str] = &["axum", "hyper", "rustls", "sled", "tokio", "tonic", "tracing-subscriber"];

#[test]
fn arrows_go_down_only() {
    let table: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut findings = Vec::new();
    let packages = workspace();
    for (name, dependencies) in &packages {
        let Some(allowed) = table.get(name.as_str()) else {
            findings.push(format!("{name} is in the workspace and not in the table"));
            continue;
        };
        let ours = dependencies.iter().filter(|dependency| packages.contains_key(*dependency));
        findings.extend(ours.filter(|d| !allowed.contains(&d.as_str())).map(|d| format!("{name} -> {d}")));
    }
    findings.extend(
        table
            .keys()
            .filter(|k| !packages.contains_key(**k))
            .map(|k| format!("{k} is in the table and not in the workspace")),
    );
    tree::assert_none(&findings, "dependencies that the table of arrows does not allow:");
}

#[test]
fn certificates_are_made_in_issuance_and_the_database_is_known_to_store_alone() {
    let packages = workspace();
    let mut findings = Vec::new();
    for (outside, owner) in SOLE_OWNERS {
        assert!(
            packages[*owner].contains(*outside),
            "{owner} does not depend on {outside} any more: correct this test"
        );
        let others = packages.iter().filter(|(name, dependencies)| name != owner && dependencies.contains(*outside));
        findings.extend(others.map(|(name, _)| format!("{name} -> {outside}")));
    }
    tree::assert_none(&findings, "dependencies that belong to one crate alone:");
}

#[test]
fn the_pure_crates_reach_no_runtime_no_network_and_no_database() {
    let mut findings = Vec::new();
    for pure in crate::purity::PURE {
        let reached = dependency_tree(&["-p", pure, "-e", "normal"]);
        assert!(reached.contains(*pure));
        findings.extend(
            NOT_IN_PURE.iter().filter(|name| reached.contains(**name)).map(|name| format!("{pure} reaches {name}")),
        );
    }
    tree::assert_none(&findings, "pure crates take bytes and values and give bytes and values:");
}

/// With two providers linked together the TLS server panics and the client chooses silently. `cargo deny` says the same for all targets.
#[test]
fn one_crypto_provider_is_used() {
    let used = dependency_tree(&["--workspace", "-e", "normal,build,dev"]);
    assert!(used.contains("aws-lc-rs"));
    assert!(!used.contains("ring"), "ring is used: `cargo tree --workspace -i ring` says by whom");
}

/// The workspace's packages with the names of their direct dependencies, dev-dependencies aside.
fn workspace() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let dependencies_of = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|d| d["kind"] != "dev").map(|d| d["name"].as_str().unwrap().to_owned()).collect()
    };
    packages.iter().map(|p| (p["name"].as_str().unwrap().to_owned(), dependencies_of(p))).collect()
}

/// The names of all packages in a part of the dependency graph, as built for this host.
fn dependency_tree(arguments: &[&str]) -> BTreeSet<String> {
    let printed = cargo(&[&["tree", "--locked", "--prefix", "none", "--format", "{p}"], arguments].concat());
    printed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(tree::root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
