//! x
#![allow(clippy::unwrap_used)]
mod support;
use mfg::Movement;
use std::time::Instant;
use store::{EmbeddedStore, Options, Rule, Store, Unit};
use support::{Dir, key, moving, one, opening, unit};
#[test]
fn speed() {
    let dir = Dir::new();
    let store = EmbeddedStore::open(&dir.store(), Options::default()).unwrap();
    one(&store, opening("lot", 10_000_000)).unwrap();
    for threads in [1, 2] {
        let start = Instant::now();
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        std::thread::scope(|s| {
            for t in 0..threads {
                let store = &store;
                s.spawn(move || {
                    for call in 0..500 {
                        let units: Vec<_> = (0..64)
                            .map(|n| Unit {
                                payload: vec![7; 1000],
                                moves: moving("lot", Movement::Provision).moves,
                                ..unit(
                                    "",
                                    &[
                                        (&format!("{threads}-{t}-{call}-{n}"), Rule::Absent),
                                        (&format!("{threads}-{t}-{call}-{n}-b"), Rule::Absent),
                                    ],
                                )
                            })
                            .collect();
                        assert!(store.commit(units).unwrap().iter().all(Result::is_ok));
                    }
                });
            }
        });
        let e = start.elapsed();
        let cpu2 = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let c = (cpu2.tv_sec - cpu.tv_sec) as f64 + (cpu2.tv_nsec - cpu.tv_nsec) as f64 / 1e9;
        eprintln!(
            "{threads} threads: {} units in {e:?}: {:.0}/s, cpu {:.1} us/unit",
            threads * 500 * 64,
            (threads * 500 * 64) as f64 / e.as_secs_f64(),
            c * 1e6 / (threads * 500 * 64) as f64
        );
    }
    let _ = key("x");
    let start = Instant::now();
    drop(store);
    eprintln!("close {:?}", start.elapsed());
    std::fs::remove_file(dir.store().join("checkpoint")).unwrap();
    let start = Instant::now();
    let s = EmbeddedStore::open(&dir.store(), Options::default()).unwrap();
    eprintln!("rebuild {:?} {:?}", start.elapsed(), s.opened());
}
