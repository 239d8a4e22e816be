//! A service of a world that has ended, started by itself on what it left.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::inject::BINARY;

/// A service that is ready.
pub(crate) struct Started {
    service: Child,
    log: PathBuf,
    /// From its start until then.
    pub(crate) took: Duration,
}

impl Started {
    /// Starts the service of this kind with its configuration and store in this folder.
    pub(crate) fn new(kind: &str, place: &Path) -> Self {
        let log = place.join(format!("{kind}-started.log"));
        let began = Instant::now();
        let mut service = Command::new(BINARY)
            .args(["service", kind, "--until-stdin-ends", "--config"])
            .arg(place.join(format!("{kind}.toml")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(service.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started = Self { service, log, took: began.elapsed() };
        assert!(line.starts_with("READY "), "{line}{:?}", started.told(""));
        started
    }

    /// The lines of its log so far that say this.
    pub(crate) fn told(&self, what: &str) -> Vec<String> {
        let told = fs::read_to_string(&self.log).unwrap();
        told.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }

    /// Ends it in good order.
    pub(crate) fn end(mut self) {
        drop(self.service.stdin.take());
        assert!(self.service.wait().unwrap().success());
    }
}
