//! The embedded engine while it serves: commits and reads.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::body::{self, Body};
use crate::embedded::{SyncObserver, Synced};
use crate::error::StoreError;
use crate::fault::FaultPlan;
use crate::frame::StoreId;
use crate::group::{Core, Outcome};
use crate::index::{self, Index};
use crate::journal::{AppendError, Journal};
use crate::key_map::KeyMap;
use crate::outside::{Sha256, Tally};
use crate::reader::Frame;
use crate::receipt::Receipt;
use crate::record::{Head, Page, Record};
use crate::seam::{MAX_LISTED, MAX_UNITS, Submitted};
use crate::unit::{Committed, Conflict, Key, Position, Rule, Unit};

/// A group that has grown to this is written before more is accepted.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// Most octets of frames in one page of history.
const MAX_PAGE_BYTES: u64 = 16 << 20;

pub(crate) struct Engine {
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) core: Mutex<Core>,
    /// A group became durable or failed, or the index made room.
    pub(crate) changed: Condvar,
    /// The indexer has something to do.
    pub(crate) work: Condvar,
    /// The writer has something to do.
    pub(crate) behind: Condvar,
    pub(crate) journal: Journal,
    pub(crate) index: Index,
    pub(crate) bounds: Bounds,
    pub(crate) faults: FaultPlan,
    pub(crate) synced: Option<SyncObserver>,
}

/// When the index is brought up to date, and how far it may lag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) index_batch: usize,
    pub(crate) overlay_limit: usize,
    pub(crate) index_interval: Duration,
}

/// What the index said before the lock was taken, so that nobody waits for its disk.
struct LookedUp {
    version: u64,
    found: KeyMap<Option<u64>>,
}

