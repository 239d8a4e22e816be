//! A copy of a store: taken while it serves, kept in a folder, and laid down again as a store.
//!
//! What is durable in the journal never changes, so a copy needs no pause: the segments up to the durable end of one moment are a whole
//! store. The index is not copied; it is built from the journal. A folder with a copy is no store: it lacks the file that makes one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::embedded::{EmbeddedStore, Options};
use crate::engine::Engine;
use crate::error::StoreError;
use crate::files;
use crate::identity::StoreIdentity;
use crate::open;
use crate::outside::Sha256;
use crate::record::Head;
use crate::recovery::{End, Survey};
use crate::seam::Store;
use crate::segment;
use crate::unit::{Position, Unit};

/// The file that makes a folder a kept copy: whose it is and where it ends. It is written last.
const KEPT: &str = "copy";

/// Octets of one part.
const PART: u64 = 256 << 10;

/// Makes copies of one open store. Does not keep it open for commits.
#[derive(Clone)]
pub struct Copier {
    engine: Arc<Engine>,
    identity: StoreIdentity,
}

/// A copy as of one moment.
#[derive(Debug)]
pub struct StoreCopy {
    /// Whose store it is.
    pub identity: StoreIdentity,
    /// Where it ends.
    pub head: Head,
    /// Octets of all parts.
    pub octets: u64,
    journal: PathBuf,
    /// Numbers and lengths of what is still to be read.
    segments: std::vec::IntoIter<(u64, u64)>,
    reading: Option<Reading>,
}

/// A stretch of one segment's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The segment's number, from 0.
    pub segment: u64,
    /// Where the octets stand in its file.
    pub offset: u64,
    /// At most 256 KiB.
    pub octets: Vec<u8>,
}

#[derive(Debug)]
struct Reading {
    number: u64,
    path: PathBuf,
    file: File,
    offset: u64,
    length: u64,
}

impl Copier {
    pub(crate) fn new(engine: &Arc<Engine>, identity: &StoreIdentity) -> Self {
        Self { engine: Arc::clone(engine), identity: identity.clone() }
    }

    /// Whose store this is.
    #[must_use]
    pub const fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    /// Begins a copy of everything that is durable now; what is committed from now on is not in it.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub fn copy(&self) -> Result<StoreCopy, StoreError> {
        let head = self.engine.checked_head()?;
        let segments = self.engine.journal.lengths(head.position.as_u64());
        Ok(StoreCopy {
            identity: self.identity.clone(),
            head,
            octets: segments.iter().map(|(_, length)| length).sum(),
            journal: self.engine.dir.join(open::JOURNAL),
            segments: segments.into_iter(),
            reading: None,
        })
    }
}

impl std::fmt::Debug for Copier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copier").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl StoreCopy {
    /// The copy that [`keep_copy`] left in a folder.
    ///
    /// # Errors
    /// [`StoreError::CopyMissing`] when the folder holds none, or one that was not kept to its end; what the disk says.
    pub fn kept(dir: &Path) -> Result<Self, StoreError> {
        let said = files::read_if_there(&dir.join(KEPT))?;
        let said = said.ok_or_else(|| StoreError::CopyMissing { dir: dir.to_owned() })?;
        let (identity, head) = read_label(&said)?;
        let journal = dir.join(open::JOURNAL);
        let mut segments = Vec::new();
        for number in segment::numbers(&journal)? {
            let path = segment::path(&journal, number);
            let length = fs::metadata(&path).map_err(StoreError::io("looking at", &path))?.len();
            segments.push((number, length));
        }
        let octets = segments.iter().map(|(_, length)| length).sum();
        Ok(Self { identity, head, octets, journal, segments: segments.into_iter(), reading: None })
    }

    fn next_part(&mut self) -> Result<Option<Part>, StoreError> {
        loop {
            let done = self.reading.as_ref().is_none_or(|reading| reading.offset >= reading.length);
            if done {
                let Some((number, length)) = self.segments.next() else { return Ok(None) };
                let path = segment::path(&self.journal, number);
                let file = File::open(&path).map_err(StoreError::io("opening", &path))?;
                self.reading = Some(Reading { number, path, file, offset: 0, length });
                continue;
            }
            let Some(reading) = self.reading.as_mut() else { return Ok(None) };
            let length = reading.length.saturating_sub(reading.offset).min(PART);
            let mut octets = vec![0; usize::try_from(length).unwrap_or(0)];
            reading
                .file
                .read_exact_at(&mut octets, reading.offset)
                .map_err(StoreError::io("reading", &reading.path))?;
            let part = Part { segment: reading.number, offset: reading.offset, octets };
            reading.offset = reading.offset.saturating_add(length);
            return Ok(Some(part));
        }
    }
}

impl Iterator for StoreCopy {
    type Item = Result<Part, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_part().transpose()
    }
}

/// Keeps a copy in a folder that is empty or not there yet. It is a copy only once every frame was checked against the chain and the
/// journal ends at `head`.
///
/// # Errors
/// [`StoreError::NotEmpty`]; [`StoreError::JournalDamaged`] and its kin when what came is damaged or cut short; what the disk says.
pub fn keep_copy<E: From<StoreError>>(
    dir: &Path,
    identity: &StoreIdentity,
    head: Head,
    parts: impl Iterator<Item = Result<Part, E>>,
) -> Result<(), E> {
    fs::create_dir_all(dir).map_err(StoreError::io("creating", dir))?;
    if fs::read_dir(dir).map_err(StoreError::io("listing", dir))?.next().is_some() {
        return Err(StoreError::NotEmpty { dir: dir.to_owned() }.into());
    }
    write_journal(dir, identity, head, parts)?;
    Ok(files::replace(dir, KEPT, label(identity, head).as_bytes())?)
}

