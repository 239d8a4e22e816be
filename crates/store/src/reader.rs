//! Reading a segment frame by frame, trusting nothing.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use crate::frame::{self, Chain, Header, StoreId};
use crate::segment::Segment;

/// A frame that passed its checks.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The segment that holds it, and where.
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) end: u64,
    pub(crate) chain: Chain,
    pub(crate) body: Vec<u8>,
}

/// What stands at the next position.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Frame),
    End,
    /// No valid frame: cut off, or overwritten, or never written.
    Garbage(&'static str),
    /// A valid frame that does not follow from the one before: no accident of a crash.
    Unchained,
}

/// Reads frames from a position on.
pub(crate) struct Reader {
    file: BufReader<File>,
    store: StoreId,
    segment: Segment,
    position: u64,
    end: u64,
    chain: Option<Chain>,
}

impl Reader {
    /// Reads from `position`, where the chain hash was `chain` (unknown: not checked for the first frame), up to `end`.
    pub(crate) fn new(
        mut file: File,
        store: StoreId,
        segment: &Segment,
        (position, chain): (u64, Option<Chain>),
        end: u64,
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(segment.offset(position)))?;
        let (file, segment) = (BufReader::with_capacity(256 << 10, file), segment.clone());
        Ok(Self { file, store, segment, position, end, chain })
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn next(&mut self) -> io::Result<Next> {
        match self.read() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Next::Garbage("the file is cut off")),
            next => next,
        }
    }

    fn read(&mut self) -> io::Result<Next> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < frame::HEADER as u64 {
            return Ok(Next::Garbage("a frame is cut off"));
        }
        let mut octets = [0; frame::HEADER];
        self.file.read_exact(&mut octets)?;
        let Some(header) = Header::parse(&octets) else {
            return Ok(Next::Garbage("no frame starts here"));
        };
        let end = header.end(self.position);
        if end > self.end {
            return Ok(Next::Garbage("a frame is cut off"));
        }
        let mut body = vec![0; header.body_length()];
        self.file.read_exact(&mut body)?;
        if !header.fits(&self.store, self.position, &body) {
            return Ok(Next::Garbage("a frame fails its checksum"));
        }
        if self.chain.is_some_and(|before| frame::chain_after(&before, &body) != header.chain) {
            return Ok(Next::Unchained);
        }
        let position = std::mem::replace(&mut self.position, end);
        self.chain = Some(header.chain);
        let (segment, offset) = (self.segment.number, self.segment.offset(position));
        Ok(Next::Frame(Frame { segment, offset, position, end, chain: header.chain, body }))
    }
}

/// Reads one frame at a place that is said to hold one; `None` when it does not.
pub(crate) fn frame_at(
    file: &File,
    store: &StoreId,
    segment: &Segment,
    position: u64,
    end: u64,
) -> io::Result<Option<Frame>> {
    // Most frames are smaller than this, so that one read does.
    const GUESS: u64 = 4096;
    let left = end.saturating_sub(position);
    let mut octets = vec![0; usize::try_from(left.min(GUESS)).unwrap_or(0)];
    match file.read_exact_at(&mut octets, segment.offset(position)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let Some(header) = octets.first_chunk().and_then(Header::parse) else { return Ok(None) };
    if header.end(position) > end {
        return Ok(None);
    }
    let read = octets.len();
    octets.resize(frame::HEADER + header.body_length(), 0);
    if let Some(rest) = octets.get_mut(read..) {
        file.read_exact_at(rest, segment.offset(position) + read as u64)?;
    }
    let body = octets.split_off(frame::HEADER);
    let fits = header.fits(store, position, &body);
    let (number, offset) = (segment.number, segment.offset(position));
    Ok(fits.then(|| Frame { segment: number, offset, position, end: header.end(position), chain: header.chain, body }))
}

/// Whether behind the garbage at `bad` stands a frame that was written when `bad` was durable already.
///
/// If so, what was acknowledged is lost. If not, `bad` belongs to a group whose sync never returned, of which a power cut may
/// leave any pages.
pub(crate) fn was_durable(file: &File, store: &StoreId, segment: &Segment, bad: u64, end: u64) -> io::Result<bool> {
    let mut octets = vec![0; usize::try_from(end.saturating_sub(bad)).unwrap_or(0)];
    file.read_exact_at(&mut octets, segment.offset(bad))?;
    let marks = octets.windows(frame::MARK.len()).enumerate().skip(1).filter(|(_, at)| *at == frame::MARK);
    for (distance, _) in marks {
        let Some((octets, rest)) = octets.get(distance..).and_then(|at| at.split_first_chunk()) else { break };
        let Some(header) = Header::parse(octets) else { continue };
        let position = bad + distance as u64;
        let Some(body) = rest.get(..header.body_length()) else { continue };
        if header.fits(store, position, body) && header.durable_before(position) > bad {
            return Ok(true);
        }
    }
    Ok(false)
}
