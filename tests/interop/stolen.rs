//! What a thief of a lot key can do: name a device of another lot, and have it refused by every verifier that looks at names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    demo::{compatible_demo, countersign, demo, said},
    embedded::{MBEDTLS, WOLFSSL},
    outside::check,
};

/// A device that the thief made below a demo's only lot, in a folder like a demo's.
struct Stolen(TempDir);

impl Stolen {
    /// The device's one alternative name is `<device>.<under>`.
    fn below(directory: &Path, under: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("devices/thing");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir(folder.path().join("trust")).unwrap();
        fs::copy(directory.join("trust/root.pem"), folder.path().join("trust/root.pem")).unwrap();
        fs::write(folder.path().join("manifest.json"), r#"{"devices":[{"device_id":"thing"}]}"#).unwrap();

        let lot = fs::read_to_string(directory.join("devices/sn0000001/chain.pem")).unwrap();
        let lot = &lot[lot.rfind("-----BEGIN CERTIFICATE-----").unwrap()..];
        fs::write(device.join("lot.pem"), lot).unwrap();
        let keys = fs::read_dir(directory.join("factory-y/lot-keys")).unwrap();
        let keys: Vec<PathBuf> = keys.map(|entry| entry.unwrap().path()).collect();
        let [lot_key] = keys.as_slice() else { panic!("one lot, one key: {keys:?}") };
        let extensions = format!(
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\n\
             authorityKeyIdentifier=keyid\nsubjectAltName=DNS:thing.{under}\n"
        );
        fs::write(device.join("extensions"), extensions).unwrap();
        let script = "cd \"$1\"
            openssl pkey -inform DER -in \"$2\" -out lot.key
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -subj /CN=thing -out csr.pem
            openssl x509 -req -in csr.pem -CA lot.pem -CAkey lot.key -days 30 -extfile extensions -out device.pem
            cat device.pem lot.pem >chain.pem";
        let output = Command::new("bash").args(["-ec", script, "bash"]).arg(&device).arg(lot_key).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("devices/thing").join(name)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("trust/root.pem")
    }

    fn accepted_by(&self, tool: &str) -> bool {
        let stack = match tool {
            "mbedtls" => &MBEDTLS,
            "wolfssl" => &WOLFSSL,
            _ => return check(tool, self.0.path()).status.success(),
        };
        stack.handshake(&self.root(), &self.file("chain.pem"), &self.file("key.pem")).0 == Some(0)
    }
}

#[test]
#[ignore = "needs openssl, certtool, libmbedtls-dev and libwolfssl-dev"]
fn a_stolen_lot_key_names_no_device_elsewhere_critical_or_not_except_where_mbedtls_is_asked() {
    let own = "b0032.factory-y.smart-widget.company-x.example";
    let elsewhere = "b0033.factory-y.smart-widget.company-x.example";
    for (directory, tools) in [
        (demo(1), &["openssl", "certtool", "wolfssl"][..]),
        (compatible_demo(1), &["openssl", "certtool", "wolfssl", "mbedtls"]),
    ] {
        let (inside, outside) = (Stolen::below(&directory, own), Stolen::below(&directory, elsewhere));
        for tool in tools {
            assert!(inside.accepted_by(tool), "{tool} refuses for another reason");
            // mbedTLS skips what it does not know.
            assert_eq!(outside.accepted_by(tool), *tool == "mbedtls", "{tool}");
        }
        let (root, chain) = (outside.root(), outside.file("chain.pem"));
        let flags = ["verify", "-o", "json", "--trust", root.to_str().unwrap(), chain.to_str().unwrap()];
        let answer: Value = serde_json::from_slice(&countersign(&flags).stdout).unwrap();
        assert_eq!(answer["reason"], "NAME_NOT_PERMITTED", "{answer}");
    }
}
