//! A run: keys in order with where they point, written once, read by the block.
//!
//! | octets | what |
//! |---|---|
//! | 4096 for each block | up to 170 entries in order: 16 of the key, 8 of the position, big-endian; how many (2); CRC-32C (4) |
//! | a multiple of 64 | the filter over all keys |
//! | 8 for each block | the first 8 octets of its first key |
//! | 56 | mark; number of entries, of blocks, of the filter's octets; store id; CRC-32C of filter and fences, then of the store, the run's number and all of this |
//!
//! A block's checksum covers the store, the run's number and the block's own, so a block is valid at its own place only. Numbers are
//! little-endian but where the order of octets is the order of keys. Filter and fences stay in memory: a key that is not there costs
//! no look at the disk, one that is costs one block.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::filter::Filter;
use crate::frame::StoreId;
use crate::unit::Key;

const BLOCK: usize = 4096;
const ENTRY: usize = 24;
const IN_BLOCK: usize = 170;
/// Where a block says how many entries it has.
const COUNT_AT: usize = BLOCK - 6;
const TRAILER: usize = 56;
const MARK: [u8; 8] = *b"CSRUN\0\0\x02";

/// One key and where it points.
pub(crate) type Pointer = (Key, u64);

/// A run that passed its checks; its blocks are checked when they are read.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: u64,
    pub(crate) entries: u64,
    place: Place,
    file: File,
    filter: Filter,
    fences: Vec<u64>,
}

/// What ties a checksum to its place.
#[derive(Debug, Clone, Copy)]
struct Place {
    store: StoreId,
    run: u64,
}

impl Place {
    fn sum(self, part: u64, octets: &[u8]) -> u32 {
        let sum = crc32c::crc32c(&self.store);
        let sum = crc32c::crc32c_append(sum, &self.run.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &part.to_le_bytes());
        crc32c::crc32c_append(sum, octets)
    }
}

/// Sums up the octets that pass.
struct Summed<S> {
    stream: S,
    sum: u32,
}

impl<S: Read> Read for Summed<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        self.sum = crc32c::crc32c_append(self.sum, into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<S: Write> Write for Summed<S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(octets)?;
        self.sum = crc32c::crc32c_append(self.sum, octets.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Stands for the trailer where a block's number stands for a block.
const WHOLE: u64 = u64::MAX;

/// The path of a run in the directory of runs.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.run"))
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Run {
    /// Opens a run; its filter and fences are read and checked.
    pub(crate) fn open(dir: &Path, store: &StoreId, number: u64) -> io::Result<Self> {
        let file = File::open(path(dir, number))?;
        let place = Place { store: *store, run: number };
        let length = file.metadata()?.len();
        let trailer_at = length.checked_sub(TRAILER as u64).ok_or_else(|| damaged("a run is cut off"))?;
        let mut octets = [0; TRAILER];
        file.read_exact_at(&mut octets, trailer_at)?;
        let trailer = Trailer::parse(&octets, place).ok_or_else(|| damaged("a run has no valid trailer"))?;
        let memory = trailer.filter.checked_add(trailer.blocks.saturating_mul(8));
        let blocks_end = trailer.blocks.checked_mul(BLOCK as u64);
        let fits = memory.zip(blocks_end).and_then(|(memory, blocks)| memory.checked_add(blocks)) == Some(trailer_at);
        let (Some(blocks_end), true) = (blocks_end, fits) else {
            return Err(damaged("a run has another length than it says"));
        };
        let mut rest = Summed { stream: BufReader::new(&file), sum: 0 };
        rest.stream.seek(SeekFrom::Start(blocks_end))?;
        let filter = Filter::read(trailer.filter, &mut rest)?;
        let fences = (0..trailer.blocks).map(|_| {
            let mut fence = [0; 8];
            rest.read_exact(&mut fence).map(|()| u64::from_le_bytes(fence))
        });
        let fences = fences.collect::<io::Result<_>>()?;
        if rest.sum != trailer.memory_sum {
            return Err(damaged("a run's filter fails its checksum"));
        }
        Ok(Self { number, entries: trailer.entries, place, file, filter, fences })
    }

    /// Where a key points.
    pub(crate) fn get(&self, key: &Key) -> io::Result<Option<u64>> {
        if !self.filter.may_hold(key) {
            return Ok(None);
        }
        let fence = fence_of(key);
        // Keys with the same first octets may stand on both sides of a fence.
        let from = self.fences.partition_point(|first| *first < fence).saturating_sub(1);
        let to = self.fences.partition_point(|first| *first <= fence);
        for number in from..to {
            let block = self.block(number)?;
            let entries = block.entries();
            let found = entries.binary_search_by(|entry| entry.first_chunk().cmp(&Some(key.as_bytes())));
            if let Some(entry) = found.ok().and_then(|at| entries.get(at)) {
                return Ok(parse(entry).map(|(_, position)| position));
            }
        }
        Ok(None)
    }

    fn block(&self, number: usize) -> io::Result<Block> {
        let mut octets = Box::new([0; BLOCK]);
        self.file.read_exact_at(octets.as_mut_slice(), (number * BLOCK) as u64)?;
        Block::checked(octets, self.place, number as u64)
    }

    /// All pointers in the order of their keys.
    pub(crate) fn iter(&self) -> Pointers<'_> {
        Pointers { run: self, next: 0, block: None, at: 0 }
    }
}

/// The pointers of a run in order.
pub(crate) struct Pointers<'a> {
    run: &'a Run,
    next: usize,
    block: Option<Block>,
    at: usize,
}

