//! The verbs of `countersign hub` that operators keep devices with, and what a simulated device makes of each.

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use pki::{hex, pem};
use serde_json::{Value, json};
use simulator::{BRAND, Plan, World};

use crate::{
    command::{BINARY, countersign, text},
    world::journey,
};

const DEVICE: &str = "sn0000001";
/// More than a slow machine needs for anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);

fn asked(alice: &Path, line: &str) -> Output {
    let mut words = vec!["hub"];
    words.extend(line.split(' '));
    words.extend(["--as", alice.to_str().unwrap(), "-o", "json"]);
    countersign(&words)
}

fn said(alice: &Path, line: &str) -> Value {
    let ended = asked(alice, line);
    assert_eq!(ended.status.code(), Some(0), "{line}: {}", text(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// `countersign device run`, as the device of the journey.
fn device(world: &World, port: &str) -> Output {
    let pfx = world.folder().sub("devices").unwrap().sub(DEVICE).unwrap().join("device.pfx");
    let (pfx, ca) = (pfx.to_str().unwrap().to_owned(), world.hub_ca_path().to_str().unwrap().to_owned());
    let fixed = ["device", "run", "--pfx", &pfx, "--password", "1234", "--hub", "localhost", "--exit-after-send"];
    countersign(&[&fixed[..], &["--ca", &ca, "--port", port]].concat())
}

/// A device that waits for messages, line by line.
struct Waiting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Waiting {
    fn start(world: &World, protocol: &str) -> Self {
        let files = world.folder().sub("devices").unwrap().sub(DEVICE).unwrap();
        let port = world.service(BRAND, "hub").unwrap().further[protocol].rsplit(':').next().unwrap().to_owned();
        let mut child = Command::new(BINARY)
            .args(["device", "run", "--hub", "localhost", "--count", "1", "-o", "json"])
            .args(["--protocol", protocol, "--port", &port, "--chain"])
            .arg(files.join("chain.pem"))
            .arg("--key")
            .arg(files.join("key.pem"))
            .arg("--ca")
            .arg(world.hub_ca_path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("it ended").unwrap()).unwrap()
    }

    /// Told to end, it does.
    fn end(mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

/// The ids of all devices.
fn known(alice: &Path) -> Vec<String> {
    let listed = said(alice, "device list");
    let ids = listed.as_array().unwrap().iter().map(|device| device["device_id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_added_listed_disabled_enabled_followed_and_cut_off_with_their_ca() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(&folder.path().join("world"), &Plan::new(1, 1).unwrap()).await;
    world.write_profiles().unwrap();
    let alice = world.brand.folder().join("as-alice.toml");
    let port = world.service(BRAND, "hub").unwrap().further["mqtt"].rsplit(':').next().unwrap().to_owned();
    said(&alice, "ca prove root");
    let late = Instant::now() + PATIENCE;
    while known(&alice) != [DEVICE] {
        assert!(Instant::now() < late, "the line never registered its device");
    }

    // By hand, each on its own: one is there already as something else, one is no id.
    said(&alice, "device add one --disabled");
    let added = asked(&alice, "device add one two no/id");
    assert_eq!(added.status.code(), Some(1), "{}", text(&added.stdout));
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let refused: Vec<_> = added["refused"].as_array().unwrap().iter().map(|refusal| &refusal["reason"]).collect();
    assert_eq!(refused, [&json!("HUB_DEVICE_EXISTS"), &json!("HUB_DEVICE_ID_INVALID")], "{added}");
    assert_eq!(known(&alice), ["one", DEVICE, "two"]);

    // Followed while it is sent: what has the property, and nothing else.
    let mut follows = Command::new(BINARY)
        .args(["hub", "telemetry", "--follow", "--where", "temperatureAlert=true", "-o", "json", "--as"])
        .arg(&alice)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let ended = device(&world, &port);
        assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
        let seen: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&seen["device_id"], &seen["properties"]["temperatureAlert"]), (&json!(DEVICE), &json!("true")));
    }
    follows.kill().unwrap();
    follows.wait().unwrap();

    said(&alice, &format!("device disable {DEVICE} --why lost"));
    assert_eq!(device(&world, &port).status.code(), Some(1));
    assert_eq!(said(&alice, &format!("why {DEVICE}"))[0]["reason"], "DEVICE_DISABLED");
    said(&alice, &format!("device enable {DEVICE}"));
    assert_eq!(device(&world, &port).status.code(), Some(0));
    let shown = said(&alice, &format!("device show {DEVICE}"));
    assert_eq!(shown["binding"]["manufacturer"], "factory-y", "{shown}");

    // Without its CA nobody vouches for it.
    said(&alice, "ca delete root");
    assert_eq!(said(&alice, "ca list"), json!([]));
    assert_eq!(device(&world, &port).status.code(), Some(1));
    assert_eq!(said(&alice, &format!("why {DEVICE}"))[0]["reason"], "UNKNOWN_ISSUER");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    assert_eq!(device(&world, &nobody).status.code(), Some(3));
    world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_device_sends_waits_and_prints_what_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(&folder.path().join("world"), &Plan::new(1, 1).unwrap()).await;
    world.write_profiles().unwrap();
    let alice = world.brand.folder().join("as-alice.toml");
    let proven = said(&alice, "ca prove root");
    let root = pem::certificates(&String::from_utf8(world.trust().read("root.pem").unwrap()).unwrap()).unwrap();
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, root[0].der());
    assert_eq!(proven["thumbprint_sha1"], hex::encode(sha1.as_ref()), "{proven}");
    assert_eq!(proven["thumbprint_sha256"], root[0].sha256().to_string());
    assert_eq!(proven["key_sha256"], root[0].public_key().sha256().to_string());
    let late = Instant::now() + PATIENCE;
    while known(&alice) != [DEVICE] {
        assert!(Instant::now() < late, "the line never registered its device");
    }
    for protocol in ["mqtt", "amqp"] {
        let mut device = Waiting::start(&world, protocol);
        assert_eq!(device.next(), json!({"accepted": DEVICE}));
        assert_eq!(device.next()["properties"], json!({"temperatureAlert": "false"}), "the first reading");
        assert_eq!(device.next(), json!({"waiting": true}));
        let connection = &said(&alice, &format!("device show {DEVICE}"))["connection"];
        assert_eq!((&connection["connected"], &connection["protocol"]), (&json!(true), &json!(protocol)));

        said(&alice, &format!("device send {DEVICE} hello --property alert=1"));
        let heard = device.next();
        assert_eq!((&heard["message"], &heard["properties"]["alert"]), (&json!("hello"), &json!("1")), "{heard}");
        let answer = said(&alice, &format!("device call {DEVICE} reboot {{\"in\":1}}"));
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(device.next(), json!({"method": "reboot", "payload": "{\"in\":1}"}));
        // Over AMQP it looks at no twin.
        if protocol == "mqtt" {
            said(&alice, &format!("device twin {DEVICE} --desired {{\"interval\":5}}"));
            assert_eq!(device.next(), json!({"desired": {"interval": 5, "$version": 2}}));
        }
        device.end();
    }
    world.stop().await.unwrap();
}
