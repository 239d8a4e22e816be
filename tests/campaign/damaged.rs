//! Files of the signer's store that were damaged, cut short, taken away or put back: rebuilt, or refused by name, never served wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    ground::{FACTORY, Ground, SIGNER},
    inject,
    issuing::Issuing,
    killed::ended,
};

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

fn last_segment(store: &Path) -> PathBuf {
    let segments = fs::read_dir(store.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    segments.max().unwrap()
}

/// Turns an octet over, so far from the start that a header is behind it.
fn flip(path: &Path, at: usize) {
    let mut octets = fs::read(path).unwrap();
    octets[at] ^= 0x10;
    fs::write(path, octets).unwrap();
}

/// Damages records in the middle of a journal, one after the other.
fn flip_all_over(path: &Path) {
    let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
    (length / 2..length * 3 / 4).step_by(97).for_each(|at| flip(path, at));
}

fn shorten(path: &Path, octets: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - octets).unwrap();
}

fn flip_every_file_of(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && fs::metadata(&path).unwrap().len() > 64 {
            flip(&path, 40);
        }
    }
}

/// What is done to a stopped store, given an older copy of it, and what comes of it.
type Case = (&'static str, fn(&Path, &Path), Then);

#[derive(Clone, Copy)]
enum Then {
    /// Everything is answered as before.
    PutRight,
    /// The service does not start, and says why.
    Refused(&'static str),
    /// The service ends when it comes by the damage, and says why; what it answers until then is as before.
    Ends(&'static str),
}
use Then::{Ends, PutRight, Refused};

const CASES: &[Case] = &[
    ("the index is missing", |store, _| remove(&store.join("index")), PutRight),
    ("the index is damaged", |store, _| flip_every_file_of(&store.join("index")), PutRight),
    ("the checkpoint is missing", |store, _| remove(&store.join("checkpoint")), PutRight),
    ("the checkpoint is damaged", |store, _| flip(&store.join("checkpoint"), 20), PutRight),
    (
        "index and checkpoint are older",
        |store, older| {
            for name in ["index", "checkpoint"] {
                remove(&store.join(name));
                copy(&older.join(name), store);
            }
        },
        PutRight,
    ),
    (
        "garbage stands after the journal's end",
        |store, _| {
            let path = last_segment(store);
            let mut octets = fs::read(&path).unwrap();
            octets.extend([0x77; 90]);
            fs::write(path, octets).unwrap();
        },
        PutRight,
    ),
    ("the journal is damaged in the middle", |store, _| flip_all_over(&last_segment(store)), Ends("JOURNAL_DAMAGED")),
    ("the journal lacks a segment", |store, _| remove(&last_segment(store)), Refused("JOURNAL_DAMAGED")),
    ("the journal was cut short", |store, _| shorten(&last_segment(store), 4000), Refused("JOURNAL_ROLLED_BACK")),
    (
        "the journal is older than the index",
        |store, older| {
            remove(&store.join("journal"));
            copy(&older.join("journal"), store);
        },
        Refused("JOURNAL_ROLLED_BACK"),
    ),
    ("the store's identity is missing", |store, _| remove(&store.join("identity")), Refused("STORE_NOT_INITIALISED")),
];

async fn ask_everything(ground: &mut Ground, what: &str) {
    for client in &mut ground.clients {
        client.settle(&ground.world).await;
        assert_eq!(client.lost, 0, "{what}: another certificate than before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_put_right_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::new::<Issuing>(&folder.path().join("world"), folder.path()).await;
    let store = ground.store(FACTORY, SIGNER);
    let (older, sound) = (folder.path().join("older"), folder.path().join("sound"));
    ground.world.stop().await.unwrap();
    copy(&store, &older);
    ground.start_all().await.unwrap();
    for _ in 0..2 {
        ground.round(async |ground| ground.kill_and_start(&[(FACTORY, SIGNER)]).await).await;
    }
    // What was not answered is asked for now: it would be made anew from each copy.
    ask_everything(&mut ground, "before").await;
    ground.world.stop().await.unwrap();
    copy(&store, &sound);
    for (what, spoil, then) in CASES {
        remove(&store);
        copy(&sound, &store);
        spoil(&store, &older);
        let started = ground.start_all().await;
        match then {
            PutRight => {
                started.unwrap_or_else(|e| panic!("{what}: {e:#}"));
                ask_everything(&mut ground, what).await;
            }
            Refused(reason) => {
                let error = format!("{:#}", started.expect_err(what));
                assert!(error.contains(reason), "{what}: {error}");
            }
            // The record that its sender saw last, which a start looks at, may be among the damaged ones.
            Ends(reason) if let Err(error) = &started => {
                assert!(format!("{error:#}").contains(reason), "{what}: {error:#}");
            }
            Ends(reason) => {
                let pid = ground.world.service(FACTORY, SIGNER).unwrap().pid;
                for client in &mut ground.clients {
                    client.count_different(&ground.world).await;
                    assert_eq!(client.lost, 0, "{what}: another certificate than before");
                }
                ended(pid).await;
                let log = fs::read_to_string(ground.folder.join(FACTORY).join("intermediate-ca.log")).unwrap();
                assert!(log.lines().rev().take(5).any(|line| line.contains(reason)), "{what}: {log}");
            }
        }
        ground.kill_all().await;
    }
    remove(&store);
    copy(&sound, &store);
    inject::nothing(&ground.folder);
    ground.start_all().await.unwrap();
    ground.figures.starts.clear();
    ground.settle::<Issuing>("damaged files").await;
}
