//! The journal while the store serves: one writer appends groups, many read durable frames.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::{StoreError, is_full};
use crate::fault::{FaultPlan, Step};
use crate::frame::{Chain, StoreId};
use crate::reader::{self, Frame, Next, Reader};
use crate::recovery::End;
use crate::segment::{self, Segment};
use crate::unit::Position;

/// How many segments are kept open for reading.
const OPEN_FILES: usize = 32;
/// Bounds of what is preallocated at once (docs/decisions/0023); between them it is as much as the segment holds.
const PREALLOCATION: RangeInclusive<u64> = 64 << 10..=1 << 20;
const ZEROES: &[u8] = &[0; 64 << 10];

pub(crate) struct Journal {
    dir: PathBuf,
    store: StoreId,
    segment_bytes: u64,
    reserve_bytes: u64,
    segments: RwLock<Vec<Segment>>,
    tail: Mutex<Tail>,
    files: Mutex<VecDeque<(u64, Arc<File>)>>,
    /// Groups that were synced.
    syncs: AtomicU64,
    faults: FaultPlan,
}

/// The last segment.
struct Tail {
    file: File,
    number: u64,
    /// Octets that are durable frames, with the header before them.
    length: u64,
    /// Octets of the file: behind the frames it is zero.
    allocated: u64,
}

/// A group that did not become durable.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// No room; the journal is as it was before.
    Full,
    /// What is on the disk is unknown; nothing may be written to this journal any more.
    Broken(io::Error),
}

/// Bounds of a journal.
pub(crate) struct Limits {
    pub(crate) segment_bytes: u64,
    pub(crate) reserve_bytes: u64,
}

impl Journal {
    /// The journal as recovery left it.
    pub(crate) fn new(
        dir: &Path,
        store: StoreId,
        limits: Limits,
        segments: Vec<Segment>,
        end: &End,
        faults: FaultPlan,
    ) -> Result<Self, StoreError> {
        let last = segments.last().ok_or_else(|| StoreError::damaged(0, 0, "the segment is missing"))?;
        let path = segment::path(dir, last.number);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(StoreError::io("opening", &path))?;
        let length = last.offset(end.position);
        let tail = Tail { file, number: last.number, length, allocated: length };
        let Limits { segment_bytes, reserve_bytes } = limits;
        Ok(Self {
            dir: dir.to_owned(),
            store,
            segment_bytes,
            reserve_bytes,
            segments: RwLock::new(segments),
            tail: Mutex::new(tail),
            files: Mutex::default(),
            syncs: AtomicU64::new(0),
            faults,
        })
    }

    /// Writes a group that starts at `start`, after the chain hash `chain`, and syncs it.
    pub(crate) fn append(&self, group: &[u8], start: u64, chain: &Chain) -> Result<(), AppendError> {
        if self.faults.hits(Step::BeforeAppend) {
            return Err(broken("planned fault before append"));
        }
        let mut tail = self.tail.lock().map_err(|_| broken("the writer panicked"))?;
        // The reserve is the index's: sled must never meet a full disk.
        if !self.has_room(self.reserve_bytes.saturating_add(group.len() as u64)) {
            return Err(AppendError::Full);
        }
        if tail.length >= self.segment_bytes && tail.length > segment::HEADER as u64 {
            self.roll(&mut tail, start, chain)?;
        }
        // Until it is durable nobody knows what the file holds, and it is not to be shortened.
        let allocated = std::mem::replace(&mut tail.allocated, 0);
        let allocated = match self.write(&tail, allocated, group) {
            Ok(allocated) => allocated,
            // What a full disk left of the group is taken back.
            Err(error) if is_full(&error) => {
                return Err(tail.give_back().map_or_else(AppendError::Broken, |()| AppendError::Full));
            }
            Err(error) => return Err(AppendError::Broken(error)),
        };
        if self.faults.hits(Step::BeforeSync) {
            return Err(broken("planned fault before sync"));
        }
        if self.faults.hits(Step::Sync) {
            return Err(broken("planned fault of sync"));
        }
        // A failed sync is final: the kernel may have dropped the pages and would call the next sync a success.
        tail.file.sync_data().map_err(AppendError::Broken)?;
        tail.length += group.len() as u64;
        tail.allocated = allocated;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if self.faults.hits(Step::AfterSync) {
            return Err(broken("planned fault after sync"));
        }
        Ok(())
    }

