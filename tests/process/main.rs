//! Real processes: killed and started again, repeated, refused; exit codes and standard output as promised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use api::{custody::v1::Tally, order::v1::Order};
use simulator::{Folder, HopEntry, Journey, Manifest, Narrator, Plan, Program, Stop, World};

const BINARY: &str = env!("CARGO_BIN_EXE_countersign-under-test");

fn countersign(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// Keeps the last lot's tally.
#[derive(Default)]
struct Listener(Option<Tally>);

impl Narrator for Listener {
    fn service_ready(&mut self, _name: &str, _grpc: &str) {}
    fn order_approved(&mut self, _order: &Order, _operators: &[&str]) {}
    fn lot_received(&mut self, _stop: &Stop, _hop: &HopEntry) {}
    fn devices_provisioned(&mut self, _done: u32, _all: u32) {}
    fn finished(&mut self, _manifest: &Manifest, tally: &Tally, _took: Duration) {
        self.0 = Some(*tally);
    }
}

/// One journey in a folder; the services are killed at its end, as by a power cut.
async fn journey_and_kill(path: &Path, plan: &Plan) -> (Manifest, Tally) {
    let program = Program::countersign(BINARY.into());
    let mut world = World::open(Folder::create(path).unwrap(), plan, program).unwrap();
    let mut listener = Listener::default();
    let manifest = Journey::new(plan, &mut world).run(&mut listener).await.unwrap();
    world.kill().await.unwrap();
    (manifest, listener.0.unwrap())
}

fn chains(path: &Path, manifest: &Manifest) -> BTreeMap<String, Vec<u8>> {
    manifest.devices.iter().map(|d| (d.device_id.clone(), std::fs::read(path.join(&d.chain)).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_services_go_on_and_answer_every_repetition_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(12, 2).unwrap();
    let (first, tally) = journey_and_kill(folder.path(), &plan).await;
    let before = chains(folder.path(), &first);
    assert_eq!(tally.provisioned, 12);
    // The files are not what is compared with: they are made anew from what the services answer.
    for device in &first.devices {
        std::fs::remove_file(folder.path().join(&device.chain)).unwrap();
    }
    let (again, tally) = journey_and_kill(folder.path(), &plan).await;
    assert_eq!(again, first);
    assert_eq!(chains(folder.path(), &again), before);
    assert_eq!(tally.provisioned, 12, "a repetition spends nothing");
}

#[test]
fn a_demo_prints_only_json_when_asked_and_its_folder_belongs_to_its_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let out = out.to_str().unwrap();
    let made = countersign(&["demo", "--out", out, "--devices", "1", "--hops", "1", "-o", "json"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let manifest: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(manifest["devices"][0]["hops"][0]["to"], "factory-y");

    let other = countersign(&["demo", "--out", out, "--devices", "2", "--hops", "1"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("DEMO_DIR_DIFFERS"));
}

#[test]
fn commands_end_with_the_promised_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let nonsense = folder.path().join("nonsense.pem");
    std::fs::write(&nonsense, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let nonsense = nonsense.to_str().unwrap();
    let config = folder.path().join("root-ca.toml");
    std::fs::write(&config, "nonsense = 1\n").unwrap();
    let config = config.to_str().unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["explain", "QUANTITY_SPENT"], 0, ""),
        (&["explain", "NOT_A_REASON"], 1, "NO_SUCH_REASON"),
        (&["verify"], 2, "--trust"),
        (&["verify", "--trust", "/nowhere/root.pem", "/nowhere/chain.pem"], 3, "FILE_MISSING"),
        (&["verify", "--trust", nonsense, nonsense], 1, "FILE_MALFORMED"),
        (&["verify", "--trust", nonsense, "--at", "yesterday", nonsense], 1, "FILE_MALFORMED"),
        (&["inspect", nonsense], 1, "FILE_MALFORMED"),
        (&["demo", "--hops", "7"], 1, "CHAIN_TOO_DEEP"),
        (&["service", "root-ca", "--config", config], 2, "CONFIG_INVALID"),
        (&["service", "root-ca", "--config", "/nowhere/root-ca.toml"], 3, "FILE_MISSING"),
        (&["service", "nobody", "--config", config], 2, "USAGE"),
    ];
    for (arguments, code, said) in cases {
        let ended = countersign(arguments);
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(*code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
