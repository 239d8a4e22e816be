#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::os::unix::fs::FileExt as _;

use super::*;

const STORE: StoreId = [7; 16];

fn key(number: u64) -> Key {
    Key::new("runs", &[&number.to_be_bytes()])
}

fn new() -> (tempfile::TempDir, PathBuf, Runs) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("keys");
    let runs = Runs::create(&dir, &STORE).unwrap();
    (folder, dir, runs)
}

/// Keys `from` to `to`, each pointing to its number and `plus`.
fn some(from: u64, to: u64, plus: u64) -> KeyMap<u64> {
    (from..to).map(|number| (key(number), number + plus)).collect()
}

#[test]
fn the_newest_pointer_of_a_key_counts_through_merges_and_openings() {
    let (_folder, dir, mut runs) = new();
    let mut model = KeyMap::default();
    for round in 0..40_u64 {
        // Overlapping pieces of many sizes, so that runs hold the same keys again.
        let pointers = some(round * 37 % 500, round * 37 % 500 + 1 + round * 53 % 700, round * 10_000);
        runs.apply(&pointers, Some(round), 0).unwrap();
        model.extend(pointers);
        if round % 7 == 0 {
            drop(runs);
            runs = Runs::open(&dir, &STORE).unwrap();
        }
        assert_eq!(runs.applied(), round);
        assert!(runs.live().len() < MERGED, "small runs are merged");
        for number in 0..1300 {
            assert_eq!(runs.position(&key(number)).unwrap(), model.get(&key(number)).copied());
        }
    }
    let files = fs::read_dir(&dir).unwrap().count();
    assert_eq!(files, runs.live().len() + 1, "what was merged takes no room");
}

#[test]
fn runs_of_many_blocks_hold_every_key_in_order() {
    let (_folder, _dir, runs) = new();
    runs.apply(&some(0, 5000, 1), None, 0).unwrap();
    let live = runs.live();
    let mut pointers = live[0].iter();
    let mut before = None;
    let mut count = 0;
    while let Some((key, _)) = pointers.next().unwrap() {
        assert!(before < Some(key));
        (before, count) = (Some(key), count + 1);
    }
    assert_eq!((count, live[0].entries), (5000, 5000));
    assert!((0..5000).all(|number| runs.position(&key(number)).unwrap() == Some(number + 1)));
    assert!((5000..9000).all(|number| runs.position(&key(number)).unwrap().is_none()));
}

#[test]
fn keys_that_share_their_first_octets_are_told_apart_across_blocks() {
    let (_folder, _dir, runs) = new();
    let like = |number: u64| {
        let mut octets = [9; 16];
        octets[8..].copy_from_slice(&number.to_be_bytes());
        Key::from_bytes(octets)
    };
    let all: KeyMap<u64> = (0..600).map(|number| (like(number * 2), number)).collect();
    runs.apply(&all, None, 0).unwrap();
    for number in 0..600 {
        assert_eq!(runs.position(&like(number * 2)).unwrap(), Some(number));
        assert_eq!(runs.position(&like(number * 2 + 1)).unwrap(), None);
    }
}

#[test]
fn an_empty_application_notes_how_far_it_is() {
    let (_folder, dir, runs) = new();
    runs.apply(&KeyMap::default(), Some(5), 0).unwrap();
    runs.apply(&KeyMap::default(), None, 0).unwrap();
    assert_eq!(Runs::open(&dir, &STORE).unwrap().applied(), 5);
    assert!(runs.live().is_empty());
}

#[test]
fn what_a_crash_left_is_removed_and_its_number_used_again() {
    let (_folder, dir, runs) = new();
    runs.apply(&some(0, 10, 0), Some(1), 0).unwrap();
    drop(runs);
    fs::write(run::path(&dir, 1), b"half of a run").unwrap();
    fs::write(dir.join("list.tmp"), b"half of a list").unwrap();
    let runs = Runs::open(&dir, &STORE).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    runs.apply(&some(10, 20, 0), Some(2), 0).unwrap();
    assert!((0..20).all(|number| runs.position(&key(number)).unwrap() == Some(number)));
}

/// Flips one bit in every 13th octet of every file in turn: what is answered then is right, or an error.
#[test]
fn no_flipped_bit_makes_a_wrong_answer() {
    let (_folder, dir, runs) = new();
    runs.apply(&some(0, 400, 3), Some(1), 0).unwrap();
    drop(runs);
    let mut refused = 0;
    for file in [run::path(&dir, 0), dir.join(LIST)] {
        let sound = fs::read(&file).unwrap();
        for at in (0..sound.len()).step_by(13) {
            let mut broken = sound.clone();
            broken[at] ^= 0x10;
            fs::write(&file, &broken).unwrap();
            let Ok(runs) = Runs::open(&dir, &STORE) else {
                refused += 1;
                continue;
            };
            for number in [0, 200, 399, 400, 1000] {
                match runs.position(&key(number)) {
                    Ok(found) => assert_eq!(found, (number < 400).then_some(number + 3), "octet {at}"),
                    Err(_) => refused += 1,
                }
            }
        }
        fs::write(&file, &sound).unwrap();
    }
    assert!(refused > 100);
}

#[test]
fn files_that_are_cut_off_missing_or_another_s_are_refused() {
    let (_folder, dir, runs) = new();
    runs.apply(&some(0, 400, 0), Some(1), 0).unwrap();
    drop(runs);
    assert!(Runs::open(&dir, &[8; 16]).is_err(), "another store's");
    let path = run::path(&dir, 0);
    let sound = fs::read(&path).unwrap();
    for length in [0, 1, 55, 56, 4096, sound.len() - 1] {
        fs::write(&path, &sound[..length]).unwrap();
        assert!(Runs::open(&dir, &STORE).is_err(), "{length} octets");
    }
    fs::write(&path, &sound).unwrap();
    // A run in another one's place, and a block in another one's.
    fs::rename(&path, run::path(&dir, 1)).unwrap();
    assert!(Runs::open(&dir, &STORE).is_err());
    fs::write(&path, &sound).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&sound[4096..8192], 0).unwrap();
    let runs = Runs::open(&dir, &STORE).unwrap();
    let (first, _) = some(0, 400, 0).into_iter().min().unwrap();
    assert!(runs.position(&first).is_err());
}