    /// How many groups were synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Writes a group over the preallocation, or beyond it with more of it; answers how long the file is.
    fn write(&self, tail: &Tail, allocated: u64, group: &[u8]) -> io::Result<u64> {
        let half = group.get(..group.len() / 2).unwrap_or_default();
        if self.faults.hits(Step::TornAppend) {
            tail.file.write_all_at(half, tail.length)?;
            return Err(io::Error::other("planned fault in append"));
        }
        if self.faults.hits(Step::DiskFull) {
            tail.file.write_all_at(half, tail.length)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        tail.file.write_all_at(group, tail.length)?;
        let end = tail.length + group.len() as u64;
        if end <= allocated {
            return Ok(allocated);
        }
        let ahead = end.clamp(*PREALLOCATION.start(), *PREALLOCATION.end()).min(self.segment_bytes.saturating_sub(end));
        let ahead = if self.has_room(self.reserve_bytes.saturating_add(ahead)) { ahead } else { 0 };
        let (mut at, allocated) = (end, end + ahead);
        while at < allocated {
            let zeroes = ZEROES.get(..usize::try_from(allocated - at).unwrap_or(usize::MAX)).unwrap_or(ZEROES);
            tail.file.write_all_at(zeroes, at)?;
            at += zeroes.len() as u64;
        }
        Ok(allocated)
    }

    /// Gives back the preallocation. Nothing may be appended afterwards.
    pub(crate) fn close(&self) {
        let Ok(mut tail) = self.tail.lock() else { return };
        if tail.allocated > tail.length {
            // What recovery would do, so that a failure needs no more than a word.
            let _ = tail.give_back().inspect_err(|error| tracing::warn!(%error, "shortening the journal failed"));
        }
    }

    fn has_room(&self, octets: u64) -> bool {
        match rustix::fs::statvfs(&self.dir) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= octets,
            // A file system that cannot say will say so when it is written to.
            Err(_) => true,
        }
    }

    /// Whether the index may grow.
    pub(crate) fn has_room_for_index(&self) -> bool {
        self.has_room(self.reserve_bytes / 2)
    }

    fn roll(&self, tail: &mut Tail, first: u64, chain: &Chain) -> Result<(), AppendError> {
        let next = Segment { number: tail.number + 1, first, chain: *chain };
        // A segment ends where the next one starts, before there is a next one.
        tail.give_back().map_err(AppendError::Broken)?;
        let file = match segment::create(&self.dir, &self.store, &next) {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(AppendError::Full),
            Err(error) => return Err(AppendError::Broken(error)),
        };
        let length = segment::HEADER as u64;
        *tail = Tail { file, number: next.number, length, allocated: length };
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(next);
        Ok(())
    }

    /// The durable frame at `position`. `end` is the durable end.
    pub(crate) fn read(&self, position: u64, end: u64) -> Result<Frame, StoreError> {
        let (segment, limit) = self.holding(position, end)?;
        let file = self.file(segment.number)?;
        let found = reader::frame_at(&file, &self.store, &segment, position, limit);
        match found.map_err(StoreError::io("reading", &segment::path(&self.dir, segment.number)))? {
            Some(frame) => Ok(frame),
            None => Err(self.explain(&segment, position, limit)?),
        }
    }

