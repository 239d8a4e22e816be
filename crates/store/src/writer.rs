//! The thread that writes groups for who does other work before waiting.

use std::sync::PoisonError;

use crate::engine::Engine;

/// Runs until the store is closed or stops.
pub(crate) fn run(engine: &Engine) {
    let mut core = engine.lock();
    while !core.closing && core.stopped.is_none() {
        core = if core.behind && core.writing.is_none() {
            engine.lead(core)
        } else {
            engine.behind.wait(core).unwrap_or_else(PoisonError::into_inner)
        };
    }
}
