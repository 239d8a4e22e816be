//! A service as a child process: started with its configuration, ready when it says so, ended by SIGTERM or killed.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// How to start services: a program and the arguments before the service's name.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// For `countersign` itself: its hidden subcommand.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// `countersign` at this path, which runs every service by its hidden subcommand.
    #[must_use]
    pub fn countersign(path: PathBuf) -> Self {
        Self { path, arguments: vec!["service".into()] }
    }
}

/// One service of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in the world: `<manufacturer>/<service>`.
    pub name: String,
    /// `root-ca`, `intermediate-ca`, `hub` or `provisioner`.
    pub kind: &'static str,
    /// Whose it is.
    pub manufacturer: String,
    /// Its configuration file.
    pub config: PathBuf,
}

/// A running service.
#[derive(Debug)]
pub struct ServiceProcess {
    /// What runs.
    pub service: Service,
    /// `host:port` of its gRPC.
    pub grpc: String,
    /// `host:port` of its probes.
    pub health: String,
    /// `host:port` of what it is open for beside these, by name: a hub's `mqtt`, `amqp` and `https`.
    pub further: BTreeMap<String, String>,
    /// Its process id.
    pub pid: u32,
    child: Child,
    /// Its standard input. When this end is gone, however we ended, the service ends too.
    _lifeline: ChildStdin,
}

#[derive(Deserialize)]
struct Ready {
    grpc: String,
    health: String,
    #[serde(flatten)]
    further: BTreeMap<String, String>,
}

/// A service that ended before it was ready, and why.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended before it was ready: {said}")]
pub struct NotStarted {
    /// Its name in the world.
    pub name: String,
    /// The published reason that it gave, if it gave one.
    pub reason: Option<&'static str>,
    said: String,
}

impl NotStarted {
    /// What the last line of the log says: `<service>: <REASON>: <words>`.
    fn read(service: &Service, log: &Path) -> Self {
        let said = end_of(log);
        let last = said.rsplit(" | ").next().unwrap_or_default();
        let named = last.strip_prefix(service.kind).and_then(|rest| rest.strip_prefix(": ")).unwrap_or_default();
        let reason = named.split(':').next().and_then(api::reason_table::explain).map(|known| known.reason);
        Self { name: service.name.clone(), reason, said }
    }
}

const TO_START: Duration = Duration::from_secs(60);
const TO_END: Duration = Duration::from_secs(30);

impl ServiceProcess {
    /// Starts a service and waits until it is ready. What it logs goes to a file beside its configuration. It ends with this process
    /// at the latest, also when this process is killed.
    ///
    /// # Errors
    /// When it ends before it is ready, with the end of its log.
    pub async fn start(program: &Program, service: Service) -> anyhow::Result<Self> {
        let log_path = service.config.with_extension("log");
        let mut child = command(program, &service, &log_path, &["--until-stdin-ends"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        let pid = child.id().context("the process ended at once")?;
        // Not left in the child: waiting for it would close this, and so end it twice.
        let lifeline = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(TO_START, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(json) = line.strip_prefix("READY ") {
                    return Ok(serde_json::from_str::<Ready>(json)?);
                }
            }
            Err(anyhow::Error::new(NotStarted::read(&service, &log_path)))
        })
        .await
        .with_context(|| format!("{} was not ready in time", service.name))??;
        let Ready { grpc, health, further } = ready;
        Ok(Self { service, grpc, health, further, pid, child, _lifeline: lifeline })
    }

    /// Everything that it listens on, by the options of `[listen]`.
    pub(crate) fn bound(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = [("grpc", self.grpc.as_str())];
        own.into_iter().chain(self.further.iter().map(|(option, address)| (option.as_str(), address.as_str())))
    }

    /// Runs a service once with a flag, e.g. `--init-store`.
    ///
    /// # Errors
    /// When it fails, with the end of its log.
    pub async fn run_once(program: &Program, service: &Service, flag: &str) -> anyhow::Result<()> {
        let log_path = service.config.with_extension("log");
        let status = command(program, service, &log_path, &[flag])?.status().await?;
        if !status.success() {
            bail!("{} {flag} failed: {}", service.name, end_of(&log_path));
        }
        Ok(())
    }

    /// Ends the service by SIGTERM: it drains, flushes and exits.
    ///
    /// # Errors
    /// When it does not end in time, or not well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let status = timeout(TO_END, self.child.wait())
            .await
            .with_context(|| format!("{} did not end", self.service.name))??;
        if !status.success() {
            bail!("{} ended with {status}", self.service.name);
        }
        Ok(())
    }

    /// Kills the service as a power cut would.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal)?;
        Ok(())
    }
}

fn command(program: &Program, service: &Service, log: &Path, flags: &[&str]) -> anyhow::Result<Command> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .arg(service.kind)
        .arg("--config")
        .arg(&service.config)
        .args(flags)
        .stdin(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// The last lines of a log.
fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" | ")
}
