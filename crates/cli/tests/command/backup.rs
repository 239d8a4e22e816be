//! `countersign backup` and `restore`: the store of each service, copied while it serves. docs/recovery.md is the whole way.

use std::fs;

use crate::{
    chain,
    run::{Ended, countersign},
};

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
fn a_backup_of_any_service_makes_a_store_of_that_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    for (number, (who, role)) in SERVICES.into_iter().enumerate() {
        let (copy, store) = (path(&format!("copy-{number}")), path(&format!("store-{number}")));
        let taken = backup(who, role, &copy);
        assert_eq!(taken.code, Some(0), "{}", taken.stderr);
        let restored = countersign(&["restore", &copy, "--into", &store, "-o", "json"]);
        assert_eq!(restored.code, Some(0), "{}", restored.stderr);
        let (taken, restored) = (taken.json(), restored.json());
        assert_eq!(restored["restored_at"], taken["journal_position"]);
        assert_eq!((&restored["service"], &restored["manufacturer"]), (&taken["service"], &taken["manufacturer"]));
        countersign(&["restore", &copy, "--into", &store]).assert_failed(1, "STORE_DIR_NOT_EMPTY");
    }
}

#[test]
fn what_is_no_whole_backup_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, store) = (folder.path().join("copy"), folder.path().join("store"));
    let restore = || countersign(&["restore".as_ref(), copy.as_os_str(), "--into".as_ref(), store.as_os_str()]);
    restore().assert_failed(1, "STORE_COPY_MISSING");
    assert_eq!(backup("factory-y/operator", "intermediate-ca", copy.to_str().unwrap()).code, Some(0));
    let segment = fs::read_dir(copy.join("journal")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    restore().assert_failed(1, "JOURNAL_DAMAGED");
    assert!(!store.join("identity").exists());
    fs::write(&segment, whole).unwrap();
    assert_eq!(restore().code, Some(0));
}

#[test]
fn a_store_that_was_not_restored_has_nothing_to_reconcile() {
    let chain = chain::shared();
    for (who, role) in SERVICES {
        chain.refused(who, &format!("store reconcile --at {role}"), "STORE_NOT_SUSPENDED");
    }
    chain.run("factory-y/operator", "store reconcile --at intermediate-ca --seen nonsense").assert_failed(2, "USAGE");
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
