//! The line: one bounded queue, one worker per core, and as many issuances in one sync as are waiting.
//!
//! A worker takes up to [`LineLimits::batch`] requests, checks and drafts them, and commits their intents together with the results
//! of its batch before: one sync. Then it signs what is recorded, and answers the batch before. Nothing is answered before its
//! result is durable, and nothing is signed before its intent is.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use api::Refusal;
use pki::Sha256;
use records::{refuse_conflict, refuse_store};
use store::{Conflict, Key, Unit};
use tokio::sync::{mpsc, oneshot};

use crate::{
    authority::Authority,
    complete,
    device::{self, DeviceOrder, IssuedDevice},
    signing::{self, Prepared},
};

/// The bounds of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineLimits {
    /// Worker threads.
    pub workers: usize,
    /// Requests that may wait; a caller beyond that waits to hand its request in, up to `patience`.
    pub queue: usize,
    /// Most requests in one batch.
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

struct Job {
    order: DeviceOrder,
    answer: oneshot::Sender<Result<IssuedDevice, Refusal>>,
}

impl Job {
    fn answer(self, outcome: Result<IssuedDevice, Refusal>) {
        // A caller that went away finds its certificate by a retry.
        let _ = self.answer.send(outcome);
    }
}

/// The way in.
#[derive(Clone)]
pub struct Line {
    queue: mpsc::Sender<Job>,
    patience: Duration,
}

impl Line {
    /// Starts the workers. They end when every clone of the line is dropped and the queue is empty; the handles tell when.
    ///
    /// # Errors
    /// What the operating system says about new threads.
    pub fn start(
        authority: &Arc<Authority>,
        limits: LineLimits,
    ) -> std::io::Result<(Self, Vec<thread::JoinHandle<()>>)> {
        let (sender, receiver) = mpsc::channel(limits.queue.max(1));
        let shared = Arc::new(Shared { queue: Mutex::new(receiver), results: Results::default(), limits });
        let mut workers = Vec::new();
        for number in 0..limits.workers.max(1) {
            let mut worker =
                Worker { authority: Arc::clone(authority), shared: Arc::clone(&shared), unanswered: Vec::new() };
            workers.push(thread::Builder::new().name(format!("issuing-{number}")).spawn(move || worker.run())?);
        }
        Ok((Self { queue: sender, patience: limits.patience }, workers))
    }

    /// Hands a request in and waits for its certificate. Dropping the future abandons the answer, not the issuance.
    ///
    /// # Errors
    /// Every refusal of an issuance; `QUEUE_FULL` when there is no room in time; `SHUTTING_DOWN`.
    pub async fn issue(&self, order: DeviceOrder) -> Result<IssuedDevice, Refusal> {
        let (answer, outcome) = oneshot::channel();
        let shutting_down =
            || Refusal::new("SHUTTING_DOWN", "the line takes no more requests").retry_after(Duration::from_secs(1));
        match self.queue.send_timeout(Job { order, answer }, self.patience).await {
            Ok(()) => outcome.await.unwrap_or_else(|_| Err(shutting_down())),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(shutting_down()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(Refusal::new("QUEUE_FULL", "the queue has no room").retry_after(Duration::from_secs(1)))
            }
        }
    }
}

struct Shared {
    queue: Mutex<mpsc::Receiver<Job>>,
    results: Results,
    limits: LineLimits,
}

/// Tells workers that wait for another's result that results became durable.
#[derive(Default)]
struct Results {
    committed: Mutex<u64>,
    changed: Condvar,
}

impl Results {
    fn count(&self) -> u64 {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until something was committed after `seen`; false when nothing was within `patience`.
    fn wait(&self, seen: u64, patience: Duration) -> bool {
        let guard = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = self
            .changed
            .wait_timeout_while(guard, patience, |now| *now == seen)
            .unwrap_or_else(PoisonError::into_inner);
        *guard != seen
    }
}

/// Signed, and waiting for its result to become durable.
struct Unanswered {
    job: Job,
    device: IssuedDevice,
    unit: Unit,
}

/// Ran into something that is on record.
struct Contested {
    job: Job,
    key_digest: Sha256,
    conflict: Conflict,
}

struct Worker {
    authority: Arc<Authority>,
    shared: Arc<Shared>,
    unanswered: Vec<Unanswered>,
}

impl Worker {
    fn run(&mut self) {
        while let Some(jobs) = self.take() {
            let ready = self.prepare(jobs);
            let contested = self.record_and_sign(ready);
            if !contested.is_empty() {
                // They may wait for results of this very batch, so those go first.
                let _ = self.record_and_sign(Vec::new());
                for item in contested {
                    let outcome = self.resolve(&item);
                    item.job.answer(outcome);
                }
            }
        }
    }

