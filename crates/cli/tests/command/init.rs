//! `countersign init`: what it makes works as it is, and says what to do next.

use std::fs;

use crate::{
    chain::{Chain, SERVICES},
    run::countersign,
};

#[test]
fn the_next_steps_of_a_new_chain_are_commands_that_work() {
    let chain = Chain::start();
    let text = fs::read_to_string(chain.path("README.txt")).unwrap();
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("   countersign ")).collect();
    assert!(lines.len() > 10, "{text}");
    let hub = fs::read_to_string(chain.path("company-x/hub.toml")).unwrap();
    let mqtt = hub.lines().find_map(|line| line.strip_prefix("mqtt = \"127.0.0.1:")?.split('"').next()).unwrap();
    for line in lines {
        let mut words: Vec<&str> = line.split(' ').collect();
        if line.starts_with("device run ") {
            // Here the hub is not at the standard port, and the line registers what it wrote in its own time.
            words.extend(["--port", mqtt]);
            while chain.run("company-x/alice", "hub device show sn0000001").code != Some(0) {}
        }
        let ended = countersign(&words);
        assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    }
    let services: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim().split_once(" --config "))
        .map(|(service, _)| service.to_owned())
        .collect();
    assert!(SERVICES.iter().all(|(service, _)| services.iter().any(|named| named == service)), "{services:?}");
}

#[test]
fn every_configuration_of_a_new_chain_is_fine_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let ended = countersign(&["init", folder.path().to_str().unwrap(), "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let services = ended.json()["services"].as_array().unwrap().clone();
    assert_eq!(services.len(), SERVICES.len());
    for service in services {
        let (role, config) = (service["role"].as_str().unwrap(), service["config"].as_str().unwrap());
        let ended = countersign(&["service", role, "--config", config, "--check-config"]);
        assert_eq!(ended.code, Some(0), "{config}: {}", ended.stderr);
        let text = fs::read_to_string(config).unwrap();
        assert!(text.contains("# Octets of one message") || text.contains("# octets of one message"), "{config}");
        assert!(text.lines().filter(|line| line.contains('#')).count() > 30, "{config} is not explained");
    }
}

#[test]
fn a_folder_with_something_in_it_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("theirs"), "x").unwrap();
    countersign(&["init", folder.path().to_str().unwrap()]).assert_failed(1, "OUTPUT_EXISTS");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    countersign(&["init", folder.path().to_str().unwrap(), "--hops", "7"]).assert_usage("7");
}
