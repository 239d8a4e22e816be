//! The hub of a world: what the line issues is registered there, devices connect with it, and a lot that is cut off does not.

use std::{net::TcpListener, time::Duration};

use api::{
    hub::v1::{
        DisableCaKeyRequest, ListJudgementsRequest, ListTelemetryRequest, TelemetryFilter,
        ca_certificate_service_client::CaCertificateServiceClient, judgement_service_client::JudgementServiceClient,
        telemetry_service_client::TelemetryServiceClient,
    },
    provisioning::v1::{GetUnitRequest, UnitState},
};
use pki::pem;
use service::identity::Role;
use simulator::{
    BRAND, Clients, Plan, Program, World,
    device::{self, Afterwards, DeviceError, DeviceIdentity, DevicePlan, DeviceProtocol},
};
use tonic::transport::Channel;

use crate::{
    command::{BINARY, countersign, text},
    people::{request_id, station},
    world::{handed_down, journey},
};

/// More than a slow machine needs for anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);
const DEVICE: &str = "sn0000001";

fn hub(world: &World) -> Channel {
    let brand = &world.brand;
    let address = &world.service(BRAND, "hub").unwrap().grpc;
    Clients::load(brand, "alice", &[brand]).unwrap().channel(address, BRAND, Role::Hub).unwrap()
}

/// One command registers a CA, has it sign the hub's code, and uploads the answer.
fn prove(world: &World, name: &str, more: &[&str]) -> serde_json::Value {
    world.write_profiles().unwrap();
    let profile = world.brand.folder().join("as-alice.toml");
    let asked = ["hub", "ca", "prove", name, "--as", profile.to_str().unwrap(), "-o", "json"];
    let ended = countersign(&[&asked, more].concat());
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

async fn connect(world: &World, protocol: DeviceProtocol) -> Result<(), DeviceError> {
    let folder = world.folder().sub("devices").unwrap().sub(DEVICE).unwrap();
    let read = |file| String::from_utf8(folder.read(file).unwrap()).unwrap();
    let doors = &world.service(BRAND, "hub").unwrap().further;
    let door = match protocol {
        DeviceProtocol::Mqtt => "mqtt",
        DeviceProtocol::Amqp => "amqp",
        DeviceProtocol::Https => "https",
    };
    let hub_ca = std::fs::read_to_string(world.hub_ca_path()).unwrap();
    let plan = DevicePlan {
        host: "localhost".to_owned(),
        port: doors[door].rsplit(':').next().unwrap().parse().unwrap(),
        anchors: pem::certificates(&hub_ca).unwrap().iter().map(|ca| ca.der().to_vec()).collect(),
        identity: DeviceIdentity::from_pem(&read("chain.pem"), &read("key.pem")).unwrap(),
        device_id: DEVICE.to_owned(),
        protocol,
        count: 5,
        afterwards: Afterwards::Leave,
    };
    device::run(&plan, &mut |_| {}).await
}

/// What `countersign hub why` prints about the device, as the brand's operator sees it.
fn why(world: &World, more: &[&str]) -> String {
    let file = |name| world.brand.folder().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("alice.pem"), file("alice.key"));
    let service_ca = world.brand.service_ca_path();
    let address = &world.service(BRAND, "hub").unwrap().grpc;
    let at =
        ["--address", address, "--cert", &certificate, "--key", &key, "--service-ca", service_ca.to_str().unwrap()];
    let ended = countersign(&[&["hub", "why", DEVICE], more, &at].concat());
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    text(&ended.stdout)
}

/// That a refusal is told with its reason, what that means, what to do about it, and the chain that was presented.
fn assert_told(told: &str, reason: &str, here: &str) {
    let known = api::reason_table::explain(reason).unwrap();
    let meaning = format!("  meaning: {}\n", known.meaning);
    let remedy = format!("  what to do: {}\n", known.remedy);
    let leaf = format!("    1. leaf CN={DEVICE}, issued by ");
    let hop = "hop 1: company-x handed lot b0032";
    for words in [&format!(": {reason}\n"), &meaning, &remedy, here, "  presented:\n", &leaf, "\n    2. ca ", hop] {
        assert!(told.contains(words), "{words:?} is missing from:\n{told}");
    }
}

async fn state(world: &World) -> UnitState {
    let request = GetUnitRequest { device_id: DEVICE.to_owned() };
    station(world).get_unit(request).await.unwrap().into_inner().unit.unwrap().state()
}

