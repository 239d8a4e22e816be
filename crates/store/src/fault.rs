//! Failing on command, so that a service's tests can see each step of a commit break.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A step of an engine that can be made to fail.
///
/// Except after [`Step::DiskFull`] the engine stops as if the machine had stopped there: the call answers
/// [`StoreError::Stopped`](crate::StoreError::Stopped), and what is on the disk shows when the store is opened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Before anything of the group is written: none of its units will be there.
    BeforeAppend,
    /// Half of the group's octets are written: the torn end will be cut off.
    TornAppend,
    /// The disk is full half way through the write: the call answers `Full`, the engine goes on.
    DiskFull,
    /// The group is written, not synced: after a power cut its units may be there or not.
    BeforeSync,
    /// The sync itself fails; what is on the disk is unknown.
    Sync,
    /// The group is durable, but the caller is not told.
    AfterSync,
    /// Applying a batch to the index fails. The memory engine has no such step.
    IndexApply,
    /// The index is written, the checkpoint is not. The memory engine has no such step.
    Checkpoint,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 8] = [
        Self::BeforeAppend,
        Self::TornAppend,
        Self::DiskFull,
        Self::BeforeSync,
        Self::Sync,
        Self::AfterSync,
        Self::IndexApply,
        Self::Checkpoint,
    ];
}

/// Which steps fail next. Clones share the plan, so a test keeps one and gives one to the engine.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    // Lets the engine pass by without a lock when nothing is planned.
    planned: AtomicUsize,
    faults: Mutex<Vec<Fault>>,
}

#[derive(Debug)]
struct Fault {
    step: Step,
    passes_left: usize,
}

impl FaultPlan {
    /// Makes the next run of `step` fail, once.
    pub fn fail_next(&self, step: Step) {
        self.fail_after(step, 0);
    }

    /// Lets `step` pass this many times, then makes it fail, once.
    pub fn fail_after(&self, step: Step, passes: usize) {
        let mut faults = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(Fault { step, passes_left: passes });
        self.shared.planned.store(faults.len(), Ordering::Release);
    }

    /// Whether every planned fault has happened.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.shared.planned.load(Ordering::Acquire) == 0
    }

    /// Forgets what was planned and has not happened.
    pub fn clear(&self) {
        let mut faults = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clear();
        self.shared.planned.store(0, Ordering::Release);
    }

    pub(crate) fn hits(&self, step: Step) -> bool {
        if self.is_spent() {
            return false;
        }
        let mut faults = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = faults.iter().position(|fault| fault.step == step) else { return false };
        if let Some(fault) = faults.get_mut(at)
            && fault.passes_left > 0
        {
            fault.passes_left -= 1;
            return false;
        }
        faults.remove(at);
        self.shared.planned.store(faults.len(), Ordering::Release);
        true
    }
}
