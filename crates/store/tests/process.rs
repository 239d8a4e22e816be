//! Two processes on one store, and one that is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mfg::Movement;
use store::{EmbeddedStore, Options, Position, Rule, Store, Unit};
use support::{Dir, key, moving, one, opening, options, unit};

const DIR: &str = "STORE_TEST_DIR";

/// Not a test of its own: the process that the tests below start. Says on stdout what was acknowledged.
#[test]
#[ignore = "started by the other tests of this file"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let quick =
        Options { index_interval: Duration::from_millis(5), segment_bytes: 20_000, index_batch: 50, ..options() };
    let store = match EmbeddedStore::open(dir.as_ref(), quick) {
        Ok(store) => store,
        Err(error) => {
            println!("refused {}", error.reason());
            return;
        }
    };
    let start = store.head().position.as_u64();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("{start}-{thread}-{n}");
                    let spending = Unit {
                        moves: moving("lot", Movement::Provision).moves,
                        ..unit(&name, &[(&name, Rule::Absent)])
                    };
                    one(store, spending).unwrap();
                    // One write, so that a kill cannot leave half a line of two threads.
                    std::io::stdout().lock().write_all(format!("done {name}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}

fn start(dir: &Dir) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIR, dir.store())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

fn acknowledged(line: &str) -> Option<String> {
    line.split_once("done ").map(|(_, name)| name.to_owned())
}

#[test]
fn a_second_process_is_refused() {
    let dir = Dir::new();
    let store = dir.open();
    let (mut child, mut lines) = start(&dir);
    assert!(lines.any(|line| line.contains("refused STORE_IN_USE")));
    child.wait().unwrap();
    drop(store);
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = Dir::new();
    one(&dir.open(), opening("lot", 1_000_000)).unwrap();
    let mut told = BTreeSet::new();
    for round in 0..6 {
        let (mut child, mut lines) = start(&dir);
        told.extend(lines.by_ref().filter_map(|line| acknowledged(&line)).take(40 + 90 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        told.extend(lines.filter_map(|line| acknowledged(&line)));
        let store = dir.open();
        for name in &told {
            assert!(store.get(&key(name)).unwrap().is_some(), "{name} was acknowledged and is lost");
        }
        let mut records = 0;
        let mut from = Position::from_u64(0);
        loop {
            let page = store.history(from, 1000).unwrap();
            records += page.records.iter().filter(|record| record.kind == 1).count() as u64;
            from = page.next;
            if from == page.head.position {
                break;
            }
        }
        assert_eq!(store.tally(&key("lot")).unwrap().unwrap().provisioned(), records);
        assert!(records >= told.len() as u64);
    }
    assert!(told.len() > 1000);
}
