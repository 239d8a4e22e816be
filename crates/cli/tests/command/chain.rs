//! A chain that `countersign init` made, started: company-x, factory-y, technician-z with its line.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Ended, countersign};

/// The services of a new chain with their companies, in the order of starting.
pub(crate) const SERVICES: [(&str, &str); 5] = [
    ("root-ca", "company-x"),
    ("intermediate-ca", "factory-y"),
    ("intermediate-ca", "technician-z"),
    ("hub", "company-x"),
    ("provisioner", "technician-z"),
];
const PORTS: [&str; 13] =
    ["7101", "7102", "7201", "7202", "7211", "7212", "7301", "7302", "7401", "7402", "8883", "5671", "8443"];

/// The folder and the services that run.
pub(crate) struct Chain {
    folder: TempDir,
    _running: Vec<(Child, ChildStdin)>,
}

/// The chain that tests share; each has its own orders, lots and devices in it.
pub(crate) fn shared() -> &'static Chain {
    static CHAIN: OnceLock<Chain> = OnceLock::new();
    CHAIN.get_or_init(Chain::start)
}

impl Chain {
    /// A new one, at ports that are free.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ended = countersign(&["init", folder.path().to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        take_free_ports(folder.path());
        let running = SERVICES.map(|(service, company)| start(folder.path(), service, company));
        Self { folder, _running: running.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path as an argument without white space.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    /// Runs a verb as one of the chain's people, e.g. `factory-y/operator`.
    pub(crate) fn run(&self, who: &str, line: &str) -> Ended {
        let (company, person) = who.split_once('/').unwrap();
        let profile = self.text(&format!("{company}/as-{person}.toml"));
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["--as", &profile]);
        countersign(&words)
    }

    /// The same, which must go well; what it says in JSON.
    pub(crate) fn ok(&self, who: &str, line: &str) -> Value {
        let ended = self.run(who, &format!("{line} -o json"));
        assert_eq!(ended.code, Some(0), "{who}: {line}: {}", ended.stderr);
        ended.json()
    }

    /// The same, which must be refused with this reason.
    pub(crate) fn refused(&self, who: &str, line: &str, reason: &str) {
        self.run(who, line).assert_failed(1, reason);
    }

    /// An approved order from the brand over these manufacturers.
    pub(crate) fn order(&self, order: &str, units: u32, route: &str) {
        let create = format!("order create {order} --program smart-widget --units {units} --route company-x,{route}");
        self.ok("company-x/alice", &format!("{create} --replacement-cap 2 --rework-cap 2"));
        for approver in ["company-x/alice", "company-x/bob"] {
            self.ok(approver, &format!("order approve {order} --yes {order}"));
        }
    }

    /// A lot of an order at factory-y, over the wire.
    pub(crate) fn lot_at_factory(&self, order: &str, lot: &str, units: u32) {
        self.ok("company-x/alice", &format!("handoff offer {lot} --source {order} --to factory-y --units {units}"));
        self.ok("factory-y/operator", &format!("lot receive {lot} --from company-x"));
    }

    /// A lot at technician-z, which issues devices.
    pub(crate) fn lot_at_line(&self, order: &str, lot: &str, units: u32) {
        self.order(order, units, "factory-y,technician-z");
        self.lot_at_factory(order, &format!("f{lot}"), units);
        self.ok(
            "factory-y/operator",
            &format!("handoff offer {lot} --source f{lot} --to technician-z --units {units}"),
        );
        self.ok("technician-z/operator", &format!("lot receive {lot} --from factory-y"));
    }

    /// A number of a lot's tally.
    pub(crate) fn tally(&self, who: &str, lot: &str, count: &str) -> u64 {
        self.ok(who, &format!("lot show {lot}"))["lot"]["tally"][count].as_u64().unwrap()
    }
}

fn start(folder: &Path, service: &str, company: &str) -> (Child, ChildStdin) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["service", service, "--until-stdin-ends", "--config"])
        .arg(folder.join(company).join(format!("{service}.toml")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lifeline = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("READY "), "{company}/{service}: {line}");
    (child, lifeline)
}

/// Puts free ports in the place of the fixed ones, which another chain may have.
fn take_free_ports(folder: &Path) {
    let taken: Vec<TcpListener> = PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for company in ["company-x", "factory-y", "technician-z"] {
        for entry in fs::read_dir(folder.join(company)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "toml") {
                let mut text = fs::read_to_string(&path).unwrap();
                for (fixed, free) in PORTS.iter().zip(&taken) {
                    let free = free.local_addr().unwrap();
                    text = text.replace(&format!("\"127.0.0.1:{fixed}\""), &format!("\"{free}\""));
                }
                fs::write(path, text).unwrap();
            }
        }
    }
}
