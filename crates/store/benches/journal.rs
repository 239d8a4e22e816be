//! The store's part of a certificate: appending and syncing, by the number of units that share a sync, and looking keys up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use store::{Claim, EmbeddedStore, Key, Options, Rule, Store as _, StoreIdentity, Unit};
use tempfile::TempDir;

/// Octets of an intent's record.
const PAYLOAD: usize = 700;
/// Keys that a look-up has to be found among.
const KEYS: u64 = 400_000;

/// A store beside the build, which is on a disk; /tmp may be memory.
fn store() -> (TempDir, EmbeddedStore) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let identity = StoreIdentity::new("intermediate-ca", "factory-y", [7; 16]).unwrap();
    EmbeddedStore::init(&dir.path().join("store"), &identity).unwrap();
    let store = EmbeddedStore::open(&dir.path().join("store"), Options::default()).unwrap();
    (dir, store)
}

fn key(number: u64) -> Key {
    Key::new("bench", &[&number.to_be_bytes()])
}

/// Units with four new keys each, as an intent has.
fn units(next: &mut u64, count: u64) -> Vec<Unit> {
    let unit = |_| {
        *next += 4;
        let claims = (*next - 4..*next).map(|number| Claim { key: key(number), rule: Rule::Absent }).collect();
        Unit { kind: 40, payload: vec![7; PAYLOAD], claims, ..Unit::default() }
    };
    (0..count).map(unit).collect()
}

fn commits(bench: &mut Criterion) {
    let (_dir, store) = store();
    let mut next = 0;
    let mut group = bench.benchmark_group("append and sync");
    for count in [1, 8, 64, 256] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            let make = || units(&mut next, count);
            b.iter_batched(make, |units| store.commit(units).unwrap(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn look_ups(bench: &mut Criterion) {
    let (dir, store) = store();
    let mut next = 0;
    while next < KEYS {
        store.commit(units(&mut next, 256)).unwrap();
    }
    // Closing brings the index up to date; nothing is found in memory afterwards.
    drop(store);
    let store = EmbeddedStore::open(&dir.path().join("store"), Options::default()).unwrap();
    let mut at = 0;
    bench.bench_function("look up a key that is there, with its record", |b| {
        b.iter(|| {
            at = (at + 7919) % KEYS;
            assert!(store.get(black_box(&key(at))).unwrap().is_some());
        });
    });
    bench.bench_function("look up a key that is not there", |b| {
        b.iter(|| {
            at += 1;
            assert!(store.get(black_box(&key(u64::MAX - at))).unwrap().is_none());
        });
    });
}

criterion_group!(benches, commits, look_ups);
criterion_main!(benches);
