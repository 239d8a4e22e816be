//! What a store finds when it is opened again: its own work, a damaged index, and other people's files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mfg::{Movement, Quantity};
use pki::Sha256;
use store::{EmbeddedStore, Options, Position, Rule, Store, StoreIdentity, Unit};
use support::{Dir, completing, copy, flip, intent, key, listed, moving, names, one, opening, options, payload, unit};

/// A bit of everything; answers the position of the open intent.
fn fill(store: &dyn Store) -> Position {
    one(store, unit("1", &[("a", Rule::Absent)])).unwrap();
    one(store, unit("2", &[("a", Rule::Any), ("b", Rule::Absent)])).unwrap();
    one(store, opening("lot", 10)).unwrap();
    one(store, moving("lot", Movement::Reserve(3))).unwrap();
    one(store, moving("endless", Movement::Open(Quantity::Unlimited))).unwrap();
    one(store, listed("c", "x", "3")).unwrap();
    one(store, listed("c", "x", "4")).unwrap();
    let closed = one(store, intent("closed")).unwrap().position;
    let open = one(store, intent("open")).unwrap().position;
    one(store, completing(closed)).unwrap();
    open
}

fn check(store: &dyn Store, open: Position) {
    assert_eq!((payload(store, "a").unwrap(), payload(store, "b").unwrap()), ("2".into(), "2".into()));
    assert_eq!(store.tally(&key("lot")).unwrap().unwrap().reserved(), 3);
    assert_eq!(store.tally(&key("endless")).unwrap().unwrap().received(), Quantity::Unlimited);
    assert_eq!(names(store, "c", None, 9), [("x".to_owned(), "4".to_owned())]);
    assert_eq!(store.open_intents().unwrap(), [open]);
    assert!(store.receipt(open).unwrap().covers(&Sha256::of(b"open")));
}

#[test]
fn a_closed_store_opens_with_nothing_to_read() {
    let dir = Dir::new();
    let store = dir.open();
    let aside = fs::read_dir(dir.store()).unwrap().filter(|e| format!("{e:?}").contains("damaged")).count();
    assert_eq!(aside, 0, "a new store has nothing to put aside");
    let open = fill(&store);
    let head = store.head();
    drop(store);
    let store = dir.open();
    assert_eq!(store.opened().replayed, 0);
    assert_eq!(store.head(), head);
    check(&store, open);
    assert_eq!(store.identity(), &support::identity());
}

#[test]
fn a_crashed_store_catches_up_from_its_checkpoint() {
    let dir = Dir::new();
    let store = dir.open();
    let open = fill(&store);
    store.checkpoint().unwrap();
    drop(store);
    dir.commit_and_crash(vec![unit("5", &[("late", Rule::Absent)])]);
    let store = dir.open();
    assert_eq!((store.opened().replayed, store.opened().rebuilt), (1, false));
    check(&store, open);
    assert_eq!(payload(&store, "late").unwrap(), "5");
}

#[test]
fn the_index_is_rebuilt() {
    let lose = |how: &str, remove: &dyn Fn(&Dir)| {
        let dir = Dir::new();
        let open = fill(&dir.open());
        remove(&dir);
        let store = dir.open();
        assert!(store.opened().rebuilt, "{how}");
        check(&store, open);
        assert_eq!(one(&store, unit("", &[("b", Rule::Absent)])).unwrap_err().reason(), "KEY_TAKEN");
        drop(store);
        let again = dir.open();
        assert!(!again.opened().rebuilt);
        check(&again, open);
    };
    lose("no index", &|dir| fs::remove_dir_all(dir.store().join("index")).unwrap());
    lose("no checkpoint", &|dir| fs::remove_file(dir.store().join("checkpoint")).unwrap());
    lose("damaged checkpoint", &|dir| flip(&dir.store().join("checkpoint"), 5));
    lose("empty checkpoint", &|dir| fs::write(dir.store().join("checkpoint"), b"").unwrap());
    lose("index of noise", &|dir| fs::write(dir.store().join("index/db"), vec![0xA5; 100_000]).unwrap());
    lose("index cut off", &|dir| {
        let file = OpenOptions::new().write(true).open(dir.store().join("index/db")).unwrap();
        file.set_len(100).unwrap();
    });
}

