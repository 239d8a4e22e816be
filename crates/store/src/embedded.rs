//! The embedded engine: a journal that is the truth, and an index that is caught up from it.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::copy::Copier;
use crate::engine::{Bounds, Engine};
use crate::error::StoreError;
use crate::fault::FaultPlan;
use crate::group::Core;
use crate::identity::StoreIdentity;
use crate::indexer;
use crate::journal::{Journal, Limits};
use crate::open;
use crate::outside::Tally;
use crate::receipt::Receipt;
use crate::record::{Head, Page, Record};
use crate::seam::{Store, Submitted};
use crate::unit::{Committed, Conflict, Key, Position, Unit};
use crate::writer;

/// How an embedded store runs.
#[derive(Clone)]
pub struct Options {
    /// A segment that has grown to this is followed by another.
    pub segment_bytes: u64,
    /// So many new pointers are handed to the index at once.
    pub index_batch: usize,
    /// So many pointers may wait in memory for the index; then commits wait.
    pub overlay_limit: usize,
    /// The index is brought up to date at least this often while there is something new.
    pub index_interval: Duration,
    /// Octets that the index may cache of listed names; its filters come on top, a megabyte or so for each million of keys.
    pub index_cache_bytes: u64,
    /// With less than this free, commits are refused as on a full disk: the rest is the index's.
    pub reserve_bytes: u64,
    /// Steps that fail on command, in tests.
    pub faults: FaultPlan,
    /// Told now and then while a journal is read at opening.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
    /// Told of every sync.
    pub synced: Option<SyncObserver>,
}

/// Told of every sync, by whoever waited for it: it must not block.
pub type SyncObserver = Arc<dyn Fn(Synced) + Send + Sync>;

/// One sync of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Synced {
    /// Units that became durable by it.
    pub units: usize,
    /// What writing them and the sync took.
    pub took: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            index_batch: 100_000,
            overlay_limit: 500_000,
            index_interval: Duration::from_secs(10),
            index_cache_bytes: 8 << 20,
            reserve_bytes: 32 << 20,
            faults: FaultPlan::default(),
            progress: None,
            synced: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("index_batch", &self.index_batch)
            .field("overlay_limit", &self.overlay_limit)
            .field("index_interval", &self.index_interval)
            .finish_non_exhaustive()
    }
}

/// How far the reading of the journal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What was just read.
    pub position: Position,
    /// Where the journal ends.
    pub end: Position,
}

/// What opening the store took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Frames that were read from the journal.
    pub replayed: u64,
    /// Octets of a torn end that were cut off; none of them had been acknowledged.
    pub torn: u64,
    /// Whether the index was rebuilt from the whole journal.
    pub rebuilt: bool,
}

/// A store in a directory of its own, for one process.
///
/// Dropping it brings the index up to date; a process that dies instead loses nothing but time at the next opening.
pub struct EmbeddedStore {
    engine: Arc<Engine>,
    /// The indexer and the writer.
    threads: Vec<JoinHandle<()>>,
    identity: StoreIdentity,
    opened: Opened,
    // Declared last, so that it is let go last.
    _lock: File,
}

impl EmbeddedStore {
    /// Creates a store in a directory that is empty or not there yet; what an interrupted attempt left counts as empty.
    pub fn init(dir: &Path, identity: &StoreIdentity) -> Result<(), StoreError> {
        open::init(dir, identity)
    }