impl Engine {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(|poisoned: PoisonError<MutexGuard<'_, Core>>| {
            let mut core = poisoned.into_inner();
            core.stop("a thread panicked while it held the store's lock");
            core
        })
    }

    fn running(&self) -> Result<MutexGuard<'_, Core>, StoreError> {
        let core = self.lock();
        core.check_running()?;
        Ok(core)
    }

    pub(crate) fn until_changed<'a>(&self, core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        self.changed.wait(core).unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all answers, and tells everyone who waits. A group that is being written is left to its writer.
    pub(crate) fn stop(&self, why: &str) {
        let mut core = self.lock();
        self.stop_locked(&mut core, why);
    }

    fn stop_locked(&self, core: &mut Core, why: &str) {
        core.stop(why);
        let why = core.stopped.clone().unwrap_or_default();
        core.fail_building(&Outcome::Stopped(why));
        self.changed.notify_all();
        self.work.notify_all();
        self.behind.notify_all();
    }

    /// Stops the engine when what it answered shows that the disk is not what it should be.
    fn judge<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.judge_error(error);
        }
        answer
    }

    /// Stops for damage; a damaged index is not to be used again.
    pub(crate) fn judge_error(&self, error: &StoreError) {
        let damaged_index = matches!(error, StoreError::IndexDamaged { .. });
        if damaged_index && let Err(failed) = index::condemn(&self.dir) {
            tracing::error!(%failed, "marking the index for a rebuild failed");
        }
        if damaged_index || matches!(error, StoreError::JournalDamaged { .. }) {
            self.stop(&error.to_string());
        }
    }

    pub(crate) fn submit(&self, units: Vec<Unit>) -> Result<Submitted, StoreError> {
        self.judge(self.submit_units(units))
    }

    fn submit_units(&self, units: Vec<Unit>) -> Result<Submitted, StoreError> {
        if units.len() > MAX_UNITS {
            return Err(StoreError::TooManyUnits { units: units.len(), limit: MAX_UNITS });
        }
        units.iter().try_for_each(body::check_bounds)?;
        let looked_up = self.look_up(&units)?;
        let mut core = self.admit()?;
        let still_true = core.index_version == looked_up.version;
        let index = |key: &Key| match looked_up.found.get(key) {
            Some(found) if still_true => Ok(*found),
            Some(_) | None => self.indexed(key),
        };
        let mut answers = Vec::with_capacity(units.len());
        for unit in units {
            match core.accept(unit, &index) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    // Some units of this call may be in the group already: nobody knows what to tell.
                    self.stop_locked(&mut core, &error.to_string());
                    return Err(error);
                }
            }
        }
        Ok(Submitted { answers, ticket: core.pending() })
    }

    /// Has the writer write what was accepted.
    pub(crate) fn write_behind(&self) {
        let mut core = self.lock();
        core.behind = !core.building.is_empty();
        // Whoever is writing tells the writer when it is its turn.
        if core.behind && core.writing.is_none() {
            self.behind.notify_one();
        }
    }

    /// Waits until a group is durable, and writes it if nobody else is writing.
    pub(crate) fn wait(&self, submitted: Submitted) -> Result<Vec<Result<Committed, Conflict>>, StoreError> {
        let Some(ticket) = submitted.ticket else { return Ok(submitted.answers) };
        let mut core = self.lock();
        loop {
            if let Some(outcome) = ticket.get() {
                return self.judge(outcome.clone().into_result().map(|()| submitted.answers));
            }
            if core.writing.is_some() {
                core = self.until_changed(core);
            } else {
                core.check_running()?;
                core = self.lead(core);
            }
        }
    }

    fn look_up(&self, units: &[Unit]) -> Result<LookedUp, StoreError> {
        let version = self.running()?.index_version;
        let claims = units.iter().flat_map(|unit| &unit.claims).filter(|claim| claim.rule != Rule::Any);
        let found = claims.map(|claim| Ok((claim.key, self.indexed(&claim.key)?)));
        Ok(LookedUp { version, found: found.collect::<Result<_, StoreError>>()? })
    }

    fn indexed(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        Ok(self.index.position(key)?)
    }

    /// The lock, once there is room for more.
    fn admit(&self) -> Result<MutexGuard<'_, Core>, StoreError> {
        let mut core = self.running()?;
        loop {
            let crowded = core.unindexed() >= self.bounds.overlay_limit;
            if crowded && core.index_starved {
                return Err(StoreError::Full);
            }
            let large = core.building.buffer.len() >= MAX_GROUP_BYTES;
            if !crowded && !large {
                return Ok(core);
            }
            if large {
                core.behind = true;
                self.behind.notify_one();
            }
            self.work.notify_one();
            core = self.until_changed(core);
            core.check_running()?;
        }
    }

    /// Writes the group that was built, with the lock released.
    pub(crate) fn lead<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        let group = core.begin_write();
        drop(core);
        let begun = Instant::now();
        let written = self.journal.append(&group.buffer, group.start, &group.chain_before);
        if let Some(synced) = &self.synced {
            synced(Synced { units: group.units, took: begun.elapsed() });
        }
        let mut core = self.lock();
        core.keep(group.buffer);
        match written {
            Ok(()) => core.end_write(),
            Err(AppendError::Full) => core.fail(&Outcome::Full),
            Err(AppendError::Broken(error)) => {
                core.stop(&format!("writing the journal failed: {error}"));
                let why = core.stopped.clone().unwrap_or_default();
                core.fail(&Outcome::Stopped(why));
                self.work.notify_all();
            }
        }
        if core.behind {
            self.behind.notify_one();
        }
        if core.settled.pointers.count() >= self.bounds.index_batch {
            self.work.notify_one();
        }
        self.changed.notify_all();
        core
    }

    pub(crate) fn head(&self) -> Head {
        let end = self.lock().durable;
        Head { position: Position::from_u64(end.position), chain: Sha256::from_bytes(end.chain) }
    }

    pub(crate) fn last(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.running()?.durable.last.map(Position::from_u64))
    }

    /// The durable end, while the engine runs.
    pub(crate) fn checked_head(&self) -> Result<Head, StoreError> {
        let end = self.running()?.durable;
        Ok(Head { position: Position::from_u64(end.position), chain: Sha256::from_bytes(end.chain) })
    }

    fn durable_end(&self) -> u64 {
        self.lock().durable.position
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let core = self.running()?;
        let layered = core.settled.pointers.keys.get(key).copied();
        let layered = layered.or_else(|| core.applying.as_ref().and_then(|pointers| pointers.keys.get(key).copied()));
        drop(core);
        let found = match layered {
            Some(position) => Some(position),
            None => self.judge(self.indexed(key))?,
        };
        let Some(position) = found else { return Ok(None) };
        let says = format!("key {key}");
        self.judge(self.pointed_to(position, &says, &|body| body.carries(key))).map(Some)
    }

    /// The record that a pointer leads to; if it does not carry what led there, the index is damaged.
    fn pointed_to(&self, position: u64, says: &str, carries: &dyn Fn(&Body) -> bool) -> Result<Record, StoreError> {
        let wrong = || StoreError::IndexDamaged { what: format!("{says} is not in the record at {position}") };
        let frame = match self.journal.read(position, self.durable_end()) {
            Err(StoreError::NoSuchRecord { .. }) => return Err(wrong()),
            frame => frame?,
        };
        let (body, frame) = decode(frame)?;
        if carries(&body) { record(body, &frame) } else { Err(wrong()) }
    }

    pub(crate) fn read(&self, at: Position) -> Result<Record, StoreError> {
        let end = self.running()?.durable.position;
        let read = || {
            let (body, frame) = decode(self.journal.read(at.as_u64(), end)?)?;
            record(body, &frame)
        };
        self.judge(read())
    }

    pub(crate) fn list(
        &self,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Record)>, StoreError> {
        let limit = limit.min(MAX_LISTED);
        let core = self.running()?;
        let mut names = core.settled.pointers.names(collection, after, limit);
        if let Some(applying) = &core.applying {
            names.extend(applying.names(collection, after, limit));
        }
        drop(core);
        // The index may be ahead of what was just read: the latest position of a name wins.
        names.extend(self.judge(self.index.names(collection, after, limit).map_err(StoreError::from))?);
        names.sort_unstable_by(|(one, at_one), (two, at_two)| one.cmp(two).then(at_two.cmp(at_one)));
        names.dedup_by(|(later, _), (first, _)| later == first);
        names.truncate(limit);
        let listed = names.into_iter().map(|(name, position)| {
            let says = format!("entry {name} of {collection}");
            let carries = |body: &Body| body.entry() == Some((collection, name.as_str()));
            let record = self.pointed_to(position, &says, &carries)?;
            Ok((name, record))
        });
        self.judge(listed.collect())
    }

    pub(crate) fn tally(&self, lot: &Key) -> Result<Option<Tally>, StoreError> {
        Ok(self.running()?.settled.tallies.get(lot).copied())
    }

    pub(crate) fn open_intents(&self) -> Result<Vec<Position>, StoreError> {
        Ok(self.running()?.settled.intents.keys().copied().map(Position::from_u64).collect())
    }

    pub(crate) fn receipt(&self, at: Position) -> Result<Receipt, StoreError> {
        let not_open = StoreError::IntentNotOpen { position: at };
        let open = self.running()?.settled.intents.get(&at.as_u64()).copied().flatten();
        let Some(digest) = open else { return Err(not_open) };
        match self.read(at)?.intent {
            Some(read) if read == digest => Ok(Receipt::new(read, at)),
            Some(_) | None => {
                let what = format!("the intent at {at} is not the one that was remembered");
                self.judge(Err(StoreError::IndexDamaged { what }))
            }
        }
    }

    pub(crate) fn history(&self, from: Position, limit: usize) -> Result<Page, StoreError> {
        let end = self.running()?.durable;
        let head = Head { position: Position::from_u64(end.position), chain: Sha256::from_bytes(end.chain) };
        if from.as_u64() > end.position {
            return Err(StoreError::NoSuchRecord { position: from });
        }
        let limit = limit.min(MAX_LISTED);
        let mut records = Vec::new();
        if limit == 0 {
            return Ok(Page { records, next: from, head });
        }
        let next = self.judge(self.journal.walk(from.as_u64(), end.position, &mut |frame| {
            let far_enough = frame.end.saturating_sub(from.as_u64()) >= MAX_PAGE_BYTES;
            let (body, frame) = decode(frame)?;
            records.push(record(body, &frame)?);
            Ok(if far_enough || records.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }))?;
        Ok(Page { records, next: Position::from_u64(next), head })
    }
}

fn decode(frame: Frame) -> Result<(Body, Frame), StoreError> {
    let body = Body::decode_from(&frame.body).map_err(|wrong| misread(&frame, wrong.0))?;
    Ok((body, frame))
}

fn record(body: Body, frame: &Frame) -> Result<Record, StoreError> {
    body.into_record(Position::from_u64(frame.position), frame.chain).map_err(|wrong| misread(frame, wrong.0))
}

fn misread(frame: &Frame, what: &str) -> StoreError {
    StoreError::damaged(frame.segment, frame.offset, what)
}
