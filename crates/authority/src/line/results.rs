//! Who waits for a result that another worker is about to commit.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Tells workers that wait for another's result that results became durable.
#[derive(Default)]
pub(super) struct Results {
    committed: Mutex<u64>,
    changed: Condvar,
}

impl Results {
    /// How often results were committed.
    pub(super) fn count(&self) -> u64 {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn announce(&self) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until something was committed after `seen`; false when nothing was within `patience`.
    pub(super) fn wait(&self, seen: u64, patience: Duration) -> bool {
        let guard = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = self
            .changed
            .wait_timeout_while(guard, patience, |now| *now == seen)
            .unwrap_or_else(PoisonError::into_inner);
        *guard != seen
    }
}
