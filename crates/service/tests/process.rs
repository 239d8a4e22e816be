//! The probe service as a process of its own: flags, the READY line, signals, exit codes. Runs itself as that process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};

use service::identity::Role;
use support::probe::{LINE, OWN, Probe, ask};
use support::{Ca, Home, expected};
use tonic_health::pb::health_client::HealthClient;

const SAMPLE: &str = include_str!("sample.toml");

fn main() -> ExitCode {
    let is_service = |argument: String| ["--config", "--help"].iter().any(|flag| argument.starts_with(flag));
    if std::env::args().any(is_service) {
        return service::shell::main(&Probe::default());
    }
    sigterm_ends_with_zero();
    a_drain_that_takes_too_long_is_cut_and_named();
    the_configuration_is_checked_and_the_store_made();
    refusals_have_their_exit_codes();
    a_fatal_stop_ends_with_one();
    a_panic_ends_the_process();
    a_log_that_takes_nothing_stops_nothing();
    println!("process: 7 passed");
    ExitCode::SUCCESS
}

struct Process {
    ca: Ca,
    home: Home,
}

impl Process {
    fn new() -> Self {
        let ca = Ca::new("factory");
        let home = Home::new(&ca.issue(&[OWN]), &[("factory-y", "factory.example", &ca)]);
        home.write("probe.toml", SAMPLE);
        Self { ca, home }
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--config").arg(self.home.path().join("probe.toml")).args(flags);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Exit code and stderr of a process that ends by itself.
    fn ends(&self, flags: &[&str]) -> (i32, String) {
        let output = self.command(flags).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The running process and its gRPC address.
    fn starts(&self) -> (Child, String) {
        Self::ready(&mut self.command(&[]))
    }

    fn ready(command: &mut Command) -> (Child, String) {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let line = line.strip_prefix("READY {\"grpc\":\"").unwrap_or_else(|| panic!("{line}"));
        let (grpc, rest) = line.split_once("\",\"health\":\"").unwrap();
        assert!(rest.ends_with("\"}\n"));
        (child, grpc.to_owned())
    }

    /// Calls the process once; whether it was answered is for the caller to judge.
    fn call(&self, address: &str, service: &str) -> bool {
        let peers = [("factory-y", "factory.example", &self.ca)];
        let client = Home::new(&self.ca.issue(&[LINE]), &peers);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = service::shell::World::real();
            let (own, limits) = (client.credentials(&peers), service::config::Limits::default());
            let peer = expected("factory-y", Role::IntermediateCa);
            let channel = service::client::connect(&world.network, address, peer, &own, &limits).unwrap();
            HealthClient::new(channel).check(ask(service)).await.is_ok()
        })
    }
}

fn stderr_of(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn sigterm_ends_with_zero() {
    let process = Process::new();
    let (mut child, address) = process.starts();
    assert!(process.call(&address, ""));
    assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(stderr_of(&mut child).contains("draining"));
}

fn a_drain_that_takes_too_long_is_cut_and_named() {
    let process = Process::new();
    process.home.write("probe.toml", &SAMPLE.replacen("drain_ms = 10000", "drain_ms = 20", 1));
    let (mut child, address) = process.starts();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| process.call(&address, "slow"));
        assert!(lines.any(|line| line.contains("a slow call begins")));
        assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
        assert!(lines.any(|line| line.contains("DRAIN_CUT")));
        assert!(!slow.join().unwrap());
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn the_configuration_is_checked_and_the_store_made() {
    let process = Process::new();
    let (code, text) = process.ends(&["--check-config"]);
    assert_eq!(code, 0, "{text}");
    assert!(!process.home.path().join("store").exists());
    assert_eq!(process.ends(&["--init-store"]).0, 0);
    let (code, text) = process.ends(&["--init-store"]);
    assert!(code == 1 && text.contains("STORE_DIR_NOT_EMPTY"), "{text}");
}

fn refusals_have_their_exit_codes() {
    let process = Process::new();
    let changed = |old: &str, new: &str| {
        process.home.write("probe.toml", &SAMPLE.replacen(old, new, 1));
        process.ends(&[])
    };
    let (code, text) = changed("[store]", "[stores]");
    assert!(code == 2 && text.contains("CONFIG_INVALID") && text.contains("stores"), "{text}");
    let (code, text) = changed("\"store\"", "\"refused\"");
    assert!(code == 2 && text.contains("this store is refused"), "{text}");
    let (code, text) = changed("\"info\"", "\"in=fo=x\"");
    assert!(code == 2 && text.contains("CONFIG_INVALID"), "{text}");
    let (code, text) = changed("\"own.pem\"", "\"other.pem\"");
    assert!(code == 3 && text.contains("FILE_MISSING") && text.contains("other.pem"), "{text}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("\"{}\"", taken.local_addr().unwrap());
    let (code, text) = changed("\"127.0.0.1:0\"", &address);
    assert!(code == 3 && text.contains("PORT_IN_USE"), "{text}");
    // RFC 5737: an address that is nobody's.
    let (code, text) = changed("\"127.0.0.1:0\"", "\"192.0.2.1:0\"");
    assert!(code == 3 && text.contains("LISTEN_FAILED") && text.contains("192.0.2.1"), "{text}");
    assert_eq!(process.ends(&["--what"]).0, 2);
}

fn a_fatal_stop_ends_with_one() {
    let process = Process::new();
    let (mut child, address) = process.starts();
    process.call(&address, "fatal");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(stderr_of(&mut child).contains("STORE_STOPPED"));
}

fn a_panic_ends_the_process() {
    let process = Process::new();
    let (mut child, address) = process.starts();
    assert!(!process.call(&address, "panic"));
    // Ended by SIGABRT, so there is no code.
    assert_eq!(child.wait().unwrap().code(), None);
    let text = stderr_of(&mut child);
    assert!(text.contains("aborting after a panic") && text.contains("PANIC"), "{text}");
}

/// As on a full disk: every line that is logged fails.
fn a_log_that_takes_nothing_stops_nothing() {
    let process = Process::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (mut child, address) = Process::ready(process.command(&[]).stderr(full));
    assert!(process.call(&address, "") && process.call(&address, ""));
    assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
