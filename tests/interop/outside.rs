//! OpenSSL, GnuTLS and pkilint on the demo's files.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::demo::{self, HOPS, said};

#[test]
#[ignore = "needs openssl"]
fn openssl_accepts_every_chain() {
    accepts_all("openssl");
}

#[test]
#[ignore = "needs openssl"]
fn openssl_opens_every_pfx_and_finds_the_whole_chain_in_it() {
    accepts_all("pkcs12");
}

#[test]
#[ignore = "needs certtool"]
fn gnutls_accepts_every_chain() {
    accepts_all("certtool");
}

#[test]
#[ignore = "needs pkilint"]
fn pkilint_finds_nothing_in_any_certificate() {
    accepts_all("pkilint");
}

#[test]
#[ignore = "needs openssl and certtool"]
fn openssl_and_gnutls_accept_every_compatible_chain() {
    for (hops, tool) in [(3, "openssl"), (3, "certtool"), (6, "openssl"), (6, "certtool")] {
        let output = check(tool, &demo::compatible_demo(hops));
        assert!(output.status.success(), "{hops} hops: {}", said(&output));
    }
}

/// Tries the checks themselves: each must refuse what is broken, or its silence would mean nothing.
#[test]
#[ignore = "needs openssl and certtool"]
fn the_checks_refuse_a_device_without_its_intermediates() {
    let directory = demo::demo(2);
    let broken = tempfile::tempdir().unwrap();
    copy_tree(&directory.join("trust"), &broken.path().join("trust"));
    copy_tree(&directory.join("devices"), &broken.path().join("devices"));
    fs::copy(directory.join("manifest.json"), broken.path().join("manifest.json")).unwrap();
    for tool in ["openssl", "certtool", "pkcs12"] {
        let output = check(tool, broken.path());
        assert!(output.status.success(), "{tool} refuses the copy: {}", said(&output));
    }
    for device in fs::read_dir(broken.path().join("devices")).unwrap() {
        let device = device.unwrap().path();
        fs::copy(device.join("device.pem"), device.join("chain.pem")).unwrap();
    }
    for tool in ["openssl", "certtool", "pkcs12"] {
        let output = check(tool, broken.path());
        assert_eq!(output.status.code(), Some(1), "{tool} accepts a lone leaf: {}", said(&output));
    }
}

fn accepts_all(tool: &str) {
    for hops in HOPS {
        let output = check(tool, &demo::demo(hops));
        assert!(output.status.success(), "{hops} hops: {}", said(&output));
    }
}

/// Asks `check-demo.sh`.
pub(crate) fn check(tool: &str, directory: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/check-demo.sh");
    Command::new("bash").arg(script).arg(tool).arg(directory).output().unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
