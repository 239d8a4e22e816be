//! From a directory to a running engine: what is on the disk is judged first, then the index is caught up or rebuilt.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::checkpoint::{self, Checkpoint, Found};
use crate::embedded::{Opened, Options, Progress};
use crate::error::StoreError;
use crate::files;
use crate::frame::StoreId;
use crate::identity::{self, StoreIdentity};
use crate::index::{self, Cache, Index, Unusable};
use crate::layer::Layer;
use crate::recovery::{End, Replayed, Survey};
use crate::segment::{self, Segment};
use crate::unit::Position;

/// The directory of the segments.
pub(crate) const JOURNAL: &str = "journal";
const LOCK: &str = "lock";

/// Everything that a replay leaves.
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) end: End,
    pub(crate) settled: Layer,
    pub(crate) index: Index,
    pub(crate) opened: Opened,
}

/// Where a replay starts, and into what.
struct Plan {
    start: End,
    settled: Layer,
    index: Index,
    rebuilds: bool,
}

/// Creates a store in an empty directory. The identity is written last: without it nothing counts as initialised.
pub(crate) fn init(dir: &Path, identity: &StoreIdentity) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io("creating", dir))?;
    // Once before the lock, which would leave a file in somebody else's directory, once when nobody else can come between.
    check_empty(dir)?;
    let lock = lock(dir)?;
    check_empty(dir)?;
    let journal = dir.join(JOURNAL);
    if journal.exists() {
        check_unused(&journal)?;
        fs::remove_dir_all(&journal).map_err(StoreError::io("removing", &journal))?;
    }
    fs::create_dir(&journal).map_err(StoreError::io("creating", &journal))?;
    let first = Segment { number: 0, first: 0, chain: identity.genesis() };
    let created = segment::create(&journal, identity.store_id(), &first);
    created.map_err(StoreError::io("creating the journal in", &journal))?;
    files::sync_dir(dir)?;
    identity.write(dir)?;
    drop(lock);
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        files::sync_dir(parent)?;
    }
    Ok(())
}

/// Refuses a directory with anything in it but what an interrupted attempt leaves.
pub(crate) fn check_empty(dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let name = entry.map_err(StoreError::io("listing", dir))?.file_name();
        if ![LOCK, JOURNAL, "identity.tmp"].iter().any(|known| name == *known) {
            return Err(StoreError::NotEmpty { dir: dir.to_owned() });
        }
    }
    Ok(())
}

/// Refuses to touch a journal that has ever held more than the header of its first segment.
pub(crate) fn check_unused(journal: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(journal).map_err(StoreError::io("listing", journal))? {
        let length = entry.and_then(|entry| entry.metadata()).map_err(StoreError::io("listing", journal))?.len();
        if length > segment::HEADER as u64 {
            return Err(StoreError::NotEmpty { dir: journal.to_owned() });
        }
    }
    Ok(())
}

/// Takes the directory for this process; the lock lasts as long as the file.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(StoreError::io("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("locking", &path)(error)),
    }
}

/// Brings everything derived up to the end of the journal.
pub(crate) fn recover(dir: &Path, identity: &StoreIdentity, options: &Options) -> Result<Recovered, StoreError> {
    let store = identity.store_id();
    let survey = Survey::new(&dir.join(JOURNAL), identity)?;
    let genesis = End::genesis(identity);
    let remembered = Checkpoint::read(dir, store)?;
    let mut floor = 0;
    if let Found::Usable(checkpoint) = &remembered {
        survey.check_remembered(&checkpoint.end, &genesis)?;
        floor = checkpoint.end.position;
    }
    let index = Index::open(dir, store, Cache(options.index_cache_bytes)).map(|index| {
        let applied = index.applied();
        (index, applied)
    });
    if let Ok((_, applied)) = &index {
        // Only what is durable is ever applied.
        floor = floor.max(*applied);
    }
    let Plan { start, settled, index, rebuilds } = plan(dir, store, options, remembered, index, genesis)?;
    let mut replay = Replay { settled, index, frames: 0, options, end: survey.end };
    let Replayed { end, torn } = survey.replay(start, floor, &mut |passed| {
        let added = replay.settled.add(passed.position, passed.body);
        added.map_err(|wrong| StoreError::damaged(passed.segment, passed.offset, wrong.0))?;
        replay.passed(passed.position)
    })?;
    let opened = Opened { replayed: replay.frames, torn, rebuilt: rebuilds && end.position > 0 };
    let Replay { mut settled, index, .. } = replay;
    settled.forget_closed();
    Ok(Recovered { segments: survey.segments, end, settled, index, opened })
}

fn plan(
    dir: &Path,
    store: &StoreId,
    options: &Options,
    remembered: Found,
    index: Result<(Index, u64), Unusable>,
    genesis: End,
) -> Result<Plan, StoreError> {
    let why = match (remembered, index) {
        (Found::Usable(checkpoint), Ok((index, applied))) if applied >= checkpoint.end.position => {
            let start = checkpoint.end;
            return Ok(Plan { start, settled: checkpoint.into_layer(), index, rebuilds: false });
        }
        (Found::Usable(_), Ok(_)) => "the index is older than the checkpoint".to_owned(),
        (Found::Missing, Ok(_)) => "the checkpoint is missing".to_owned(),
        (Found::Damaged, Ok(_)) => "the checkpoint is damaged".to_owned(),
        (_, Err(Unusable::Full)) => return Err(StoreError::Full),
        (_, Err(Unusable::Broken(why))) => why,
    };
    // The checkpoint stays until the next one replaces it: it remembers how far the journal had come.
    files::quarantine(dir, index::DIR)?;
    if matches!(Checkpoint::read(dir, store)?, Found::Damaged) {
        files::quarantine(dir, checkpoint::FILE)?;
    }
    tracing::info!(why, "building the index from the journal");
    let index = Index::create(dir, store, Cache(options.index_cache_bytes))?;
    Ok(Plan { start: genesis, settled: Layer::default(), index, rebuilds: true })
}

/// What a replay accumulates.
struct Replay<'a> {
    settled: Layer,
    index: Index,
    frames: u64,
    options: &'a Options,
    end: u64,
}

impl Replay<'_> {
    /// When as many wait as may, hands the pointers to the index, and says how far it is.
    fn passed(&mut self, position: u64) -> Result<(), StoreError> {
        self.frames += 1;
        if self.settled.pointers.count() >= self.options.overlay_limit.max(1) {
            let pointers = std::mem::take(&mut self.settled.pointers);
            self.index.apply(&pointers, None)?;
            self.settled.forget_closed();
        }
        if self.frames.is_multiple_of(50_000) {
            tracing::info!(position, end = self.end, "reading the journal");
            if let Some(tell) = &self.options.progress {
                tell(Progress { position: Position::from_u64(position), end: Position::from_u64(self.end) });
            }
        }
        Ok(())
    }
}

/// Checks that a store is there, takes it, and says whose it is.
pub(crate) fn take(dir: &Path) -> Result<(StoreIdentity, File), StoreError> {
    // Before the lock, which would leave a file in a directory that is no store.
    StoreIdentity::read(dir)?;
    let lock = lock(dir)?;
    // What a crash between two renames left; it was never the file it was to become.
    for name in [identity::FILE, checkpoint::FILE] {
        let _ = fs::remove_file(dir.join(format!("{name}.tmp")));
    }
    Ok((StoreIdentity::read(dir)?, lock))
}
