//! What is done with the journal before the store serves: survey, replay, and cutting off a torn end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use crate::body::Body;
use crate::error::StoreError;
use crate::frame::{Chain, StoreId};
use crate::identity::StoreIdentity;
use crate::reader::{self, Next, Reader};
use crate::segment::{self, Segment};
use crate::unit::Position;

/// An end of the journal, durable or as remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    /// Where the next frame will start.
    pub(crate) position: u64,
    pub(crate) chain: Chain,
    /// Where the last frame starts.
    pub(crate) last: Option<u64>,
}

impl End {
    pub(crate) fn genesis(identity: &StoreIdentity) -> Self {
        Self { position: 0, chain: identity.genesis(), last: None }
    }
}

/// The segments of a journal, found to follow from each other by their headers and lengths.
pub(crate) struct Survey {
    dir: PathBuf,
    store: StoreId,
    pub(crate) segments: Vec<Segment>,
    /// Position where the last segment's file ends, whatever it holds.
    pub(crate) end: u64,
    /// No frame starts from here on: everything behind is zero, the preallocation.
    written: u64,
    /// A next segment had been begun, so that everything here was durable.
    closed: bool,
}

/// A frame that a replay comes by.
pub(crate) struct Passed<'a> {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) body: &'a Body,
}

/// What a replay does with each frame.
pub(crate) type Visit<'a> = dyn FnMut(Passed<'_>) -> Result<(), StoreError> + 'a;

/// What a replay came to.
pub(crate) struct Replayed {
    pub(crate) end: End,
    /// Octets of a torn end that were cut off.
    pub(crate) torn: u64,
}

impl Survey {
    /// Looks at all segments, and makes sure that what will be read is what is on the disk.
    pub(crate) fn new(dir: &Path, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let store = *identity.store_id();
        let mut numbers = segment::numbers(dir)?;
        let missing = numbers.iter().zip(0..).find_map(|(found, number)| (*found != number).then_some(number));
        if let Some(number) = missing.or(numbers.is_empty().then_some(0)) {
            return Err(StoreError::damaged(number, 0, "the segment is missing"));
        }
        let mut closed = false;
        if let Some(number) = numbers.last().copied().filter(|number| *number > 0) {
            let found = segment::look(dir, &store, number)?;
            let unfinished = matches!(found.header, Err(StoreError::JournalDamaged { .. }));
            if unfinished && found.length <= segment::HEADER as u64 {
                tracing::warn!(segment = number, "discarding a segment that was never finished");
                segment::discard(dir, number)?;
                numbers.pop();
                closed = true;
            }
        }
        if let Some(number) = numbers.last() {
            settle(&segment::path(dir, *number))?;
        }
        let segments = Vec::with_capacity(numbers.len());
        let mut survey = Self { dir: dir.to_owned(), store, segments, end: 0, written: 0, closed };
        let mut chain = Some(identity.genesis());
        for number in numbers {
            survey.follow(number, chain.take())?;
        }
        survey.written = survey.end;
        // A segment that another one follows was shortened to its frames before.
        if let Some(last) = survey.segments.last().filter(|_| !closed) {
            let path = segment::path(dir, last.number);
            let zeroes = trailing_zeroes(&path, last.offset(last.first), last.offset(survey.end));
            survey.written = survey.end - zeroes.map_err(StoreError::io("reading", &path))?;
        }
        Ok(survey)
    }

    /// Adds a segment, which must start where the one before ends. The chain hash between two is for the replay to check.
    fn follow(&mut self, number: u64, chain: Option<Chain>) -> Result<(), StoreError> {
        let found = segment::look(&self.dir, &self.store, number)?;
        let segment = found.header?;
        if segment.first != self.end {
            let (before, offset) = match self.segments.last() {
                Some(before) => (before.number, before.offset(self.end.min(segment.first))),
                None => (number, 0),
            };
            return Err(StoreError::damaged(before, offset, "it does not end where the next segment starts"));
        }
        if chain.is_some_and(|chain| chain != segment.chain) {
            return Err(StoreError::damaged(number, 0, "it belongs to another identity"));
        }
        self.end = segment.first + (found.length - segment::HEADER as u64);
        self.segments.push(segment);
        Ok(())
    }

    /// Checks that a remembered end is an end of a prefix of this journal.
    pub(crate) fn check_remembered(&self, remembered: &End, genesis: &End) -> Result<(), StoreError> {
        if remembered.position > self.end {
            return Err(rolled_back(self.end, remembered.position));
        }
        let Some(last) = remembered.last else {
            let fits = remembered == genesis;
            return if fits { Ok(()) } else { Err(StoreError::damaged(0, 0, "its start is not the remembered one")) };
        };
        if last >= self.written {
            return Err(rolled_back(self.written, remembered.position));
        }
        let segment = self.holding(last)?;
        let path = segment::path(&self.dir, segment.number);
        let io = StoreError::io("reading", &path);
        let found = File::open(&path)
            .and_then(|file| reader::frame_at(&file, &self.store, segment, last, remembered.position))
            .map_err(io)?;
        let fits = found.is_some_and(|frame| frame.end == remembered.position && frame.chain == remembered.chain);
        if fits {
            Ok(())
        } else {
            Err(StoreError::damaged(segment.number, segment.offset(last), "it is not what the checkpoint remembers"))
        }
    }

