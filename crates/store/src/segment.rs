//! Segment files: a header of 80 octets, then frames; in the last one, while it is written to, zeroes behind them, its preallocation.
//!
//! The header is magic (8), format version (4), store id (16), segment number (8), position of the first frame (8), chain
//! hash before it (32), CRC-32C of all that (4); numbers are little-endian. It is durable before a frame follows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files;
use crate::frame::{Chain, StoreId};

pub(crate) const HEADER: usize = 80;
const MAGIC: [u8; 8] = *b"CSJOURNL";
const VERSION: u32 = 1;

/// What a segment's header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Position of its first frame.
    pub(crate) first: u64,
    /// Chain hash before its first frame.
    pub(crate) chain: Chain,
}

impl Segment {
    /// Where the frame at `position` stands in the file.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position.saturating_sub(self.first) + HEADER as u64
    }

    pub(crate) fn octets(&self, store: &StoreId) -> Vec<u8> {
        let mut octets = Vec::with_capacity(HEADER);
        octets.extend_from_slice(&MAGIC);
        octets.extend_from_slice(&VERSION.to_le_bytes());
        octets.extend_from_slice(store);
        octets.extend_from_slice(&self.number.to_le_bytes());
        octets.extend_from_slice(&self.first.to_le_bytes());
        octets.extend_from_slice(&self.chain);
        octets.extend_from_slice(&crc32c::crc32c(&octets).to_le_bytes());
        octets
    }

    fn parse(octets: &[u8; HEADER], store: &StoreId, number: u64) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::damaged(number, 0, what);
        let fields = || {
            let (magic, rest) = octets.split_first_chunk::<8>()?;
            let (version, rest) = rest.split_first_chunk::<4>()?;
            let (id, rest) = rest.split_first_chunk::<16>()?;
            let (own, rest) = rest.split_first_chunk::<8>()?;
            let (first, rest) = rest.split_first_chunk::<8>()?;
            let (chain, rest) = rest.split_first_chunk::<32>()?;
            let summed = octets.get(..HEADER - 4)?;
            let sum = u32::from_le_bytes(*rest.first_chunk::<4>()?);
            let segment = Self { number: u64::from_le_bytes(*own), first: u64::from_le_bytes(*first), chain: *chain };
            Some((*magic, u32::from_le_bytes(*version), *id, segment, sum == crc32c::crc32c(summed)))
        };
        let (magic, version, id, segment, sum_fits) = fields().ok_or_else(|| damaged("its header is too short"))?;
        if magic != MAGIC || !sum_fits {
            return Err(damaged("its header fails its checks"));
        }
        if version != VERSION {
            return Err(StoreError::FormatUnknown { what: format!("journal segment {number}"), found: version });
        }
        if id != *store {
            return Err(damaged("it belongs to another store"));
        }
        if segment.number != number {
            return Err(damaged("its name and its header disagree"));
        }
        Ok(segment)
    }
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.segment"))
}

/// Creates a segment, durably; on failure nothing of it stays.
pub(crate) fn create(dir: &Path, store: &StoreId, segment: &Segment) -> io::Result<File> {
    let path = path(dir, segment.number);
    let write = || {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        file.write_all_at(&segment.octets(store), 0)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        Ok(file)
    };
    write().inspect_err(|error: &io::Error| {
        // A name that was there before is not ours to remove.
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&path);
        }
    })
}

/// The numbers of the segments in `dir`, in order.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let name = entry.map_err(StoreError::io("listing", dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".segment")).and_then(|n| n.parse().ok());
        match number {
            Some(number) if name.to_str() == path(dir, number).file_name().and_then(|own| own.to_str()) => {
                numbers.push(number);
            }
            Some(_) | None => tracing::warn!(name = ?name, "a file in the journal is no segment"),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A segment as found: its length and, if its header can be read, what it says.
pub(crate) struct Found {
    pub(crate) length: u64,
    pub(crate) header: Result<Segment, StoreError>,
}

/// Looks at a segment's header.
pub(crate) fn look(dir: &Path, store: &StoreId, number: u64) -> Result<Found, StoreError> {
    let path = path(dir, number);
    let read = || {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let mut octets = [0; HEADER];
        let whole = length >= HEADER as u64;
        if whole {
            file.read_exact_at(&mut octets, 0)?;
        }
        Ok((length, whole.then_some(octets)))
    };
    let (length, octets) = read().map_err(StoreError::io("reading", &path))?;
    let header = match octets {
        Some(octets) => Segment::parse(&octets, store, number),
        None => Err(StoreError::damaged(number, 0, "its header is cut off")),
    };
    Ok(Found { length, header })
}

/// Removes a segment that was never finished.
pub(crate) fn discard(dir: &Path, number: u64) -> Result<(), StoreError> {
    let path = path(dir, number);
    fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
    files::sync_dir(dir)
}