impl Pointers<'_> {
    /// The next pointer; None at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Pointer>> {
        loop {
            if let Some(pointer) = self.block.as_ref().and_then(|block| parse(block.entries().get(self.at)?)) {
                self.at += 1;
                return Ok(Some(pointer));
            }
            if self.next >= self.run.fences.len() {
                return Ok(None);
            }
            self.block = Some(self.run.block(self.next)?);
            (self.next, self.at) = (self.next + 1, 0);
        }
    }
}

/// A block that passed its checks.
struct Block {
    octets: Box<[u8; BLOCK]>,
    count: usize,
}

impl Block {
    fn checked(octets: Box<[u8; BLOCK]>, place: Place, number: u64) -> io::Result<Self> {
        let (content, sum) = octets.split_last_chunk::<4>().ok_or_else(|| damaged("a block is cut off"))?;
        if place.sum(number, content) != u32::from_le_bytes(*sum) {
            return Err(damaged("a block fails its checksum"));
        }
        let count = content.last_chunk().map_or(0, |count| usize::from(u16::from_le_bytes(*count)));
        if count == 0 || count > IN_BLOCK {
            return Err(damaged("a block has no entries, or too many"));
        }
        Ok(Self { octets, count })
    }

    fn entries(&self) -> &[[u8; ENTRY]] {
        let (entries, _) = self.octets.as_chunks();
        entries.get(..self.count).unwrap_or_default()
    }
}

fn parse(entry: &[u8; ENTRY]) -> Option<Pointer> {
    let (key, position) = entry.split_first_chunk()?;
    Some((Key::from_bytes(*key), u64::from_be_bytes(position.try_into().ok()?)))
}

fn fence_of(key: &Key) -> u64 {
    key.as_bytes().first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets))
}

struct Trailer {
    entries: u64,
    blocks: u64,
    filter: u64,
    memory_sum: u32,
}

impl Trailer {
    fn octets(&self, place: Place) -> Vec<u8> {
        let mut octets = MARK.to_vec();
        for number in [self.entries, self.blocks, self.filter] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&place.store);
        octets.extend_from_slice(&self.memory_sum.to_le_bytes());
        let sum = place.sum(WHOLE, &octets);
        octets.extend_from_slice(&sum.to_le_bytes());
        octets
    }

    fn parse(octets: &[u8; TRAILER], place: Place) -> Option<Self> {
        let (content, sum) = octets.split_last_chunk::<4>()?;
        if place.sum(WHOLE, content) != u32::from_le_bytes(*sum) || !content.starts_with(&MARK) {
            return None;
        }
        let (words, _) = content.as_chunks();
        let mut numbers = words.iter().skip(1).map(|word| u64::from_le_bytes(*word));
        let (entries, blocks, filter) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Self { entries, blocks, filter, memory_sum: u32::from_le_bytes(*content.last_chunk()?) })
    }
}

/// Writes a run from pointers that come in order.
pub(crate) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    place: Place,
    filter: Filter,
    fences: Vec<u64>,
    block: Vec<u8>,
    entries: u64,
}

impl Writer {
    /// A run with this number, for at most so many pointers. What an interrupted attempt left under the number is overwritten.
    pub(crate) fn create(dir: &Path, store: &StoreId, number: u64, most: u64) -> io::Result<Self> {
        let path = path(dir, number);
        Ok(Self {
            file: BufWriter::with_capacity(64 * BLOCK, File::create(&path)?),
            path,
            place: Place { store: *store, run: number },
            filter: Filter::sized_for(most),
            fences: Vec::new(),
            block: Vec::with_capacity(BLOCK),
            entries: 0,
        })
    }

    /// Adds a pointer; its key is greater than the one before.
    pub(crate) fn add(&mut self, (key, position): &Pointer) -> io::Result<()> {
        if self.block.is_empty() {
            self.fences.push(fence_of(key));
        }
        self.filter.insert(key);
        self.block.extend_from_slice(key.as_bytes());
        self.block.extend_from_slice(&position.to_be_bytes());
        self.entries += 1;
        if self.block.len() == IN_BLOCK * ENTRY { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let count = u16::try_from(self.block.len() / ENTRY).map_err(io::Error::other)?;
        self.block.resize(COUNT_AT, 0);
        self.block.extend_from_slice(&count.to_le_bytes());
        let number = self.fences.len().saturating_sub(1) as u64;
        let sum = self.place.sum(number, &self.block);
        self.block.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    /// Ends the run; it is durable but for its name when this returns.
    pub(crate) fn finish(mut self, dir: &Path) -> io::Result<Run> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let Self { file, place, filter, fences, entries, .. } = self;
        let mut memory = Summed { stream: file, sum: 0 };
        filter.write(&mut memory)?;
        fences.iter().try_for_each(|fence| memory.write_all(&fence.to_le_bytes()))?;
        let Summed { stream: mut file, sum: memory_sum } = memory;
        let trailer = Trailer { entries, blocks: fences.len() as u64, filter: filter.octets(), memory_sum };
        file.write_all(&trailer.octets(place))?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        // Read back: what is served is what is on the disk. One copy at a time.
        drop((filter, fences));
        Run::open(dir, &place.store, place.run)
    }

    /// Gives up; what was written takes no room.
    pub(crate) fn discard(self) {
        let Self { path, file, .. } = self;
        drop(file.into_parts());
        let _ = std::fs::remove_file(path);
    }
}
