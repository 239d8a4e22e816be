//! The worked Python client at a running line: `clients/python` as its README says, with packages from PyPI.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::OnceLock,
};

use prost::Message as _;
use serde_json::Value;
use simulator::Plan;
use tempfile::TempDir;

use crate::{
    demo::{countersign, said},
    line::Line,
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

/// What the client needs, made as the README says: a Python with its packages, and the protos in Python.
struct Installed {
    python: PathBuf,
    protos: PathBuf,
}

impl Installed {
    fn get() -> &'static Self {
        static INSTALLED: OnceLock<Installed> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-client");
            let (venv, protos) = (folder.join("venv"), folder.join("protos"));
            let python = venv.join("bin/python");
            let requirements = repository().join("clients/python/requirements.txt");
            let wanted = fs::read(&requirements).unwrap();
            let stamp = folder.join("installed");
            if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
                let _ = fs::remove_dir_all(&folder);
                succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv));
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
                succeed(Command::new(&python).args(pip).arg(&requirements));
                fs::write(stamp, wanted).unwrap();
            }
            fs::create_dir_all(&protos).unwrap();
            let protoc =
                "$0 -m grpc_tools.protoc -I proto --python_out=$1 --grpc_python_out=$1 $(find proto -name '*.proto')";
            let mut sh = Command::new("sh");
            succeed(sh.current_dir(repository()).args(["-ec", protoc]).arg(&python).arg(&protos));
            Installed { python, protos }
        })
    }
}

/// A station that runs the client, at the line of some demo.
struct Station {
    address: String,
    /// The folder of the line's manufacturer.
    own: PathBuf,
    out: TempDir,
}

impl Station {
    fn new(address: &str, own: PathBuf) -> Self {
        Self { address: address.to_owned(), own, out: tempfile::tempdir().unwrap() }
    }

    fn of(line: &Line) -> Self {
        Self::new(line.address(), line.file(""))
    }

    fn command(&self, device_id: &str, flags: &[&str]) -> Command {
        let installed = Installed::get();
        let mut command = Command::new(&installed.python);
        command.env("PYTHONPATH", &installed.protos).env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(repository().join("clients/python/provision.py")).args([device_id, "--address", &self.address]);
        for (flag, file) in [("--certificate", "station.pem"), ("--key", "station.key"), ("--ca", "service-ca.pem")] {
            command.arg(flag).arg(self.own.join(file));
        }
        command.arg("--out").arg(self.out.path()).args(flags);
        command
    }

    fn run(&self, device_id: &str, flags: &[&str]) -> Ended {
        Ended::of(&self.command(device_id, flags).output().unwrap())
    }

    /// The client while it waits to ask again.
    fn waiting(&self, device_id: &str, flags: &[&str]) -> Waiting {
        let mut command = self.command(device_id, flags);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.lines().any(|line| line.starts_with("again in ")) {
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "ended without waiting: {said}");
        }
        Waiting { child, stderr, said }
    }

    fn file(&self, device_id: &str, name: &str) -> PathBuf {
        self.out.path().join(device_id).join(name)
    }

    fn chain(&self, device_id: &str) -> Vec<u8> {
        fs::read(self.file(device_id, "chain.pem")).unwrap()
    }
}

/// How a client ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The unit that it made and confirmed, without its state: the hub hears of it a moment later, or before the client asks.
    fn unit(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        let mut unit: Value = serde_json::from_str(&self.stdout).unwrap();
        let state = unit["state"].take();
        assert!(["WRITTEN", "REGISTERED"].contains(&state.as_str().unwrap()), "{state}");
        unit
    }

    /// How many units its preflight saw.
    fn units_left(&self) -> u64 {
        let (before, _) = self.stderr.split_once(" units left").unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn assert_refused(&self, code: i32, reason: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.contains(&format!("error: {reason}: ")), "{reason}: {}", self.stderr);
        assert!(self.stderr.contains(&format!("countersign explain {reason}")), "{}", self.stderr);
    }
}

/// A client that found nobody and will ask again.
struct Waiting {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Waiting {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self) -> Ended {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Ended { stderr: self.said, ..Ended::of(&output) }
    }
}

/// `demo --stay`, ended with the test.
struct Staying {
    child: Child,
    json: Value,
    out: PathBuf,
    _folder: TempDir,
}