/// Lays a copy down in a directory that is empty or not there yet, with one more unit that says so; answers where the journal ends then.
/// The directory is a store only once every frame was checked against the chain, the copy ended at `head`, and the unit is durable;
/// until then, and after a refusal, it counts as never initialised.
///
/// # Errors
/// As [`keep_copy`].
pub fn lay_down<E: From<StoreError>>(
    dir: &Path,
    identity: &StoreIdentity,
    head: Head,
    parts: impl Iterator<Item = Result<Part, E>>,
    mark: Unit,
    options: Options,
) -> Result<Head, E> {
    fs::create_dir_all(dir).map_err(StoreError::io("creating", dir))?;
    open::check_empty(dir)?;
    let lock = open::lock(dir)?;
    open::check_empty(dir)?;
    let journal = dir.join(open::JOURNAL);
    if journal.exists() {
        open::check_unused(&journal)?;
        fs::remove_dir_all(&journal).map_err(StoreError::io("removing", &journal))?;
    }
    write_journal(dir, identity, head, parts)?;
    let store = EmbeddedStore::assemble(dir, identity.clone(), lock, options)?;
    let marked = store.commit(vec![mark])?.pop();
    if !matches!(marked, Some(Ok(_))) {
        return Err(StoreError::damaged(0, 0, "what marks the copy as laid down runs into its own records").into());
    }
    let end = store.head();
    drop(store);
    identity.write(dir)?;
    Ok(end)
}

/// Writes and checks a journal. After a refusal nothing is left that may be taken for one, or stands in the way of another attempt.
fn write_journal<E: From<StoreError>>(
    dir: &Path,
    identity: &StoreIdentity,
    head: Head,
    parts: impl Iterator<Item = Result<Part, E>>,
) -> Result<(), E> {
    let journal = dir.join(open::JOURNAL);
    fs::create_dir(&journal).map_err(StoreError::io("creating", &journal))?;
    let written = write_parts(&journal, parts).and_then(|()| Ok(check(&journal, identity, head)?));
    if let Err(refusal) = written {
        fs::remove_dir_all(&journal).map_err(StoreError::io("removing", &journal))?;
        return Err(refusal);
    }
    files::sync_dir(&journal)?;
    Ok(files::sync_dir(dir)?)
}

fn label(identity: &StoreIdentity, head: Head) -> String {
    format!("{}position {}\nchain {}\n", identity.text(), head.position, head.chain)
}

fn read_label(said: &[u8]) -> Result<(StoreIdentity, Head), StoreError> {
    let wrong = || StoreError::IdentityInvalid { what: "what is said about the copy does not read".to_owned() };
    let text = std::str::from_utf8(said).map_err(|_| wrong())?;
    let at = text.find("position ").ok_or_else(wrong)?;
    let (identity, end) = text.split_at(at);
    let mut lines = end.lines();
    let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
    let position = field("position ").and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let chain = field("chain ").and_then(|hex| hex.parse().ok()).ok_or_else(wrong)?;
    Ok((StoreIdentity::parse(identity)?, Head { position: Position::from_u64(position), chain }))
}

fn write_parts<E: From<StoreError>>(journal: &Path, parts: impl Iterator<Item = Result<Part, E>>) -> Result<(), E> {
    let mut open: Option<(u64, u64, File)> = None;
    for part in parts {
        let part = part?;
        let path = segment::path(journal, part.segment);
        let (number, length, mut file) = match open.take() {
            Some(own) if own.0 == part.segment => own,
            before => {
                let expected = before.as_ref().map_or(0, |(number, ..)| number.saturating_add(1));
                finish(journal, before)?;
                if part.segment != expected {
                    return Err(StoreError::damaged(part.segment, 0, "the copy's segments do not follow").into());
                }
                let file = OpenOptions::new().write(true).create_new(true).open(&path);
                (part.segment, 0, file.map_err(StoreError::io("creating", &path))?)
            }
        };
        if part.offset != length {
            return Err(StoreError::damaged(number, length, "the copy's parts do not follow").into());
        }
        file.write_all(&part.octets).map_err(StoreError::io("writing", &path))?;
        open = Some((number, length.saturating_add(part.octets.len() as u64), file));
    }
    Ok(finish(journal, open)?)
}

fn finish(journal: &Path, segment: Option<(u64, u64, File)>) -> Result<(), StoreError> {
    let Some((number, _, file)) = segment else { return Ok(()) };
    file.sync_all().map_err(StoreError::io("syncing", &segment::path(journal, number)))
}

/// Reads the whole journal and compares its end. Nothing is cut off: a copy has no torn end.
fn check(journal: &Path, identity: &StoreIdentity, head: Head) -> Result<(), StoreError> {
    let survey = Survey::new(journal, identity)?;
    let replayed = survey.replay(End::genesis(identity), survey.end, &mut |_| Ok(()))?;
    let found =
        Head { position: Position::from_u64(replayed.end.position), chain: Sha256::from_bytes(replayed.end.chain) };
    if found != head {
        let last = survey.segments.last().map_or(0, |segment| segment.number);
        return Err(StoreError::damaged(last, 0, "the copy does not end where it says"));
    }
    Ok(())
}
