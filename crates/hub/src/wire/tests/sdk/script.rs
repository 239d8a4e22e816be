//! An SDK's script as a process: it is told of one device after another, and says what it sees, one JSON object a line.

use std::{path::Path, process::Stdio, time::Duration};

use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// No SDK takes longer over one device.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running script.
pub(super) struct Script {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

impl Script {
    /// Starts a script of `tests/interop/hub_sdk`; `server` is what it trusts.
    pub(super) fn start(program: &str, script: &str, server: &CertificateDer<'_>, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, pki::pem::encode("CERTIFICATE", server)).unwrap();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/hub_sdk");
        let mut command = Command::new(program);
        command.arg(scripts.join(script)).env("CA", ca).envs(settings.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from: BufReader::new(from).lines(), folder }
    }

    /// Has a device connect, and if it is let in do everything that an SDK can.
    pub(super) async fn connect(&mut self, device: &str, chain: &[bytes::Bytes], key: &KeyPair) {
        let chain: String = chain.iter().map(|der| pki::pem::encode("CERTIFICATE", der)).collect();
        let file = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (chain, key) =
            (file("chain.pem", &chain), file("key.pem", &pki::pem::encode("PRIVATE KEY", &key.serialize_der())));
        let line = format!("{}\n", json!({"device": device, "chain": chain, "key": key}));
        self.to.write_all(line.as_bytes()).await.unwrap();
    }

    /// What the script saw of this device, until it is done with it.
    pub(super) async fn saw(&mut self) -> Vec<Value> {
        let mut saw = Vec::new();
        loop {
            let line = timeout(PATIENCE, self.from.next_line()).await.unwrap_or_else(|_| panic!("only {saw:?}"));
            let line = line.unwrap().unwrap_or_else(|| panic!("the script ended after {saw:?}"));
            let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if said.get("done").is_some() {
                return saw;
            }
            saw.push(said);
        }
    }

    /// Nothing more is to be done.
    pub(super) async fn end(self) {
        let Self { mut child, to, .. } = self;
        drop(to);
        let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
}
