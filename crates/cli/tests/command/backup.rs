//! `countersign backup`: the store of each service, while it serves.

use std::fs;

use crate::{chain, run::Ended};

const SERVICES: [(&str, &str); 5] = [
    ("company-x/alice", "root-ca"),
    ("factory-y/operator", "intermediate-ca"),
    ("technician-z/operator", "intermediate-ca"),
    ("technician-z/operator", "provisioner"),
    ("company-x/alice", "hub"),
];

fn backup(who: &str, role: &str, folder: &str) -> Ended {
    chain::shared().run(who, &format!("backup --at {role} --out {folder} -o json"))
}

#[test]
fn every_services_store_is_copied_while_it_serves() {
    let chain = chain::shared();
    chain.lot_at_line("po-backup", "bk1", 3);
    let folder = tempfile::tempdir().unwrap();
    for (number, (who, role)) in SERVICES.into_iter().enumerate() {
        let out = folder.path().join(number.to_string());
        let before = chain.ok(who, &format!("store show --at {role}"))["store"].clone();
        let ended = backup(who, role, out.to_str().unwrap());
        assert_eq!(ended.code, Some(0), "{who} {role}: {}", ended.stderr);
        let said = ended.json();
        for (of_copy, of_store) in [("service", "service"), ("manufacturer", "manufacturer")] {
            assert_eq!(said[of_copy], before[of_store], "{who} {role}");
        }
        assert!(said["journal_position"].as_u64().unwrap() >= before["journalPosition"].as_u64().unwrap_or_default());
        let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["copy", "journal"], "the journal, whose it is, and nothing else");
    }
}

#[test]
fn a_backup_overwrites_nothing_and_is_for_operators() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    fs::write(folder.path().join("precious"), "x").unwrap();
    backup("factory-y/operator", "intermediate-ca", out).assert_failed(1, "STORE_DIR_NOT_EMPTY");
    backup("technician-z/station", "provisioner", &format!("{out}/new")).assert_failed(1, "RPC_NOT_ALLOWED");
    backup("factory-y/operator", "nonsense", out).assert_failed(2, "USAGE");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
