//! One worker's round: take and prepare while the batch before is written; then answer what that made durable, sign its intents, and
//! hand in their results together with the new intents.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::Refusal;
use pki::Sha256;
use records::{keys, refuse_conflict, refuse_store};
use service::answers::Wake;
use store::{Conflict, Key, StoreError, Submitted, Unit};
use tokio::sync::mpsc;

use super::{Job, LineLimits, results::Results};
use crate::{
    authority::Authority,
    complete,
    device::{self, DeviceOrder, IssuedDevice, OnRecord, Preparation, Standing},
    metrics::LineCounts,
    signing::{self, Prepared},
};

/// How long another worker's result is waited for before its intent is completed here.
const ANOTHERS_RESULT: Duration = Duration::from_millis(200);

/// Batches that one worker has in hand: one is prepared, while another's intents and a third one's results are written.
const STAGES: usize = 3;

/// What the workers of a line have in common.
pub(super) struct Shared {
    results: Results,
    limits: LineLimits,
    counts: Arc<LineCounts>,
}

impl Shared {
    pub(super) fn new(limits: LineLimits, counts: Arc<LineCounts>) -> Self {
        Self { results: Results::default(), limits, counts }
    }

    /// How many requests a worker takes. One that takes all that wait leaves the others nothing to do until it answers them.
    fn share(&self) -> usize {
        let LineLimits { workers, batch, .. } = self.limits;
        let share = self.counts.inside().div_ceil(workers.max(1).saturating_mul(STAGES));
        share.clamp(batch.div_ceil(2), batch.max(1))
    }
}

/// Signed, and waiting for its result to become durable.
struct Unanswered {
    job: Job,
    device: IssuedDevice,
    unit: Unit,
}

/// Handed in together, to be durable by one sync.
struct Flight {
    submitted: Submitted,
    /// Whose results are in it, in its order.
    results: Vec<Unanswered>,
    /// Whose intents are in it, after the results.
    intents: Vec<(Job, Prepared)>,
}

/// Ran into something that is on record.
struct Contested {
    job: Job,
    key_digest: Sha256,
    against: Ran,
}

/// What a request ran into.
enum Ran {
    /// The store did not accept its unit.
    Into(Conflict),
    /// It was asked before, under this key.
    OnRecord(Key),
}

/// What became of a contested request.
enum Resolved {
    /// It has an answer.
    Answer(Box<Result<IssuedDevice, Refusal>>),
    /// What it ran into is void: it is recorded anew.
    Again(Box<Prepared>),
}

pub(super) struct Worker {
    authority: Arc<Authority>,
    shared: Arc<Shared>,
    /// Signed, and not handed in yet.
    unanswered: Vec<Unanswered>,
    /// Handed in, and not durable as far as is known.
    flight: Option<Flight>,
    /// Who was answered in this batch and is woken when all are.
    wakes: Vec<Wake>,
}

