//! `countersign demo` as a script calls it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::command::{BINARY, countersign, text};

#[test]
fn a_demo_prints_only_json_when_asked_and_its_folder_belongs_to_its_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let out = out.to_str().unwrap();
    let made = countersign(&["demo", "--out", out, "--devices", "1", "--hops", "1", "-o", "json"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let manifest: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(manifest["devices"][0]["hops"][0]["to"], "factory-y");

    // The demo asks OpenSSL too, where it is installed, and does not end well against its judgement.
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("openssl"), "#!/bin/sh\n[ \"$1\" = version ]\n").unwrap();
    fs::set_permissions(tools.join("openssl"), Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let same = ["demo", "--out", out, "--devices", "1", "--hops", "1", "-o", "json"];
    let doubted = Command::new(BINARY).args(same).env("PATH", path).stdin(Stdio::null()).output().unwrap();
    assert_eq!(doubted.status.code(), Some(1), "{}", text(&doubted.stderr));
    assert!(text(&doubted.stderr).contains("error[REFUSED_BY_OPENSSL]"), "{}", text(&doubted.stderr));

    let other = countersign(&["demo", "--out", out, "--devices", "2", "--hops", "1", "-o", "json"]);
    assert_eq!((other.status.code(), text(&other.stdout).as_str()), (Some(1), ""));
    assert!(text(&other.stderr).contains("DEMO_DIR_DIFFERS"));
    std::fs::remove_file(folder.path().join("demo/demo-parameters.json")).unwrap();
    let not_a_demo = countersign(&["demo", "--out", out, "--devices", "1", "--hops", "1"]);
    assert_eq!(not_a_demo.status.code(), Some(1));
    assert!(text(&not_a_demo.stderr).contains("DEMO_DIR_DIFFERS"));
}

#[test]
fn a_demo_that_is_refused_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--hops", "7"], 1, "CHAIN_TOO_DEEP"),
        (&["--hops", "0"], 2, "--hops"),
        (&["--devices", "0"], 2, "--devices"),
        (&["--devices", "many"], 2, "--devices"),
    ];
    for (flags, code, said) in cases {
        let ended = countersign(&[&["demo", "--out", out.to_str().unwrap(), "-o", "json"], flags].concat());
        let stderr = text(&ended.stderr);
        assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(code), ""), "{flags:?}: {stderr}");
        assert!(stderr.contains(said), "{flags:?}: {stderr}");
        assert!(!out.exists(), "{flags:?}");
    }
}

#[test]
fn a_demo_whose_folder_cannot_be_made_ends_with_three() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let ended = countersign(&["demo", "--out", file.join("demo").to_str().unwrap(), "-o", "json"]);
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(3), ""), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).starts_with("error["), "{}", text(&ended.stderr));
}

#[test]
fn a_demo_ends_with_devices_at_the_hub_one_cut_off_and_why_and_so_does_its_repetition() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let arguments = ["demo", "--out", out.to_str().unwrap(), "--devices", "3", "--hops", "2"];
    let known = api::reason_table::explain("CA_DISABLED").unwrap();
    let mut manifests = Vec::new();
    for repeated in [false, true] {
        let ended = countersign(&arguments);
        let told = text(&ended.stdout);
        assert_eq!(ended.status.code(), Some(0), "{told}\n{}", text(&ended.stderr));
        let proven = if repeated { "root is verified already" } else { "signed the code " };
        let (meaning, remedy) = (format!("meaning: {}", known.meaning), format!("what to do: {}", known.remedy));
        let in_order = [
            proven,
            "sn0000001 by MQTT: accepted, sent 5 messages",
            "sn0000002 by AMQP: accepted, sent 5 messages",
            "sn0000003 by HTTPS: accepted, sent 5 messages",
            "with temperatureAlert=true:\n  {\"deviceId\":\"sn0000001\"",
            "Lot t7 is reported stolen",
            "sn0000001 by MQTT: the hub refused the device: ",
            ": CA_DISABLED\n",
            &meaning,
            &remedy,
            "the key is enabled",
            "sn0000001 by MQTT: accepted, sent 5 messages",
        ];
        let mut rest = told.as_str();
        for words in in_order {
            let (_, after) = rest.split_once(words).unwrap_or_else(|| panic!("{words:?} is missing in:\n{told}"));
            rest = after;
        }
        manifests.push(std::fs::read(out.join("manifest.json")).unwrap());
    }
    assert_eq!(manifests[0], manifests[1]);
}
