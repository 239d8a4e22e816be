use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use mfg::{Movement, Remaining};
use store::{Position, Rule, Store};

use crate::support::{completing, intent, key, moving, one, opening, payload, unit};

type S = Arc<dyn Store>;

const THREADS: usize = 16;

fn on_threads(store: &S, work: impl Fn(usize, &dyn Store) + Sync) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread, &**store));
        }
    });
}

/// All threads want the same names; each goes to exactly one, and the others are told where it went.
pub fn uniqueness(store: S) {
    let won = AtomicUsize::new(0);
    on_threads(&store, |thread, store| {
        for round in 0..40 {
            let (name, mine) = (format!("name-{round}"), format!("{thread}"));
            let two = vec![unit(&mine, &[(&name, Rule::Absent)]), unit(&mine, &[])];
            match store.commit(two).unwrap().remove(0) {
                Ok(committed) => {
                    won.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(store.get(&key(&name)).unwrap().unwrap().position, committed.position);
                }
                // What a conflict names is durable, and can be read.
                Err(store::Conflict::KeyTaken { at, .. }) => assert_eq!(store.read(at).unwrap().keys, [key(&name)]),
                Err(other) => panic!("{other}"),
            }
        }
    });
    assert_eq!(won.into_inner(), 40);
}

/// Never one unit over, however many spend.
pub fn conservation(store: S) {
    one(&*store, opening("lot", 500)).unwrap();
    let spent = AtomicUsize::new(0);
    on_threads(&store, |_, store| {
        for _ in 0..20 {
            let units = vec![moving("lot", Movement::Provision); 3];
            let answers = store.commit(units).unwrap();
            spent.fetch_add(answers.iter().filter(|answer| answer.is_ok()).count(), Ordering::Relaxed);
        }
    });
    assert_eq!(spent.into_inner(), 500);
    let tally = store.tally(&key("lot")).unwrap().unwrap();
    assert_eq!((tally.provisioned(), tally.remaining()), (500, Remaining::Units(0)));
}

/// Two keys set by one unit never differ for a reader, and what a reader saw does not go away.
pub fn readers(store: S) {
    let done = AtomicBool::new(false);
    one(&*store, unit("0", &[("left", Rule::Any), ("right", Rule::Any)])).unwrap();
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut latest = Position::from_u64(0);
            while !done.load(Ordering::Relaxed) {
                let left = store.get(&key("left")).unwrap().unwrap();
                let right = store.get(&key("right")).unwrap().unwrap();
                assert!(left.position >= latest && right.position >= left.position);
                assert!(store.head().position > right.position);
                latest = right.position;
            }
        });
        on_threads(&store, |thread, store| {
            for _ in 0..20 {
                one(store, unit(&thread.to_string(), &[("left", Rule::Any), ("right", Rule::Any)])).unwrap();
            }
        });
        done.store(true, Ordering::Relaxed);
        reading.join().unwrap();
    });
    assert_eq!(payload(&*store, "left"), payload(&*store, "right"));
}

pub fn completed_once(store: S) {
    let open: Vec<_> = (0..20).map(|n| one(&*store, intent(&n.to_string())).unwrap().position).collect();
    let completed = AtomicUsize::new(0);
    on_threads(&store, |_, store| {
        for position in &open {
            if one(store, completing(*position)).is_ok() {
                completed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(completed.into_inner(), open.len());
    assert!(store.open_intents().unwrap().is_empty());
    let records = store.history(Position::from_u64(0), 1000).unwrap().records;
    let closed: BTreeSet<_> = records.iter().filter_map(|record| record.completes).collect();
    assert_eq!(closed, open.into_iter().collect());
}
