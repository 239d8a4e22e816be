//! Deliveries to those who need not answer at once: the journal is the outbox.
//!
//! Each destination has a task that reads the journal in order, from where it left off, and delivers what concerns it: at least once,
//! never out of order, through any outage. What a destination refuses for good is set aside on record, and the rest goes on; an operator
//! has it sent again when its cause is mended.

mod again;
mod aside;
mod hub;
mod pause;
mod signer;

use std::{sync::Arc, time::Duration};

use api::{
    Refusal, RequestId,
    journal::v1::{OutboxAdvanced, OutboxQuarantined, record::Fact},
};
use issuance::{Entropy as _, SystemEntropy};
use records::{Act, Caller, CommitQueue, Standing, keys, read, refuse_conflict, refuse_store};
use service::{Clock, Workers};
use store::{Claim, Position, Record, Rule, Store, Unit};
use tokio::sync::watch;
use tonic::Code;
use tracing::{error, info, warn};

use crate::metrics::OutboxPlace;

pub(crate) use again::ask as ask_again;
pub(crate) use aside::{QUARANTINE, held};
pub(crate) use hub::ToHub;
use pause::Pause;
pub(crate) use signer::ToSigner;

/// Most deliveries in one call.
const BATCH: usize = 100;
/// Records that are read on without a delivery before the place is put on record.
const READ_ON: u64 = 4 << 20;
/// How long an idle outbox waits before it looks again by itself.
const IDLE: Duration = Duration::from_secs(5);

/// Something to be delivered.
#[derive(Debug, Clone)]
pub(crate) struct Delivery<T> {
    /// Where the record stands that it comes from.
    pub(crate) position: Position,
    pub(crate) device_id: String,
    pub(crate) content: T,
}

/// What became of one delivery.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Done, now or before; with what is put on record about it.
    Arrived(Vec<Unit>),
    /// Refused for good.
    Refused(Refusal),
    /// Not now; it and what follows is tried again.
    Later(Refusal),
}

/// What a destination answered to a batch.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What became of each delivery, in order.
    pub(crate) outcomes: Vec<Outcome>,
    /// Where the backup ended that the destination was last restored from; 0 when it never was.
    pub(crate) restored_at: u64,
}

/// Who gets deliveries.
#[tonic::async_trait]
pub(crate) trait Destination: Send + Sync + 'static {
    /// What one delivery says.
    type Content: Clone + Send + Sync;

    /// Its name on record.
    const NAME: &'static str;

    /// What a record means for it, if anything. Runs where blocking work may.
    ///
    /// # Errors
    /// What the store says.
    fn delivery(&self, store: &dyn Store, record: &Record) -> Result<Option<Delivery<Self::Content>>, Refusal>;

    /// Whether a record says what is not so any more: later ones of the same unit tell the rest. Runs where blocking work may.
    ///
    /// # Errors
    /// What the store says.
    fn is_overtaken(&self, store: &dyn Store, record: &Record) -> Result<bool, Refusal>;

    /// Delivers up to a batch of the feed of this name; answers each in order.
    ///
    /// # Errors
    /// When nothing is known of any of them: all are tried again.
    async fn deliver(&self, feed: &str, batch: &[Delivery<Self::Content>]) -> Result<Answered, Refusal>;
}

/// What an outbox works with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) commits: CommitQueue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workers: Workers,
    /// The manufacturer, as the journal's actor.
    pub(crate) manufacturer: String,
    /// Tells when something is on record.
    pub(crate) news: watch::Receiver<()>,
}

/// A destination's outbox.
pub(crate) struct Outbox<D: Destination> {
    tools: Tools,
    destination: Arc<D>,
    /// What is read next.
    next: Position,
    place: Arc<OutboxPlace>,
    /// What is read next after a restart.
    recorded: Position,
    feed: String,
    /// Which restore of the destination this feed began after.
    restored_at: u64,
    /// What was set aside, while it is sent again.
    pass: Option<again::Pass>,
}

