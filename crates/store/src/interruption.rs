//! What another caller does between two calls of a store, at a moment that a test chooses.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::MemoryStore;

type Work = Box<dyn FnOnce() + Send>;

/// When it happens.
#[derive(Debug)]
enum Moment {
    /// Just before the call after so many others.
    Call { passes_left: usize },
    /// Just before the next commit.
    Commit,
}

/// A call of a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Commit,
}

/// What is to happen, once.
#[derive(Default)]
pub(crate) struct Interruption(Mutex<Option<(Moment, Work)>>);

impl Interruption {
    fn plan(&self, planned: Option<(Moment, Work)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = planned;
    }

    /// A call is about to be made; the store must not be locked.
    pub(crate) fn pass(&self, call: Call) {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match planned.as_mut() {
            None => false,
            Some((Moment::Commit, _)) => call == Call::Commit,
            Some((Moment::Call { passes_left: 0 }, _)) => true,
            Some((Moment::Call { passes_left }, _)) => {
                *passes_left -= 1;
                false
            }
        };
        let due = if is_due { planned.take() } else { None };
        drop(planned);
        if let Some((_, work)) = due {
            work();
        }
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interruption")
    }
}

impl MemoryStore {
    /// Does this just before the next commit.
    pub fn before_commit(&self, work: impl FnOnce() + Send + 'static) {
        self.interruption.plan(Some((Moment::Commit, Box::new(work))));
    }

    /// Lets so many calls pass, then does this just before the next one.
    pub fn after_calls(&self, calls: usize, work: impl FnOnce() + Send + 'static) {
        self.interruption.plan(Some((Moment::Call { passes_left: calls }, Box::new(work))));
    }
}

/// Asks the same of a world twice, the second time in the middle of the first: before the first of its calls of the store, in another world
/// before its second, and so on until it has no more. `check` sees each world with what was told in the middle, and what at the end.
///
/// Whoever holds a lock while he calls the store cannot be asked in the middle.
pub fn overtaken<W, T>(
    world: impl Fn() -> W,
    store: impl Fn(&W) -> &MemoryStore,
    ask: impl Fn(&W) -> T + Clone + Send + 'static,
    mut check: impl FnMut(&W, T, T),
) where
    W: Send + Sync + 'static,
    T: Send + 'static,
{
    for calls in 0.. {
        let world = Arc::new(world());
        let in_the_middle = Arc::new(Mutex::new(None));
        let (again, other, told) = (ask.clone(), Arc::clone(&world), Arc::clone(&in_the_middle));
        store(&world).after_calls(calls, move || {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(again(&other));
        });
        let at_the_end = ask(&world);
        let in_the_middle = in_the_middle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(in_the_middle) = in_the_middle else {
            // What is planned holds the world.
            store(&world).interruption.plan(None);
            return;
        };
        check(&world, in_the_middle, at_the_end);
    }
}
