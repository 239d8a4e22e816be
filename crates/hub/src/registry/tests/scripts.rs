//! What people have today: a chain that OpenSSL made the way the usual test scripts do. Needs `openssl`.

use std::{path::Path, process::Command};

use api::hub::v1::Verification;

use super::*;

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
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A key and a certificate of this name, signed by `by`, or by itself.
fn make(folder: &Path, name: &str, common_name: &str, by: Option<&str>, section: &str) {
    openssl(folder, &format!("genrsa -out {name}.key {}", if section == "v3_ca" { 4096 } else { 2048 }));
    openssl(folder, &format!("req -new -config o.cnf -key {name}.key -subj /CN={common_name} -out {name}.csr"));
    let signer = match by {
        Some(by) => format!("-CA {by}.pem -CAkey {by}.key -CAcreateserial"),
        None => format!("-signkey {name}.key"),
    };
    openssl(
        folder,
        &format!(
            "x509 -req -sha256 -days 30 -in {name}.csr {signer} -extfile o.cnf -extensions {section} -out {name}.pem"
        ),
    );
}

fn der(folder: &Path, name: &str) -> Bytes {
    let text = std::fs::read_to_string(folder.join(format!("{name}.pem"))).unwrap();
    Bytes::copy_from_slice(pki::pem::certificates(&text).unwrap()[0].der())
}

#[tokio::test]
#[ignore = "needs openssl"]
async fn a_chain_of_the_usual_scripts_registers_verifies_and_connects() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("o.cnf"), EXTENSIONS).unwrap();
    make(path, "root", "Test-Root", None, "v3_ca");
    make(path, "middle", "Test-Intermediate", Some("root"), "v3_ca");
    make(path, "device", "my-device_1", Some("middle"), "usr_cert");
    let world = World::new();
    world.clock.set(service::SystemClock.now());
    let new = NewCa {
        name: "root".to_owned(),
        certificate: Bytes::from(std::fs::read(path.join("root.pem")).unwrap()),
        rules: ChainRules::Plain,
        first_connect: FirstConnect::Refuse,
        verification: Verification::Unverified,
    };
    let etag = world.books.register_ca(&change(), &new).unwrap().etag;
    let coded = world.books.verification_code(&change(), "root", &etag).unwrap();
    make(path, "proof", &coded.verification_code.unwrap(), Some("root"), "usr_cert");
    world.books.verify_ca(&change(), "root", &coded.etag, &der(path, "proof")).unwrap();
    world.create("my-device_1");
    let chain = vec![der(path, "device"), der(path, "middle"), der(path, "root")];
    world.connect(chain[..2].to_vec(), "my-device_1").await.unwrap();
    world.connect(chain.clone(), "my-device_1").await.unwrap();
    assert_eq!(world.refused(chain[..1].to_vec(), "my-device_1").await, "UNKNOWN_ISSUER");
}