    /// The next batch: waits for work only while nobody waits for an answer. None when the line has ended.
    fn take(&self) -> Option<Vec<Job>> {
        let idle = self.unanswered.is_empty();
        let mut jobs = Vec::new();
        let mut queue = match self.shared.queue.try_lock() {
            Ok(queue) => queue,
            // Another worker waits at the queue, so it is empty.
            Err(_) if !idle => return Some(jobs),
            Err(_) => self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if idle {
            jobs.push(queue.blocking_recv()?);
        }
        while jobs.len() < self.shared.limits.batch {
            match queue.try_recv() {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
        Some(jobs)
    }

    /// Checks and drafts; what is refused here is answered here.
    fn prepare(&self, jobs: Vec<Job>) -> Vec<(Job, Prepared)> {
        let mut ready = Vec::with_capacity(jobs.len());
        for job in jobs {
            match device::prepare(&self.authority, &job.order) {
                Ok(prepared) => ready.push((job, prepared)),
                Err(refusal) => job.answer(Err(refusal)),
            }
        }
        ready
    }

    /// One sync: the results of the batch before and the intents of this one. Answers the former, signs the latter.
    fn record_and_sign(&mut self, ready: Vec<(Job, Prepared)>) -> Vec<Contested> {
        let before = std::mem::take(&mut self.unanswered);
        if before.is_empty() && ready.is_empty() {
            return Vec::new();
        }
        let mut ready = ready;
        let results = before.iter().map(|u| u.unit.clone());
        let intents = ready.iter_mut().map(|(_, prepared)| std::mem::take(&mut prepared.unit));
        let units: Vec<Unit> = results.chain(intents).collect();
        let mut outcomes = match self.authority.store().commit(units) {
            Ok(outcomes) => outcomes.into_iter(),
            Err(error) => {
                let refusal = refuse_store(&error);
                before.into_iter().for_each(|u| u.job.answer(Err(refusal.clone())));
                ready.into_iter().for_each(|(job, _)| job.answer(Err(refusal.clone())));
                return Vec::new();
            }
        };
        let mut contested = Vec::new();
        for (waiting, outcome) in before.into_iter().zip(outcomes.by_ref()) {
            match outcome {
                Ok(_) => waiting.job.answer(Ok(waiting.device)),
                // Somebody completed the same intent meanwhile: what is on record is the answer.
                Err(_) => {
                    let outcome = self.on_record(&waiting.job.order);
                    waiting.job.answer(outcome);
                }
            }
        }
        self.shared.results.announce();
        for ((job, prepared), outcome) in ready.into_iter().zip(outcomes) {
            match outcome {
                Ok(committed) => self.sign(job, prepared, committed),
                Err(conflict) => {
                    contested.push(Contested { key_digest: prepared.draft.subject_key_digest(), job, conflict })
                }
            }
        }
        contested
    }

    fn sign(&mut self, job: Job, prepared: Prepared, committed: store::Committed) {
        let Prepared { lot, subject, act, draft, found_by, .. } = prepared;
        let signed = signing::receipt_of(committed)
            .and_then(|receipt| signing::sign(&lot, subject, &act, draft, receipt, found_by));
        match signed {
            Ok(outcome) => {
                let device = IssuedDevice {
                    device_id: job.order.device_id.to_string(),
                    lot: lot.id.clone(),
                    certificate: outcome.certificate,
                    issuer_chain: lot.chain.clone(),
                    generation: 1,
                };
                self.unanswered.push(Unanswered { job, device, unit: outcome.unit });
            }
            Err(refusal) => job.answer(Err(refusal)),
        }
    }

    /// Answers a request whose unit was not accepted.
    fn resolve(&self, item: &Contested) -> Result<IssuedDevice, Refusal> {
        let order = &item.job.order;
        let key = match &item.conflict {
            Conflict::KeyTaken { key, .. } => *key,
            Conflict::KeyMoved { .. }
            | Conflict::Overdrawn { .. }
            | Conflict::NoSuchLot { .. }
            | Conflict::NotOpen { .. } => return Err(refuse_conflict(&item.conflict, &order.lot)),
        };
        self.earlier_result(order, &item.key_digest, key)
    }

    /// The certificate of an earlier intent with the same content; waits while another worker signs it.
    fn earlier_result(&self, order: &DeviceOrder, key_digest: &Sha256, key: Key) -> Result<IssuedDevice, Refusal> {
        let mut waited = false;
        loop {
            let seen = self.shared.results.count();
            let store = self.authority.store();
            let busy = || {
                Refusal::new("IN_PROGRESS", "the same request is being worked on")
                    .retry_after(Duration::from_millis(50))
            };
            let record = store.get(&key).map_err(|e| refuse_store(&e))?.ok_or_else(busy)?;
            let Some(earlier) = device::earlier(store, &record)? else {
                return Err(records::reused(&order.act, "kind of request"));
            };
            device::same_or_conflict(order, key_digest, key, &earlier)?;
            let lot = self.authority.lots.get(&earlier.intent.lot)?;
            if let Some(signature) = &earlier.signature {
                return device::assemble(&lot, &earlier, signature);
            }
            // Unsigned: another worker is about to, or one failed to. The latter is completed here, over the same bytes.
            if waited {
                complete::complete_device(&self.authority, &earlier)?;
            } else if !self.shared.results.wait(seen, self.shared.limits.patience.min(Duration::from_millis(200))) {
                waited = true;
            }
        }
    }

    fn on_record(&self, order: &DeviceOrder) -> Result<IssuedDevice, Refusal> {
        self.authority.device(&order.device_id)
    }
}
