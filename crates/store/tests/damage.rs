//! What is a torn end and is cut off, and what is damage and is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use store::{EmbeddedStore, Options, Rule, Store, StoreError, Unit};
use support::{Dir, copy, flip, key, one, options, payload, unit};

#[test]
fn a_torn_tail_is_cut_off() {
    for torn in 1..60 {
        let dir = Dir::new();
        let committed = dir.commit_and_crash(vec![unit("1", &[("a", Rule::Any)]), unit("2", &[("a", Rule::Any)])]);
        let path = dir.segment(0);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(fs::metadata(&path).unwrap().len() - torn).unwrap();
        let store = dir.open();
        assert!(store.opened().torn > 0);
        assert_eq!(store.head().position, committed[1].position);
        assert_eq!(payload(&store, "a").unwrap(), "1");
        let again = one(&store, unit("3", &[("a", Rule::Any)])).unwrap();
        assert_eq!(again.position, committed[1].position);
    }
}

#[test]
fn garbage_after_the_end_is_cut_off() {
    for garbage in [vec![0_u8; 5000], vec![0xC5, b'j', b'F', 1, 9, 0, 0, 0], vec![0x77; 90]] {
        let dir = Dir::new();
        dir.commit_and_crash(vec![unit("1", &[("a", Rule::Any)])]);
        let path = dir.segment(0);
        let length = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&garbage, length).unwrap();
        let store = dir.open();
        // Octets of zero are preallocation, and nothing of it is lost.
        let torn = garbage.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        assert_eq!(store.opened().torn, torn as u64);
        assert_eq!(payload(&store, "a").unwrap(), "1");
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
    }
}

/// A power cut may keep the later pages of a group and lose the earlier: no unit of it was acknowledged.
#[test]
fn a_group_with_a_hole_is_cut_off() {
    let dir = Dir::new();
    let faults = store::FaultPlan::default();
    let store = dir.open_with(&faults);
    let first = one(&store, unit("1", &[("a", Rule::Any)])).unwrap();
    let length = 80 + store.head().position.as_u64();
    faults.fail_next(store::Step::BeforeSync);
    store.commit(vec![unit("2", &[("a", Rule::Any)]), unit("3", &[("a", Rule::Any)])]).unwrap_err();
    drop(store);
    let file = OpenOptions::new().write(true).open(dir.segment(0)).unwrap();
    file.write_all_at(&[0; 40], length).unwrap();
    let store = dir.open();
    assert!(store.opened().torn > 100);
    assert_eq!(store.get(&key("a")).unwrap().unwrap().position, first.position);
}

/// What stands on the disk after a crash: frames, then preallocation.
#[test]
fn preallocation_is_given_back() {
    let dir = Dir::new();
    let crashed = Dir(tempfile::tempdir().unwrap());
    let length = |dir: &Dir| fs::metadata(dir.segment(0)).unwrap().len();
    let store = dir.open();
    // The last octets of these frames are zero as well.
    for n in 0..200_u64 {
        let zeroes = Unit { payload: vec![0; 20 * n as usize], ..unit("", &[]) };
        let committed = one(&store, zeroes).unwrap();
        if n % 10 == 0 {
            assert!(length(&dir) > 80 + store.head().position.as_u64(), "it is preallocated");
            let _ = fs::remove_dir_all(crashed.store());
            copy(&dir.store(), &crashed.store());
            let again = crashed.open();
            assert_eq!((again.opened().torn, again.head()), (0, store.head()));
            assert_eq!(again.read(committed.position).unwrap().payload.len(), 20 * n as usize);
            assert_eq!(length(&crashed), 80 + again.head().position.as_u64());
        }
    }
    let end = 80 + store.head().position.as_u64();
    drop(store);
    assert_eq!(length(&dir), end);
    assert_eq!(dir.open().opened().torn, 0);
}