impl<D: Destination> Outbox<D> {
    /// The outbox where it left off; a new one begins its feed on record.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED` when its place is on no record that reads.
    pub(crate) fn open(tools: Tools, destination: D) -> Result<Self, Refusal> {
        let place = tools.store.get(&keys::outbox(D::NAME)).map_err(|e| refuse_store(&e))?;
        // What happened after a backup is not in the store that was made of it, so the places of its feed would stand for something
        // else: it begins a new one, and tells everything again.
        let restored_at = Standing::of(tools.store.as_ref())?.restored_at;
        let place = place.filter(|record| restored_at.is_none_or(|restored_at| record.position > restored_at));
        let advanced = match place.map(|record| read(&record)).transpose()? {
            Some((_, Fact::OutboxAdvanced(advanced))) => advanced,
            Some(_) => return Err(Refusal::new("JOURNAL_DAMAGED", "an outbox's place is on no such record")),
            None => {
                let begun = begin::<D>(0)?;
                let unit = place_unit(&act(&tools), begun.clone());
                records::commit_one(tools.store.as_ref(), unit)?.map_err(|c| refuse_conflict(&c, ""))?;
                begun
            }
        };
        let OutboxAdvanced { next, feed, destination_restored_at: restored_at, .. } = advanced;
        let next = Position::from_u64(next);
        let place = OutboxPlace::new(D::NAME, next, aside::count(tools.store.as_ref(), D::NAME)?);
        Ok(Self {
            tools,
            destination: Arc::new(destination),
            next,
            place,
            recorded: next,
            feed,
            restored_at,
            pass: None,
        })
    }

    /// How far it is, for `/metrics`.
    pub(crate) fn place(&self) -> Arc<OutboxPlace> {
        Arc::clone(&self.place)
    }

    /// Delivers for as long as `alive` lives.
    pub(crate) async fn run<A: Send + Sync>(mut self, alive: std::sync::Weak<A>) {
        let mut pause = Pause::new(SystemEntropy);
        while alive.strong_count() > 0 {
            match self.round().await {
                Ok(Progress::Moved) => pause.forget(),
                Ok(Progress::Idle) => {
                    pause.forget();
                    let _ = tokio::time::timeout(IDLE, self.tools.news.changed()).await;
                }
                Err(refusal) => {
                    warn!(destination = D::NAME, %refusal, "deliveries wait");
                    tokio::time::sleep(pause.after(&refusal)).await;
                }
            }
        }
    }

    /// Delivers at most one batch: of what was set aside and is to be sent again, or else of what is new.
    ///
    /// # Errors
    /// When it has to be tried again later.
    pub(crate) async fn round(&mut self) -> Result<Progress, Refusal> {
        match self.again().await? {
            Some(progress) => Ok(progress),
            None => self.read_on().await,
        }
    }

    async fn read_on(&mut self) -> Result<Progress, Refusal> {
        let (batch, read_to, at_end) = self.read().await?;
        if batch.is_empty() {
            self.move_to(read_to);
            // Its own place on record is no reason to write another one.
            if read_to.as_u64().saturating_sub(self.recorded.as_u64()) >= READ_ON {
                self.record(Vec::new(), read_to).await?;
            }
            return Ok(if at_end { Progress::Idle } else { Progress::Moved });
        }
        let Answered { outcomes, restored_at } = self.destination.deliver(&self.feed, &batch).await?;
        if restored_at != self.restored_at {
            return self.begin_anew(restored_at).await;
        }
        let (act, mut units) = (act(&self.tools), Vec::new());
        let mut next = read_to;
        let mut later = None;
        let (mut refused, mut released) = (0, 0);
        let aside = self.already_aside(&batch).await?;
        for ((delivery, outcome), before) in batch.iter().zip(outcomes).zip(aside) {
            match outcome {
                Outcome::Arrived(about) => {
                    units.extend(about);
                    released += u64::from(before.is_some());
                    units.extend(before.map(|before| aside::release(&act, before)).transpose()?);
                }
                Outcome::Refused(refusal) => {
                    refused += u64::from(before.is_none());
                    units.push(self.aside(&act, delivery, &refusal)?);
                }
                Outcome::Later(refusal) => {
                    next = delivery.position;
                    later = Some(refusal);
                    break;
                }
            }
        }
        self.record(units, next).await?;
        self.place.set_aside(refused);
        self.place.release(released);
        self.move_to(next);
        match later {
            None => Ok(Progress::Moved),
            Some(refusal) => Err(refusal),
        }
    }

    /// The destination came back from a backup and has forgotten what came after: it is told everything again.
    async fn begin_anew(&mut self, restored_at: u64) -> Result<Progress, Refusal> {
        warn!(
            destination = D::NAME,
            restored_at, "the destination was restored from a backup: it is told everything again"
        );
        let begun = begin::<D>(restored_at)?;
        let unit = place_unit(&act(&self.tools), begun.clone());
        self.tools.commits.commit(unit).await?.map_err(|c| refuse_conflict(&c, ""))?;
        (self.feed, self.restored_at, self.recorded) = (begun.feed, restored_at, Position::from_u64(0));
        self.move_to(Position::from_u64(0));
        Ok(Progress::Moved)
    }

