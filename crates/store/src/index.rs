//! The index: holding nothing that the journal does not. Keys are in [`Runs`], listed names in sled.
//!
//! A line asks for keys all day, most of them new, so they have a form of their own: compact, and without a look at the disk for
//! what is not there. Names are few and asked for in order, which sled does well.
//!
//! sled's own flush is not durable, its errors may be panics, and either may follow from what is on the disk. So whatever it
//! says is an error here, never a panic, and the caller's answer to an error is to rebuild.

use std::fs::{self, File, OpenOptions};
use std::ops::Bound;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use crate::error::{StoreError, is_full};
use crate::files;
use crate::frame::StoreId;
use crate::layer::Pointers;
use crate::runs::Runs;
use crate::unit::Key;

pub(crate) const DIR: &str = "index";

/// Octets that sled may cache.
#[derive(Clone, Copy)]
pub(crate) struct Cache(pub(crate) u64);

pub(crate) struct Index {
    keys: Runs,
    names: Names,
}

/// What sled holds.
struct Names {
    entries: sled::Tree,
    notes: sled::Tree,
    database: sled::Db,
    file: File,
}

/// Its presence says that the index answered wrongly and is to be rebuilt.
const CONDEMNED: &str = "index.condemned";
/// The directory of the runs within the index's.
const KEYS: &str = "keys";
const STORE: &[u8] = b"store";
/// Stands among the names, and without the separator in no collection.
const APPLIED: &[u8] = b"applied";

/// Why the index cannot be used; it is to be rebuilt, or the process stops.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// No room on the disk; the index may be sound.
    Full,
    Broken(String),
}

impl From<Unusable> for StoreError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Full => Self::Full,
            Unusable::Broken(what) => Self::IndexDamaged { what },
        }
    }
}

/// Marks the index, so that the next opening rebuilds it.
pub(crate) fn condemn(dir: &Path) -> Result<(), StoreError> {
    files::replace(dir, CONDEMNED, b"")
}

impl Index {
    /// Opens what is there.
    pub(crate) fn open(dir: &Path, store: &StoreId, cache: Cache) -> Result<Self, Unusable> {
        if dir.join(CONDEMNED).exists() {
            return Err(Unusable::Broken("it answered wrongly before".into()));
        }
        if !dir.join(DIR).exists() {
            // sled would make one, and it would be put aside as damaged.
            return Err(Unusable::Broken("there is none yet".into()));
        }
        let names = Names::open(dir, cache)?;
        let own = guarded(|| names.notes.get(STORE))?;
        if own.as_deref() != Some(store.as_slice()) {
            return Err(Unusable::Broken("it is of another store".into()));
        }
        let keys = Runs::open(&dir.join(DIR).join(KEYS), store)?;
        // sled forgets silently what stands behind damage; the keys remember how much there was.
        if names.applied()? < keys.named() {
            return Err(Unusable::Broken("names are missing".into()));
        }
        Ok(Self { keys, names })
    }