impl Worker {
    pub(super) fn new(authority: Arc<Authority>, shared: Arc<Shared>) -> Self {
        Self { authority, shared, unanswered: Vec::new(), flight: None, wakes: Vec::new() }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(&mut self, queue: &Mutex<mpsc::Receiver<Job>>) {
        while let Some(jobs) = self.take(queue) {
            self.round(jobs);
        }
    }

    /// Works on one request until it is answered.
    pub(super) fn finish(&mut self, job: Job) {
        self.round(vec![job]);
        while self.flight.is_some() {
            self.round(Vec::new());
        }
    }

    /// The next batch: waits for work only while nobody waits for an answer. None when the line has ended.
    fn take(&self, queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Vec<Job>> {
        let idle = self.flight.is_none();
        let mut jobs = Vec::new();
        let mut queue = match queue.try_lock() {
            Ok(queue) => queue,
            // Another worker waits at the queue, so it is empty.
            Err(_) if !idle => return Some(jobs),
            Err(_) => queue.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if idle {
            jobs.push(queue.blocking_recv()?);
        }
        let share = self.shared.share();
        while jobs.len() < share {
            match queue.try_recv() {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
        Some(jobs)
    }

    fn round(&mut self, jobs: Vec<Job>) {
        self.shared.counts.took(jobs.len());
        if self.flight.is_some() && !jobs.is_empty() {
            self.authority.store().write_behind();
        }
        let (ready, mut contested) = self.prepare(jobs);
        contested.extend(self.land());
        self.launch(ready);
        if !contested.is_empty() {
            self.settle(contested);
        }
        self.wakes.clear();
    }

    /// Answers what ran into something on record.
    fn settle(&mut self, mut contested: Vec<Contested>) {
        // They may wait for results of these very batches, so those go first.
        contested.extend(self.land_all());
        let mut again = Vec::new();
        for item in contested {
            match self.resolve(&item) {
                Resolved::Answer(outcome) => self.answer(item.job, *outcome),
                Resolved::Again(prepared) => again.push((item.job, *prepared)),
            }
        }
        self.launch(again);
        for item in self.land() {
            self.answer(item.job, Err(busy()));
        }
        self.launch(Vec::new());
    }

    /// Until everything that was taken is answered, or contested.
    fn land_all(&mut self) -> Vec<Contested> {
        let mut contested = Vec::new();
        while self.flight.is_some() {
            contested.extend(self.land());
            self.launch(Vec::new());
        }
        contested
    }

    /// Answers a request for which nothing new was issued.
    fn answer(&mut self, job: Job, outcome: Result<IssuedDevice, Refusal>) {
        self.wakes.push(job.answer(outcome));
    }

    /// Checks and drafts; what is refused here is answered here.
    fn prepare(&mut self, jobs: Vec<Job>) -> (Vec<(Job, Prepared)>, Vec<Contested>) {
        let mut ready = Vec::with_capacity(jobs.len());
        let mut contested = Vec::new();
        for job in jobs {
            match device::prepare(&self.authority, &job.order) {
                Ok(Preparation::Ready(prepared)) => ready.push((job, *prepared)),
                Ok(Preparation::OnRecord { key, key_digest }) => {
                    contested.push(Contested { job, key_digest, against: Ran::OnRecord(key) })
                }
                Err(refusal) => self.answer(job, Err(refusal)),
            }
        }
        (ready, contested)
    }

    /// Hands in the results of what was signed, and the intents of what is ready: one sync for both.
    fn launch(&mut self, mut intents: Vec<(Job, Prepared)>) {
        let mut results = std::mem::take(&mut self.unanswered);
        if results.is_empty() && intents.is_empty() {
            return;
        }
        let signed = results.iter_mut().map(|waiting| std::mem::take(&mut waiting.unit));
        let drafted = intents.iter_mut().map(|(_, prepared)| std::mem::take(&mut prepared.unit));
        match self.authority.store().submit(signed.chain(drafted).collect()) {
            Ok(submitted) => self.flight = Some(Flight { submitted, results, intents }),
            Err(error) => self.refuse_all(results, intents, &error),
        }
    }

    /// Waits for what was handed in: answers the results, signs the intents.
    fn land(&mut self) -> Vec<Contested> {
        let Some(Flight { submitted, results, intents }) = self.flight.take() else { return Vec::new() };
        let mut outcomes = match self.authority.store().wait(submitted) {
            Ok(outcomes) => outcomes.into_iter(),
            Err(error) => {
                self.refuse_all(results, intents, &error);
                return Vec::new();
            }
        };
        for (waiting, outcome) in results.into_iter().zip(outcomes.by_ref()) {
            match outcome {
                Ok(committed) => {
                    let device = IssuedDevice { recorded_at: committed.position, ..waiting.device };
                    self.wakes.push(waiting.job.issued(device));
                }
                // Somebody completed the same intent meanwhile: what is on record is the answer.
                Err(_) => {
                    let outcome = self.authority.device(&waiting.job.order.device_id);
                    self.answer(waiting.job, outcome);
                }
            }
        }
        self.wakes.clear();
        self.shared.results.announce();
        let mut contested = Vec::new();
        for ((job, prepared), outcome) in intents.into_iter().zip(outcomes) {
            match outcome {
                Ok(committed) => self.sign(job, prepared, committed),
                Err(conflict) => contested.push(Contested {
                    key_digest: prepared.draft.subject_key_digest(),
                    job,
                    against: Ran::Into(conflict),
                }),
            }
        }
        contested
    }

    /// Answers everybody in a batch of which nobody knows what became of it.
    fn refuse_all(&mut self, results: Vec<Unanswered>, intents: Vec<(Job, Prepared)>, error: &StoreError) {
        let refusal = refuse_store(error);
        let jobs = results.into_iter().map(|waiting| waiting.job).chain(intents.into_iter().map(|(job, _)| job));
        jobs.for_each(|job| self.answer(job, Err(refusal.clone())));
    }

    fn sign(&mut self, job: Job, prepared: Prepared, committed: store::Committed) {
        let Prepared { lot, subject, act, draft, found_by, generation, .. } = prepared;
        let intent_at = committed.position;
        let signed = signing::receipt_of(committed)
            .and_then(|receipt| signing::sign(lot.issuer()?.ca_key(), subject, &act, draft, receipt, found_by));
        match signed {
            Ok(outcome) => {
                let device = IssuedDevice {
                    device_id: job.order.device_id.to_string(),
                    lot: lot.id.clone(),
                    certificate: outcome.certificate,
                    issuer_chain: lot.chain.clone(),
                    generation: generation.get(),
                    // Told once it is.
                    recorded_at: intent_at,
                };
                self.unanswered.push(Unanswered { job, device, unit: outcome.unit });
            }
            Err(refusal) => self.answer(job, Err(refusal)),
        }
    }

    /// What to do about a request that ran into something on record.
    fn resolve(&self, item: &Contested) -> Resolved {
        let order = &item.job.order;
        let key = match &item.against {
            Ran::OnRecord(key) | Ran::Into(Conflict::KeyTaken { key, .. }) => *key,
            Ran::Into(
                conflict @ (Conflict::KeyMoved { .. }
                | Conflict::Overdrawn { .. }
                | Conflict::NoSuchLot { .. }
                | Conflict::NotOpen { .. }),
            ) => return Resolved::Answer(Box::new(Err(refuse_conflict(conflict, &order.lot)))),
        };
        match self.earlier_result(order, &item.key_digest, key) {
            Ok(Some(device)) => Resolved::Answer(Box::new(Ok(device))),
            Ok(None) => match device::prepare_again(&self.authority, order) {
                Ok(Preparation::Ready(prepared)) => Resolved::Again(prepared),
                Ok(Preparation::OnRecord { .. }) => Resolved::Answer(Box::new(Err(busy()))),
                Err(refusal) => Resolved::Answer(Box::new(Err(refusal))),
            },
            Err(refusal) => Resolved::Answer(Box::new(Err(refusal))),
        }
    }

    /// The certificate of an earlier intent with the same content; waits while another worker signs it. None when it was voided.
    fn earlier_result(
        &self,
        order: &DeviceOrder,
        key_digest: &Sha256,
        mut key: Key,
    ) -> Result<Option<IssuedDevice>, Refusal> {
        let patience = self.shared.limits.patience.min(ANOTHERS_RESULT);
        // A device that was reworked since still answers its earlier certificate to who asks with that one's key.
        let (device_key, by_public_key) = (keys::device(order.device_id.as_str()), keys::public_key(key_digest));
        if key == device_key && self.certifies(&by_public_key, order)? {
            key = by_public_key;
        }
        let mut waited = false;
        loop {
            let seen = self.shared.results.count();
            let store = self.authority.store();
            let record = store.get(&key).map_err(|e| refuse_store(&e))?.ok_or_else(busy)?;
            let id = order.device_id.as_str();
            let at_key = if key == device_key { device::at_device_key } else { device::on_record };
            let Some(OnRecord { standing, .. }) = at_key(store, &record, id)? else {
                return Err(records::reused(&order.act, "kind of request"));
            };
            let Standing::Certified { certified, .. } = standing else { return Ok(None) };
            device::same_or_conflict(order, key_digest, key, &certified.intent)?;
            if let Some(device) = self.authority.answer(&certified)? {
                return Ok(Some(device));
            }
            // Unsigned: another worker is about to, or one failed to. The latter is completed here, over the same bytes.
            if waited {
                complete::complete_device(&self.authority, &certified)?;
            } else if !self.shared.results.wait(seen, patience) {
                waited = true;
            }
        }
    }

    /// Whether the record at a public key is this device's certificate, out of the same lot, for the same occasion.
    fn certifies(&self, by_public_key: &Key, order: &DeviceOrder) -> Result<bool, Refusal> {
        let store = self.authority.store();
        let Some(record) = store.get(by_public_key).map_err(|e| refuse_store(&e))? else { return Ok(false) };
        let id = order.device_id.as_str();
        Ok(match device::on_record(store, &record, id)?.map(|found| found.standing) {
            Some(Standing::Certified { certified, .. }) => device::is_same(order, &certified.intent),
            Some(Standing::Free) | None => false,
        })
    }
}

fn busy() -> Refusal {
    Refusal::new("IN_PROGRESS", "the same request is being worked on").retry_after(Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_share_of_what_is_inside() {
        let counts = Arc::new(LineCounts::new());
        let limits = LineLimits { workers: 2, batch: 64, ..LineLimits::default() };
        let shared = Shared::new(limits, Arc::clone(&counts));
        assert_eq!(shared.share(), 32, "few are not spread thinner");
        (0..256).for_each(|_| counts.entered());
        assert_eq!(shared.share(), 43, "two workers with three batches each");
        (0..1000).for_each(|_| counts.entered());
        assert_eq!(shared.share(), 64);
        (0..1256).for_each(|_| counts.issued());
        assert_eq!(counts.inside(), 0);
    }
}
