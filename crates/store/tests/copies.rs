//! Copies of a store that serves, and the stores that are made of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{EmbeddedStore, Head, Options, Part, Position, Rule, Store, StoreCopy, StoreError, keep_copy, lay_down};
use support::{Dir, identity, one, options, unit};

/// Small segments, so that a copy has many.
fn segmented() -> Options {
    Options { segment_bytes: 1024, ..options() }
}

fn payloads(store: &dyn Store) -> Vec<Vec<u8>> {
    let mut at = Position::from_u64(0);
    let mut payloads = Vec::new();
    loop {
        let page = store.history(at, 1000).unwrap();
        payloads.extend(page.records.into_iter().map(|record| record.payload));
        at = page.next;
        if at == page.head.position {
            return payloads;
        }
    }
}

fn taken(store: &EmbeddedStore) -> (Head, Vec<Part>) {
    let copy = store.copier().copy().unwrap();
    let (head, octets) = (copy.head, copy.octets);
    let parts: Vec<Part> = copy.collect::<Result<_, _>>().unwrap();
    assert_eq!(parts.iter().map(|part| part.octets.len() as u64).sum::<u64>(), octets);
    (head, parts)
}

fn laid(dir: &std::path::Path, head: Head, parts: Vec<Part>) -> Result<Head, StoreError> {
    lay_down(dir, &identity(), head, parts.into_iter().map(Ok), mark(), segmented())
}

/// The unit that says that a store was laid down.
fn mark() -> store::Unit {
    unit("laid down", &[("laid-down", Rule::Any)])
}

fn marked(payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    payloads.iter().cloned().chain([mark().payload]).collect()
}

#[test]
fn a_copy_of_a_store_that_commits_all_the_while_is_a_prefix_of_it() {
    let dir = Dir::new();
    let store = EmbeddedStore::open(&dir.store(), segmented()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..400 {
                one(&store, unit(&n.to_string(), &[(&format!("k{n}"), Rule::Absent)])).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut copies = 0;
        while !done.load(Ordering::SeqCst) || copies == 0 {
            let (head, parts) = taken(&store);
            let to = tempfile::tempdir().unwrap();
            let end = laid(to.path(), head, parts).unwrap();
            let copy = EmbeddedStore::open(to.path(), options()).unwrap();
            assert_eq!((copy.head(), copy.identity()), (end, &identity()));
            let (copied, all) = (payloads(&copy), payloads(&store));
            assert_eq!(copied, marked(&all[..copied.len() - 1]));
            copies += 1;
        }
    });
    // The journal goes on after the copy as if nothing had happened.
    let to = tempfile::tempdir().unwrap();
    let (head, parts) = taken(&store);
    assert!(parts.len() > 5, "{} parts", parts.len());
    let end = laid(to.path(), head, parts).unwrap();
    let copy = EmbeddedStore::open(to.path(), segmented()).unwrap();
    assert_eq!(payloads(&copy), marked(&payloads(&store)));
    let read = copy.get(&support::key("laid-down")).unwrap().unwrap();
    assert_eq!((read.position, read.payload), (head.position, mark().payload));
    assert_eq!(one(&copy, unit("on", &[])).unwrap().position, end.position);
}

#[test]
fn an_empty_store_can_be_copied() {
    let dir = Dir::new();
    let (head, parts) = taken(&dir.open());
    let to = tempfile::tempdir().unwrap();
    laid(to.path(), head, parts).unwrap();
    assert_eq!(payloads(&EmbeddedStore::open(to.path(), options()).unwrap()), [mark().payload]);
}