    /// Creates an empty one, where none is.
    pub(crate) fn create(dir: &Path, store: &StoreId, cache: Cache) -> Result<Self, StoreError> {
        let path = dir.join(DIR);
        fs::create_dir(&path).map_err(StoreError::io("creating", &path))?;
        let create = || {
            let names = Names::open(dir, cache)?;
            guarded(|| names.notes.insert(STORE, store.as_slice()))?;
            names.sync()?;
            Ok(Self { keys: Runs::create(&path.join(KEYS), store)?, names })
        };
        let index = create().map_err(|unusable: Unusable| StoreError::from(unusable))?;
        files::sync_dir(&path)?;
        // This one is not the condemned one, and by its note of what is applied it is known to be incomplete.
        match fs::remove_file(dir.join(CONDEMNED)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("removing the mark of the index in", dir)(error));
            }
            Ok(()) | Err(_) => {}
        }
        files::sync_dir(dir)?;
        Ok(index)
    }

    /// The end of the journal up to which everything is applied.
    pub(crate) fn applied(&self) -> u64 {
        self.keys.applied()
    }

    /// Where a key points.
    pub(crate) fn position(&self, key: &Key) -> Result<Option<u64>, Unusable> {
        self.keys.position(key)
    }

    /// At most `limit` names of `collection` after `after`, in order.
    pub(crate) fn names(
        &self,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, Unusable> {
        let from = name_key(collection, after.unwrap_or_default());
        let from = if after.is_some() { Bound::Excluded(from) } else { Bound::Included(from) };
        // The octet after the separator closes the range of the collection.
        let mut to = collection.as_bytes().to_vec();
        to.push(1);
        let found = guarded(|| {
            let range = self.names.entries.range((from, Bound::Excluded(to)));
            range.take(limit).collect::<Result<Vec<_>, _>>()
        })?;
        let own = collection.len() + 1;
        let parse = |(key, value): (sled::IVec, sled::IVec)| {
            let name = key.get(own..).map(<[u8]>::to_vec).and_then(|name| String::from_utf8(name).ok());
            Ok((name.ok_or_else(|| Unusable::Broken("a name is not text".into()))?, number(&value)?))
        };
        found.into_iter().map(parse).collect()
    }

    /// Applies pointers, and notes that everything before `end` is applied; without `end` what was noted stays. Durable when this
    /// returns.
    pub(crate) fn apply(&self, pointers: &Pointers, end: Option<u64>) -> Result<(), Unusable> {
        // Names first: the note stands with the keys, and says that both are there.
        let mut named = self.keys.named();
        if !pointers.entries.is_empty() {
            named += 1;
            self.names.apply(pointers, named)?;
            self.names.sync()?;
        }
        self.keys.apply(&pointers.keys, end, named)
    }
}

impl Names {
    fn open(dir: &Path, Cache(cache): Cache) -> Result<Self, Unusable> {
        let path = dir.join(DIR);
        let open = || {
            // No thread of sled's own flushes: the indexer does, and then syncs.
            let config = sled::Config::new().path(&path).cache_capacity(cache).flush_every_ms(None);
            let database = config.open()?;
            let (entries, notes) = (database.open_tree("names")?, database.open_tree("notes")?);
            let file = OpenOptions::new().read(true).write(true).open(path.join("db"))?;
            Ok(Self { entries, notes, database, file })
        };
        guarded(open)
    }

    /// How often names were applied.
    fn applied(&self) -> Result<u64, Unusable> {
        match guarded(|| self.entries.get(APPLIED))? {
            Some(value) => number(&value),
            None => Ok(0),
        }
    }

    /// Applies names, and notes that it is the `times`th time; both or nothing.
    fn apply(&self, pointers: &Pointers, times: u64) -> Result<(), Unusable> {
        let mut batch = sled::Batch::default();
        batch.insert(APPLIED, &times.to_be_bytes());
        for ((collection, name), position) in &pointers.entries {
            batch.insert(name_key(collection, name), &position.to_be_bytes());
        }
        guarded(|| self.entries.apply_batch(batch))
    }

    /// Makes what was applied durable: sled writes, we sync.
    fn sync(&self) -> Result<(), Unusable> {
        guarded(|| {
            self.database.flush()?;
            self.file.sync_data()?;
            Ok(())
        })
    }
}

fn name_key(collection: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(collection.len() + 1 + name.len());
    key.extend_from_slice(collection.as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key
}

fn number(value: &[u8]) -> Result<u64, Unusable> {
    let octets = value.try_into().map_err(|_| Unusable::Broken("a position is not 8 octets".into()))?;
    Ok(u64::from_be_bytes(octets))
}

/// The one place where panics are caught: sled 0.34 panics on files that it does not understand, and nothing that came from the
/// disk may end the process. What it was working on is not used again after that.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Unusable> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Err(sled::Error::Io(error))) if is_full(&error) => Err(Unusable::Full),
        Ok(done) => done.map_err(|error| Unusable::Broken(error.to_string())),
        Err(_) => Err(Unusable::Broken("the index engine panicked".into())),
    }
}