/// Wherever a file of the index is wrong, the store answers rightly or not at all.
#[test]
fn a_damaged_index_never_makes_a_wrong_answer() {
    let dir = Dir::new();
    let store = dir.open();
    let open = fill(&store);
    let units = (0..300).map(|n| unit("", &[(&n.to_string(), Rule::Absent)])).collect();
    let positions: Vec<_> = store.commit(units).unwrap().into_iter().map(|unit| unit.unwrap().position).collect();
    drop(store);
    let kept = dir.0.path().join("kept");
    copy(&dir.store(), &kept);
    let runs = fs::read_dir(kept.join("index/keys")).unwrap().map(|entry| entry.unwrap().file_name());
    let runs = runs.map(|name| format!("index/keys/{}", name.into_string().unwrap()));
    let files: Vec<String> = runs.chain(["index/db".to_owned()]).collect();
    assert!(files.len() > 2, "names, the list of runs, and a run");
    for (file, part) in files.iter().flat_map(|file| (0..24).map(move |part| (file, part))) {
        let used = fs::read(kept.join(file)).unwrap().iter().rposition(|octet| *octet != 0).unwrap() as u64;
        fs::remove_dir_all(dir.store()).unwrap();
        copy(&kept, &dir.store());
        let file = OpenOptions::new().write(true).open(dir.store().join(file)).unwrap();
        file.write_all_at(&[0x5A; 40], part * used / 24).unwrap();
        let store = dir.open();
        for (n, position) in positions.iter().enumerate() {
            match store.get(&key(&n.to_string())) {
                Ok(found) => assert_eq!(found.unwrap().position, *position),
                Err(error) => assert!(["INDEX_DAMAGED", "STORE_STOPPED"].contains(&error.reason())),
            }
        }
        drop(store);
        check(&dir.open(), open);
    }
}

#[test]
fn an_older_index_is_rebuilt() {
    let dir = Dir::new();
    one(&dir.open(), unit("0", &[("first", Rule::Absent)])).unwrap();
    let kept = dir.0.path().join("kept");
    copy(&dir.store().join("index"), &kept);
    let open = fill(&dir.open());
    fs::remove_dir_all(dir.store().join("index")).unwrap();
    copy(&kept, &dir.store().join("index"));
    let store = dir.open();
    assert!(store.opened().rebuilt);
    check(&store, open);
}

#[test]
fn a_stale_pointer_is_found_when_it_is_followed() {
    // Two journals of one length; in the other one the first unit has both keys.
    let (dir, other) = (Dir::new(), Dir::new());
    one(&dir.open(), unit("1", &[("a", Rule::Absent)])).unwrap();
    one(&dir.open(), unit("2", &[("b", Rule::Absent)])).unwrap();
    one(&other.open(), unit("1", &[("a", Rule::Absent), ("b", Rule::Absent)])).unwrap();
    one(&other.open(), unit("two", &[])).unwrap();
    assert_eq!(other.open().head().position, dir.open().head().position);
    fs::remove_dir_all(dir.store().join("index/keys")).unwrap();
    copy(&other.store().join("index/keys"), &dir.store().join("index/keys"));
    let store = dir.open();
    assert_eq!(payload(&store, "a").unwrap(), "1");
    assert_eq!(store.get(&key("b")).unwrap_err().reason(), "INDEX_DAMAGED");
    assert_eq!(store.get(&key("a")).unwrap_err().reason(), "STORE_STOPPED");
    assert_eq!(store.commit(vec![unit("3", &[])]).unwrap_err().reason(), "STORE_STOPPED");
    drop(store);
    // It is not believed a second time.
    let store = dir.open();
    assert!(store.opened().rebuilt);
    assert_eq!(payload(&store, "b").unwrap(), "2");
    drop(store);
    assert!(!dir.open().opened().rebuilt);
}

