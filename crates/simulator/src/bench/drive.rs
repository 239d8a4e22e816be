//! The load: requests go out as the schedule says, answers are counted as they come.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::Refusal;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Mode,
    face::{Face, Verdict},
    histogram::Histogram,
    report::Refusals,
    requests::{Asked, Requests},
    schedule::Schedule,
};

/// How long an answer may take before its request counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// A request that is sent this late after it was due is late by the timer's grain, and counts from when it was sent.
const GRAIN: Duration = Duration::from_millis(2);

/// Connections that are opened at one time: when more shake hands than a service lets (`max_handshakes`), the slowest is closed.
const OPENING: usize = 64;

/// Clients that ask for certificates.
pub(super) struct Drive<F> {
    /// One for each client.
    pub(super) faces: Vec<F>,
    pub(super) mode: Mode,
    /// Requests of one client that wait for an answer at one time.
    pub(super) window: u32,
    pub(super) requests: Arc<Requests>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// Answers that count.
    pub(super) issued: u64,
    /// Of those that count.
    pub(super) latencies: Histogram,
    refusals: Refusals,
}

impl Outcome {
    fn new() -> Self {
        Self::of(0, Histogram::new())
    }

    /// So many answers, none refused.
    pub(super) fn of(issued: u64, latencies: Histogram) -> Self {
        Self { issued, latencies, refusals: Refusals::default() }
    }

    /// Every refusal, also of the warm-up and after the end.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The answer to a request that was made again.
    pub(super) fn again(&mut self, from: Instant, verdict: Verdict) {
        match verdict {
            Ok(()) => {
                self.issued += 1;
                self.latencies.record(from.elapsed());
            }
            Err(refusal) => self.refusals.add(&refusal, 1),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.issued += other.issued;
        self.latencies.merge(&other.latencies);
        self.refusals.merge(&other.refusals);
    }

    fn answered(&mut self, schedule: &Schedule, from: Instant, verdict: Verdict) {
        let now = Instant::now();
        match verdict {
            Ok(()) if schedule.counts(now) => {
                self.issued += 1;
                self.latencies.record(now.saturating_duration_since(from));
            }
            Ok(()) => {}
            Err(refusal) => self.refusals.add(&refusal, 1),
        }
    }
}

/// A request that is to be sent, now or when it is due.
struct Next {
    due: Option<Instant>,
    asked: Asked,
}

impl Next {
    fn is_early(&self) -> bool {
        self.due.is_some_and(|due| due > Instant::now())
    }

    /// From when its latency counts.
    fn from(&self) -> Instant {
        let now = Instant::now();
        match self.due {
            Some(due) if now.saturating_duration_since(due) > GRAIN => due,
            Some(_) | None => now,
        }
    }
}

impl<F: Face> Drive<F> {
    /// The same clients with other requests.
    pub(super) fn with(&self, mode: Mode, requests: Arc<Requests>) -> Self {
        Self { faces: self.faces.clone(), mode, window: self.window, requests }
    }

    /// Asks until the schedule ends, and waits for the last answers.
    pub(super) async fn run(self, schedule: Schedule) -> anyhow::Result<Outcome> {
        let mut tasks = Vec::new();
        let opening = Arc::new(Semaphore::new(OPENING));
        for face in self.faces {
            let (requests, opening) = (Arc::clone(&self.requests), Arc::clone(&opening));
            let client = Client { face, requests, opening, schedule };
            match self.mode {
                Mode::Stream => tasks.push(tokio::spawn(client.by_stream(self.window))),
                Mode::Unary => {
                    tasks.extend((0..self.window).map(|_| tokio::spawn(client.clone().by_call())));
                }
            }
        }
        let mut all = Outcome::new();
        for task in tasks {
            all.merge(&task.await??);
        }
        Ok(all)
    }
}

#[derive(Clone)]
struct Client<F> {
    face: F,
    requests: Arc<Requests>,
    opening: Arc<Semaphore>,
    schedule: Schedule,
}

impl<F: Face> Client<F> {
    fn next(&self) -> anyhow::Result<Option<Next>> {
        if Instant::now() >= self.schedule.end {
            return Ok(None);
        }
        let (number, asked) = self.requests.take()?;
        let due = self.schedule.due(number);
        let late = due.is_some_and(|due| due >= self.schedule.end) || !self.schedule.includes(number);
        Ok((!late).then_some(Next { due, asked }))
    }

    async fn by_call(self) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::new();
        while let Some(next) = self.next()? {
            if let Some(due) = next.due.filter(|_| next.is_early()) {
                tokio::time::sleep_until(due.into()).await;
            }
            let from = next.from();
            let verdict = timeout(LOST_AFTER, self.face.call(next.asked)).await.unwrap_or_else(|_| Err(lost()));
            outcome.answered(&self.schedule, from, verdict);
        }
        Ok(outcome)
    }

    async fn by_stream(self, window: u32) -> anyhow::Result<Outcome> {
        let window = usize::try_from(window)?;
        let (sender, receiver) = mpsc::channel(window);
        let mut outcome = Outcome::new();
        let turn = self.opening.acquire().await?;
        let opened = self.face.open(ReceiverStream::new(receiver)).await;
        drop(turn);
        let mut answers = match opened {
            Ok(answers) => answers,
            Err(status) => {
                outcome.refusals.add(&Refusal::from_status(&status), 1);
                return Ok(outcome);
            }
        };
        let mut open: HashMap<String, Instant> = HashMap::with_capacity(window);
        let mut next = self.next()?;
        loop {
            while open.len() < window
                && let Some(ready) = next.take_if(|next| !next.is_early())
            {
                open.insert(ready.asked.request_id.clone(), ready.from());
                // The channel holds a whole window, so this never waits; a stream that broke says so when it is read.
                let _ = sender.send(self.face.ask(ready.asked)).await;
                next = self.next()?;
            }
            if next.is_none() && open.is_empty() {
                return Ok(outcome);
            }
            let due = next.as_ref().and_then(|next| next.due).filter(|_| open.len() < window);
            let answer = tokio::select! {
                answer = timeout(LOST_AFTER, answers.message()), if !open.is_empty() => answer,
                () = until(due), if due.is_some() => continue,
            };
            match answer {
                Ok(Ok(Some(answer))) => {
                    let (request_id, verdict) = F::read(answer);
                    if let Some(from) = open.remove(&request_id) {
                        outcome.answered(&self.schedule, from, verdict);
                    }
                }
                broken => {
                    let why = match broken {
                        Ok(Err(status)) => Refusal::from_status(&status),
                        Ok(Ok(_)) | Err(_) => lost(),
                    };
                    outcome.refusals.add(&why, u64::try_from(open.len())?);
                    return Ok(outcome);
                }
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

fn lost() -> Refusal {
    Refusal::new("UPSTREAM_UNREACHABLE", format!("no answer within {} s", LOST_AFTER.as_secs()))
}
