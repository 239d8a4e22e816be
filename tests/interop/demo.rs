//! Directories as the demo writes them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Mutex,
};

use serde_json::Value;

/// Every number of hops that must work.
pub(crate) const HOPS: [usize; 4] = [1, 2, 3, 6];

/// How many devices each demo provisions.
pub(crate) const DEVICES: usize = 2;

/// The directory of a demo with that many hops, made at the first call.
pub(crate) fn demo(hops: usize) -> PathBuf {
    made(format!("interop-{hops}-hops"), hops, &[])
}

/// The same with name constraints that mbedTLS can read.
pub(crate) fn compatible_demo(hops: usize) -> PathBuf {
    made(format!("interop-{hops}-hops-compatible"), hops, &["--compatible"])
}

fn made(name: String, hops: usize, flags: &[&str]) -> PathBuf {
    // Held while a demo runs, so that two tests do not make the same one.
    static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    // A test that failed while it made another demo does not spoil this one.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !made.contains(&name) {
        // What an earlier run left would be replayed.
        let _ = fs::remove_dir_all(&directory);
        let output = run_demo(&directory, hops, flags);
        assert!(output.status.success(), "a demo with {hops} hops: {}", said(&output));
        made.push(name);
    }
    directory
}

/// Runs a demo to its end.
pub(crate) fn run_demo(directory: &Path, hops: usize, flags: &[&str]) -> Output {
    let (hops, devices) = (hops.to_string(), DEVICES.to_string());
    let demo = ["demo", "--hops", &hops, "--devices", &devices, "--out", directory.to_str().unwrap()];
    countersign(&[&demo, flags].concat())
}

/// Runs the command under test to its end.
pub(crate) fn countersign(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign-under-test")).args(arguments).output().unwrap()
}

/// What a demo says it made.
pub(crate) fn manifest(directory: &Path) -> Vec<Value> {
    let manifest: Value = serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap();
    let devices = manifest["devices"].as_array().unwrap().clone();
    assert_eq!(devices.len(), DEVICES, "{manifest}");
    devices
}

/// Exit code and both outputs, for a failed test's message.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n--- stdout\n{}\n--- stderr\n{}", output.status, text(&output.stdout), text(&output.stderr))
}
