//! Who may be there at one time: a bounded number, and whoever comes when it is reached takes the place of who has been there longest.
//!
//! For what honest callers pass through in moments. Callers who only sit there cannot keep others out by it. Where honest callers come in
//! crowds, and each of them takes its moment, only who is slow loses its place ([`Places::take_from_the_slow`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A bounded number of places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// In the order of coming.
    places: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    places: Places,
    lost: CancellationToken,
}

impl Places {
    /// `most` places, at least one.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Arc::default() }
    }

    /// Takes a place; when there is none, the oldest is lost to its holder.
    pub(crate) fn take(&self) -> Place {
        let mut taken = self.taken();
        while taken.places.len() >= self.most {
            let Some((_, (_, oldest))) = taken.places.pop_first() else { break };
            oldest.cancel();
        }
        self.add(&mut taken)
    }

    /// Takes a place; when there is none, that of the oldest if it has been there for `slow`, and none otherwise: a crowd that is served as
    /// fast as can be is not to be interrupted by more of it.
    #[must_use]
    pub fn take_from_the_slow(&self, slow: Duration) -> Option<Place> {
        let mut taken = self.taken();
        if taken.places.len() >= self.most {
            let oldest = taken.places.first_entry().filter(|oldest| oldest.get().0.elapsed() >= slow)?;
            oldest.remove().1.cancel();
        }
        Some(self.add(&mut taken))
    }

    fn add(&self, taken: &mut Taken) -> Place {
        let lost = CancellationToken::new();
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, (Instant::now(), lost.clone()));
        Place { number, places: self.clone(), lost }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Cancelled when somebody else took the place.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
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
    #![allow(clippy::unwrap_used)]
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

    #[test]
    fn only_the_slow_lose_their_places_to_a_crowd() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert!(places.take_from_the_slow(Duration::from_secs(3600)).is_none());
        let third = places.take_from_the_slow(Duration::ZERO).unwrap();
        let lost = |place: &Place| place.lost().is_cancelled();
        assert_eq!((lost(&first), lost(&second), lost(&third)), (true, false, false));
        drop(second);
        assert!(places.take_from_the_slow(Duration::from_secs(3600)).is_some());
    }
}
