//! What every engine promises: one suite, each check on a fresh store.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod single;
mod threads;

use std::sync::Arc;

use store::Store;

/// A fresh store, and what must outlive it.
pub struct Fresh {
    pub store: Arc<dyn Store>,
    pub _dir: Option<tempfile::TempDir>,
}

type Check = fn(Arc<dyn Store>);

pub fn run(fresh: &dyn Fn() -> Fresh) {
    let checks: &[(&str, Check)] = &[
        ("an empty store", single::empty),
        ("absent", single::absent),
        ("compare and set", single::compare_and_set),
        ("unchanged", single::unchanged),
        ("any", single::any),
        ("a refused unit changes nothing", single::refused_changes_nothing),
        ("units of one call see each other", single::units_of_one_call),
        ("tallies", single::tallies),
        ("intents", single::intents),
        ("receipts", single::receipts),
        ("listing", single::listing),
        ("records", single::records),
        ("history", single::history),
        ("positions that hold nothing", single::wrong_positions),
        ("bounds", single::bounds),
        ("uniqueness", threads::uniqueness),
        ("conservation", threads::conservation),
        ("readers see whole durable units", threads::readers),
        ("an intent is completed once", threads::completed_once),
    ];
    for (name, check) in checks {
        eprintln!("{name}");
        let fresh = fresh();
        check(Arc::clone(&fresh.store));
    }
}
