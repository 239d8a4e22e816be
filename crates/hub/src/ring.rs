//! A log on disk that never grows beyond its bound: the oldest segment goes when a new one is begun.
//!
//! The journal keeps what must be kept for ever. What strangers and devices can make grow (refusals, telemetry) is kept here instead,
//! durable and bounded. Each record has its length and a CRC-32C; a torn end is cut off when the log is opened.

mod segment;
mod writer;

use std::{
    collections::VecDeque,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use api::Refusal;
use bytes::Bytes;
use service::shell::Stop;
use tokio::sync::{mpsc, oneshot, watch};

use segment::{HEADER, Segment};

/// Most octets of one record.
pub(crate) const MAX_RECORD: usize = 1024 * 1024;
/// Records that wait to be written; whoever comes later waits to hand in.
const QUEUE: usize = 4096;

/// Where a record stands; a later record has a greater position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u32,
}

impl Position {
    /// Before every record.
    pub(crate) const START: Self = Self { segment: 0, offset: 0 };
}

/// How much a log keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Octets of one segment; a record that does not fit begins the next.
    pub(crate) segment_octets: u32,
    /// Segments that are kept.
    pub(crate) segments: usize,
}

/// By which a log's records are found again. It is told of a record before anybody can be told that there are new ones.
pub(crate) trait Index: Send + Sync + 'static {
    /// A record that was there when the log was opened. In the order of the log, as below.
    fn found(&self, at: Position, record: &[u8]);
    /// A record that was appended under a name.
    fn placed(&self, at: Position, name: &str);
    /// Everything before this position is gone.
    fn forget_before(&self, oldest: Position);
}

/// A log that can be appended to by many tasks at once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ring {
    shared: Arc<Shared>,
    queue: mpsc::Sender<writer::Append>,
}

/// What the writer and the readers see.
struct Shared {
    directory: PathBuf,
    kept: RwLock<VecDeque<Segment>>,
    index: Arc<dyn Index>,
    /// Position after the last durable record.
    end: watch::Sender<Position>,
}

impl Ring {
    /// Opens the log in `directory`, made when absent, and tells `index` of every record that is kept.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(
        directory: &Path,
        name: &'static str,
        bounds: Bounds,
        stop: Stop,
        index: Arc<dyn Index>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut kept = VecDeque::new();
        for number in segment::numbers(directory)? {
            kept.push_back(Segment::open(directory, number, |offset, record| {
                index.found(Position { segment: number, offset }, record);
            })?);
        }
        if kept.is_empty() {
            kept.push_back(Segment::create(directory, 1)?);
        }
        let end = kept.back().map_or(Position::START, Segment::end);
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            kept: RwLock::new(kept),
            index,
            end: watch::Sender::new(end),
        });
        let (queue, appends) = mpsc::channel(QUEUE);
        writer::start(Arc::clone(&shared), name, bounds, stop, appends)?;
        Ok(Self { shared, queue })
    }

    /// Appends a record under a name; returns when it is durable, and in the index.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE`, `LOG_FAILED`, `SHUTTING_DOWN`.
    pub(crate) async fn append(&self, name: Arc<str>, record: Bytes) -> Result<Position, Refusal> {
        check(&record)?;
        let (answer, outcome) = oneshot::channel();
        self.queue.send(writer::Append { name, record, answer }).await.map_err(|_| ended())?;
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The record at a position; none when it is no longer kept. Blocks on the disk.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` for a damaged record.
    pub(crate) fn read(&self, at: Position) -> io::Result<Option<Vec<u8>>> {
        match self.shared.file(at.segment) {
            Some((file, length)) => segment::read(&file, length, at.offset),
            None => Ok(None),
        }
    }

    /// The first record at or after a position, with its own and the next position; none at the end. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn next(&self, at: Position) -> io::Result<Option<(Position, Vec<u8>, Position)>> {
        let mut at = at;
        loop {
            let Some((segment, file, length)) = self.shared.file_from(at.segment) else { return Ok(None) };
            if segment > at.segment {
                at = Position { segment, offset: 0 };
            }
            if at.offset < length
                && let Some(record) = segment::read(&file, length, at.offset)?
            {
                let taken = u32::try_from(HEADER + record.len()).unwrap_or(u32::MAX);
                let next = Position { segment, offset: at.offset.saturating_add(taken) };
                return Ok(Some((at, record, next)));
            }
            if self.shared.file_from(segment + 1).is_none() {
                return Ok(None);
            }
            at = Position { segment: segment + 1, offset: 0 };
        }
    }

    /// Follows the position after the last durable record.
    pub(crate) fn end(&self) -> watch::Receiver<Position> {
        self.shared.end.subscribe()
    }
}

impl Shared {
    fn file(&self, number: u64) -> Option<(Arc<File>, u32)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|segment| segment.number() == number).map(|segment| (segment.file(), segment.length()))
    }

    /// The first kept segment at or after a number.
    fn file_from(&self, number: u64) -> Option<(u64, Arc<File>, u32)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|segment| segment.number() >= number)?;
        Some((found.number(), found.file(), found.length()))
    }
}

fn check(record: &Bytes) -> Result<(), Refusal> {
    if record.len() <= MAX_RECORD {
        return Ok(());
    }
    let message = format!("{} octets are to be kept at once, at most {MAX_RECORD} are", record.len());
    Err(Refusal::new("MESSAGE_TOO_LARGE", message))
}

fn ended() -> Refusal {
    Refusal::new("SHUTTING_DOWN", "the log takes no more records")
}

#[cfg(test)]
mod tests;