    /// The next batch, what is read after it, and whether that is the journal's end.
    async fn read(&self) -> Result<(Vec<Delivery<D::Content>>, Position, bool), Refusal> {
        let (store, destination, from) = (Arc::clone(&self.tools.store), Arc::clone(&self.destination), self.next);
        self.tools
            .workers
            .run(move || {
                let page = store.history(from, store::MAX_LISTED).map_err(|e| refuse_store(&e))?;
                let mut batch = Vec::new();
                for record in &page.records {
                    if batch.len() == BATCH {
                        return Ok((batch, record.position, false));
                    }
                    batch.extend(destination.delivery(store.as_ref(), record)?);
                }
                Ok((batch, page.next, page.next >= page.head.position))
            })
            .await
    }

    /// What is aside of each delivery: something may be where a feed began anew.
    async fn already_aside(&self, batch: &[Delivery<D::Content>]) -> Result<Vec<Option<OutboxQuarantined>>, Refusal> {
        if !self.place.is_anything_aside() {
            return Ok(vec![None; batch.len()]);
        }
        let (store, positions) = (Arc::clone(&self.tools.store), batch.iter().map(|delivery| delivery.position));
        let positions: Vec<Position> = positions.collect();
        let find = move || positions.into_iter().map(|at| aside::find(store.as_ref(), D::NAME, at)).collect();
        self.tools.workers.run(find).await
    }

    fn move_to(&mut self, next: Position) {
        self.next = next;
        self.place.move_to(next);
    }

    fn aside(&self, act: &Act, delivery: &Delivery<D::Content>, refusal: &Refusal) -> Result<Unit, Refusal> {
        let (at, reason) = (delivery.position.as_u64(), refusal.reason());
        error!(destination = D::NAME, device_id = delivery.device_id, position = at, reason, %refusal, "a delivery is set aside");
        aside::put_aside(act, D::NAME, delivery, refusal)
    }

    /// Puts what came of a batch on record, then the place. A crash in between delivers the batch again.
    async fn record(&mut self, units: Vec<Unit>, next: Position) -> Result<(), Refusal> {
        // A conflict means that the unit moved on meanwhile, or that this was recorded before.
        self.tools.commits.commit_all(units).await?;
        if next == self.recorded {
            return Ok(());
        }
        let advanced = OutboxAdvanced {
            destination: D::NAME.to_owned(),
            next: next.as_u64(),
            feed: self.feed.clone(),
            destination_restored_at: self.restored_at,
        };
        let unit = place_unit(&act(&self.tools), advanced);
        self.tools.commits.commit(unit).await?.map_err(|c| refuse_conflict(&c, ""))?;
        self.recorded = next;
        info!(destination = D::NAME, next = next.as_u64(), "deliveries arrived");
        Ok(())
    }
}

fn act(tools: &Tools) -> Act {
    Act { at: tools.clock.now(), caller: Caller::service(&tools.manufacturer), request: None }
}

/// A feed that begins.
fn begin<D: Destination>(restored_at: u64) -> Result<OutboxAdvanced, Refusal> {
    Ok(OutboxAdvanced {
        destination: D::NAME.to_owned(),
        next: 0,
        feed: new_feed()?,
        destination_restored_at: restored_at,
    })
}

/// A name that no feed had before.
fn new_feed() -> Result<String, Refusal> {
    let mut octets = [0; 16];
    SystemEntropy.fill(&mut octets).map_err(records::named(issuance::EntropyRefusal::reason))?;
    Ok(RequestId::from_octets(octets).to_string())
}

fn place_unit(act: &Act, advanced: OutboxAdvanced) -> Unit {
    let key = keys::outbox(&advanced.destination);
    let mut unit = act.unit(Fact::OutboxAdvanced(advanced));
    unit.claims = vec![Claim { key, rule: Rule::Any }];
    unit
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something was read or delivered; there may be more.
    Moved,
    /// The journal's end was reached.
    Idle,
}

/// Whether the same delivery may succeed by itself.
pub(crate) fn may_pass(refusal: &Refusal) -> bool {
    refusal.retry_delay().is_some()
        || matches!(
            refusal.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::Cancelled
                | Code::Unknown
                | Code::Unauthenticated
                | Code::DataLoss
        )
}