/// Where a disk lost what it had acknowledged, there are zeroes instead.
#[test]
fn zeroes_in_place_of_remembered_frames_is_refused() {
    let dir = Dir::new();
    let store = dir.open();
    one(&store, unit("1", &[("a", Rule::Any)])).unwrap();
    let kept = 80 + store.head().position.as_u64();
    one(&store, unit("2", &[("a", Rule::Any)])).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let file = OpenOptions::new().write(true).open(dir.segment(0)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(kept).unwrap();
    file.set_len(length + 5000).unwrap();
    assert_eq!(dir.refusal(), "JOURNAL_ROLLED_BACK");
    fs::remove_file(dir.store().join("checkpoint")).unwrap();
    assert_eq!(dir.refusal(), "JOURNAL_ROLLED_BACK");
}

#[test]
fn a_flipped_octet_before_durable_frames_is_refused() {
    let dir = Dir::new();
    dir.commit_and_crash((0..4).map(|n| unit(&n.to_string(), &[("a", Rule::Any)])).collect());
    let length = fs::metadata(dir.segment(0)).unwrap().len() as usize;
    let frame = (length - 80) / 4;
    let content = fs::read(dir.segment(0)).unwrap();
    for from_end in frame + 1..=length {
        flip(&dir.segment(0), from_end);
        assert_eq!(dir.refusal(), "JOURNAL_DAMAGED", "{from_end} octets before the end");
        fs::write(dir.segment(0), &content).unwrap();
    }
    dir.open();
}

#[test]
fn damage_is_found_with_its_place() {
    let dir = Dir::new();
    dir.commit_and_crash((0..4).map(|n| unit(&n.to_string(), &[("a", Rule::Any)])).collect());
    let frame = (fs::metadata(dir.segment(0)).unwrap().len() - 80) / 4;
    flip(&dir.segment(0), 2 * frame as usize + 1);
    let Err(StoreError::JournalDamaged { segment, offset, .. }) = dir.try_open() else { panic!("it opened") };
    assert_eq!((segment, offset), (0, 80 + frame));
}

/// Behind a checkpoint the octets are not read at opening; they are when they are asked for.
#[test]
fn damage_behind_the_checkpoint_stops_the_reader() {
    let dir = Dir::new();
    let store = dir.open();
    let committed = one(&store, unit("payload", &[("a", Rule::Any)])).unwrap();
    one(&store, unit("2", &[("b", Rule::Any)])).unwrap();
    drop(store);
    let length = fs::metadata(dir.segment(0)).unwrap().len() as usize;
    flip(&dir.segment(0), length - 80 - 52);
    let ask: [&dyn Fn(&EmbeddedStore) -> StoreError; 3] =
        [&|store| store.get(&key("a")).unwrap_err(), &|store| store.read(committed.position).unwrap_err(), &|store| {
            store.history(committed.position, 5).unwrap_err()
        }];
    for ask in ask {
        let store = dir.open();
        assert_eq!(ask(&store).reason(), "JOURNAL_DAMAGED");
        assert_eq!(store.get(&key("b")).unwrap_err().reason(), "STORE_STOPPED");
    }
}

#[test]
fn the_last_frame_behind_the_checkpoint_is_read_at_opening() {
    let dir = Dir::new();
    one(&dir.open(), unit("1", &[])).unwrap();
    flip(&dir.segment(0), 1);
    assert_eq!(dir.refusal(), "JOURNAL_DAMAGED");
}

#[test]
fn a_missing_or_shortened_segment_is_refused() {
    let dir = Dir::new();
    let narrow = Options { segment_bytes: 300, ..options() };
    let store = EmbeddedStore::open(&dir.store(), narrow).unwrap();
    for n in 0..30 {
        one(&store, unit(&n.to_string(), &[("a", Rule::Any)])).unwrap();
    }
    drop(store);
    let kept = dir.0.path().join("kept");
    copy(&dir.store(), &kept);
    let segments = fs::read_dir(dir.store().join("journal")).unwrap().count() as u64;
    assert!(segments > 4);
    for number in 0..segments {
        let last = number + 1 == segments;
        fs::remove_file(dir.segment(number)).unwrap();
        assert_eq!(dir.refusal(), if last { "JOURNAL_ROLLED_BACK" } else { "JOURNAL_DAMAGED" });
        fs::copy(kept.join(format!("journal/{number:010}.segment")), dir.segment(number)).unwrap();
        let file = OpenOptions::new().write(true).open(dir.segment(number)).unwrap();
        file.set_len(fs::metadata(dir.segment(number)).unwrap().len() - 1).unwrap();
        assert_eq!(dir.refusal(), if last { "JOURNAL_ROLLED_BACK" } else { "JOURNAL_DAMAGED" });
        fs::copy(kept.join(format!("journal/{number:010}.segment")), dir.segment(number)).unwrap();
    }
    fs::remove_file(dir.segment(2)).unwrap();
    let Err(StoreError::JournalDamaged { segment: 2, .. }) = dir.try_open() else { panic!("not the missing one") };
}

#[test]
fn a_segment_that_was_never_finished_is_discarded() {
    for content in [&b""[..], &[0; 40], &[0; 80]] {
        let dir = Dir::new();
        dir.commit_and_crash(vec![unit("1", &[("a", Rule::Any)])]);
        fs::write(dir.segment(1), content).unwrap();
        let store = dir.open();
        assert_eq!(payload(&store, "a").unwrap(), "1");
        assert!(!dir.segment(1).exists());
    }
    // A next segment was begun, so the one before had been durable to its end.
    let dir = Dir::new();
    dir.commit_and_crash(vec![unit("1", &[("a", Rule::Any)])]);
    fs::write(dir.segment(1), b"").unwrap();
    flip(&dir.segment(0), 1);
    assert_eq!(dir.refusal(), "JOURNAL_DAMAGED");
}

#[test]
fn a_journal_that_is_put_back_is_refused() {
    let dir = Dir::new();
    let store = dir.open();
    one(&store, unit("1", &[("a", Rule::Any)])).unwrap();
    store.checkpoint().unwrap();
    let kept = fs::read(dir.segment(0)).unwrap();
    one(&store, unit("2", &[("a", Rule::Any)])).unwrap();
    drop(store);
    fs::write(dir.segment(0), &kept).unwrap();
    let Err(StoreError::RolledBack { journal, recorded }) = dir.try_open() else { panic!("it opened") };
    assert!(journal < recorded);
    // The index alone remembers as well.
    fs::remove_file(dir.store().join("checkpoint")).unwrap();
    assert_eq!(dir.refusal(), "JOURNAL_ROLLED_BACK");
}

#[test]
fn another_history_is_refused() {
    let (dir, other) = (Dir::new(), Dir::new());
    one(&dir.open(), unit("1", &[("a", Rule::Any)])).unwrap();
    let store = other.open();
    one(&store, unit("x", &[("a", Rule::Any)])).unwrap();
    one(&store, unit("y", &[("a", Rule::Any)])).unwrap();
    drop(store);
    fs::copy(other.segment(0), dir.segment(0)).unwrap();
    assert_eq!(dir.refusal(), "JOURNAL_DAMAGED");
}
