//! `countersign bench` as people and scripts call it: what it prints, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

fn countersign(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign")).current_dir(folder).args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

#[test]
fn a_local_measurement_prints_the_promised_json_alone_and_leaves_nothing() {
    for (target, mode) in [("signer", "stream"), ("line", "unary")] {
        let folder = tempfile::tempdir().unwrap();
        let short = ["--duration", "500ms", "--warmup", "100ms", "--clients", "2", "--in-flight", "16"];
        let fixed = ["bench", "--local", "--target", target, "--mode", mode, "-o", "json"];
        let done = countersign(folder.path(), &[fixed.as_slice(), short.as_slice()].concat());
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let fields: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        let mut promised = [
            "mode",
            "target",
            "issued",
            "errors",
            "seconds",
            "certs_per_s",
            "ceiling_per_s",
            "share",
            "latency_us",
            "cpu_us_per_cert",
            "syncs_per_cert",
            "bytes_per_cert",
            "rss_bytes",
            "rss_growth_per_min",
            "descriptors",
        ];
        promised.sort_unstable();
        let mut found = fields;
        found.sort_unstable();
        assert_eq!(found, promised);
        assert_eq!((report["target"].as_str(), report["mode"].as_str()), (Some(target), Some(mode)));
        assert_eq!(report["errors"], 0);
        let issued = report["issued"].as_f64().unwrap();
        assert!(issued > 0.0 && (report["certs_per_s"].as_f64().unwrap() - issued / 0.5).abs() < 0.01);
        for (of, field) in [
            ("latency_us", "p50"),
            ("latency_us", "p999"),
            ("cpu_us_per_cert", "server"),
            ("cpu_us_per_cert", "client"),
        ] {
            assert!(report[of][field].as_f64().is_some(), "{of}.{field}");
        }
        for positive in ["share", "ceiling_per_s", "syncs_per_cert", "bytes_per_cert", "rss_bytes"] {
            assert!(report[positive].as_f64().unwrap() > 0.0, "{positive}");
        }
        assert!(report["rss_growth_per_min"].as_f64().is_some());
        let open = report["descriptors"].as_array().unwrap();
        assert!(open.len() == 2 && open.iter().all(|count| count.as_u64().unwrap() > 0), "before and after: {open:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "stores and keys are removed");
    }
}

#[test]
fn a_hub_is_measured_with_devices_of_its_own_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let done = countersign(
        folder.path(),
        &[
            "bench",
            "--local",
            "--target",
            "hub",
            "--devices",
            "6",
            "--clients",
            "2",
            "--in-flight",
            "4",
            "--duration",
            "300ms",
            "--warmup",
            "50ms",
            "-o",
            "json",
        ],
    );
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&report["target"], &report["devices"], &report["intermediates"]),
        (&"hub".into(), &6.into(), &3.into())
    );
    for (phase, connected) in [("first", 6), ("bare", 18), ("storm", 18)] {
        assert_eq!((&report[phase]["connected"], &report[phase]["errors"]), (&connected.into(), &0.into()), "{phase}");
        assert!(report[phase]["latency_us"]["p99"].as_u64().unwrap() > 0);
    }
    assert_eq!(report["judging_us"]["count"], 6);
    let positive = ["storm_share", "rss_bytes", "rss_before_bytes"].map(|field| &report[field]);
    let telemetry = ["messages", "per_s"].map(|field| &report["telemetry"][field]);
    for number in positive.into_iter().chain(telemetry) {
        assert!(number.as_f64().unwrap() > 0.0, "{report}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "stores and keys are removed");
}

#[test]
fn what_cannot_be_measured_is_a_flag_error_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("used")).unwrap();
    std::fs::write(folder.path().join("used/file"), b"").unwrap();
    let wrong: [&[&str]; 9] = [
        &["--target", "hub", "--mode", "unary"],
        &["--target", "hub", "--rate", "5"],
        &["--target", "hub", "--duration", "0s"],
        &["--target", "signer", "--key", "server"],
        &["--duration", "0s"],
        &["--duration", "20"],
        &["--rate", "0"],
        &["--rate=-5"],
        &["--out", "used"],
    ];
    for flags in wrong {
        let refused = countersign(folder.path(), &[&["bench", "--local", "-o", "json"], flags].concat());
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {}", text(&refused.stderr));
        assert!(refused.stdout.is_empty());
    }
    let hub = countersign(folder.path(), &["bench", "--target", "hub"]);
    assert_eq!(hub.status.code(), Some(2), "a hub is measured with --local: {}", text(&hub.stderr));
    let alone = countersign(folder.path(), &["bench"]);
    assert_eq!(alone.status.code(), Some(3), "no demo stays here: {}", text(&alone.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A demo that stays; ended when the test ends.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn a_staying_demo_can_be_driven_and_refusals_end_in_exit_1_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_countersign"));
    demo.current_dir(folder.path()).args(["demo", "--stay", "--devices", "1", "--hops", "1"]).stdout(Stdio::piped());
    let mut demo = Demo(demo.spawn().unwrap());
    let lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    lines.map(Result::unwrap).find(|line| line.starts_with("READY ")).expect("the demo stays");

    let gentle = ["bench", "--target", "line", "--rate", "40", "--duration", "500ms", "--warmup", "0s", "-o", "json"];
    let done = countersign(folder.path(), &gentle);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));

    // The demo's lot has about five thousand units: more cannot be had, whoever asks.
    let greedy =
        ["bench", "--target", "signer", "--prefill", "6000", "--duration", "100ms", "--warmup", "0s", "-o", "json"];
    let spent = countersign(folder.path(), &greedy);
    assert_eq!(spent.status.code(), Some(1), "{}", text(&spent.stderr));
    let report: Value = serde_json::from_slice(&spent.stdout).unwrap();
    assert!(report["errors"].as_u64().unwrap() > 900);
    assert!(text(&spent.stderr).contains("QUANTITY_SPENT"));
}