    /// Visits frames in order from `position` on, until `visit` says that it is enough; answers where to read on.
    pub(crate) fn walk(
        &self,
        position: u64,
        end: u64,
        visit: &mut dyn FnMut(Frame) -> Result<std::ops::ControlFlow<()>, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut at = position;
        let mut chain = None;
        while at < end {
            let (segment, limit) = self.holding(at, end)?;
            let mut reader = self.reader(&segment, (at, chain), limit)?;
            loop {
                let path = segment::path(&self.dir, segment.number);
                match reader.next().map_err(StoreError::io("reading", &path))? {
                    Next::Frame(frame) => {
                        (at, chain) = (frame.end, Some(frame.chain));
                        if visit(frame)?.is_break() {
                            return Ok(at);
                        }
                    }
                    Next::End => break,
                    Next::Garbage(_) if chain.is_none() => return Err(self.explain(&segment, at, limit)?),
                    Next::Garbage(what) => return Err(StoreError::damaged(segment.number, segment.offset(at), what)),
                    Next::Unchained => {
                        let what = "a frame's chain hash does not follow";
                        return Err(StoreError::damaged(segment.number, segment.offset(at), what));
                    }
                }
            }
        }
        Ok(at)
    }

    /// The segments that hold what is before `end`, each with the octets of its file that do.
    pub(crate) fn lengths(&self, end: u64) -> Vec<(u64, u64)> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let nexts = segments.iter().skip(1).map(|next| next.first).chain([u64::MAX]);
        let held = segments.iter().zip(nexts).take_while(|(segment, _)| segment.number == 0 || segment.first < end);
        held.map(|(segment, next)| (segment.number, segment.offset(end.min(next)))).collect()
    }

    /// Why no frame can be read at `position`: none starts there, or the segment is damaged.
    fn explain(&self, segment: &Segment, position: u64, limit: u64) -> Result<StoreError, StoreError> {
        let mut reader = self.reader(segment, (segment.first, Some(segment.chain)), limit)?;
        while reader.position() < position {
            let at = segment.offset(reader.position());
            let what = match reader.next().map_err(StoreError::io("reading", &self.dir))? {
                Next::Frame(_) => continue,
                Next::End => "it ends too early",
                Next::Garbage(what) => what,
                Next::Unchained => "a frame's chain hash does not follow",
            };
            return Ok(StoreError::damaged(segment.number, at, what));
        }
        Ok(if reader.position() == position {
            StoreError::damaged(segment.number, segment.offset(position), "a frame fails its checks")
        } else {
            StoreError::NoSuchRecord { position: Position::from_u64(position) }
        })
    }

    fn reader(&self, segment: &Segment, from: (u64, Option<Chain>), limit: u64) -> Result<Reader, StoreError> {
        let path = segment::path(&self.dir, segment.number);
        // An own handle: a shared one would share its file position.
        let open = File::open(&path).and_then(|file| Reader::new(file, self.store, segment, from, limit));
        open.map_err(StoreError::io("reading", &path))
    }

    /// The segment that holds `position`, and the position where its durable frames end.
    fn holding(&self, position: u64, end: u64) -> Result<(Segment, u64), StoreError> {
        let missing = || StoreError::NoSuchRecord { position: Position::from_u64(position) };
        if position >= end {
            return Err(missing());
        }
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.first <= position);
        let segment = after.checked_sub(1).and_then(|at| segments.get(at)).ok_or_else(missing)?;
        let limit = segments.get(after).map_or(end, |next| next.first.min(end));
        Ok((segment.clone(), limit))
    }

    fn file(&self, number: u64) -> Result<Arc<File>, StoreError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = files.iter().find(|(own, _)| *own == number) {
            return Ok(Arc::clone(file));
        }
        let path = segment::path(&self.dir, number);
        let file = Arc::new(File::open(&path).map_err(StoreError::io("opening", &path))?);
        if files.len() >= OPEN_FILES {
            files.pop_front();
        }
        files.push_back((number, Arc::clone(&file)));
        Ok(file)
    }
}

fn broken(what: &'static str) -> AppendError {
    AppendError::Broken(io::Error::other(what))
}

impl Tail {
    /// Shortens the file to its durable frames, durably.
    fn give_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_all()?;
        self.allocated = self.length;
        Ok(())
    }
}
