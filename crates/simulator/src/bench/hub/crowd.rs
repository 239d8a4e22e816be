//! Many devices that do the same, so many of them at one time.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    fleet::{Device, Fleet},
    session::Session,
};
use crate::bench::{histogram::Histogram, usage::Processor};

/// The devices before the hub's door.
pub(super) struct Crowd {
    door: Arc<str>,
    fleet: Arc<Fleet>,
}

/// What came of a crowd.
pub(super) struct Came<T> {
    /// Of those that succeeded.
    pub(super) results: Vec<T>,
    /// The words of those that did not, with how often.
    pub(super) refused: BTreeMap<String, u64>,
    /// From the first begin to the last end.
    pub(super) took: Duration,
    /// From begin to end of each that succeeded.
    pub(super) latencies: Histogram,
    /// Processor time, where it was looked at.
    pub(super) spent: Processor,
}

impl Crowd {
    pub(super) fn new(door: &str, fleet: &Arc<Fleet>) -> Self {
        Self { door: door.into(), fleet: Arc::clone(fleet) }
    }

    /// Every device connects, at most `at_one_time` of them at one time; connected is who has its CONNACK.
    pub(super) async fn connect(&self, at_one_time: usize, hub: u32) -> anyhow::Result<Came<Session>> {
        let (before, door) = (Processor::so_far(&[hub])?, Arc::clone(&self.door));
        let came = each(&self.fleet, at_one_time, move |device| {
            let door = Arc::clone(&door);
            async move { Session::open(&device, &door).await }
        });
        let came = came.await?;
        Ok(Came { spent: Processor::so_far(&[hub])?.since(before), ..came })
    }

    /// So many devices connect and leave, one after the other.
    pub(super) async fn one_by_one(&self, count: usize) -> anyhow::Result<()> {
        for device in self.fleet.devices().iter().cycle().take(count) {
            drop(Session::open(device, &self.door).await?);
        }
        Ok(())
    }

    /// The sessions of the first so many devices.
    pub(super) async fn first(&self, count: usize) -> anyhow::Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for device in self.fleet.devices().iter().take(count) {
            sessions.push(Session::open(device, &self.door).await?);
        }
        Ok(sessions)
    }
}

impl<T> Came<T> {
    fn nothing_yet() -> Self {
        Self {
            results: Vec::new(),
            refused: BTreeMap::new(),
            took: Duration::ZERO,
            latencies: Histogram::new(),
            spent: Processor::default(),
        }
    }
}

/// Has every device do something.
pub(super) async fn each<T, F>(
    fleet: &Arc<Fleet>,
    at_one_time: usize,
    deed: impl Fn(Arc<Device>) -> F + Clone + Send + 'static,
) -> anyhow::Result<Came<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let (next, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let tasks: Vec<_> = (0..at_one_time.max(1))
        .map(|_| tokio::spawn(some(Arc::clone(fleet), Arc::clone(&next), deed.clone())))
        .collect();
    let mut came = Came::nothing_yet();
    for task in tasks {
        let part = task.await?;
        came.results.extend(part.results);
        came.latencies.merge(&part.latencies);
        for (words, times) in part.refused {
            *came.refused.entry(words).or_default() += times;
        }
    }
    came.took = begun.elapsed();
    Ok(came)
}

/// One device after the other, of those that nobody took yet.
async fn some<T, F: Future<Output = anyhow::Result<T>>>(
    fleet: Arc<Fleet>,
    next: Arc<AtomicUsize>,
    deed: impl Fn(Arc<Device>) -> F,
) -> Came<T> {
    let mut came = Came::nothing_yet();
    while let Some(device) = fleet.devices().get(next.fetch_add(1, Ordering::Relaxed)) {
        let begun = Instant::now();
        match deed(Arc::clone(device)).await {
            Ok(result) => {
                came.latencies.record(begun.elapsed());
                came.results.push(result);
            }
            Err(error) => *came.refused.entry(format!("{error:#}")).or_default() += 1,
        }
    }
    came
}
