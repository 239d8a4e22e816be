//! `countersign inspect`: every file of a demo is known, everything else is refused by name.

use std::fs;

use crate::{
    demo_folder::{demo, inside},
    run::countersign,
};

#[test]
fn every_kind_of_file_of_a_demo_is_told_in_words_and_as_json() {
    let folder = demo(2);
    let device = |file: &str| format!("devices/sn0000001/{file}");
    let files = [
        device("chain.pem"),
        device("device.pem"),
        device("fullchain.pem"),
        device("device.pfx"),
        device("key.pem"),
        "trust/root.pem".to_owned(),
        "trust/bundle.json".to_owned(),
        "company-x/alice.approval.pub".to_owned(),
    ];
    for file in files {
        let path = inside(&folder, &file);
        let found = countersign(&["inspect", &path, "-o", "json"]);
        assert_eq!((found.code, found.stderr.as_str()), (Some(0), ""), "{file}");
        let json = found.json();
        let what = json["what"].as_str().unwrap().to_owned();
        assert!(!what.is_empty(), "{file}: {json}");
        let facts = json["facts"].as_array().unwrap();
        assert!(!facts.is_empty() && facts.iter().all(serde_json::Value::is_object), "{file}: {json}");
        let words = countersign(&["inspect", &path]);
        assert_eq!(words.code, Some(0), "{file}");
        assert!(words.stdout.starts_with(&what), "{file}: {}", words.stdout);
    }
    let chain = countersign(&["inspect", &inside(&folder, &device("chain.pem")), "-o", "json"]).json();
    assert_eq!(chain["facts"].as_array().unwrap().len(), 3, "one entry for each certificate: {chain}");
}

#[test]
fn a_private_key_is_never_printed() {
    let folder = demo(2);
    let pem = fs::read_to_string(folder.join("devices/sn0000001/key.pem")).unwrap();
    for file in ["devices/sn0000001/key.pem", "devices/sn0000001/device.pfx"] {
        let found = countersign(&["inspect", &inside(&folder, file)]);
        for line in pem.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!found.stdout.contains(line), "{file}");
        }
    }
}

#[test]
fn what_is_nothing_known_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let half = fs::read_to_string(demo(2).join("devices/sn0000001/device.pem")).unwrap();
    let contents: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("words", b"hello"),
        ("zeros", &[0; 4096]),
        ("half.pem", &half.as_bytes()[..half.len() / 2]),
        ("nonsense.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("bundle.json", b"{\"version\":1}"),
    ];
    for (name, content) in contents {
        let path = inside(folder.path(), name);
        fs::write(&path, content).unwrap();
        countersign(&["inspect", &path]).assert_failed(1, "FILE_MALFORMED");
        countersign(&["inspect", &path, "-o", "json"]).assert_failed(1, "FILE_MALFORMED");
    }
}

#[test]
fn a_missing_file_and_a_folder_are_no_content() {
    let folder = tempfile::tempdir().unwrap();
    countersign(&["inspect", &inside(folder.path(), "absent")]).assert_failed(3, "FILE_MISSING");
    countersign(&["inspect", folder.path().to_str().unwrap()]).assert_failed(3, "FILE_UNREADABLE");
    countersign(&["inspect"]).assert_usage("FILE");
}

#[test]
fn a_pfx_opens_with_its_password_only() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (inside(folder.path(), "right"), inside(folder.path(), "wrong"));
    fs::write(&right, "1234").unwrap();
    fs::write(&wrong, "4321").unwrap();
    let pfx = inside(&demo(2), "devices/sn0000001/device.pfx");
    assert_eq!(countersign(&["inspect", &pfx, "--password-file", &right]).code, Some(0));
    let refused = countersign(&["inspect", &pfx, "--password-file", &wrong]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
    let absent = inside(folder.path(), "absent");
    countersign(&["inspect", &pfx, "--password-file", &absent]).assert_failed(3, "FILE_MISSING");
}
