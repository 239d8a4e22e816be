//! Group commit: units of many callers become durable with one sync.
//!
//! Under one lock, units are judged against everything accepted so far and added to the group that is being built. One of the
//! waiting callers writes it, with the lock released, while the next group builds up; or the store's writer, when those who will wait have
//! other work.

use std::sync::{Arc, OnceLock};

use crate::body::Body;
use crate::error::StoreError;
use crate::frame::{self, Chain, Place, StoreId};
use crate::layer::{Layer, Pointers};
use crate::ledger::View;
use crate::receipt::Receipt;
use crate::recovery::End;
use crate::seam::MAX_UNIT_BYTES;
use crate::unit::{Committed, Conflict, Key, Position, Unit};

use prost::Message;

/// A larger buffer is not kept.
const MOST_SPARE: usize = 1 << 20;

/// What became of a group.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Durable,
    /// No room on the disk; nothing of it is there.
    Full,
    Stopped(Arc<str>),
}

impl Outcome {
    pub(crate) fn into_result(self) -> Result<(), StoreError> {
        match self {
            Self::Durable => Ok(()),
            Self::Full => Err(StoreError::Full),
            Self::Stopped(why) => Err(StoreError::Stopped { why: why.to_string() }),
        }
    }
}

/// Tells those who wait for a group what became of it.
pub(crate) type Ticket = Arc<OnceLock<Outcome>>;

/// Units that will become durable together.
pub(crate) struct Group {
    pub(crate) start: u64,
    pub(crate) chain_before: Chain,
    pub(crate) end: End,
    pub(crate) buffer: Vec<u8>,
    pub(crate) units: usize,
    pub(crate) layer: Layer,
    pub(crate) ticket: Ticket,
}

