//! Key files that other tools read and write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use issuance::{KeyKind, Passphrase, SigningKey, SoftwareKey, SystemEntropy};

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs openssl"]
fn openssl_opens_what_we_seal_and_we_open_what_it_seals() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let passphrase = Passphrase::new("correct horse");
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
        let key = SoftwareKey::generate(kind).unwrap();
        let sealed = key.to_encrypted_pkcs8(&passphrase, &SystemEntropy).unwrap();
        std::fs::write(file("ours.der"), sealed).unwrap();
        let pass = "pass:correct horse";
        openssl(
            folder.path(),
            &[
                "pkcs8",
                "-topk8",
                "-nocrypt",
                "-inform",
                "DER",
                "-in",
                "ours.der",
                "-passin",
                pass,
                "-outform",
                "DER",
                "-out",
                "plain.der",
            ],
        );
        openssl(
            folder.path(),
            &[
                "pkcs8",
                "-topk8",
                "-inform",
                "DER",
                "-in",
                "plain.der",
                "-passout",
                pass,
                "-outform",
                "DER",
                "-out",
                "theirs.der",
            ],
        );
        let opened = SoftwareKey::from_pkcs8(&std::fs::read(file("plain.der")).unwrap()).unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        let theirs = std::fs::read(file("theirs.der")).unwrap();
        let opened = SoftwareKey::from_encrypted_pkcs8(&theirs, &passphrase).unwrap();
        assert_eq!(opened.public_key(), key.public_key());
    }
}
