//! The line: one bounded queue, one worker per core, and as many issuances in one sync as are waiting.
//!
//! A worker takes up to [`LineLimits::batch`] requests, checks and drafts them, and hands their intents in together with the results
//! of its batch before: one sync. While that is written it checks and drafts the next batch. Then it answers whose results are durable,
//! and signs what is recorded. Nothing is answered before its result is durable, and nothing is signed before its intent is.
//!
//! With [`Workers::Inline`] there is no thread and no queue: the caller's task does the same work, one request after the other, so
//! that a world with simulated time repeats itself.

mod results;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use api::Refusal;
use service::{
    Workers,
    answers::Wake,
    metrics::{Metrics, QueueDepth},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    authority::Authority,
    device::{DeviceOrder, IssuedDevice},
    metrics::LineCounts,
};
use worker::{Shared, Worker};

/// The bounds of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineLimits {
    /// Worker threads.
    pub workers: usize,
    /// Requests that may wait; a caller beyond that waits to hand its request in, up to `patience`.
    pub queue: usize,
    /// Most requests in one batch. A worker takes fewer, down to half of that, so that all who wait are spread evenly.
    pub batch: usize,
    /// How long a caller waits for room in the queue, and for another worker's result.
    pub patience: Duration,
}

impl Default for LineLimits {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self { workers, queue: 1024, batch: 64, patience: Duration::from_secs(10) }
    }
}

/// Takes the outcome of one issuance, once, on whichever thread found it; it must not block. Who waits for it is woken when what is
/// returned is dropped: after the whole batch is answered.
pub(crate) type Answer = Box<dyn FnOnce(Result<IssuedDevice, Refusal>) -> Wake + Send>;

/// A request with the way back to who made it.
struct Job {
    order: DeviceOrder,
    answer: Answer,
    counts: Arc<LineCounts>,
}

impl Job {
    /// Answers a request for which nothing new was issued.
    fn answer(self, outcome: Result<IssuedDevice, Refusal>) -> Wake {
        self.counts.answered(&outcome);
        (self.answer)(outcome)
    }

    /// Answers a request with the certificate that was issued for it.
    fn issued(self, device: IssuedDevice) -> Wake {
        self.counts.issued();
        (self.answer)(Ok(device))
    }
}

/// The way in.
#[derive(Clone)]
pub struct Line {
    way: Way,
    patience: Duration,
    counts: Arc<LineCounts>,
}

#[derive(Clone)]
enum Way {
    /// To the workers' threads.
    Queue(mpsc::Sender<Job>),
    /// The worker itself.
    Here(Arc<Mutex<Worker>>),
}

impl Line {
    /// Starts the workers. They end when every clone of the line is dropped and the queue is empty; the handles tell when. Where the
    /// authority's workers are inline, there are none.
    ///
    /// # Errors
    /// What the operating system says about new threads.
    pub fn start(
        authority: &Arc<Authority>,
        limits: LineLimits,
    ) -> std::io::Result<(Self, Vec<thread::JoinHandle<()>>)> {
        match authority.seams.workers {
            Workers::Threads => Self::with_threads(authority, limits),
            Workers::Inline => {
                // Nobody else is at work, so nobody's result is worth waiting for.
                let alone = LineLimits { patience: Duration::ZERO, ..limits };
                let counts = Arc::new(LineCounts::new());
                let worker = Worker::new(Arc::clone(authority), Arc::new(Shared::new(alone, Arc::clone(&counts))));
                let way = Way::Here(Arc::new(Mutex::new(worker)));
                Ok((Self { way, patience: limits.patience, counts }, Vec::new()))
            }
        }
    }

    fn with_threads(
        authority: &Arc<Authority>,
        limits: LineLimits,
    ) -> std::io::Result<(Self, Vec<thread::JoinHandle<()>>)> {
        let (sender, receiver) = mpsc::channel(limits.queue.max(1));
        let counts = Arc::new(LineCounts::new());
        let (queue, shared) = (Arc::new(Mutex::new(receiver)), Arc::new(Shared::new(limits, Arc::clone(&counts))));
        let mut workers = Vec::new();
        for number in 0..limits.workers.max(1) {
            let mut worker = Worker::new(Arc::clone(authority), Arc::clone(&shared));
            let queue = Arc::clone(&queue);
            workers.push(thread::Builder::new().name(format!("issuing-{number}")).spawn(move || worker.run(&queue))?);
        }
        Ok((Self { way: Way::Queue(sender), patience: limits.patience, counts }, workers))
    }

    /// Tells at `metrics` what the line does and how many requests wait; does not keep it going.
    pub fn tell(&self, metrics: &Metrics) {
        self.counts.tell(metrics);
        let waiting: Box<dyn Fn() -> Option<usize> + Send + Sync> = match &self.way {
            Way::Here(_) => Box::new(|| Some(0)),
            Way::Queue(queue) => {
                let queue = queue.downgrade();
                Box::new(move || queue.upgrade().map(|queue| queue.max_capacity() - queue.capacity()))
            }
        };
        metrics.collect(QueueDepth { name: "line_queue_depth", help: "Requests that wait for a worker", waiting });
    }

    /// Hands a request in and waits for its certificate. Dropping the future abandons the answer, not the issuance.
    ///
    /// # Errors
    /// Every refusal of an issuance; `QUEUE_FULL` when there is no room in time; `SHUTTING_DOWN`.
    pub async fn issue(&self, order: DeviceOrder) -> Result<IssuedDevice, Refusal> {
        let (answer, outcome) = oneshot::channel();
        // A caller that went away finds its certificate by a retry.
        let answer = move |issued| {
            let _ = answer.send(issued);
            Wake::default()
        };
        self.hand_in(order, Box::new(answer)).await;
        outcome.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Hands a request in; its outcome, also that there was no room, goes to `answer`.
    pub(crate) async fn hand_in(&self, order: DeviceOrder, answer: Answer) {
        let job = Job { order, answer, counts: Arc::clone(&self.counts) };
        self.counts.entered();
        match &self.way {
            Way::Here(worker) => worker.lock().unwrap_or_else(PoisonError::into_inner).finish(job),
            Way::Queue(queue) => match queue.send_timeout(job, self.patience).await {
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Closed(job)) => drop(job.answer(Err(shutting_down()))),
                Err(mpsc::error::SendTimeoutError::Timeout(job)) => drop(job.answer(Err(no_room()))),
            },
        }
    }
}

fn shutting_down() -> Refusal {
    Refusal::new("SHUTTING_DOWN", "the line takes no more requests").retry_after(Duration::from_secs(1))
}

fn no_room() -> Refusal {
    Refusal::new("QUEUE_FULL", "the queue has no room").retry_after(Duration::from_secs(1))
}
