//! The store in memory: the same promises, no disk. For tests and simulations.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;

use crate::body::{self, Body};
use crate::error::StoreError;
use crate::fault::{FaultPlan, Step};
use crate::frame::{self, Chain};
use crate::identity::StoreIdentity;
use crate::interruption::{Call, Interruption};
use crate::layer::Layer;
use crate::ledger::View;
use crate::outside::{Sha256, Tally};
use crate::receipt::Receipt;
use crate::record::{Head, Page, Record};
use crate::seam::{MAX_LISTED, MAX_UNITS, Store, Submitted};
use crate::unit::{Committed, Conflict, Key, Position, Unit};

/// A store in memory.
///
/// [`MemoryStore::restart`] and [`MemoryStore::power_cut`] stand for what happens to a process and to a machine: after a
/// planned fault they bring the store back with what would be found on a disk. [`MemoryStore::after_calls`] lets something else happen
/// between two calls.
#[derive(Debug)]
pub struct MemoryStore {
    memory: Mutex<Memory>,
    faults: FaultPlan,
    pub(crate) interruption: Interruption,
}

#[derive(Debug)]
struct Memory {
    genesis: Chain,
    frames: BTreeMap<u64, Kept>,
    /// Everything in `frames`, which while the store runs is everything durable.
    state: Layer,
    end: (u64, Chain),
    /// What a power cut leaves.
    synced: (u64, Chain),
    /// How often it was synced.
    syncs: u64,
    stopped: Option<&'static str>,
}

#[derive(Debug)]
struct Kept {
    chain: Chain,
    body: Body,
}

/// The units of one call, before they are there.
struct Batch {
    layer: Layer,
    frames: Vec<(u64, Kept)>,
    end: (u64, Chain),
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(identity: &StoreIdentity, faults: FaultPlan) -> Self {
        let genesis = identity.genesis();
        let memory = Memory {
            genesis,
            frames: BTreeMap::new(),
            state: Layer::default(),
            end: (0, genesis),
            synced: (0, genesis),
            syncs: 0,
            stopped: None,
        };
        Self { memory: Mutex::new(memory), faults, interruption: Interruption::default() }
    }

    /// The process died and came back: what it had written is there.
    pub fn restart(&self) {
        let mut memory = self.lock();
        memory.synced = memory.end;
        memory.reload();
    }

    /// The machine lost power: only what was synced is there.
    pub fn power_cut(&self) {
        self.lock().reload();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, call: Call) -> Result<MutexGuard<'_, Memory>, StoreError> {
        self.interruption.pass(call);
        let memory = self.lock();
        match memory.stopped {
            Some(why) => Err(StoreError::Stopped { why: why.to_owned() }),
            None => Ok(memory),
        }
    }

    /// Writes a batch as a disk would: whole, or as far as the planned fault lets it.
    fn write(&self, memory: &mut Memory, mut batch: Batch) -> Result<(), StoreError> {
        if self.faults.hits(Step::DiskFull) {
            return Err(StoreError::Full);
        }
        if self.faults.hits(Step::BeforeAppend) {
            return Err(memory.stop("planned fault before append"));
        }
        if self.faults.hits(Step::TornAppend) {
            batch.frames.truncate(batch.frames.len() / 2);
            memory.keep(batch);
            return Err(memory.stop("planned fault in append"));
        }
        memory.keep(batch);
        if self.faults.hits(Step::BeforeSync) {
            return Err(memory.stop("planned fault before sync"));
        }
        if self.faults.hits(Step::Sync) {
            return Err(memory.stop("planned fault of sync"));
        }
        memory.synced = memory.end;
        memory.syncs += 1;
        if self.faults.hits(Step::AfterSync) {
            return Err(memory.stop("planned fault after sync"));
        }
        Ok(())
    }
}

impl Memory {
    fn stop(&mut self, why: &'static str) -> StoreError {
        self.stopped = Some(why);
        StoreError::Stopped { why: why.to_owned() }
    }

    fn batch(&self) -> Batch {
        Batch { layer: Layer::default(), frames: Vec::new(), end: self.end }
    }

    fn judge(&self, batch: &mut Batch, unit: Unit) -> Result<Result<Committed, Conflict>, StoreError> {
        let below = |_: &Key| Ok(None);
        let view = View { layers: [Some(&batch.layer), Some(&self.state), None], below: &below };
        let tallies = match view.judge(&unit)? {
            Ok(tallies) => tallies,
            Err(conflict) => return Ok(Err(conflict)),
        };
        let intent = unit.intent;
        let body = Body::new(unit, &tallies);
        let octets = body.encode_to_vec();
        let (at, before) = batch.end;
        let malformed = |wrong: body::Malformed| StoreError::Stopped { why: wrong.0.to_owned() };
        batch.layer.add(at, &body).map_err(malformed)?;
        let chain = frame::chain_after(&before, &octets);
        batch.frames.push((at, Kept { chain, body }));
        batch.end = (at + (frame::HEADER + octets.len()) as u64, chain);
        let position = Position::from_u64(at);
        Ok(Ok(Committed { position, receipt: intent.map(|digest| Receipt::new(digest, position)) }))
    }

