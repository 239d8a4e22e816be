//! A room to spoil: the folders of a world that made its journey and was stopped, copied for each test.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use pki::Sha256;
use simulator::Plan;
use tempfile::TempDir;

use crate::{
    command::{BINARY, countersign, text},
    world::journey,
};

/// A service of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RootCa,
    IntermediateCa,
    Provisioner,
    Hub,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::RootCa, Self::IntermediateCa, Self::Provisioner, Self::Hub];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RootCa => "root-ca",
            Self::IntermediateCa => "intermediate-ca",
            Self::Provisioner => "provisioner",
            Self::Hub => "hub",
        }
    }

    /// The files that its configuration names, as seen from its folder: keys first, everything else after.
    pub(crate) fn files(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::RootCa => (
                &["root-ca.key", "root.key", "identity.key"],
                &["root-ca.pem", "service-ca.pem", "../trust/root.pem", "alice.approval.pub"],
            ),
            Self::IntermediateCa => (
                &["intermediate-ca.key", "identity.key"],
                &["intermediate-ca.pem", "service-ca.pem", "../trust/bundle.json"],
            ),
            Self::Provisioner => (&["provisioner.key", "escrow.key"], &["provisioner.pem", "service-ca.pem"]),
            Self::Hub => (
                &["hub.key", "hub-devices.key"],
                &["hub.pem", "hub-devices.pem", "service-ca.pem", "../trust/bundle.json"],
            ),
        }
    }

    fn company(self) -> &'static str {
        match self {
            Self::RootCa | Self::Hub => "company-x",
            Self::IntermediateCa | Self::Provisioner => "factory-y",
        }
    }
}

/// The world that is copied.
fn original() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("process-room");
        let _ = fs::remove_dir_all(&folder);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (mut world, _, _) = journey(&folder, &Plan::new(1, 1).unwrap()).await;
            world.stop().await.unwrap();
        });
        folder
    })
}

pub(crate) struct Room(TempDir);

/// What is on disk: files with the digests of their content, and folders.
pub(crate) type Listing = BTreeMap<PathBuf, Option<Sha256>>;

/// How a service ended that was not told to.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Room {
    pub(crate) fn new() -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        let from = original();
        assert!(Command::new("cp").arg("-a").arg(from.join(".")).arg(room.0.path()).status().unwrap().success());
        room
    }

    /// A path beside a service's configuration.
    pub(crate) fn beside(&self, kind: Kind, name: &str) -> PathBuf {
        self.0.path().join(kind.company()).join(name)
    }

    pub(crate) fn config(&self, kind: Kind) -> PathBuf {
        self.beside(kind, &format!("{}.toml", kind.name()))
    }

    pub(crate) fn store(&self, kind: Kind) -> PathBuf {
        self.beside(kind, &format!("{}-store", kind.name()))
    }

    /// Changes what stands in a service's configuration.
    pub(crate) fn change(&self, kind: Kind, from: &str, to: &str) {
        let file = self.config(kind);
        let before = fs::read_to_string(&file).unwrap();
        assert!(before.contains(from), "{from}: {before}");
        fs::write(file, before.replace(from, to)).unwrap();
    }

    /// Runs a service that is expected to end by itself.
    pub(crate) fn run(&self, kind: Kind, flags: &[&str]) -> Ended {
        let config = self.config(kind);
        let ended = countersign(&[&["service", kind.name(), "--config", config.to_str().unwrap()], flags].concat());
        Ended { code: ended.status.code(), stdout: text(&ended.stdout), stderr: text(&ended.stderr) }
    }

    /// Starts a service and waits until it is ready.
    pub(crate) fn start(&self, kind: Kind) -> Serving {
        let mut child = Command::new(BINARY)
            .args(["service", kind.name(), "--until-stdin-ends", "--config"])
            .arg(self.config(kind))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(line.strip_prefix("READY ").unwrap()).unwrap();
        Serving { child, ready }
    }

    /// Every file with the digest of its content, and every folder. Of stores that were opened only the truth counts: the index and
    /// the checkpoint follow from it.
    pub(crate) fn truth(&self) -> Listing {
        let derived = |path: &Path| {
            let mut steps = path.iter().filter_map(|step| step.to_str()).skip_while(|step| !step.ends_with("-store"));
            steps.nth(1).is_some_and(|step| step.starts_with("index") || step == "checkpoint")
        };
        self.listing().into_iter().filter(|(path, _)| !derived(path)).collect()
    }

    /// Every file with the digest of its content, and every folder.
    pub(crate) fn listing(&self) -> Listing {
        let mut listing = Listing::new();
        let mut waiting = vec![self.0.path().to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let inside = path.strip_prefix(self.0.path()).unwrap().to_owned();
                if path.is_dir() {
                    listing.insert(inside, None);
                    waiting.push(path);
                } else {
                    listing.insert(inside, Some(Sha256::of(&fs::read(&path).unwrap())));
                }
            }
        }
        listing
    }
}

/// Asserts that nothing was made, changed or taken away.
pub(crate) fn assert_same(before: &Listing, after: &Listing) {
    let changed = before.iter().filter(|(path, digest)| after.get(*path) != Some(*digest));
    let made = after.iter().filter(|(path, _)| !before.contains_key(*path));
    let differences: Vec<_> = changed.chain(made).map(|(path, _)| path).collect();
    assert!(differences.is_empty(), "{differences:?}");
}

/// A service that serves. It ends with this value at the latest.
pub(crate) struct Serving {
    child: Child,
    /// Its READY line.
    pub(crate) ready: serde_json::Value,
}

impl Serving {
    /// Ends it by SIGTERM; its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        // Held until the end: its end would be a second signal.
        let lifeline = self.child.stdin.take();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        drop(lifeline);
        status.code()
    }
}

impl Ended {
    /// Asserts the exit code, nothing on standard output, and the reason in exactly one line of standard error.
    pub(crate) fn assert_refused(&self, kind: Kind, code: i32, reason: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{kind:?} {reason}: {}", self.stderr);
        let start = format!("{}: {reason}: ", kind.name());
        let named = self.stderr.lines().filter(|line| line.starts_with(&start)).count();
        assert_eq!(named, 1, "{kind:?} {reason}: {}", self.stderr);
    }
}
