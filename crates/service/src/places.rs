//! Who may be there at one time: a bounded number, and whoever comes when it is reached takes the place of who has been there longest.
//!
//! For what honest callers pass through in moments. Callers who only sit there cannot keep others out by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// A bounded number of places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// In the order of coming.
    places: BTreeMap<u64, CancellationToken>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    places: Places,
    lost: CancellationToken,
}

impl Places {
    /// `most` places, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Arc::default() }
    }

    /// Takes a place; when there is none, the oldest is lost to its holder.
    pub(crate) fn take(&self) -> Place {
        let lost = CancellationToken::new();
        let mut taken = self.taken();
        while taken.places.len() >= self.most {
            let Some((_, oldest)) = taken.places.pop_first() else { break };
            oldest.cancel();
        }
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, lost.clone());
        Place { number, places: self.clone(), lost }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Cancelled when somebody else took the place.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_last_takes_the_place_of_the_oldest_and_a_place_left_is_free() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        drop(second);
        let third = places.take();
        assert!(!first.lost().is_cancelled(), "there was room");
        let fourth = places.take();
        let lost = |place: &Place| place.lost().is_cancelled();
        assert_eq!((lost(&first), lost(&third), lost(&fourth)), (true, false, false));
        drop(first);
        let fifth = places.take();
        assert_eq!(
            (lost(&third), lost(&fourth), lost(&fifth)),
            (true, false, false),
            "a lost place is nobody's to give back"
        );
    }
}
