//! A delivery that the hub refuses for good: the alarm, what is seen of it, the rest that goes on, and what is done about it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use api::provisioning::v1::{ConfirmWrittenRequest, GetUnitRequest, UnitState};
use pki::Sha256;
use serde_json::Value;
use simulator::{BRAND, Plan, World};

use crate::{
    command::{countersign, text},
    people::{Answer, Stream, request_id, station, unit_requests},
    world::journey,
};

const LINE: &str = "factory-y";
const LOT: &str = "b0032";
const POISONED: &str = "sn0000001";
/// More than a slow machine needs for anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);
const QUARANTINED: &str = "countersign_outbox_quarantined{destination=\"hub\"} ";

fn said(profile: &Path, line: &str) -> Value {
    let mut words: Vec<&str> = line.split(' ').collect();
    words.extend(["--as", profile.to_str().unwrap(), "-o", "json"]);
    let ended = countersign(&words);
    assert_eq!(ended.status.code(), Some(0), "{line}: {}", text(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// How many deliveries to the hub were set aside, as the line tells at `/metrics`.
fn set_aside(world: &World) -> u64 {
    let mut stream = TcpStream::connect(&world.service(LINE, "provisioner").unwrap().health).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told.lines().find_map(|line| line.strip_prefix(QUARANTINED)?.parse().ok()).unwrap()
}

async fn state(world: &World, device_id: &str) -> UnitState {
    let request = GetUnitRequest { device_id: device_id.to_owned() };
    station(world).get_unit(request).await.unwrap().into_inner().unit.unwrap().state()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_refuses_for_good_raises_an_alarm_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(&folder.path().join("world"), &Plan::new(1, 1).unwrap()).await;
    world.write_profiles().unwrap();
    let alice = world.brand.folder().join("as-alice.toml");
    let operator = world.manufacturers[0].1.folder().join("as-operator.toml");
    assert_eq!(set_aside(&world), 0, "a hub that knows no CA is waited for");

    // A hub that knows other CAs, and not this one, will not know this one by itself.
    let other = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "another maker");
    let file = folder.path().join("other.pem");
    std::fs::write(&file, params.self_signed(&other).unwrap().pem()).unwrap();
    said(&alice, &format!("hub ca add other --plain --certificate {}", file.display()));
    until("set aside", async || set_aside(&world) == 1).await;

    // The log's alarm, and the list.
    let log = world.service(LINE, "provisioner").unwrap().service.config.with_extension("log");
    let log = std::fs::read_to_string(log).unwrap();
    let alarm = log.lines().find(|line| line.contains("a delivery is set aside")).unwrap();
    assert!(alarm.contains("ERROR") && alarm.contains(POISONED) && alarm.contains("UNKNOWN_ISSUER"), "{alarm}");
    let listed = said(&operator, "device quarantine");
    let delivery = &listed["deliveries"][0];
    assert_eq!((&delivery["destination"], &delivery["device_id"]), (&"hub".into(), &POISONED.into()), "{listed}");
    assert_eq!(delivery["refusal"]["reason"], "UNKNOWN_ISSUER", "{listed}");

    // The line is killed, the CA is registered, and the next device is, too: nothing waits behind the one.
    let killed = world.kill_service(LINE, "provisioner").await.unwrap();
    world.start_again(killed).await.unwrap();
    said(&alice, "hub ca prove root");
    let line = station(&world);
    let mut stream = Stream::open(line.clone()).await;
    stream.ask(&unit_requests(LOT, 1, 1)).await;
    stream.close();
    let Answer::Unit(unit) = stream.next().await else { panic!("no unit") };
    let written = ConfirmWrittenRequest {
        request_id: request_id(2),
        device_id: unit.device_id.clone(),
        certificate_sha256: Sha256::of(&unit.chain[0]).as_bytes().to_vec().into(),
    };
    line.clone().confirm_written(written).await.unwrap();
    until("registered", async || state(&world, &unit.device_id).await == UnitState::Registered).await;
    assert_eq!((set_aside(&world), state(&world, POISONED).await), (1, UnitState::Written));

    // The one is sent again. The line is killed before it has done it, perhaps.
    said(&operator, "device send-again hub");
    let killed = world.kill_service(LINE, "provisioner").await.unwrap();
    world.start_again(killed).await.unwrap();
    until("sent again", async || set_aside(&world) == 0).await;
    assert_eq!(state(&world, POISONED).await, UnitState::Registered);
    assert_eq!(said(&operator, "device quarantine")["deliveries"], serde_json::json!([]));
    let device = world.folder().sub("devices").unwrap().sub(POISONED).unwrap();
    let (pfx, chain) = (device.join("device.pfx"), device.join("chain.pem"));
    let doors = &world.service(BRAND, "hub").unwrap().further;
    let port = doors["mqtt"].rsplit(':').next().unwrap();
    let (ca, pfx) = (world.hub_ca_path(), pfx.to_str().unwrap().to_owned());
    let device = [
        "device",
        "run",
        "--pfx",
        &pfx,
        "--password",
        "1234",
        "--hub",
        "localhost",
        "--port",
        port,
        "--exit-after-send",
    ];
    let ended = countersign(&[&device[..], &["--ca", ca.to_str().unwrap()]].concat());
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));

    // Who came in under the lot; and the lot is cut off by the chain of a device.
    let admitted = said(&alice, &format!("hub ca admitted --of {}", chain.display()));
    assert_eq!(admitted["devices"], serde_json::json!([POISONED]), "{admitted}");
    let disabled = said(&alice, &format!("hub ca disable --of {} --why stolen", chain.display()));
    assert_eq!(disabled["key_sha256"], admitted["key_sha256"]);
    let ended = countersign(&[&device[..], &["--ca", ca.to_str().unwrap()]].concat());
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    assert_eq!(said(&alice, &format!("hub why {POISONED}"))[0]["reason"], "CA_DISABLED");
    world.stop().await.unwrap();
}
