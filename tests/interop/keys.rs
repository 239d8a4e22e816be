//! Kinds of keys through running services: lot keys as the brand's configuration says, device keys as OpenSSL makes them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use api::provisioning::v1::{KeyAlgorithm, ServerMadeKey, Unit, unit_request::Key};
use mfg::terms::HandoffKeyAlgorithm;
use pki::{Certificate, pem};
use serde_json::Value;
use simulator::Plan;

use crate::{
    demo::{countersign, demo, said},
    line::Line,
    outside::check,
};

/// A device's key: its name, what `openssl genpkey` is asked for, and the digest that signs its CSR.
type DeviceKey = (&'static str, &'static [&'static str], &'static str);

/// Device keys that the terms of a demo allow.
const ALLOWED: [DeviceKey; 5] = [
    ("p256", &["EC", "ec_paramgen_curve:P-256"], "-sha256"),
    ("p384", &["EC", "ec_paramgen_curve:P-384"], "-sha384"),
    ("ed25519", &["ED25519"], "-sha256"),
    ("rsa2048", &["RSA", "rsa_keygen_bits:2048"], "-sha256"),
    ("rsa3072", &["RSA", "rsa_keygen_bits:3072"], "-sha384"),
];

/// Device keys that are refused, and why.
const REFUSED: [(DeviceKey, &str); 7] = [
    (("rsa1024", &["RSA", "rsa_keygen_bits:1024"], "-sha256"), "CSR_KEY_WEAK"),
    (("exponent-3", &["RSA", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3"], "-sha256"), "CSR_KEY_WEAK"),
    (("rsa4096", &["RSA", "rsa_keygen_bits:4096"], "-sha256"), "CSR_KEY_NOT_ALLOWED"),
    (("p521", &["EC", "ec_paramgen_curve:P-521"], "-sha512"), "CSR_KEY_NOT_ALLOWED"),
    (("secp256k1", &["EC", "ec_paramgen_curve:secp256k1"], "-sha256"), "CSR_KEY_NOT_ALLOWED"),
    (("ed448", &["ED448"], "-sha256"), "CSR_KEY_NOT_ALLOWED"),
    // What OpenSSL does unless it is told otherwise.
    (("p384-sha256", &["EC", "ec_paramgen_curve:P-384"], "-sha256"), "CSR_SIGNATURE_ALGORITHM"),
];

fn openssl(arguments: &[&str]) -> Output {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    output
}

/// A device makes its key by OpenSSL, into `key.pem` of its folder: its CSR.
fn csr_by_openssl(folder: &Path, (id, genpkey, digest): DeviceKey) -> Key {
    fs::create_dir_all(folder).unwrap();
    let key = folder.join("key.pem");
    let key = key.to_str().unwrap();
    let (algorithm, options) = genpkey.split_first().unwrap();
    let options: Vec<_> = options.iter().flat_map(|option| ["-pkeyopt", option]).collect();
    openssl(&[&["genpkey", "-out", key, "-algorithm", algorithm], options.as_slice()].concat());
    let csr = openssl(&["req", "-new", digest, "-key", key, "-subj", &format!("/CN={id}"), "-outform", "DER"]);
    Key::Csr(csr.stdout.into())
}

fn write_chain(folder: &Path, unit: &Unit) {
    let chain: Vec<_> = unit.chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    fs::write(folder.join("chain.pem"), pem::encode_certificates(&chain)).unwrap();
    fs::write(folder.join("device.pem"), pem::encode_certificates(&chain[..1])).unwrap();
}

/// Lots of one kind of key over three manufacturers; every allowed device key in the last one. Outside programs and ours judge.
async fn devices_of_every_kind_below(lot_keys: HandoffKeyAlgorithm, named: &str) {
    let mut line = Line::start(&Plan::new(1, 3).unwrap().with_lot_keys(lot_keys)).await;
    let station = line.station();
    let manifest_file = line.path().join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_file).unwrap()).unwrap();
    for key in ALLOWED {
        let (id, ..) = key;
        let folder = line.path().join("devices").join(id);
        let unit = station.ask(id, csr_by_openssl(&folder, key)).await.unwrap();
        write_chain(&folder, &unit);
        let chain = format!("devices/{id}/chain.pem");
        manifest["devices"].as_array_mut().unwrap().push(serde_json::json!({ "device_id": id, "chain": chain }));
    }
    fs::write(&manifest_file, manifest.to_string()).unwrap();
    line.world.stop().await.unwrap();

    for tool in ["openssl", "certtool"] {
        let output = check(tool, line.path());
        assert!(output.status.success(), "{}", said(&output));
        let count = format!("{tool}: 6 of 6\n");
        assert!(String::from_utf8_lossy(&output.stdout).ends_with(&count), "{}", said(&output));
    }
    let bundle = line.path().join("trust/bundle.json");
    for device in manifest["devices"].as_array().unwrap() {
        let chain = line.path().join(device["chain"].as_str().unwrap());
        let answer = countersign(&["verify", "--trust", bundle.to_str().unwrap(), chain.to_str().unwrap()]);
        assert!(answer.status.success(), "{}", said(&answer));
        // The lot keys are what was asked for, and not only the terms.
        let text = openssl(&["storeutl", "-noout", "-text", "-certs", chain.to_str().unwrap()]).stdout;
        let signed = String::from_utf8_lossy(&text).matches(&format!("    Signature Algorithm: {named}")).count();
        assert!(signed >= 3, "the leaf and two intermediates are signed by lot keys: {signed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl and certtool"]
async fn devices_of_every_kind_of_key_are_accepted_below_p384_lot_keys() {
    devices_of_every_kind_below(HandoffKeyAlgorithm::P384, "ecdsa-with-SHA384").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl and certtool"]
async fn devices_of_every_kind_of_key_are_accepted_below_ed25519_lot_keys() {
    devices_of_every_kind_below(HandoffKeyAlgorithm::Ed25519, "ED25519").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl"]
async fn other_keys_are_refused_by_name_and_spend_nothing() {
    let mut line = Line::start(&Plan::new(1, 1).unwrap()).await;
    let station = line.station();
    let before = station.tally().await;
    for (key, reason) in REFUSED {
        let (id, ..) = key;
        let folder = line.path().join("refused").join(id);
        let refusal = station.ask(id, csr_by_openssl(&folder, key)).await.unwrap_err();
        assert_eq!(refusal.reason(), reason, "{id}: {refusal}");
        assert_eq!(refusal.retry_delay(), None, "a repetition would change nothing");
    }
    assert_eq!(station.tally().await, before);
    line.world.stop().await.unwrap();
}

/// A number beyond the published ones is what a caller would send who hopes for RSA.
#[tokio::test(flavor = "multi_thread")]
async fn the_line_makes_the_published_kinds_of_key_and_no_other() {
    let mut line = Line::start(&Plan::new(1, 1).unwrap()).await;
    let station = line.station();
    let before = station.tally().await;
    for (id, algorithm) in [("unknown", 4), ("negative", -1)] {
        let refusal = station.ask(id, Key::ServerMadeKey(ServerMadeKey { algorithm })).await.unwrap_err();
        assert_eq!(refusal.reason(), "REQUEST_MALFORMED", "{refusal}");
        assert!(refusal.message().contains("algorithm"), "{refusal}");
    }
    assert_eq!(station.tally().await, before);
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
        let id = algorithm.as_str_name().rsplit('_').next().unwrap().to_lowercase();
        let made = station.ask(&id, Key::ServerMadeKey(ServerMadeKey { algorithm: algorithm.into() })).await.unwrap();
        let certified = Certificate::parse(&made.chain[0]).unwrap().public_key().algorithm().to_string();
        assert_eq!(certified.replace('-', "").to_lowercase(), id);
    }
    line.world.stop().await.unwrap();
}

/// `[terms]` of the brand's configuration decides; a kind that verifiers or devices would not take is no configuration.
#[test]
fn a_configuration_with_other_lot_or_device_keys_is_refused() {
    let folder = demo(1).join("company-x");
    let whole = fs::read_to_string(folder.join("root-ca.toml")).unwrap();
    let devices = r#"device_keys = ["p256", "p384", "ed25519", "rsa2048", "rsa3072"]"#;
    for (from, to) in [
        (r#"handoff_key = "p256""#, r#"handoff_key = "rsa2048""#),
        (r#"handoff_key = "p256""#, r#"handoff_key = "p521""#),
        (devices, r#"device_keys = ["rsa1024"]"#),
        (devices, r#"device_keys = ["p256", "p521"]"#),
    ] {
        assert!(whole.contains(from), "{from}");
        // Beside the true one, whose folder it names its files from.
        let file = tempfile::NamedTempFile::new_in(&folder).unwrap();
        fs::write(file.path(), whole.replace(from, to)).unwrap();
        let config = file.path().to_str().unwrap();
        let output = countersign(&["service", "root-ca", "--config", config, "--check-config"]);
        assert_eq!(output.status.code(), Some(2), "{to}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("CONFIG_INVALID"), "{to}: {}", said(&output));
    }
}
