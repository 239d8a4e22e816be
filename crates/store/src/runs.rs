//! Where every key points: runs, the newest first. Small runs are merged into larger ones behind the commits.
//!
//! A file names the runs that count and how far the journal is applied; it is replaced as a whole, after the runs that it names are
//! durable. Whatever else lies in the directory was left by a crash and is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use prost::Message;

use crate::error::{StoreError, is_full};
use crate::files;
use crate::frame::StoreId;
use crate::index::Unusable;
use crate::key_map::KeyMap;
use crate::run::{self, Pointer, Run, Writer};
use crate::unit::Key;

const LIST: &str = "list";
const MAGIC: [u8; 8] = *b"CSRUNS01";
/// So many runs of about one size become one.
const MERGED: usize = 4;
/// A run of up to this many entries is small; each next size has `MERGED` times as many.
const SMALL: u64 = 100_000;
/// A merge does not make more than this: it takes seconds, and meanwhile commits fill memory. 192 MiB on the disk.
const LARGEST: u64 = 8_000_000;

/// The runs of a store.
pub(crate) struct Runs {
    dir: PathBuf,
    store: StoreId,
    /// The oldest first.
    live: RwLock<Arc<Vec<Arc<Run>>>>,
    /// Held by whoever changes something.
    noted: Mutex<Noted>,
}

/// What the list says besides the runs' numbers.
#[derive(Clone, Copy)]
struct Noted {
    applied: u64,
    next: u64,
    named: u64,
}

/// The list as written.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(bytes = "vec", tag = "1")]
    store: Vec<u8>,
    /// The end of the journal up to which everything is applied.
    #[prost(uint64, tag = "2")]
    applied: u64,
    /// The number of the next run.
    #[prost(uint64, tag = "3")]
    next: u64,
    /// The oldest first.
    #[prost(uint64, repeated, tag = "4")]
    runs: Vec<u64>,
    /// How often listed names were applied, which are kept elsewhere.
    #[prost(uint64, tag = "5")]
    named: u64,
}

impl Runs {
    /// Makes an empty set in a directory that is not there.
    pub(crate) fn create(dir: &Path, store: &StoreId) -> Result<Self, Unusable> {
        fs::create_dir(dir).map_err(broken)?;
        let noted = Noted { applied: 0, next: 0, named: 0 };
        let runs = Self::with(dir, store, Vec::new(), noted);
        runs.write_list(noted, &[])?;
        Ok(runs)
    }

    /// Opens what is there.
    pub(crate) fn open(dir: &Path, store: &StoreId) -> Result<Self, Unusable> {
        let octets = fs::read(dir.join(LIST)).map_err(broken)?;
        let list = parse(&octets, store).ok_or_else(|| Unusable::Broken("the list of runs is damaged".into()))?;
        let runs = list.runs.iter().map(|number| Run::open(dir, store, *number).map(Arc::new));
        let runs = runs.collect::<io::Result<Vec<_>>>().map_err(broken)?;
        remove_all_but(dir, &list.runs).map_err(broken)?;
        let noted = Noted { applied: list.applied, next: list.next, named: list.named };
        Ok(Self::with(dir, store, runs, noted))
    }

    fn with(dir: &Path, store: &StoreId, runs: Vec<Arc<Run>>, noted: Noted) -> Self {
        Self { dir: dir.to_owned(), store: *store, live: RwLock::new(Arc::new(runs)), noted: Mutex::new(noted) }
    }

    /// The end of the journal up to which everything is applied.
    pub(crate) fn applied(&self) -> u64 {
        self.noted().applied
    }

    /// How often names had been applied when this was noted.
    pub(crate) fn named(&self) -> u64 {
        self.noted().named
    }

