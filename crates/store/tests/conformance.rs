//! One suite passes on every engine.
#![allow(clippy::unwrap_used)]

mod suite;
mod support;

use std::sync::Arc;
use std::time::Duration;

use store::{EmbeddedStore, FaultPlan, MemoryStore, Options};
use suite::Fresh;

fn embedded(options: &Options) -> Fresh {
    let dir = support::Dir::new();
    let store = EmbeddedStore::open(&dir.store(), options.clone()).unwrap();
    Fresh { store: Arc::new(store), _dir: Some(dir.0) }
}

#[test]
fn embedded_with_defaults() {
    suite::run(&|| embedded(&Options::default()));
}

/// Every bound so small that segments roll, the index is applied and checkpointed, and commits wait for it all the time.
#[test]
fn embedded_in_a_narrow_place() {
    let options = Options {
        segment_bytes: 300,
        index_batch: 2,
        overlay_limit: 8,
        index_interval: Duration::from_millis(1),
        ..support::options()
    };
    suite::run(&|| embedded(&options));
}

#[test]
fn embedded_with_a_fault_plan_that_plans_nothing() {
    let options = Options { faults: FaultPlan::default(), ..support::options() };
    suite::run(&|| embedded(&options));
}

#[test]
fn memory() {
    let store = || MemoryStore::new(&support::identity(), FaultPlan::default());
    suite::run(&|| Fresh { store: Arc::new(store()), _dir: None });
}
