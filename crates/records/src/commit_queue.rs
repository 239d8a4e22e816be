//! Group commit for tasks: many waiting tasks, one committing thread, one sync for all that wait.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use api::Refusal;
use service::metrics::{Metrics, QueueDepth};
use store::{Committed, Conflict, Store, Unit};
use tokio::sync::{Semaphore, oneshot};

use crate::refuse_store;

type Answer = Result<Result<Committed, Conflict>, Refusal>;

/// Units that may wait; a task beyond that waits to hand its unit in.
const QUEUE: usize = 1024;
/// Most units in one sync.
const BATCH: usize = 256;
/// So much of what is at work is worth waiting for: a sync is then shared by so many, and the others are at work meanwhile.
const PART: usize = 4;
/// Longest wait for others to join.
const GATHERING: Duration = Duration::from_millis(1);

/// Commits units of many tasks together.
#[derive(Clone)]
pub struct CommitQueue {
    handle: Arc<Handle>,
}

/// What all clones share; the last of them ends the committing thread.
struct Handle(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// There is what the committing thread waits for.
    arrived: Condvar,
    room: Semaphore,
    at_work: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    units: Vec<(Unit, oneshot::Sender<Answer>)>,
    /// With how many units the committing thread is to be woken; it does not wait: none.
    wanted: Option<usize>,
    ended: bool,
}

/// Somebody is at work who will have something to commit, until this is dropped: others may be kept waiting for it, for a moment.
pub struct AtWork(Arc<Handle>);

impl CommitQueue {
    /// Starts the committing thread. It ends when every clone of the queue is dropped.
    ///
    /// # Errors
    /// What the operating system says about a new thread.
    pub fn start(store: Arc<dyn Store>) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            room: Semaphore::new(QUEUE),
            at_work: AtomicUsize::new(0),
        });
        let handle = Arc::new(Handle(Arc::clone(&shared)));
        let worker = thread::Builder::new().name("committing".to_owned()).spawn(move || shared.run(store.as_ref()))?;
        Ok((Self { handle }, worker))
    }

    /// Tells at `metrics` how many units wait; does not keep the queue open.
    pub fn tell(&self, metrics: &Metrics) {
        let handle = Arc::downgrade(&self.handle);
        metrics.collect(QueueDepth {
            name: "commit_queue_depth",
            help: "Units that wait to be committed",
            waiting: Box::new(move || handle.upgrade().map(|handle| handle.0.waiting().units.len())),
        });
    }

    /// Somebody begins work that has something to commit, soon or several times.
    #[must_use]
    pub fn at_work(&self) -> AtWork {
        self.handle.0.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(Arc::clone(&self.handle))
    }

    /// Commits a unit; returns when it is durable. Dropping the future abandons the answer, not the unit.
    ///
    /// # Errors
    /// What the store says; `SHUTTING_DOWN` when the queue has ended.
    pub async fn commit(&self, unit: Unit) -> Answer {
        answered(self.hand_in(unit).await?).await
    }

    /// Commits units each on its own, in their order; returns when what became of every one is durable. So few syncs are waited for as
    /// fit them all.
    ///
    /// # Errors
    /// As [`Self::commit`]; some may have become durable then.
    pub async fn commit_all(&self, units: Vec<Unit>) -> Result<Vec<Result<Committed, Conflict>>, Refusal> {
        let mut outcomes = Vec::with_capacity(units.len());
        for unit in units {
            outcomes.push(self.hand_in(unit).await?);
        }
        let mut committed = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            committed.push(answered(outcome).await?);
        }
        Ok(committed)
    }

    async fn hand_in(&self, unit: Unit) -> Result<oneshot::Receiver<Answer>, Refusal> {
        let (answer, outcome) = oneshot::channel();
        let shared = &self.handle.0;
        // The committing thread gives the room back.
        shared.room.acquire().await.map_err(|_| shutting_down())?.forget();
        shared.hand_in(unit, answer);
        Ok(outcome)
    }
}

async fn answered(outcome: oneshot::Receiver<Answer>) -> Answer {
    outcome.await.unwrap_or_else(|_| Err(shutting_down()))
}

fn shutting_down() -> Refusal {
    Refusal::new("SHUTTING_DOWN", "the store takes no more units")
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.waiting().ended = true;
        self.0.arrived.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_in(&self, unit: Unit, answer: oneshot::Sender<Answer>) {
        let mut waiting = self.waiting();
        waiting.units.push((unit, answer));
        let enough = waiting.wanted.is_some_and(|wanted| waiting.units.len() >= wanted);
        if enough {
            waiting.wanted = None;
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    fn run(&self, store: &dyn Store) {
        while let Some((units, answers)) = self.next() {
            self.room.add_permits(answers.len());
            match store.commit(units) {
                Ok(outcomes) => {
                    for (answer, outcome) in answers.into_iter().zip(outcomes) {
                        let _ = answer.send(Ok(outcome));
                    }
                }
                Err(error) => {
                    let refusal = refuse_store(&error);
                    for answer in answers {
                        let _ = answer.send(Err(refusal.clone()));
                    }
                }
            }
        }
    }

    /// The next group; none when the queue has ended.
    fn next(&self) -> Option<(Vec<Unit>, Vec<oneshot::Sender<Answer>>)> {
        let mut waiting = self.waiting();
        while waiting.units.is_empty() {
            if waiting.ended {
                return None;
            }
            waiting.wanted = Some(1);
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHERING;
        loop {
            // A few at work are not kept waiting for each other.
            let wanted = (self.at_work.load(Ordering::Relaxed) / PART).min(BATCH);
            let left = until.saturating_duration_since(Instant::now());
            if waiting.units.len() >= wanted || waiting.ended || left.is_zero() {
                break;
            }
            waiting.wanted = Some(wanted);
            (waiting, _) = self.arrived.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.wanted = None;
        let group = waiting.units.len().min(BATCH);
        Some(waiting.units.drain(..group).unzip())
    }
}
