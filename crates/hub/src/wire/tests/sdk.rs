//! The unmodified device SDKs against the doors: `tests/interop/hub_sdk` has their scripts, and says how to install them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    porter::Event,
    world::{Identity, World},
};
use crate::{
    admission::{MethodCall, Sessions as _},
    wire::{Addresses, DeviceLimits},
};

/// The certificate names it, in a case that only some would keep.
const DEVICE: &str = "smart-x-widget-1";

/// A folder with what a device's script reads.
struct Files(tempfile::TempDir);

impl Files {
    fn of(world: &World, identity: &Identity) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let PrivateKeyDer::Pkcs8(key) = &identity.key else { panic!() };
        let chain: String = identity.chain.iter().map(|der| pki::pem::encode("CERTIFICATE", der)).collect();
        for (name, text) in [
            ("chain.pem", chain),
            ("key.pem", pki::pem::encode("PRIVATE KEY", key.secret_pkcs8_der())),
            ("ca.pem", pki::pem::encode("CERTIFICATE", &world.server)),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn command(&self, program: &str, script: &str, device: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/hub_sdk");
        let file = |name: &str| -> PathBuf { self.0.path().join(name) };
        let mut command = Command::new(program);
        command.arg(scripts.join(script)).env("DEVICE", device);
        command.env("CHAIN", file("chain.pem")).env("KEY", file("key.pem")).env("CA", file("ca.pem"));
        command.stdout(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Runs the script to its end; answers its exit code and what it said, line by line.
async fn said(mut command: Command) -> (Option<i32>, Vec<Value>) {
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Everything an SDK can do: the script sends, says that it is ready, and is then sent one of each.
async fn everything(world: &World, command: Command) {
    let script = tokio::spawn(said(command));
    let mut alerts = Vec::new();
    loop {
        match world.porter.next().await {
            Event::Telemetry(device, message) if message.body.starts_with(b"{\"ready\"") => {
                world.porter.send(&device, 1, &[("alert", "1")], "hello");
                world.porter.desire(&device, json!({"interval": 5}));
                break;
            }
            Event::Telemetry(device, message) => {
                assert_eq!(device, DEVICE);
                assert!(message.system.contains(&("ct".to_owned(), "application/json".to_owned())), "{message:?}");
                alerts.extend(message.properties);
            }
            // The refused attempt may still be leaving.
            Event::Connected(_) | Event::Disconnected(..) => {}
            other => panic!("{other:?}"),
        }
    }
    let alert = |value: &str| ("temperatureAlert".to_owned(), value.to_owned());
    assert_eq!(alerts, [alert("false"), alert("true")]);
    let call = MethodCall { name: "reboot".to_owned(), payload: "{\"in\":1}".into(), timeout: Duration::from_secs(20) };
    let answer = world.sessions.invoke(DEVICE, call).await.unwrap();
    assert_eq!(answer.status, 202);
    assert_eq!(serde_json::from_slice::<Value>(&answer.payload).unwrap(), json!({"did": "reboot"}));

    let (code, said) = script.await.unwrap();
    assert_eq!(code, Some(0), "{said:?}");
    let has = |wanted: Value| assert!(said.contains(&wanted), "{wanted} in {said:?}");
    has(json!({"message": "hello", "properties": {"alert": "1"}, "message_id": "m-1"}));
    has(json!({"method": "reboot", "payload": {"in": 1}}));
    has(json!({"desired": {"interval": 5, "$version": 2}}));
    assert_eq!(world.porter.reported(DEVICE), json!({"level": 3}));
}

/// A device that claims another's name is told so in its SDK's own words, and the reason is on record.
async fn refused(world: &World, command: Command, class: &str) {
    let script = tokio::spawn(said(command));
    let (code, said) = script.await.unwrap();
    assert_eq!(code, Some(1), "{said:?}");
    assert_eq!(said.last().unwrap()["refused"], class, "{said:?}");
    loop {
        match world.porter.next().await {
            Event::Refused { claimed, reason, chain } => {
                assert_eq!((claimed.as_str(), reason, chain), ("another", "DEVICE_ID_MISMATCH", 2));
                return;
            }
            Event::Connected(_) | Event::Disconnected(..) | Event::Settled(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs python3 with azure-iot-device, and port 8883"]
async fn the_python_sdk_over_mqtt() {
    let mqtt = Some("127.0.0.1:8883".to_owned());
    let world = World::at(DeviceLimits::default(), &Addresses { mqtt, ..Addresses::default() }).await;
    let files = Files::of(&world, &world.device(DEVICE));
    let python = std::env::var("HUB_SDK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    refused(&world, files.command(&python, "device.py", "another"), "CredentialError").await;
    everything(&world, files.command(&python, "device.py", DEVICE)).await;
}

async fn node(protocol: &str) {
    let world = World::new().await;
    let bound = if protocol == "amqp" { &world.bound.amqp } else { &world.bound.mqtt };
    let port = bound.as_ref().unwrap().rsplit(':').next().unwrap().to_owned();
    let files = Files::of(&world, &world.device(DEVICE));
    let command = |device: &str| {
        let mut command = files.command("node", "device.js", device);
        command.env("PROTOCOL", protocol).env("PORT", &port);
        command
    };
    refused(&world, command("another"), "UnauthorizedError").await;
    everything(&world, command(DEVICE)).await;
}

#[tokio::test]
#[ignore = "needs node with azure-iot-device-mqtt"]
async fn the_node_sdk_over_mqtt() {
    node("mqtt").await;
}

#[tokio::test]
#[ignore = "needs node with azure-iot-device-amqp"]
async fn the_node_sdk_over_amqp() {
    node("amqp").await;
}