#[test]
fn another_store_s_files_are_refused() {
    let dir = Dir::new();
    fill(&dir.open());
    let identity = fs::read_to_string(dir.store().join("identity")).unwrap();
    let changed = [("0707", "0808"), ("factory-y", "factory-z"), ("intermediate-ca", "root-ca")];
    for (from, to) in changed {
        fs::write(dir.store().join("identity"), identity.replacen(from, to, 1)).unwrap();
        assert_eq!(dir.refusal(), "JOURNAL_DAMAGED");
    }
}

#[test]
fn unknown_versions_are_refused() {
    let dir = Dir::new();
    fill(&dir.open());
    let path = dir.store().join("identity");
    let identity = fs::read_to_string(&path).unwrap();
    fs::write(&path, identity.replacen("store 1", "store 2", 1)).unwrap();
    assert_eq!(dir.refusal(), "STORE_FORMAT_UNKNOWN");
    for wrong in [
        "",
        "x",
        "countersign-store one\n",
        "countersign-store 1\n",
        &identity.replacen("07", "0g", 1),
        &format!("{identity}more\n"),
    ] {
        fs::write(&path, wrong).unwrap();
        assert_eq!(dir.refusal(), "STORE_IDENTITY_INVALID");
    }
    fs::write(&path, &identity).unwrap();
    let mut content = fs::read(dir.segment(0)).unwrap();
    content[8] = 2;
    let sum = crc32c::crc32c(&content[..76]).to_le_bytes();
    content[76..80].copy_from_slice(&sum);
    fs::write(dir.segment(0), content).unwrap();
    assert_eq!(dir.refusal(), "STORE_FORMAT_UNKNOWN");
}

#[test]
fn an_uninitialised_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("typo")] {
        assert_eq!(EmbeddedStore::open(&path, options()).unwrap_err().reason(), "STORE_NOT_INITIALISED");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn init_refuses_what_is_not_empty() {
    let dir = Dir::new();
    let again = EmbeddedStore::init(&dir.store(), &support::identity());
    assert_eq!(again.unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("thesis"), b"").unwrap();
    let refused = EmbeddedStore::init(other.path(), &support::identity());
    assert_eq!(refused.unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    assert_eq!(StoreIdentity::new("", "factory-y", [0; 16]).unwrap_err().reason(), "STORE_IDENTITY_INVALID");
}

#[test]
fn an_interrupted_init_can_be_repeated() {
    let dir = Dir::new();
    fs::remove_file(dir.store().join("identity")).unwrap();
    fs::write(dir.store().join("identity.tmp"), b"half").unwrap();
    EmbeddedStore::init(&dir.store(), &support::identity()).unwrap();
    one(&dir.open(), unit("1", &[])).unwrap();
    // Without its identity a journal with records is no interrupted attempt.
    fs::remove_file(dir.store().join("identity")).unwrap();
    fs::remove_dir_all(dir.store().join("index")).unwrap();
    fs::remove_file(dir.store().join("checkpoint")).unwrap();
    let refused = EmbeddedStore::init(&dir.store(), &support::identity());
    assert_eq!(refused.unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let dir = Dir::new();
    let store = dir.open();
    assert_eq!(dir.refusal(), "STORE_IN_USE");
    drop(store);
    dir.open();
}

#[test]
fn a_long_journal_is_read_with_progress() {
    let dir = Dir::new();
    let store = dir.open();
    for _ in 0..15 {
        store.commit(vec![Unit::default(); 4096]).unwrap();
    }
    drop(store);
    fs::remove_file(dir.store().join("checkpoint")).unwrap();
    let told = Arc::new((AtomicUsize::new(0), Mutex::new(None)));
    let tell = Arc::clone(&told);
    let progress = Arc::new(move |progress| {
        tell.0.fetch_add(1, Ordering::Relaxed);
        *tell.1.lock().unwrap() = Some(progress);
    });
    let store = EmbeddedStore::open(&dir.store(), Options { progress: Some(progress), ..options() }).unwrap();
    assert_eq!(store.opened().replayed, 15 * 4096);
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
    assert_eq!(told.1.lock().unwrap().unwrap().end, store.head().position);
}
