//! TLS stacks of small devices. A device on mbedTLS or wolfSSL loads its chain and key and shows them to a server on the same stack
//! that trusts the root alone. The programs in `embedded/` are compiled here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::demo::{self, compatible_demo, demo, said};

/// Manufacturers, and so intermediates; there is no order CA.
const DEPTHS: [usize; 2] = [3, 6];

/// One program of `embedded/`.
pub(crate) struct Stack {
    source: &'static str,
    libraries: &'static [&'static str],
    program: OnceLock<PathBuf>,
}

pub(crate) static MBEDTLS: Stack = Stack {
    source: "handshake_mbedtls",
    libraries: &["-lmbedtls", "-lmbedx509", "-lmbedcrypto"],
    program: OnceLock::new(),
};
pub(crate) static WOLFSSL: Stack =
    Stack { source: "handshake_wolfssl", libraries: &["-lwolfssl"], program: OnceLock::new() };

impl Stack {
    fn program(&self) -> &Path {
        self.program.get_or_init(|| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("interop/embedded/{}.c", self.source));
            let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.source);
            let flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
            let mut cc = Command::new("cc");
            let output = cc.args(flags).arg(&program).arg(source).args(self.libraries).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            program
        })
    }

    /// The handshake of a device with a server that trusts `root`: the exit code and the line. What the server shows is no matter.
    pub(crate) fn handshake(&self, root: &Path, chain: &Path, key: &Path) -> (Option<i32>, String) {
        let server = demo(1).join("company-x");
        let mut program = Command::new(self.program());
        program.arg(root).arg(chain).arg(key).arg(server.join("root-ca.pem")).arg(server.join("root-ca.key"));
        let output = program.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", said(&output));
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// What the handshakes of a demo's devices come to.
    fn answers(&self, directory: &Path) -> Vec<(Option<i32>, String)> {
        let root = directory.join("trust/root.pem");
        let shake = |device: PathBuf| self.handshake(&root, &device.join("chain.pem"), &device.join("key.pem"));
        devices(directory).map(shake).collect()
    }

    /// Its silence would mean nothing if it refused nothing.
    fn refuses_strangers_and_gaps(&self, directory: &Path, stranger: &Path) {
        let gap = tempfile::tempdir().unwrap();
        let gap = gap.path().join("chain.pem");
        for device in devices(directory) {
            let chain = device.join("chain.pem");
            let text = fs::read_to_string(&chain).unwrap();
            let above = text.rfind("-----BEGIN CERTIFICATE-----").unwrap();
            fs::write(&gap, &text[..above]).unwrap();
            let root = directory.join("trust/root.pem");
            for (root, chain) in [(&stranger.join("trust/root.pem"), &chain), (&root, &gap)] {
                let (code, line) = self.handshake(root, chain, &device.join("key.pem"));
                assert!(code == Some(1) && line.starts_with("refused: "), "{}: {line}", self.source);
            }
        }
    }
}

fn devices(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let device = |entry: serde_json::Value| directory.join("devices").join(entry["device_id"].as_str().unwrap());
    demo::manifest(directory).into_iter().map(device).collect::<Vec<_>>().into_iter()
}

/// Why there is a compatible profile. The leaf can be parsed, none of the intermediates can.
#[test]
#[ignore = "needs libmbedtls-dev"]
fn mbedtls_cannot_load_a_chain_with_critical_name_constraints() {
    for hops in DEPTHS {
        for (code, line) in MBEDTLS.answers(&demo(hops)) {
            assert_eq!(code, Some(1), "{line}");
            assert!(line.starts_with("cannot load: "), "{line}");
            assert!(line.ends_with(&format!("chain.pem: {hops} certificates cannot be parsed")), "{line}");
        }
    }
}

#[test]
#[ignore = "needs libmbedtls-dev"]
fn mbedtls_shows_and_accepts_a_compatible_chain() {
    for hops in DEPTHS {
        for answer in MBEDTLS.answers(&compatible_demo(hops)) {
            assert_eq!(answer, (Some(0), format!("accepted: {hops} intermediates")));
        }
    }
    MBEDTLS.refuses_strangers_and_gaps(&compatible_demo(3), &compatible_demo(6));
}

/// Whether the wolfSSL here leaves the common names of CAs alone. Those of 2026 that mend CVE-2026-6731 and lack the correction that
/// followed (upstream's pull request 10687; Debian 12 has such a one, 5.5.4-2+deb12u3) take the common name of every CA without
/// alternative names for a host name, and so refuse any two CAs with name constraints, one below the other, whoever made them.
fn wolfssl_is_sound() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/embedded/two-cas.sh");
    let made = Command::new("bash").arg(script).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let file = |name: &str| folder.path().join(name);
    let (code, line) = WOLFSSL.handshake(&file("root.pem"), &file("chain.pem"), &file("key.pem"));
    assert!(code == Some(0) || line.starts_with("refused: "), "{line}");
    code == Some(0)
}

/// A device can show every chain, and what a server on wolfSSL says to it is what it says to chains of other makers.
#[test]
#[ignore = "needs libwolfssl-dev and openssl"]
fn wolfssl_shows_every_chain_compatible_or_not_and_accepts_it_if_it_accepts_two_cas_at_all() {
    let sound = wolfssl_is_sound();
    println!("this wolfssl takes two name-constrained cas in a row: {sound}");
    for hops in [1, DEPTHS[0], DEPTHS[1]] {
        for directory in [demo(hops), compatible_demo(hops)] {
            for (code, line) in WOLFSSL.answers(&directory) {
                if sound || hops == 1 {
                    assert_eq!((code, line.as_str()), (Some(0), "accepted"), "{hops} hops");
                } else {
                    assert!(code == Some(1) && line.starts_with("refused: "), "{hops} hops: {line}");
                }
            }
        }
    }
    WOLFSSL.refuses_strangers_and_gaps(&demo(3), &demo(6));
}
