//! `demo --stay`: the services run until somebody ends them, demo.json says how to call them, and none of them outlives the demo.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use api::{
    hub::v1::{GetHubRequest, hub_service_client::HubServiceClient},
    lot::v1::{ListLotsRequest, lot_service_client::LotServiceClient},
    program::v1::{GetBundleRequest, program_service_client::ProgramServiceClient},
    provisioning::v1::provisioning_service_client::ProvisioningServiceClient,
};
use serde_json::Value;
use service::{
    SystemClock,
    client::connect,
    config::{ConfigDirectory, FilePath, IdentitySection, Limits, Peer},
    identity::Role,
    net::{Network, TcpNetwork},
    tls::{Credentials, ExpectedPeer},
};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{command::BINARY, people::preflight};

/// Services that a demo with one manufacturer runs.
const SERVICES: [(&str, &str); 4] =
    [("company-x", "root-ca"), ("factory-y", "intermediate-ca"), ("company-x", "hub"), ("factory-y", "provisioner")];
/// Until the last service must be gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo that stays.
struct Staying {
    child: Child,
    json: Value,
    // Held open: a demo whose reader is gone is another story.
    _stdout: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Staying {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("demo");
        let mut child = Command::new(BINARY)
            .args(["demo", "--devices", "1", "--hops", "1", "--stay", "--out"])
            .arg(&out)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A group of its own, as a shell gives to what it runs: ctrl-c goes to all of it.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ready =
            stdout.by_ref().lines().map(Result::unwrap).find_map(|line| line.strip_prefix("READY ").map(PathBuf::from));
        let ready = ready.expect("the demo ended before it was ready");
        assert_eq!(ready, out.join("demo.json"));
        let json = serde_json::from_slice(&fs::read(ready).unwrap()).unwrap();
        Self { child, json, _stdout: stdout, folder }
    }

    fn service(&self, manufacturer: &str, role: &str) -> &Value {
        let services = self.json["services"].as_array().unwrap();
        services.iter().find(|s| s["manufacturer"] == manufacturer && s["role"] == role).unwrap()
    }

    fn kill(&self, signal: &str, whole_group: &str) {
        let target = format!("{whole_group}{}", self.child.id());
        assert!(Command::new("kill").args([signal, "--", &target]).status().unwrap().success());
    }

    /// Waits until no service holds its store any more.
    fn assert_all_ended(&self) {
        let (sender, ended) = mpsc::channel();
        for (manufacturer, kind) in SERVICES {
            let lock = self.folder.path().join("demo").join(manufacturer).join(format!("{kind}-store/lock"));
            let sender = sender.clone();
            thread::spawn(move || {
                File::options().write(true).open(lock).unwrap().lock().unwrap();
                let _ = sender.send(kind);
            });
        }
        let gone = SERVICES.map(|_| ended.recv_timeout(PATIENCE).expect("a service outlives its demo"));
        assert_eq!(gone.len(), SERVICES.len());
    }
}

impl Drop for Staying {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A channel for one identity of demo.json, made from nothing but what stands there.
fn channel(demo: &Staying, identity: &str, manufacturer: &str, kind: &str, role: Role) -> Channel {
    let files = &demo.json["identities"][identity];
    let path = |name: &str| FilePath::new(text(&files[name]));
    let peer = Peer {
        manufacturer: manufacturer.parse().unwrap(),
        trust_domain: format!("{manufacturer}.example").parse().unwrap(),
        bundle: path("ca"),
        roles: Role::ALL.to_vec(),
    };
    let section = IdentitySection::new(path("cert"), path("key"));
    let credentials = Credentials::load(&section, &[peer], &ConfigDirectory::new("/"), Arc::new(SystemClock)).unwrap();
    let network: Arc<dyn Network> = Arc::new(TcpNetwork);
    let expected = ExpectedPeer { manufacturer: manufacturer.parse().unwrap(), role };
    let address = text(&demo.service(manufacturer, kind)["grpc"]);
    connect(&network, address, expected, &credentials, &Limits::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staying_demo_tells_how_to_call_its_services_and_ends_them_at_sigterm() {
    let mut demo = tokio::task::spawn_blocking(Staying::start).await.unwrap();
    assert_eq!(demo.json["services"].as_array().unwrap().len(), SERVICES.len());
    for (manufacturer, kind) in SERVICES {
        let service = demo.service(manufacturer, kind);
        assert_eq!(service["name"], format!("{manufacturer}/{kind}"));
        assert!(Path::new(text(&service["config"])).is_file(), "{service}");
        let command_line = fs::read_to_string(format!("/proc/{}/cmdline", service["pid"])).unwrap();
        assert!(command_line.contains(kind), "{command_line:?}");
        let probes = Endpoint::from_shared(format!("http://{}", text(&service["health"]))).unwrap().connect_lazy();
        let ready = HealthCheckRequest { service: "ready".to_owned() };
        let health = HealthClient::new(probes).check(ready).await.unwrap().into_inner();
        assert_eq!(health.status(), ServingStatus::Serving, "{service}");
    }
    let identities = demo.json["identities"].as_object().unwrap();
    for name in ["company-x/alice", "company-x/bob", "factory-y/operator", "factory-y/station"] {
        let files = &identities[name];
        let mode = fs::metadata(text(&files["key"])).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let alice = channel(&demo, "company-x/alice", "company-x", "root-ca", Role::RootCa);
    ProgramServiceClient::new(alice).get_bundle(GetBundleRequest {}).await.unwrap();
    let operator = channel(&demo, "factory-y/operator", "factory-y", "intermediate-ca", Role::IntermediateCa);
    let lots = LotServiceClient::new(operator).list_lots(ListLotsRequest::default()).await.unwrap().into_inner().lots;
    assert_eq!(lots.len(), 1);
    let station = channel(&demo, "factory-y/station", "factory-y", "provisioner", Role::Provisioner);
    let preflight = ProvisioningServiceClient::new(station).preflight(preflight(None)).await.unwrap();
    assert_eq!(preflight.into_inner().lot, "b0032");
    let hub = channel(&demo, "company-x/alice", "company-x", "hub", Role::Hub);
    let open = HubServiceClient::new(hub).get_hub(GetHubRequest {}).await.unwrap().into_inner();
    let told = demo.service("company-x", "hub");
    let doors = ["mqtt", "amqp", "https"].map(|door| text(&told[door]));
    assert_eq!(doors, [open.mqtt.as_str(), open.amqp.as_str(), open.https.as_str()]);
    assert!(Path::new(text(&told["device_ca"])).is_file(), "{told}");

    demo.kill("-TERM", "");
    let status = tokio::task::spawn_blocking(move || {
        let status = demo.child.wait().unwrap();
        demo.assert_all_ended();
        status
    });
    assert_eq!(status.await.unwrap().code(), Some(0));
}

#[test]
fn ctrl_c_ends_a_staying_demo_and_its_services() {
    let mut demo = Staying::start();
    demo.kill("-INT", "-");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    demo.assert_all_ended();
}

#[test]
fn a_demo_that_is_killed_leaves_no_service_behind() {
    let mut demo = Staying::start();
    demo.kill("-KILL", "");
    assert_eq!(demo.child.wait().unwrap().code(), None);
    demo.assert_all_ended();
}
