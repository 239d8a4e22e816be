//! Profiles: who calls whom, and what a wrong one is told.

use std::fs;

use crate::{chain::shared, run::countersign};

#[test]
fn without_a_profile_or_with_one_that_does_not_fit_nothing_is_called() {
    let chain = shared();
    countersign(&["order", "list"]).assert_failed(2, "USAGE");
    countersign(&["order", "list", "--as", &chain.text("none.toml")]).assert_failed(3, "FILE_MISSING");
    chain.run("factory-y/operator", "order list").assert_failed(2, "USAGE");
    chain.run("technician-z/operator", "device show sn1 --at hub").assert_failed(2, "USAGE");
    let path = chain.path("company-x/nonsense.toml");
    let text = fs::read_to_string(chain.path("company-x/as-alice.toml")).unwrap();
    fs::write(&path, format!("nonsense = 1\n{text}")).unwrap();
    countersign(&["order", "list", "--as", path.to_str().unwrap()]).assert_failed(2, "CONFIG_INVALID");
}

#[test]
fn an_identity_that_may_not_is_refused_by_name() {
    let chain = shared();
    // The station's certificate at the intermediate-ca, where stations have no business.
    let text = fs::read_to_string(chain.path("technician-z/as-operator.toml")).unwrap();
    let path = chain.path("technician-z/as-intruder.toml");
    fs::write(
        &path,
        text.replace("\"operator.pem\"", "\"station.pem\"").replace("\"operator.key\"", "\"station.key\""),
    )
    .unwrap();
    let ended = chain.run("technician-z/intruder", "lot list");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("error[REFUSED_BY_PEER]") || ended.stderr.contains("error[PEER_NOT_ALLOWED]"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_service_that_is_not_the_one_of_the_profile_is_not_spoken_to() {
    let chain = shared();
    let text = fs::read_to_string(chain.path("company-x/as-alice.toml")).unwrap();
    let path = chain.path("company-x/as-deceived.toml");
    // Another organisation is said to answer there, in its own trust domain.
    let other = text
        .replace("\"company-x.example\"", "\"factory-y.example\"")
        .replace("manufacturer = \"company-x\"", "manufacturer = \"factory-y\"")
        .replace("../company-x/service-ca.pem", "../factory-y/service-ca.pem");
    fs::write(&path, other).unwrap();
    let ended = chain.run("company-x/deceived", "order list");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error[PEER_"), "{}", ended.stderr);
}

#[test]
fn a_service_that_is_down_ends_with_three_and_a_change_says_how_to_repeat_it() {
    let chain = shared();
    let text = fs::read_to_string(chain.path("company-x/as-alice.toml")).unwrap();
    let address = text.lines().find(|line| line.starts_with("address")).unwrap();
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = chain.path("company-x/as-lonely.toml");
    fs::write(&path, text.replace(address, &format!("address = \"{down}\""))).unwrap();
    chain.run("company-x/lonely", "order list").assert_failed(3, "UPSTREAM_UNREACHABLE");
    let create = "order create po-x --program smart-widget --units 1 --route company-x,factory-y";
    let ended = chain.run("company-x/lonely", create);
    ended.assert_failed(3, "UPSTREAM_UNREACHABLE");
    assert!(ended.stderr.contains("--request-id "), "{}", ended.stderr);
}

#[test]
fn the_environment_names_a_profile() {
    let chain = shared();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["program", "show", "smart-widget", "-o", "json"])
        .env("COUNTERSIGN_PROFILE", chain.path("company-x/as-alice.toml"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["program"]["program"], "smart-widget");
}

#[test]
fn shells_learn_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = countersign(&["completions", shell]);
        assert_eq!(script.code, Some(0));
        assert!(["provision", "in-doubt", "ceremony"].iter().all(|word| script.stdout.contains(word)), "{shell}");
    }
}
