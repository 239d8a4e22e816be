//! A service's store on disk: made once, opened by its service alone.

use std::path::Path;

use records::{commit_one, init_store, open_store};
use service::{metrics::Metrics, shell::Stop};

use super::{act, lot_key, lot_unit};

fn refusal(directory: &Path, service: &str, manufacturer: &str) -> (&'static str, u8) {
    let refused =
        open_store(directory, service, manufacturer, &Stop::default(), &Metrics::new()).map(|_| ()).unwrap_err();
    (refused.reason(), refused.exit_code())
}

#[test]
fn a_store_is_opened_by_the_service_and_manufacturer_it_was_made_for() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    init_store(&directory, "root-ca", "company-x").unwrap();
    assert_eq!(refusal(&directory, "intermediate-ca", "company-x"), ("STORE_OF_ANOTHER_SERVICE", 1));
    assert_eq!(refusal(&directory, "root-ca", "factory-y"), ("STORE_OF_ANOTHER_SERVICE", 1));
    assert!(open_store(&directory, "root-ca", "company-x", &Stop::default(), &Metrics::new()).is_ok());
}

#[test]
fn what_was_committed_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    init_store(&directory, "root-ca", "company-x").unwrap();
    let open = || open_store(&directory, "root-ca", "company-x", &Stop::default(), &Metrics::new()).unwrap().store;
    let store = open();
    commit_one(store.as_ref(), lot_unit(&act(1), "b1")).unwrap().unwrap();
    let head = store.head();
    drop(store);
    let store = open();
    assert_eq!(store.head(), head);
    assert!(store.get(&lot_key("b1")).unwrap().is_some());
}

#[test]
fn a_path_without_a_store_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let typo = folder.path().join("stroe");
    assert_eq!(refusal(&typo, "root-ca", "company-x"), ("STORE_NOT_INITIALISED", 3));
    assert!(!typo.exists());
}

#[test]
fn a_store_is_used_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    init_store(&directory, "root-ca", "company-x").unwrap();
    let open = open_store(&directory, "root-ca", "company-x", &Stop::default(), &Metrics::new()).unwrap().store;
    assert_eq!(refusal(&directory, "root-ca", "company-x"), ("STORE_IN_USE", 3));
    drop(open);
    assert!(open_store(&directory, "root-ca", "company-x", &Stop::default(), &Metrics::new()).is_ok());
}

#[test]
fn a_directory_with_something_in_it_is_not_initialised() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes"), "mine").unwrap();
    assert_eq!(init_store(folder.path(), "root-ca", "company-x").unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
    let directory = folder.path().join("store");
    init_store(&directory, "root-ca", "company-x").unwrap();
    assert_eq!(init_store(&directory, "root-ca", "company-x").unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
}

#[test]
fn two_stores_never_have_the_same_identity() {
    let folder = tempfile::tempdir().unwrap();
    let heads: Vec<_> = ["one", "two"]
        .map(|name| {
            let directory = folder.path().join(name);
            init_store(&directory, "root-ca", "company-x").unwrap();
            open_store(&directory, "root-ca", "company-x", &Stop::default(), &Metrics::new())
                .unwrap()
                .store
                .head()
                .chain
        })
        .to_vec();
    assert_ne!(heads[0], heads[1]);
}
