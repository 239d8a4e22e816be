//! Group commit for tasks: many waiting tasks, one committing thread, one sync for all that wait.

use std::{sync::Arc, thread};

use api::Refusal;
use service::metrics::{Metrics, QueueDepth};
use store::{Committed, Conflict, Store, Unit};
use tokio::sync::{mpsc, oneshot};

use crate::refuse_store;

type Answer = Result<Result<Committed, Conflict>, Refusal>;

/// Commits units of many tasks together.
#[derive(Clone)]
pub struct CommitQueue {
    queue: mpsc::Sender<(Unit, oneshot::Sender<Answer>)>,
}

/// Units that may wait; a task beyond that waits to hand its unit in.
const QUEUE: usize = 1024;
/// Most units in one sync.
const BATCH: usize = 256;

impl CommitQueue {
    /// Starts the committing thread. It ends when every clone of the queue is dropped.
    ///
    /// # Errors
    /// What the operating system says about a new thread.
    pub fn start(store: Arc<dyn Store>) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let worker =
            thread::Builder::new().name("committing".to_owned()).spawn(move || run(store.as_ref(), receiver))?;
        Ok((Self { queue }, worker))
    }

    /// Tells at `metrics` how many units wait; does not keep the queue open.
    pub fn tell(&self, metrics: &Metrics) {
        let queue = self.queue.downgrade();
        metrics.collect(QueueDepth {
            name: "commit_queue_depth",
            help: "Units that wait to be committed",
            waiting: Box::new(move || queue.upgrade().map(|queue| queue.max_capacity() - queue.capacity())),
        });
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
        self.queue.send((unit, answer)).await.map_err(|_| shutting_down())?;
        Ok(outcome)
    }
}

async fn answered(outcome: oneshot::Receiver<Answer>) -> Answer {
    outcome.await.unwrap_or_else(|_| Err(shutting_down()))
}

fn shutting_down() -> Refusal {
    Refusal::new("SHUTTING_DOWN", "the store takes no more units")
}

fn run(store: &dyn Store, mut queue: mpsc::Receiver<(Unit, oneshot::Sender<Answer>)>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
        let (units, answers): (Vec<Unit>, Vec<_>) = waiting.drain(..).unzip();
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