    /// Where a key points.
    pub(crate) fn position(&self, key: &Key) -> Result<Option<u64>, Unusable> {
        for run in self.live().iter().rev() {
            if let Some(position) = run.get(key).map_err(broken)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Lays pointers over what is there, and notes how far the journal is applied and how often names were. Durable when this
    /// returns.
    pub(crate) fn apply(&self, keys: &KeyMap<u64>, applied: Option<u64>, named: u64) -> Result<(), Unusable> {
        let mut noted = self.noted();
        noted.named = named;
        noted.applied = applied.unwrap_or(noted.applied);
        let mut runs = self.live().to_vec();
        if !keys.is_empty() {
            let mut sorted: Vec<Pointer> = keys.iter().map(|(key, position)| (*key, *position)).collect();
            sorted.sort_unstable();
            let mut sorted = sorted.into_iter();
            let run = self.write_run(noted.next, keys.len() as u64, &mut || Ok(sorted.next()))?;
            noted.next += 1;
            runs.push(Arc::new(run));
        }
        self.replace(*noted, runs)?;
        while let Some(from) = due(&self.live()) {
            match self.merge(&mut noted, from) {
                Ok(()) => {}
                // It only takes more room and time without.
                Err(Unusable::Full) => {
                    tracing::warn!("no room to merge the index's runs; they stay as they are");
                    break;
                }
                Err(broken) => return Err(broken),
            }
        }
        Ok(())
    }

    /// Makes one run of those from `from` on. Only while it is written are both on the disk.
    fn merge(&self, noted: &mut Noted, from: usize) -> Result<(), Unusable> {
        let live = self.live();
        let (kept, merged) = live.split_at_checked(from).unwrap_or((&live, &[]));
        let mut heads = Heads::of(merged).map_err(broken)?;
        let most = merged.iter().map(|run| run.entries).sum();
        let run = self.write_run(noted.next, most, &mut || heads.next())?;
        noted.next += 1;
        let mut runs = kept.to_vec();
        runs.push(Arc::new(run));
        self.replace(*noted, runs)?;
        for run in merged {
            // One that stays is removed at the next opening.
            let _ = fs::remove_file(run::path(&self.dir, run.number));
        }
        Ok(())
    }

    fn write_run(
        &self,
        number: u64,
        most: u64,
        next: &mut dyn FnMut() -> io::Result<Option<Pointer>>,
    ) -> Result<Run, Unusable> {
        let mut writer = Writer::create(&self.dir, &self.store, number, most).map_err(broken)?;
        loop {
            let added = match next() {
                Ok(Some(pointer)) => writer.add(&pointer),
                Ok(None) => return writer.finish(&self.dir).map_err(broken),
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                writer.discard();
                return Err(broken(error));
            }
        }
    }

    fn replace(&self, noted: Noted, runs: Vec<Arc<Run>>) -> Result<(), Unusable> {
        let numbers: Vec<u64> = runs.iter().map(|run| run.number).collect();
        self.write_list(noted, &numbers)?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runs);
        Ok(())
    }

    fn write_list(&self, noted: Noted, runs: &[u64]) -> Result<(), Unusable> {
        let list = List {
            store: self.store.to_vec(),
            applied: noted.applied,
            next: noted.next,
            runs: runs.to_vec(),
            named: noted.named,
        };
        let content = list.encode_to_vec();
        let octets = [MAGIC.as_slice(), &crc32c::crc32c(&content).to_le_bytes(), &content].concat();
        match files::replace(&self.dir, LIST, &octets) {
            Ok(()) => Ok(()),
            Err(StoreError::Full) => Err(Unusable::Full),
            Err(error) => Err(Unusable::Broken(error.to_string())),
        }
    }

    fn live(&self) -> Arc<Vec<Arc<Run>>> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(error: io::Error) -> Unusable {
    if is_full(&error) { Unusable::Full } else { Unusable::Broken(format!("its runs: {error}")) }
}

fn parse(octets: &[u8], store: &StoreId) -> Option<List> {
    let (magic, rest) = octets.split_first_chunk::<8>()?;
    let (sum, content) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || u32::from_le_bytes(*sum) != crc32c::crc32c(content) {
        return None;
    }
    List::decode(content).ok().filter(|list| list.store == store)
}

fn remove_all_but(dir: &Path, runs: &[u64]) -> io::Result<()> {
    let keep: Vec<PathBuf> = runs.iter().map(|number| run::path(dir, *number)).collect();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !keep.contains(&path) && path.file_name().is_some_and(|name| name != LIST) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Which size a run has: 0 is small.
fn size(run: &Run) -> u32 {
    (run.entries.div_ceil(SMALL)).max(1).ilog(MERGED as u64)
}

/// From where on the newest runs are to be merged: enough of them are not larger than one of their sizes.
fn due(runs: &[Arc<Run>]) -> Option<usize> {
    let largest = runs.iter().map(|run| size(run)).max()?;
    (0..=largest).find_map(|limit| {
        let mut entries: u64 = 0;
        let mut from = runs.len();
        for (at, run) in runs.iter().enumerate().rev() {
            entries = entries.saturating_add(run.entries);
            if size(run) > limit || entries > LARGEST {
                break;
            }
            from = at;
        }
        (runs.len() - from >= MERGED).then_some(from)
    })
}

/// The next pointers of runs that are read side by side.
struct Heads<'a> {
    /// The oldest first.
    runs: Vec<(run::Pointers<'a>, Option<Pointer>)>,
}

impl<'a> Heads<'a> {
    fn of(runs: &'a [Arc<Run>]) -> io::Result<Self> {
        let head = |run: &'a Arc<Run>| {
            let mut pointers = run.iter();
            let first = pointers.next()?;
            Ok((pointers, first))
        };
        Ok(Self { runs: runs.iter().map(head).collect::<io::Result<_>>()? })
    }

    /// The pointer with the least key; of several for one key the newest.
    fn next(&mut self) -> io::Result<Option<Pointer>> {
        let mut least: Option<Pointer> = None;
        for (_, head) in &self.runs {
            if let Some(head) = head
                && least.is_none_or(|least| head.0 <= least.0)
            {
                least = Some(*head);
            }
        }
        let Some((key, _)) = least else { return Ok(None) };
        for (pointers, head) in &mut self.runs {
            if head.is_some_and(|head| head.0 == key) {
                *head = pointers.next()?;
            }
        }
        Ok(least)
    }
}

#[cfg(test)]
mod tests;