#[test]
fn a_copy_is_kept_in_a_folder_that_is_no_store() {
    let dir = Dir::new();
    let store = EmbeddedStore::open(&dir.store(), segmented()).unwrap();
    for n in 0..60 {
        one(&store, unit(&n.to_string(), &[])).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    assert_eq!(StoreCopy::kept(&kept).unwrap_err().reason(), "STORE_COPY_MISSING");
    let (head, mut parts) = taken(&store);
    let keep = |parts: &[Part]| keep_copy(&kept, &identity(), head, parts.iter().cloned().map(Ok::<_, StoreError>));
    let last = parts.pop().unwrap();
    assert_eq!(keep(&parts).unwrap_err().reason(), "JOURNAL_DAMAGED");
    assert_eq!(StoreCopy::kept(&kept).unwrap_err().reason(), "STORE_COPY_MISSING");
    parts.push(last);
    keep(&parts).unwrap();
    assert_eq!(keep(&parts).unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
    assert_eq!(EmbeddedStore::open(&kept, options()).unwrap_err().reason(), "STORE_NOT_INITIALISED");

    let copy = StoreCopy::kept(&kept).unwrap();
    assert_eq!((&copy.identity, copy.head), (&identity(), head));
    let to = tempfile::tempdir().unwrap();
    lay_down(to.path(), &identity(), head, copy, mark(), options()).unwrap();
    assert_eq!(payloads(&EmbeddedStore::open(to.path(), options()).unwrap()), marked(&payloads(&store)));
    // What is said about it is believed as little as the journal is.
    let label = std::fs::read_to_string(kept.join("copy")).unwrap();
    for wrong in [label.replace("position ", "position x"), label.replace("store-id ", "store-id x"), String::new()] {
        std::fs::write(kept.join("copy"), wrong).unwrap();
        assert_eq!(StoreCopy::kept(&kept).unwrap_err().reason(), "STORE_IDENTITY_INVALID");
    }
}

#[test]
fn a_copy_that_is_not_whole_makes_no_store() {
    let dir = Dir::new();
    let store = EmbeddedStore::open(&dir.store(), segmented()).unwrap();
    for n in 0..60 {
        one(&store, unit(&n.to_string(), &[])).unwrap();
    }
    let (head, parts) = taken(&store);
    type Harm = fn(&mut Vec<Part>);
    let harms: [(&str, Harm); 7] = [
        ("the last part is missing", |parts| drop(parts.pop().unwrap())),
        ("a part is missing", |parts| drop(parts.remove(2))),
        ("nothing is there", Vec::clear),
        ("a segment is cut short", |parts| parts[1].octets.truncate(900)),
        ("the end is cut short", |parts| parts.last_mut().unwrap().octets.truncate(100)),
        ("an octet differs", |parts| parts[3].octets[300] ^= 1),
        ("two parts change places", |parts| parts.swap(1, 2)),
    ];
    for (what, harm) in harms {
        let to = tempfile::tempdir().unwrap();
        let mut parts = parts.clone();
        harm(&mut parts);
        assert_eq!(laid(to.path(), head, parts).unwrap_err().reason(), "JOURNAL_DAMAGED", "{what}");
        let opened = EmbeddedStore::open(to.path(), options());
        assert_eq!(opened.unwrap_err().reason(), "STORE_NOT_INITIALISED", "{what}");
    }
    let to = tempfile::tempdir().unwrap();
    let elsewhere = Head { position: Position::from_u64(head.position.as_u64() - 1), ..head };
    assert_eq!(laid(to.path(), elsewhere, parts.clone()).unwrap_err().reason(), "JOURNAL_DAMAGED");
    // After a refusal the same directory takes a good copy.
    laid(to.path(), head, parts.clone()).unwrap();
    assert_eq!(laid(to.path(), head, parts).unwrap_err().reason(), "STORE_DIR_NOT_EMPTY");
}

#[test]
fn a_store_that_stopped_is_not_copied() {
    let dir = Dir::new();
    let faults = store::FaultPlan::default();
    let store = Arc::new(dir.open_with(&faults));
    let copier = store.copier();
    faults.fail_next(store::Step::Sync);
    assert!(store.commit(vec![unit("1", &[])]).is_err());
    assert_eq!(copier.copy().unwrap_err().reason(), "STORE_STOPPED");
}