    /// Opens a store. Refused: no store (`STORE_NOT_INITIALISED`), another process (`STORE_IN_USE`), another format
    /// (`STORE_FORMAT_UNKNOWN`), a damaged journal (`JOURNAL_DAMAGED`), one that ends too early (`JOURNAL_ROLLED_BACK`).
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let (identity, lock) = open::take(dir)?;
        Self::assemble(dir, identity, lock, options)
    }

    /// Opens the store of this identity in a directory that was taken.
    pub(crate) fn assemble(
        dir: &Path,
        identity: StoreIdentity,
        lock: File,
        options: Options,
    ) -> Result<Self, StoreError> {
        let recovered = open::recover(dir, &identity, &options)?;
        let store = *identity.store_id();
        let Options { segment_bytes, reserve_bytes, faults, .. } = options;
        let limits = Limits { segment_bytes, reserve_bytes };
        let (journal, end) = (dir.join(open::JOURNAL), recovered.end);
        let bounds = Bounds {
            index_batch: options.index_batch.max(1),
            overlay_limit: options.overlay_limit.max(1),
            index_interval: options.index_interval,
        };
        let engine = Arc::new(Engine {
            dir: dir.to_owned(),
            store,
            core: Mutex::new(Core::new(store, end, recovered.settled)),
            changed: Condvar::new(),
            work: Condvar::new(),
            behind: Condvar::new(),
            journal: Journal::new(&journal, store, limits, recovered.segments, &end, faults.clone())?,
            index: recovered.index,
            bounds,
            faults,
            synced: options.synced,
        });
        // What was replayed need not be replayed again.
        indexer::catch_up(&engine)?;
        let mut opened = Self { engine, threads: Vec::new(), identity, opened: recovered.opened, _lock: lock };
        opened.start("store-index", indexer::run)?;
        opened.start("store-writer", writer::run)?;
        Ok(opened)
    }

    /// Starts a thread that ends when the store is closed or stops.
    fn start(&mut self, name: &str, run: fn(&Engine)) -> Result<(), StoreError> {
        let engine = Arc::clone(&self.engine);
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || run(&engine));
        self.threads.push(started.map_err(StoreError::io("starting a thread of", &self.engine.dir))?);
        Ok(())
    }

    /// Whose store this is.
    #[must_use]
    pub const fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    /// What opening it took.
    #[must_use]
    pub const fn opened(&self) -> Opened {
        self.opened
    }

    /// For copies of this store while it serves.
    #[must_use]
    pub fn copier(&self) -> Copier {
        Copier::new(&self.engine, &self.identity)
    }

    /// Waits until the index has everything that is durable now, so that the next opening has nothing to read.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let mut core = self.engine.lock();
        core.checkpoint_wanted += 1;
        let wanted = core.checkpoint_wanted;
        self.engine.work.notify_one();
        while core.checkpoint_done < wanted {
            core.check_running()?;
            if core.index_starved {
                return Err(StoreError::Full);
            }
            core = self.engine.until_changed(core);
        }
        Ok(())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.engine.lock().closing = true;
        self.engine.work.notify_all();
        self.engine.behind.notify_all();
        for thread in self.threads.drain(..) {
            // It panics only where the standard library does; there is nobody left to tell.
            let _ = thread.join();
        }
        // While the directory is still ours: a copy that is being made may keep the engine for longer.
        self.engine.journal.close();
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("dir", &self.engine.dir).finish_non_exhaustive()
    }
}

impl Store for EmbeddedStore {
    fn submit(&self, units: Vec<Unit>) -> Result<Submitted, StoreError> {
        self.engine.submit(units)
    }

    fn write_behind(&self) {
        self.engine.write_behind();
    }

    fn wait(&self, submitted: Submitted) -> Result<Vec<Result<Committed, Conflict>>, StoreError> {
        self.engine.wait(submitted)
    }

    fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.engine.get(key)
    }

    fn read(&self, at: Position) -> Result<Record, StoreError> {
        self.engine.read(at)
    }

    fn list(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError> {
        self.engine.list(collection, after, limit)
    }

    fn tally(&self, lot: &Key) -> Result<Option<Tally>, StoreError> {
        self.engine.tally(lot)
    }

    fn open_intents(&self) -> Result<Vec<Position>, StoreError> {
        self.engine.open_intents()
    }

    fn receipt(&self, at: Position) -> Result<Receipt, StoreError> {
        self.engine.receipt(at)
    }

    fn syncs(&self) -> u64 {
        self.engine.journal.syncs()
    }

    fn head(&self) -> Head {
        self.engine.head()
    }

    fn last(&self) -> Result<Option<Position>, StoreError> {
        self.engine.last()
    }

    fn history(&self, from: Position, limit: usize) -> Result<Page, StoreError> {
        self.engine.history(from, limit)
    }
}