impl Staying {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("demo");
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.args(["demo", "--devices", "1", "--stay", "--out"]).arg(&out);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = lines.find_map(|line| line.strip_prefix("READY ").map(PathBuf::from)).unwrap();
        let json = serde_json::from_slice(&fs::read(ready).unwrap()).unwrap();
        Self { child, json, out, _folder: folder }
    }

    fn station(&self) -> Station {
        let services = self.json["services"].as_array().unwrap();
        let line = services.iter().find(|service| service["role"] == "provisioner").unwrap();
        Station::new(line["grpc"].as_str().unwrap(), self.out.join(line["manufacturer"].as_str().unwrap()))
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A CSR by OpenSSL, as a device that makes its own key would give it.
fn csr_by_openssl(folder: &Path, device_id: &str, new_key: &[&str]) -> String {
    let (key, csr) = (folder.join("device.key"), folder.join(format!("{device_id}.csr")));
    let subject = format!("/CN={device_id}");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-noenc", "-subj", &subject]).args(new_key);
    succeed(openssl.arg("-keyout").arg(key).arg("-out").arg(&csr));
    csr.to_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs python3-venv, PyPI and openssl"]
fn a_unit_is_provisioned_and_a_repetition_gets_the_same_and_spends_nothing() {
    let demo = Staying::start();
    let station = demo.station();
    let bundle = demo.out.join("trust/bundle.json");
    let first = station.run("SN0000042", &[]);
    let unit = first.unit();
    assert_eq!((&unit["device_id"], &unit["lot"], &unit["generation"]), (&"sn0000042".into(), &"t7".into(), &1.into()));
    let chain = station.chain("sn0000042");
    let verified =
        countersign(&["verify", "-o", "json", "--trust", bundle.to_str().unwrap(), unit["chain"].as_str().unwrap()]);
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["valid"], &verified["device_id"]), (&true.into(), &"sn0000042".into()), "{verified}");
    let mode = fs::metadata(station.file("sn0000042", "key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // As after an interruption: only what was on disk before the first call is still there.
    for file in ["chain.pem", "device.pem"] {
        fs::remove_file(station.file("sn0000042", file)).unwrap();
    }
    let again = station.run("sn0000042", &[]);
    assert_eq!(again.unit(), unit);
    assert_eq!(station.chain("sn0000042"), chain);
    assert_eq!(again.units_left(), first.units_left() - 1);

    let folder = tempfile::tempdir().unwrap();
    let csr = csr_by_openssl(folder.path(), "sn0000043", &["-newkey", "rsa:2048"]);
    let judged = station.run("sn0000043", &["--csr", &csr, "--validate-only"]);
    assert_eq!((judged.code, judged.stdout.as_str()), (Some(0), "{\"device_id\": \"sn0000043\", \"valid\": true}\n"));
    let by_openssl = station.run("sn0000043", &["--csr", &csr]);
    assert_eq!(by_openssl.units_left(), judged.units_left(), "judging spends nothing");
    assert_eq!(judged.units_left(), again.units_left(), "repeating spends nothing");
    assert_eq!(by_openssl.unit()["lot"], "t7");
    assert!(!station.file("sn0000043", "key.pem").exists(), "the device's key stays where it is");
}

#[test]
#[ignore = "needs python3-venv, PyPI and openssl"]
fn what_a_repetition_cannot_change_is_refused_at_once_by_name() {
    let demo = Staying::start();
    let (station, other) = (demo.station(), demo.station());
    let folder = tempfile::tempdir().unwrap();
    let p521 = csr_by_openssl(
        folder.path(),
        "sn0000044",
        &["-sha512", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
    );
    let refused = station.run("sn0000044", &["--csr", &p521]);
    refused.assert_refused(1, "CSR_KEY_NOT_ALLOWED");
    station.run("sn0000045", &[]).unit();
    let same_device_other_key = other.run("sn0000045", &[]);
    same_device_other_key.assert_refused(1, "DEVICE_ID_TAKEN");
    let malformed = station.run("sn_0000046", &[]);
    malformed.assert_refused(1, "DEVICE_ID_INVALID");
    for ended in [refused, same_device_other_key, malformed] {
        assert!(!ended.stderr.contains("again in "), "{}", ended.stderr);
    }
    let other_lot = station.run("sn0000045", &["--lot", "t8"]);
    assert_eq!(other_lot.code, Some(1), "{}", other_lot.stderr);
    assert!(other_lot.stderr.contains("request.json"), "{}", other_lot.stderr);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3-venv and PyPI"]
async fn a_lost_signer_is_waited_for_and_a_killed_station_goes_on_where_it_was() {
    let mut line = Line::start(&Plan::new(1, 1).unwrap()).await;
    let station = Station::of(&line);
    let before = line.station().tally().await;
    let manufacturer = line.manufacturer().to_owned();

    let signer = line.world.kill_service(&manufacturer, "intermediate-ca").await.unwrap();
    let waiting = station.waiting("sn0000042", &["--skip-preflight"]);
    assert!(waiting.said.contains("UPSTREAM_UNREACHABLE"), "{}", waiting.said);
    line.world.start_again(signer).await.unwrap();
    waiting.end().unit();

    let signer = line.world.kill_service(&manufacturer, "intermediate-ca").await.unwrap();
    station.waiting("sn0000043", &["--skip-preflight"]).kill();
    let asked = fs::read(station.file("sn0000043", "request.json")).unwrap();
    line.world.start_again(signer).await.unwrap();
    station.run("sn0000043", &[]).unit();
    assert_eq!(fs::read(station.file("sn0000043", "request.json")).unwrap(), asked);
    assert_eq!(line.station().tally().await.provisioned, before.provisioned + 2);
    line.world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3-venv and PyPI"]
async fn nobody_at_the_address_ends_with_three_when_patience_is_over() {
    let line = Line::start(&Plan::new(1, 1).unwrap()).await;
    let station = Station::of(&line);
    drop(line.world);
    let ended = station.run("sn0000042", &["--patience", "1"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("error: UNAVAILABLE: "), "{}", ended.stderr);
}

/// gRPC's own repetition, by the file that any gRPC library reads.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3-venv and PyPI"]
async fn by_the_service_config_grpc_repeats_what_is_unavailable_five_times_and_nothing_else() {
    let mut line = Line::start(&Plan::new(1, 1).unwrap()).await;
    let station = Station::of(&line);
    let log = line.file("provisioner.log");
    let calls = || fs::read_to_string(&log).unwrap().matches("ProvisioningService/Provision\"").count();
    let config = repository().join("clients/python/service-config.json");
    let flags = ["--skip-preflight", "--service-config", config.to_str().unwrap()];

    let before = calls();
    station.run("sn-0000042-", &flags).assert_refused(1, "DEVICE_ID_INVALID");
    assert_eq!(calls() - before, 1);
    let manufacturer = line.manufacturer().to_owned();
    let signer = line.world.kill_service(&manufacturer, "intermediate-ca").await.unwrap();
    let before = calls();
    station.run("sn0000042", &flags).assert_refused(3, "UPSTREAM_UNREACHABLE");
    assert_eq!(calls() - before, 5);
    line.world.start_again(signer).await.unwrap();
    station.run("sn0000042", &flags).unit();
    line.world.stop().await.unwrap();
}

/// Names every call that has one request and one answer, and no other: gRPC ignores a name that it does not know.
#[test]
fn the_service_config_names_every_unary_call_of_the_line_and_repeats_unavailable_alone() {
    let file = repository().join("clients/python/service-config.json");
    let config: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let [method] = config["methodConfig"].as_array().unwrap().as_slice() else { panic!("{config}") };
    assert_eq!(method["retryPolicy"]["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE"]));
    let package = "countersign.provisioning.v1";
    let mut named: Vec<String> = Vec::new();
    for name in method["name"].as_array().unwrap() {
        assert_eq!(name["service"], format!("{package}.ProvisioningService"));
        named.push(name["method"].as_str().unwrap().to_owned());
    }
    let protos = prost_types::FileDescriptorSet::decode(api::FILE_DESCRIPTOR_SET).unwrap();
    let services = protos.file.iter().filter(|file| file.package() == package).flat_map(|file| &file.service);
    let unary = services.flat_map(|service| &service.method).filter(|m| !m.client_streaming() && !m.server_streaming());
    let mut unary: Vec<String> = unary.map(|m| m.name().to_owned()).collect();
    // Stations may not call them.
    unary.retain(|name| !["ListQuarantine", "SendAgain"].contains(&name.as_str()));
    named.sort();
    unary.sort();
    assert_eq!(named, unary);
}