async fn until_registered(world: &World) {
    let registered = async {
        while state(world).await != UnitState::Registered {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, registered).await.expect("the hub never acknowledged the device");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_line_writes_is_registered_connects_and_is_cut_off_with_its_lot() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(folder.path(), &Plan::new(1, 1).unwrap()).await;
    assert_eq!(state(&world).await, UnitState::Written, "no ca is registered at the hub yet");
    assert!(why(&world, &[]).starts_with("nobody who claims to be sn0000001 came to this hub"));
    assert!(matches!(connect(&world, DeviceProtocol::Mqtt).await, Err(DeviceError::Refused(_))));
    assert_told(
        &why(&world, &[]),
        "UNKNOWN_ISSUER",
        "  here: The topmost certificate that leads up from the device is ",
    );

    let root = prove(&world, "root", &[]);
    assert_eq!(root["verification"], "verified", "{root}");
    assert_eq!(prove(&world, "root", &[])["etag"], root["etag"], "it is verified already, and nothing is done");
    let (_, factory) = &world.manufacturers[0];
    let operator = factory.folder().join("as-operator.toml");
    let lot = prove(&world, "lot", &["--lot", "b0032", "--signer-as", operator.to_str().unwrap()]);
    assert_eq!(lot["verification"], "verified", "any ca of a chain can be the registered one: {lot}");
    let foreign = ["hub", "ca", "prove", "root", "--as", operator.to_str().unwrap()];
    assert_eq!(countersign(&foreign).status.code(), Some(2), "a manufacturer's operator works at no hub");
    until_registered(&world).await;
    for protocol in [DeviceProtocol::Mqtt, DeviceProtocol::Amqp, DeviceProtocol::Https] {
        connect(&world, protocol).await.unwrap();
    }
    let request = ListTelemetryRequest { filter: Some(TelemetryFilter::default()), ..ListTelemetryRequest::default() };
    let sent = TelemetryServiceClient::new(hub(&world)).list_telemetry(request).await.unwrap().into_inner().messages;
    assert_eq!(sent.len(), 15);
    assert!(sent.iter().all(|m| m.device_id == DEVICE && m.properties.iter().any(|p| p.name == "temperatureAlert")));

    let lot = world.folder().sub("devices").unwrap().sub(DEVICE).unwrap().read("chain.pem").unwrap();
    let lot = pem::certificates(&String::from_utf8(lot).unwrap()).unwrap().remove(1);
    let request = DisableCaKeyRequest {
        request_id: request_id(4),
        key_sha256: lot.public_key().sha256().as_bytes().to_vec().into(),
        why: "stolen".to_owned(),
    };
    CaCertificateServiceClient::new(hub(&world)).disable_ca_key(request).await.unwrap();
    assert!(matches!(connect(&world, DeviceProtocol::Mqtt).await, Err(DeviceError::Refused(_))));
    let request = ListJudgementsRequest { device_id: DEVICE.to_owned(), page_size: 1 };
    let kept = JudgementServiceClient::new(hub(&world)).list_judgements(request).await.unwrap().into_inner();
    let kept = kept.judgements[0].judgement.clone().unwrap();
    assert_eq!(kept.reason, "CA_DISABLED", "{}", kept.message);
    assert_told(&why(&world, &[]), "CA_DISABLED", "is disabled: stolen\n");
    let all = why(&world, &["-n", "100"]);
    for words in
        ["  let in by mqtt from 127.0.0.1:", "  let in by amqp from ", "  let in by https from ", "  session ended: "]
    {
        assert!(all.contains(words), "{words:?} is missing from:\n{all}");
    }
    let json: serde_json::Value = serde_json::from_str(&why(&world, &["-o", "json"])).unwrap();
    assert_eq!((&json[0]["reason"], &json[0]["outcome"]), (&"CA_DISABLED".into(), &"refused".into()), "{json}");

    // At the addresses that it had, with all that it knew.
    let killed = world.kill_service(BRAND, "hub").await.unwrap();
    world.start_again(killed).await.unwrap();
    assert!(matches!(connect(&world, DeviceProtocol::Mqtt).await, Err(DeviceError::Refused(_))));
    world.stop().await.unwrap();
}

/// The limits on open files of a running process: soft and hard.
fn open_files(pid: u32) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test]
async fn a_hub_makes_room_for_its_connections_and_says_when_there_is_none() {
    // 10,000 for devices, 4,096 for gRPC, 256 for files of its own.
    const WANTED: u64 = 14_352;
    let (_, most) = open_files(std::process::id());
    for (soft, hard) in [(500, 600), (600, 600), (500, most)] {
        let folder = tempfile::tempdir().unwrap();
        let limited = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" service \"$@\"");
        let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), limited.into(), BINARY.into()] };
        let mut world = handed_down(folder.path(), &Plan::new(1, 1).unwrap(), program).await;
        let hub = world.start_hub().await.unwrap();
        assert_eq!(open_files(hub.pid), (hard.min(WANTED), hard));
        let log = std::fs::read_to_string(hub.service.config.with_extension("log")).unwrap();
        assert_eq!(log.contains("OPEN_FILES_TOO_FEW"), hard < WANTED, "{log}");
        world.stop().await.unwrap();
    }
}

#[test]
fn a_demo_at_standard_ports_that_are_in_use_ends_with_three_and_a_name() {
    // Whoever else holds it serves as well.
    let _held = TcpListener::bind("127.0.0.1:8883");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let ended =
        countersign(&["demo", "--devices", "1", "--hops", "1", "--standard-ports", "--out", out.to_str().unwrap()]);
    let stderr = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("PORT_IN_USE") && stderr.contains("8883"), "{stderr}");
}