    fn holding(&self, position: u64) -> Result<&Segment, StoreError> {
        let after = self.segments.partition_point(|segment| segment.first <= position);
        let found = after.checked_sub(1).and_then(|at| self.segments.get(at));
        found.ok_or_else(|| StoreError::damaged(0, 0, "no segment holds this position"))
    }

    /// Visits every frame from `start` on; a torn end and the preallocation are cut off, durably. Nothing before `floor` may be missing.
    pub(crate) fn replay(&self, start: End, floor: u64, visit: &mut Visit<'_>) -> Result<Replayed, StoreError> {
        let mut end = start;
        let mut torn = 0;
        let from = self.holding(start.position)?.number;
        let mut segments = self.segments.iter().skip_while(|segment| segment.number < from).peekable();
        while let Some(segment) = segments.next() {
            if end.position == segment.first && segment.chain != end.chain {
                return Err(StoreError::damaged(segment.number, 0, "its chain hash does not follow"));
            }
            let limit = segments.peek().map_or(self.end, |next| next.first);
            let garbage = self.replay_segment(segment, limit, &mut end, visit)?;
            let Some(what) = garbage else { continue };
            let is_tail = segments.peek().is_none() && !self.closed && end.position >= floor;
            if !is_tail || self.was_durable(segment, end.position)? {
                return Err(StoreError::damaged(segment.number, segment.offset(end.position), what));
            }
            torn = self.written.saturating_sub(end.position);
            let offset = segment.offset(end.position);
            tracing::warn!(segment = segment.number, offset, octets = torn, "cutting off a torn end of the journal");
        }
        if end.position < floor {
            return Err(rolled_back(end.position, floor));
        }
        if let Some(last) = self.segments.last().filter(|_| end.position < self.end) {
            self.cut_off(last, end.position)?;
        }
        Ok(Replayed { end, torn })
    }

    /// Visits a segment's frames; answers what is wrong where it had to stop.
    fn replay_segment(
        &self,
        segment: &Segment,
        limit: u64,
        end: &mut End,
        visit: &mut Visit<'_>,
    ) -> Result<Option<&'static str>, StoreError> {
        let path = segment::path(&self.dir, segment.number);
        let open = || {
            let file = File::open(&path)?;
            Reader::new(file, self.store, segment, (end.position, Some(end.chain)), limit)
        };
        let mut reader = open().map_err(StoreError::io("reading", &path))?;
        while reader.position() < self.written {
            let at = segment.offset(reader.position());
            match reader.next().map_err(StoreError::io("reading", &path))? {
                Next::Frame(frame) => {
                    let body = Body::decode_from(&frame.body);
                    let body = body.map_err(|wrong| StoreError::damaged(segment.number, at, wrong.0))?;
                    visit(Passed { segment: segment.number, offset: at, position: frame.position, body: &body })?;
                    *end = End { position: frame.end, chain: frame.chain, last: Some(frame.position) };
                }
                Next::End => return Ok(None),
                Next::Garbage(what) => return Ok(Some(what)),
                Next::Unchained => {
                    return Err(StoreError::damaged(segment.number, at, "a frame's chain hash does not follow"));
                }
            }
        }
        Ok(None)
    }

    fn was_durable(&self, segment: &Segment, bad: u64) -> Result<bool, StoreError> {
        let path = segment::path(&self.dir, segment.number);
        File::open(&path)
            .and_then(|file| reader::was_durable(&file, &self.store, segment, bad, self.end))
            .map_err(StoreError::io("reading", &path))
    }

    fn cut_off(&self, segment: &Segment, position: u64) -> Result<(), StoreError> {
        let path = segment::path(&self.dir, segment.number);
        let offset = segment.offset(position);
        let cut = || {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(offset)?;
            file.sync_all()
        };
        cut().map_err(StoreError::io("cutting off", &path))
    }
}

/// How many octets of zero stand at the end of a file's part `from..to`.
fn trailing_zeroes(path: &Path, from: u64, to: u64) -> io::Result<u64> {
    const PART: u64 = 64 << 10;
    let file = File::open(path)?;
    let mut octets = Vec::new();
    let mut end = to;
    while end > from {
        let start = end.saturating_sub(PART).max(from);
        octets.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.read_exact_at(&mut octets, start)?;
        if let Some(last) = octets.iter().rposition(|octet| *octet != 0) {
            return Ok(to - (start + last as u64 + 1));
        }
        end = start;
    }
    Ok(to - from)
}

fn rolled_back(journal: u64, recorded: u64) -> StoreError {
    StoreError::RolledBack { journal: Position::from_u64(journal), recorded: Position::from_u64(recorded) }
}

/// Writes out what a process that was killed left in memory, then forgets what memory holds: after a failed fsync it may
/// differ from the disk, and only the disk counts.
fn settle(path: &Path) -> Result<(), StoreError> {
    let settle = || {
        let file = File::open(path)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(())
    };
    settle().map_err(StoreError::io("syncing", path))
}
