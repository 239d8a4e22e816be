//! A standing CA, one without a quantity, by commands alone: as whom the environment's profile says, it proves itself at the hub, its devices
//! come in without a bound, and the simulated device runs from a pfx.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use p12_keystore::{KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use pki::pem;
use serde_json::Value;
use simulator::{BRAND, Plan, World};

use crate::{
    command::{BINARY, text},
    people::{Answer, Stream, station, unit_requests},
    world::journey,
};

const PASSWORD: &str = "a word, with 1 blank";

/// Runs a command as the person whose profile the environment names.
fn run(profile: &Path, line: &str) -> Output {
    Command::new(BINARY)
        .args(line.split(' '))
        .args(["-o", "json"])
        .env("COUNTERSIGN_PROFILE", profile)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(profile: &Path, line: &str) -> Value {
    let ended = run(profile, line);
    assert_eq!(ended.status.code(), Some(0), "{line}: {}", text(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap_or_default()
}

/// Alice and Bob of the brand, and the operator of the one manufacturer.
fn people(world: &World) -> [PathBuf; 3] {
    world.write_profiles().unwrap();
    let (_, factory) = &world.manufacturers[0];
    let brand = world.brand.folder();
    [brand.join("as-alice.toml"), brand.join("as-bob.toml"), factory.folder().join("as-operator.toml")]
}

/// `countersign device run` from a pfx, through one of the hub's doors.
fn device(world: &World, pfx: &Path, password_file: &Path, protocol: &str) -> Output {
    let doors = &world.service(BRAND, "hub").unwrap().further;
    let port = doors[protocol].rsplit(':').next().unwrap();
    Command::new(BINARY)
        .args(["device", "run", "--hub", "localhost", "--count", "2", "--exit-after-send", "-o", "json"])
        .args(["--protocol", protocol, "--port", port, "--ca"])
        .arg(world.hub_ca_path())
        .arg("--pfx")
        .arg(pfx)
        .arg("--password-file")
        .arg(password_file)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A pfx of these certificates, as a tool that is none of ours would write it.
fn write_pfx(path: &Path, key: &[u8], certificates: &[Vec<u8>]) {
    let certificates: Vec<_> =
        certificates.iter().map(|der| p12_keystore::Certificate::from_der(der).unwrap()).collect();
    let entry = PrivateKeyChain::new(b"device".as_slice(), PrivateKey::from_der(key).unwrap(), certificates);
    let mut store = KeyStore::new();
    store.add_entry("device", KeyStoreEntry::PrivateKeyChain(entry));
    std::fs::write(path, store.writer(PASSWORD).write().unwrap()).unwrap();
}

/// Units of the standing lot, each with a key that the line makes.
async fn made(world: &World, lot: &str, devices: u32) -> Vec<(String, Vec<u8>, Vec<Vec<u8>>)> {
    let mut stream = Stream::open(station(world)).await;
    // Every fifth request is for such a key.
    let requests =
        unit_requests(lot, 1, devices * 5).into_iter().filter(|request| request.device_id.ends_with(['0', '5']));
    stream.ask(&requests.collect::<Vec<_>>()).await;
    stream.close();
    let mut made = Vec::new();
    loop {
        match stream.next().await {
            Answer::Unit(unit) => {
                let chain = unit.chain.iter().map(|der| der.to_vec()).collect();
                made.push((unit.device_id, unit.private_key.unwrap().to_vec(), chain));
            }
            Answer::Refused { request_id, refusal } => panic!("{request_id}: {refusal:?}"),
            Answer::End(end) => {
                end.unwrap();
                return made;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_ca_proves_itself_and_its_devices_come_in_from_their_pfx() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(&folder.path().join("world"), &Plan::new(1, 1).unwrap()).await;
    let [alice, bob, operator] = people(&world);
    said(&alice, "order create po-standing --program smart-widget --units unlimited --route company-x,factory-y");
    for approver in [&alice, &bob] {
        said(approver, "order approve po-standing --yes po-standing");
    }
    said(&alice, "handoff offer s1 --source po-standing --to factory-y --units unlimited");
    said(&operator, "lot receive s1 --from company-x");

    let prove =
        format!("hub ca prove standing --lot s1 --register-on-first-connect --signer-as {}", operator.display());
    let proven = said(&alice, &prove);
    assert_eq!((&proven["verification"], &proven["name"]), (&"verified".into(), &"standing".into()), "{proven}");
    assert_eq!(said(&alice, "hub ca list").as_array().map(Vec::len), Some(1));
    assert_eq!(said(&alice, "hub ca show standing")["etag"], proven["etag"]);
    assert_eq!(said(&operator, "lot show s1")["lot"]["tally"]["received"], "unlimited", "nothing was spent by it");

    let password_file = folder.path().join("password");
    std::fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
    let made = made(&world, "s1", 3).await;
    for ((id, key, chain), protocol) in made.iter().zip(["mqtt", "amqp", "https"]) {
        let pfx = folder.path().join(id).with_extension("pfx");
        write_pfx(&pfx, key, chain);
        let ended = device(&world, &pfx, &password_file, protocol);
        assert_eq!(ended.status.code(), Some(0), "{protocol}: {}", text(&ended.stderr));
        assert_eq!(text(&ended.stdout).matches("\"temperatureAlert\"").count(), 2, "{}", text(&ended.stdout));
        let shown = said(&alice, &format!("hub device show {id}"));
        assert_eq!(shown["binding"]["hops"][0]["quantity"], "unlimited", "{shown}");
    }
    let sent = run(&alice, "hub telemetry");
    assert_eq!(text(&sent.stdout).matches("\"temperatureAlert\"").count(), 6, "{}", text(&sent.stdout));

    // What people get wrong about a pfx.
    let (id, key, chain) = &made[0];
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "1234").unwrap();
    let ended = device(&world, &folder.path().join(id).with_extension("pfx"), &wrong, "mqtt");
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("error[PASSPHRASE_WRONG]"), "{}", text(&ended.stderr));
    let leaf = folder.path().join("leaf.pfx");
    write_pfx(&leaf, key, &chain[..1]);
    let ended = device(&world, &leaf, &password_file, "mqtt");
    assert_eq!(ended.status.code(), Some(0), "the hub knows the very CA that issued it: {}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("presents no intermediate"), "{}", text(&ended.stderr));

    // The operator who the environment names is asked for at the hub of its own organisation, and nowhere else.
    let foreign = run(&operator, "hub ca list");
    assert_eq!(foreign.status.code(), Some(2), "{}", text(&foreign.stderr));
    // What the flags say goes before it.
    let nowhere = run(&alice, "hub ca list --demo nowhere");
    assert!(text(&nowhere.stderr).contains("nowhere/demo.json"), "{}", text(&nowhere.stderr));
    let key = said(&alice, "hub ca disable standing --why stolen");
    assert_eq!(key["why"], "stolen", "{key}");
    let ended = device(&world, &folder.path().join(id).with_extension("pfx"), &password_file, "amqp");
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    let lot_ca = pem::encode("CERTIFICATE", &chain[1]);
    std::fs::write(folder.path().join("lot.pem"), lot_ca).unwrap();
    said(&alice, &format!("hub ca enable --of {}", folder.path().join("lot.pem").display()));
    world.stop().await.unwrap();
}
