//! What a configuration file may say, and how a wrong one is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use service::config::{self, ConfigError, Limits};
use support::probe::ProbeConfig;

const SAMPLE: &str = include_str!("sample.toml");

fn parse(text: &str) -> Result<ProbeConfig, ConfigError> {
    config::parse(text, Path::new("x/probe.toml"))
}

fn refusal(old: &str, new: &str) -> String {
    assert!(SAMPLE.contains(old), "{old}");
    let error = parse(&SAMPLE.replacen(old, new, 1)).unwrap_err();
    assert_eq!(error.reason(), "CONFIG_INVALID");
    error.to_string()
}

#[test]
fn the_sample_states_the_defaults() {
    let config = parse(SAMPLE).unwrap();
    assert_eq!(config.limits, Limits::default());
    let directory = config::ConfigDirectory::of(Path::new("x/probe.toml"));
    assert_eq!(directory.path(&config.store.directory), Path::new("x/store"));
    assert_eq!(directory.path(&config::FilePath::new("/a/b")), Path::new("/a/b"));
    assert_eq!(config::ConfigDirectory::of(Path::new("p.toml")).path(&config.identity.key), Path::new("./own.key"));
}

#[test]
fn an_unknown_field_is_named_with_its_file_and_line() {
    let line = SAMPLE.lines().position(|line| line.starts_with("drain_ms")).unwrap() + 1;
    let message = refusal("drain_ms", "drain_millis");
    assert!(message.starts_with(&format!("x/probe.toml:{line}: ")), "{message}");
    assert!(message.contains("drain_millis"), "{message}");
    for (old, new) in [("[store]", "[stores]"), ("key =", "keys ="), ("roles =", "role ="), ("format =", "form =")] {
        let name = new.trim_matches(['[', ']', ' ', '=']);
        assert!(refusal(old, new).contains(name), "{new}");
    }
}

#[test]
fn wrong_values_are_named_with_their_field() {
    let cases = [
        ("drain_ms = 10000", "drain_ms = \"10s\"", "limits.drain_ms"),
        ("max_requests = 8192", "max_requests = 0", "limits.max_requests"),
        ("max_connections_per_peer = 1024", "max_connections_per_peer = 0", "limits.max_connections_per_peer"),
        ("max_reset_streams = 64", "max_reset_streams = 0", "limits.max_reset_streams"),
        ("max_header_list_bytes = 16384", "max_header_list_bytes = 100", "limits.max_header_list_bytes"),
        ("manufacturer = \"factory-y\"", "manufacturer = \"Factory Y\"", "manufacturer"),
        ("\"operator\"]", "\"boss\"]", "roles"),
        ("roles = [\"provisioner\", \"intermediate-ca\", \"operator\"]", "roles = []", "peers[0].roles"),
        ("grpc = \"127.0.0.1:0\"", "", "grpc"),
        ("[store]", "[trace]\notlp = \"https://127.0.0.1:4317\"\n[store]", "trace.otlp"),
        ("[store]", "[trace]\notlp = \"127.0.0.1:4317\"\n[store]", "trace.otlp"),
        ("[store]", "[trace]\notlp = \"http://collector\"\n[store]", "trace.otlp"),
        ("[store]", "[trace]\none_in = 0\n[store]", "trace.one_in"),
    ];
    for (old, new, field) in cases {
        let message = refusal(old, new);
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn a_trust_domain_has_one_bundle_and_a_peer_stands_once() {
    let peer = |manufacturer: &str, bundle: &str| {
        format!(
            "[[peers]]\nmanufacturer = \"{manufacturer}\"\ntrust_domain = \"factory.example\"\n\
             bundle = \"{bundle}\"\nroles = [\"hub\"]\n[listen]"
        )
    };
    assert!(refusal("[listen]", &peer("factory-y", "factory.example.pem")).contains("configured twice"));
    assert!(refusal("[listen]", &peer("other", "other.pem")).contains("a trust domain has one"));
    assert!(parse(&SAMPLE.replacen("[listen]", &peer("other", "factory.example.pem"), 1)).is_ok());
}

#[test]
fn a_missing_file_is_missing() {
    let error = config::read::<ProbeConfig>(Path::new("/nowhere/probe.toml")).unwrap_err();
    assert_eq!(error.reason(), "FILE_MISSING");
    assert_eq!(service::shell::StartError::from(error).exit_code(), 3);
}
