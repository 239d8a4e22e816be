//! What people have today, from first to last by commands: a chain of the usual openssl scripts registers, verifies and connects; and how
//! the simulated device ends. Needs `openssl`.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use simulator::{BRAND, Plan, Program, World};

use crate::{
    command::{BINARY, countersign, text},
    world::handed_down,
};

/// The sections of the usual scripts' openssl.cnf that matter.
const EXTENSIONS: &str = "
[req]
distinguished_name = name
[name]
[v3_ca]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
basicConstraints = critical, CA:true
keyUsage = critical, digitalSignature, cRLSign, keyCertSign
[usr_cert]
basicConstraints = CA:FALSE
nsCertType = client, email
nsComment = \"OpenSSL Generated Client Certificate\"
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid,issuer
keyUsage = critical, nonRepudiation, digitalSignature, keyEncipherment
extendedKeyUsage = clientAuth, emailProtection
";

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
}

/// An RSA-4096 key and a certificate of this name, signed by `by`, or by itself.
fn make(folder: &Path, name: &str, common_name: &str, by: Option<&str>, section: &str) {
    openssl(folder, &format!("genrsa -out {name}.key 4096"));
    openssl(folder, &format!("req -new -config o.cnf -key {name}.key -subj /CN={common_name} -out {name}.csr"));
    let signer = match by {
        Some(by) => format!("-CA {by}.pem -CAkey {by}.key -CAcreateserial"),
        None => format!("-signkey {name}.key"),
    };
    let extensions = format!("-extfile o.cnf -extensions {section}");
    openssl(folder, &format!("x509 -req -sha256 -days 30 -in {name}.csr {signer} {extensions} -out {name}.pem"));
}

/// `countersign hub` as the brand's alice, with a profile.
fn hub(world: &World, line: &str) -> serde_json::Value {
    let profile = world.brand.folder().join("as-alice.toml");
    let mut words: Vec<&str> = line.split(' ').collect();
    words.extend(["--as", profile.to_str().unwrap(), "-o", "json"]);
    let ended = countersign(&words);
    assert_eq!(ended.status.code(), Some(0), "{line}: {}", text(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// `countersign device run` with these files, at one of the hub's doors.
fn device(world: &World, folder: &Path, port: u16, more: &str) -> Output {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ca, port) = (world.hub_ca_path().to_str().unwrap().to_owned(), port.to_string());
    let (chain, key) = (file("chain.pem"), file("device.key"));
    let fixed = ["device", "run", "--chain", &chain, "--key", &key, "--hub", "localhost", "--ca", &ca, "--port", &port];
    let more: Vec<&str> = more.split(' ').collect();
    countersign(&[&fixed[..], &["--exit-after-send"], &more[..]].concat())
}

fn port(world: &World, door: &str) -> u16 {
    let doors = &world.service(BRAND, "hub").unwrap().further;
    doors[door].rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl"]
async fn a_chain_of_the_usual_scripts_registers_verifies_and_connects_by_commands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let program = Program::countersign(BINARY.into());
    let mut world = handed_down(&path.join("world"), &Plan::new(1, 1).unwrap(), program).await;
    world.start_hub().await.unwrap();
    world.write_profiles().unwrap();

    std::fs::write(path.join("o.cnf"), EXTENSIONS).unwrap();
    make(path, "root", "Test-Root", None, "v3_ca");
    make(path, "middle", "Test-Intermediate", Some("root"), "v3_ca");
    make(path, "device", "my-device_1", Some("middle"), "usr_cert");
    let certificate = |name: &str| std::fs::read_to_string(path.join(name).with_extension("pem")).unwrap();
    std::fs::write(path.join("chain.pem"), certificate("device") + &certificate("middle")).unwrap();

    let file = |name: &str| path.join(name).to_str().unwrap().to_owned();
    let added = hub(&world, &format!("hub ca add scripts --plain --certificate {}", file("root.pem")));
    assert_eq!(added["verification"], "unverified");
    let coded = hub(&world, "hub ca code scripts");
    let code = coded["verification_code"].as_str().unwrap();
    assert_eq!(code.len(), 48);
    make(path, "proof", code, Some("root"), "usr_cert");
    let verified = hub(&world, &format!("hub ca verify scripts --certificate {}", file("proof.pem")));
    assert_eq!(verified["verification"], "verified");
    assert!(added["etag"] != coded["etag"] && coded["etag"] != verified["etag"], "an etag for each change");
    hub(&world, "hub device add my-device_1");

    for protocol in ["mqtt", "amqp", "https"] {
        let ended = device(&world, path, port(&world, protocol), &format!("--protocol {protocol} -o json"));
        let (told, failed) = (text(&ended.stdout), text(&ended.stderr));
        assert_eq!(ended.status.code(), Some(0), "{protocol}: {failed}");
        assert_eq!(told.matches("\"temperatureAlert\"").count(), 5, "{told}");
    }

    // Refused: 1, whatever the door; nobody there: 3.
    hub(&world, "hub device disable my-device_1 --why lost");
    for protocol in ["mqtt", "amqp", "https"] {
        let ended = device(&world, path, port(&world, protocol), &format!("--protocol {protocol}"));
        assert_eq!(ended.status.code(), Some(1), "{protocol}: {}", text(&ended.stderr));
        assert!(text(&ended.stderr).contains("error[REFUSED_BY_HUB]"), "{}", text(&ended.stderr));
    }
    let why = hub(&world, "hub why my-device_1");
    assert_eq!((&why[0]["reason"], &why[0]["outcome"]), (&"DEVICE_DISABLED".into(), &"refused".into()), "{why}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(device(&world, path, nobody, "--protocol mqtt").status.code(), Some(3));
    world.stop().await.unwrap();
}