impl Group {
    pub(crate) fn after(end: End) -> Self {
        Self {
            start: end.position,
            chain_before: end.chain,
            end,
            buffer: Vec::new(),
            units: 0,
            layer: Layer::default(),
            ticket: Ticket::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn add(&mut self, store: &StoreId, body: &Body, scratch: &mut Vec<u8>) -> Result<Position, StoreError> {
        let too_large = StoreError::UnitTooLarge { what: "octets", limit: MAX_UNIT_BYTES };
        if body.encoded_len() > MAX_UNIT_BYTES {
            return Err(too_large);
        }
        scratch.clear();
        body.encode(scratch).map_err(|_| too_large)?;
        let position = self.end.position;
        self.layer.add(position, body).map_err(|wrong| StoreError::Stopped { why: wrong.0.to_owned() })?;
        let place = Place { store, position, group_start: self.start, chain: &self.end.chain };
        let (chain, end) = frame::append(&mut self.buffer, &place, scratch);
        self.end = End { position: end, chain, last: Some(position) };
        self.units += 1;
        Ok(Position::from_u64(position))
    }
}

/// Everything that is decided under the lock.
pub(crate) struct Core {
    store: StoreId,
    pub(crate) durable: End,
    /// The group being built.
    pub(crate) building: Group,
    /// The group being written, without its octets.
    pub(crate) writing: Option<Writing>,
    /// What is durable: all tallies and open intents, and the pointers that are not yet handed to the index.
    pub(crate) settled: Layer,
    /// Pointers that are being applied to the index.
    pub(crate) applying: Option<Arc<Pointers>>,
    /// Counts how often `applying` was let go: what was read from the index before may be old after.
    pub(crate) index_version: u64,
    /// The index waits for room on the disk.
    pub(crate) index_starved: bool,
    pub(crate) stopped: Option<Arc<str>>,
    pub(crate) closing: bool,
    /// The group being built is to be written by the writer, unless somebody who waits for it is faster.
    pub(crate) behind: bool,
    /// The durable end of the last checkpoint that this process wrote.
    pub(crate) checkpointed: Option<u64>,
    pub(crate) checkpoint_wanted: u64,
    pub(crate) checkpoint_done: u64,
    scratch: Vec<u8>,
    /// For the next group: memory that was paid for once.
    spare: Vec<u8>,
}

/// What is known of the group being written.
pub(crate) struct Writing {
    pub(crate) layer: Layer,
    pub(crate) end: End,
    pub(crate) ticket: Ticket,
}

impl Core {
    pub(crate) fn new(store: StoreId, durable: End, settled: Layer) -> Self {
        Self {
            store,
            durable,
            building: Group::after(durable),
            writing: None,
            settled,
            applying: None,
            index_version: 0,
            index_starved: false,
            stopped: None,
            closing: false,
            behind: false,
            checkpointed: None,
            checkpoint_wanted: 0,
            checkpoint_done: 0,
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Judges a unit and adds it to the group being built; what is answered holds once that is durable.
    pub(crate) fn accept(
        &mut self,
        unit: Unit,
        index: &dyn Fn(&Key) -> Result<Option<u64>, StoreError>,
    ) -> Result<Result<Committed, Conflict>, StoreError> {
        let applying = self.applying.as_deref();
        let below = |key: &Key| match applying.and_then(|pointers| pointers.keys.get(key)) {
            Some(position) => Ok(Some(*position)),
            None => index(key),
        };
        let writing = self.writing.as_ref().map(|writing| &writing.layer);
        let view = View { layers: [Some(&self.building.layer), writing, Some(&self.settled)], below: &below };
        let tallies = match view.judge(&unit)? {
            Ok(tallies) => tallies,
            Err(conflict) => return Ok(Err(conflict)),
        };
        let intent = unit.intent;
        let body = Body::new(unit, &tallies);
        let position = self.building.add(&self.store, &body, &mut self.scratch)?;
        Ok(Ok(Committed { position, receipt: intent.map(|digest| Receipt::new(digest, position)) }))
    }

    /// The group that must be durable before anything decided so far may be told; `None` when all is.
    pub(crate) fn pending(&self) -> Option<Ticket> {
        let building = (!self.building.is_empty()).then(|| Arc::clone(&self.building.ticket));
        building.or_else(|| self.writing.as_ref().map(|writing| Arc::clone(&writing.ticket)))
    }

    /// Takes the group that was built, to be written; another starts.
    pub(crate) fn begin_write(&mut self) -> Group {
        self.behind = false;
        let next = Group { buffer: std::mem::take(&mut self.spare), ..Group::after(self.building.end) };
        let mut group = std::mem::replace(&mut self.building, next);
        let layer = std::mem::take(&mut group.layer);
        self.writing = Some(Writing { layer, end: group.end, ticket: Arc::clone(&group.ticket) });
        group
    }

    /// Keeps the memory of a group that was written.
    pub(crate) fn keep(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= MOST_SPARE {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// The group being written is durable.
    pub(crate) fn end_write(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.durable = writing.end;
            self.settled.absorb(writing.layer);
            let _ = writing.ticket.set(Outcome::Durable);
        }
    }

    /// Nothing that is not durable will be: it is forgotten, and everyone who waits is told.
    pub(crate) fn fail(&mut self, outcome: &Outcome) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.ticket.set(outcome.clone());
        }
        self.fail_building(outcome);
    }

    /// The group being built will not be written.
    pub(crate) fn fail_building(&mut self, outcome: &Outcome) {
        let after = self.writing.as_ref().map_or(self.durable, |writing| writing.end);
        let building = std::mem::replace(&mut self.building, Group::after(after));
        self.behind = false;
        let _ = building.ticket.set(outcome.clone());
    }

    /// Whether the engine still answers.
    pub(crate) fn check_running(&self) -> Result<(), StoreError> {
        match &self.stopped {
            Some(why) => Err(StoreError::Stopped { why: why.to_string() }),
            None => Ok(()),
        }
    }

    /// How many pointers are not in the index yet.
    pub(crate) fn unindexed(&self) -> usize {
        self.settled.pointers.count() + self.applying.as_ref().map_or(0, |pointers| pointers.count())
    }

    /// The engine answers nothing more.
    pub(crate) fn stop(&mut self, why: &str) {
        if self.stopped.is_none() {
            tracing::error!(why, "the store stops");
            self.stopped = Some(Arc::from(why));
        }
    }
}
