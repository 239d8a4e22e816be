//! The unmodified device SDKs with what the demo's own services issued: chains of three intermediates, with nothing registered at the hub
//! but the first of them, and with the root. `tests/interop/hub_sdk` has the scripts and says how the SDKs are installed; who is refused
//! with which answer, and all the rest, is in the hub's own tests.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use simulator::{BRAND, DevicePorts, Folder, Journey, Plan, Program, World};

use crate::{
    command::{BINARY, countersign, text},
    world::Listener,
};

const DEVICES: [&str; 2] = ["sn0000001", "sn0000002"];
/// No SDK takes longer over one device.
const PATIENCE: Duration = Duration::from_secs(90);

struct Script {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(program: &str, script: &str, world: &World, settings: &[(&str, &str)]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/hub_sdk").join(script);
        let mut command = Command::new(program);
        command.arg(script).env("CA", world.hub_ca_path()).envs(settings.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, to, from }
    }

    fn connect(&mut self, world: &World, device: &str) {
        let files = world.folder().sub("devices").unwrap().sub(device).unwrap();
        let case = json!({"device": device, "chain": files.join("chain.pem"), "key": files.join("key.pem")});
        writeln!(self.to, "{case}").unwrap();
    }

    /// What the script saw of this device, until it is done with it.
    fn saw(&mut self) -> Vec<Value> {
        let mut saw = Vec::new();
        for line in self.from.by_ref() {
            let said: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if said.get("done").is_some() {
                return saw;
            }
            saw.push(said);
        }
        panic!("the script ended after {saw:?}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `countersign hub` as the brand's alice.
fn hub(world: &World, words: &[&str]) -> String {
    let profile = world.brand.folder().join("as-alice.toml");
    let ended = countersign(&[&["hub"], words, &["--as", profile.to_str().unwrap(), "-o", "json"]].concat());
    assert_eq!(ended.status.code(), Some(0), "{words:?}: {}", text(&ended.stderr));
    text(&ended.stdout)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let late = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < late, "never {what}");
        std::thread::yield_now();
    }
}

/// Three hops and as many devices as are needed, with a hub that knows no CA yet.
async fn world(folder: &Path, ports: DevicePorts) -> World {
    let plan = Plan::new(2, 3).unwrap();
    let program = Program::countersign(BINARY.into());
    let mut world = World::open(Folder::create(folder).unwrap(), &plan, program).unwrap().with_device_ports(ports);
    Journey::new(&plan, &mut world).run(&mut Listener::default()).await.unwrap();
    world.write_profiles().unwrap();
    world
}

/// A device is let in, and does everything.
fn everything(world: &World, script: &mut Script, device: &str) {
    until("registered", || hub(world, &["device", "list"]).contains(device));
    script.connect(world, device);
    until("ready", || hub(world, &["telemetry", "--device", device]).contains("ready"));
    let alerts = hub(world, &["telemetry", "--device", device, "--where", "temperatureAlert=true"]);
    assert_eq!(alerts.matches("\"temperatureAlert\"").count(), 1, "{alerts}");
    hub(world, &["device", "send", device, "hello", "--property", "alert=1"]);
    hub(world, &["device", "twin", device, "--desired", "{\"interval\":5}"]);
    let answer = hub(world, &["device", "call", device, "reboot", "{\"in\":1}"]);
    assert!(answer.contains("202") && answer.contains("did"), "{answer}");
    let saw = script.saw();
    let has = |name: &str, value: &Value| assert!(saw.iter().any(|said| said[name] == *value), "{name} in {saw:?}");
    has("connected", &json!(true));
    has("message", &json!("hello"));
    has("method", &json!("reboot"));
    has("desired", &json!({"interval": 5, "$version": 2}));
    has("missing", &json!([]));
    assert!(hub(world, &["device", "twin", device]).contains("\"level\""), "what it reported");
}

async fn walk(program: &str, script: &str, ports: DevicePorts, protocol: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(&folder.path().join("world"), ports).await;
    let port = world.service(BRAND, "hub").unwrap().further[protocol].rsplit(':').next().unwrap().to_owned();
    let mut script = Script::start(program, script, &world, &[("PROTOCOL", protocol), ("PORT", &port)]);
    let operator = world.manufacturers[0].1.folder().join("as-operator.toml");
    hub(&world, &["ca", "prove", "first", "--lot", "b0032", "--signer-as", operator.to_str().unwrap()]);
    everything(&world, &mut script, DEVICES[0]);
    hub(&world, &["ca", "prove", "root"]);
    hub(&world, &["ca", "delete", "first"]);
    everything(&world, &mut script, DEVICES[1]);
    drop(script);
    world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3 with azure-iot-device, and port 8883"]
async fn the_python_sdk_with_the_demos_chain() {
    let python = std::env::var("HUB_SDK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    walk(&python, "device.py", DevicePorts::Standard, "mqtt").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs node with azure-iot-device-mqtt and azure-iot-device-amqp"]
async fn the_node_sdk_with_the_demos_chain() {
    for protocol in ["mqtt", "amqp"] {
        walk("node", "device.js", DevicePorts::Free, protocol).await;
    }
}