    fn keep(&mut self, batch: Batch) {
        self.state.absorb(batch.layer);
        self.frames.extend(batch.frames);
        self.end = batch.end;
    }

    /// Forgets what was not synced, and derives everything else from what is left.
    fn reload(&mut self) {
        self.frames.split_off(&self.synced.0);
        (self.state, self.end, self.stopped) = (Layer::default(), (0, self.genesis), None);
        for (position, kept) in &self.frames {
            let mut one = Layer::default();
            if one.add(*position, &kept.body).is_err() {
                self.stopped = Some("a unit in memory is malformed");
            }
            self.state.absorb(one);
            self.end = (position + (frame::HEADER + kept.body.encoded_len()) as u64, kept.chain);
        }
        self.synced = self.end;
    }

    fn record(&self, position: u64) -> Result<Record, StoreError> {
        let at = Position::from_u64(position);
        let kept = self.frames.get(&position).ok_or(StoreError::NoSuchRecord { position: at })?;
        let record = kept.body.clone().into_record(at, kept.chain);
        record.map_err(|wrong| StoreError::damaged(0, position, wrong.0))
    }

    fn head(&self) -> Head {
        Head { position: Position::from_u64(self.synced.0), chain: Sha256::from_bytes(self.synced.1) }
    }
}

impl Store for MemoryStore {
    fn submit(&self, units: Vec<Unit>) -> Result<Submitted, StoreError> {
        if units.len() > MAX_UNITS {
            return Err(StoreError::TooManyUnits { units: units.len(), limit: MAX_UNITS });
        }
        units.iter().try_for_each(body::check_bounds)?;
        let mut memory = self.running(Call::Commit)?;
        let mut batch = memory.batch();
        let answers = units.into_iter().map(|unit| memory.judge(&mut batch, unit)).collect::<Result<Vec<_>, _>>()?;
        if !batch.frames.is_empty() {
            self.write(&mut memory, batch)?;
        }
        Ok(Submitted { answers, ticket: None })
    }

    fn write_behind(&self) {}

    fn wait(&self, submitted: Submitted) -> Result<Vec<Result<Committed, Conflict>>, StoreError> {
        Ok(submitted.answers)
    }

    fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let memory = self.running(Call::Read)?;
        memory.state.pointers.keys.get(key).map(|position| memory.record(*position)).transpose()
    }

    fn read(&self, at: Position) -> Result<Record, StoreError> {
        self.running(Call::Read)?.record(at.as_u64())
    }

    fn list(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError> {
        let memory = self.running(Call::Read)?;
        let names = memory.state.pointers.names(collection, after, limit.min(MAX_LISTED));
        names.into_iter().map(|(name, position)| Ok((name, memory.record(position)?))).collect()
    }

    fn tally(&self, lot: &Key) -> Result<Option<Tally>, StoreError> {
        Ok(self.running(Call::Read)?.state.tallies.get(lot).copied())
    }

    fn open_intents(&self) -> Result<Vec<Position>, StoreError> {
        Ok(self.running(Call::Read)?.state.intents.keys().copied().map(Position::from_u64).collect())
    }

    fn receipt(&self, at: Position) -> Result<Receipt, StoreError> {
        let memory = self.running(Call::Read)?;
        let open = memory.state.intents.get(&at.as_u64()).copied().flatten();
        open.map(|digest| Receipt::new(digest, at)).ok_or(StoreError::IntentNotOpen { position: at })
    }

    fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn head(&self) -> Head {
        self.lock().head()
    }

    fn last(&self) -> Result<Option<Position>, StoreError> {
        let memory = self.running(Call::Read)?;
        let head = memory.head().position.as_u64();
        Ok(memory.frames.range(..head).next_back().map(|(at, _)| Position::from_u64(*at)))
    }

    fn history(&self, from: Position, limit: usize) -> Result<Page, StoreError> {
        let memory = self.running(Call::Read)?;
        let head = memory.head();
        if from > head.position || (from < head.position && !memory.frames.contains_key(&from.as_u64())) {
            return Err(StoreError::NoSuchRecord { position: from });
        }
        let mut within = memory.frames.range(from.as_u64()..);
        let records = within.by_ref().take(limit.min(MAX_LISTED)).map(|(at, _)| memory.record(*at));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        let next = within.next().map_or(head.position, |(at, _)| Position::from_u64(*at));
        Ok(Page { records, next, head })
    }
}
