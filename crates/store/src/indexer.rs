//! The thread that brings the index up to date behind the commits, and checkpoints it.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::checkpoint::Checkpoint;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::fault::Step;
use crate::group::Core;

/// What one round came to.
enum Round {
    Done,
    /// No room on the disk; to be tried again.
    Starved,
}

/// Brings the index up to what a replay found, before the store serves. Without room it stays as it is.
pub(crate) fn catch_up(engine: &Engine) -> Result<(), StoreError> {
    match bring_up_to_date(engine, engine.lock())? {
        Round::Done | Round::Starved => Ok(()),
    }
}

/// What is added to its niceness.
const BACK: i32 = 5;

/// Runs until the store is closed or stops.
pub(crate) fn run(engine: &Engine) {
    step_back();
    loop {
        let core = wait_until_due(engine);
        if core.stopped.is_some() {
            return;
        }
        let (closing, wanted) = (core.closing, core.checkpoint_wanted);
        let round = if core.checkpointed == Some(core.durable.position) {
            drop(core);
            Ok(Round::Done)
        } else {
            bring_up_to_date(engine, core)
        };
        let mut core = engine.lock();
        match round {
            Ok(Round::Done) => {
                core.checkpoint_done = wanted;
                core.index_starved = false;
            }
            Ok(Round::Starved) => core.index_starved = true,
            Err(error) => {
                drop(core);
                engine.judge_error(&error);
                engine.stop(&format!("bringing the index up to date failed: {error}"));
                return;
            }
        }
        engine.changed.notify_all();
        if closing {
            return;
        }
        if core.index_starved {
            // Room comes from elsewhere, and nobody tells.
            drop(engine.work.wait_timeout(core, engine.bounds.index_interval));
        }
    }
}

/// The index can wait, a commit cannot: this thread works with what others leave of the processor. Elsewhere than on Linux the whole
/// process would step back.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        let stepped = rustix::process::getpriority_process(None)
            .and_then(|nice| rustix::process::setpriority_process(None, nice.saturating_add(BACK)));
        if let Err(error) = stepped {
            tracing::debug!(%error, "the indexer keeps its priority");
        }
    }
}

/// Waits for a full batch, a wish, the end, or for the interval to pass with something new.
fn wait_until_due(engine: &Engine) -> MutexGuard<'_, Core> {
    let mut core = engine.lock();
    loop {
        let wanted = core.closing || core.checkpoint_wanted > core.checkpoint_done;
        let full = core.settled.pointers.count() >= engine.bounds.index_batch;
        if core.stopped.is_some() || wanted || full {
            return core;
        }
        let waited = engine.work.wait_timeout(core, engine.bounds.index_interval);
        let (waited, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        core = waited;
        if timeout.timed_out() && core.checkpointed != Some(core.durable.position) {
            return core;
        }
    }
}

/// Applies what is durable to the index, syncs it, then writes a checkpoint that says so.
fn bring_up_to_date(engine: &Engine, mut core: MutexGuard<'_, Core>) -> Result<Round, StoreError> {
    if !engine.journal.has_room_for_index() {
        tracing::warn!("no room for the index; it waits");
        return Ok(Round::Starved);
    }
    let pointers = Arc::new(std::mem::take(&mut core.settled.pointers));
    core.applying = Some(Arc::clone(&pointers));
    let checkpoint = Checkpoint::of(core.durable, &core.settled);
    drop(core);
    if engine.faults.hits(Step::IndexApply) {
        return Err(StoreError::Stopped { why: "planned fault of the index".to_owned() });
    }
    engine.index.apply(&pointers, Some(checkpoint.end.position))?;
    if engine.faults.hits(Step::Checkpoint) {
        return Err(StoreError::Stopped { why: "planned fault of the checkpoint".to_owned() });
    }
    let written = checkpoint.write(&engine.dir, &engine.store);
    let mut core = engine.lock();
    core.applying = None;
    core.index_version += 1;
    match written {
        Ok(()) => {
            core.checkpointed = Some(checkpoint.end.position);
            Ok(Round::Done)
        }
        // The former checkpoint still holds, and the index is merely ahead of it.
        Err(StoreError::Full) => Ok(Round::Starved),
        Err(error) => Err(error),
    }
}
