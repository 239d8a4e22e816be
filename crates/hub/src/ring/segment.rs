//! One file of a log: records one after the other, each `length (4) | CRC-32C over length and record (4) | record`, little-endian.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{MAX_RECORD, Position};

/// Octets before each record.
pub(super) const HEADER: usize = 8;
const EXTENSION: &str = "log";

/// A kept file. Its length is that of its durable records.
pub(super) struct Segment {
    number: u64,
    file: Arc<File>,
    length: u32,
}

impl Segment {
    /// An empty one. Its name is durable when this returns.
    pub(super) fn create(directory: &Path, number: u64) -> io::Result<Self> {
        let path = path(directory, number);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self { number, file: Arc::new(file), length: 0 })
    }

    /// An existing one, read from start to end. What follows the last whole record was being written when the process or the machine
    /// ended, so that nobody was told of it: it is cut off.
    pub(super) fn open(directory: &Path, number: u64, mut seen: impl FnMut(u32, &[u8])) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path(directory, number))?;
        let mut reader = BufReader::with_capacity(256 * 1024, &file);
        let mut length: u32 = 0;
        let mut record = Vec::new();
        while read_next(&mut reader, &mut record)? {
            let taken = u32::try_from(HEADER + record.len()).unwrap_or(u32::MAX);
            let Some(after) = length.checked_add(taken) else { break };
            seen(length, &record);
            length = after;
        }
        if file.metadata()?.len() > u64::from(length) {
            file.set_len(u64::from(length))?;
            file.sync_all()?;
        }
        Ok(Self { number, file: Arc::new(file), length })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    pub(super) fn length(&self) -> u32 {
        self.length
    }

    pub(super) fn end(&self) -> Position {
        Position { segment: self.number, offset: self.length }
    }

    pub(super) fn set_length(&mut self, length: u32) {
        self.length = length;
    }

    /// Deletes the file; who has it open reads on.
    pub(super) fn delete(self, directory: &Path) -> io::Result<()> {
        std::fs::remove_file(path(directory, self.number))
    }
}

/// The numbers of all segments in a directory, ascending.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(number) = stem.and_then(|stem| stem.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A record with its header.
pub(super) fn frame(out: &mut Vec<u8>, record: &[u8]) {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, record).to_le_bytes());
    out.extend_from_slice(record);
}

/// The record at an offset below `length`; none when there is no whole one.
pub(super) fn read(file: &File, length: u32, offset: u32) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER];
    let body = u64::from(offset) + HEADER as u64;
    if body > u64::from(length) {
        return Ok(None);
    }
    file.read_exact_at(&mut header, u64::from(offset))?;
    let (octets, expected) = split(header);
    let size = u32::from_le_bytes(octets);
    if size as usize > MAX_RECORD || body + u64::from(size) > u64::from(length) {
        return Err(damaged());
    }
    let mut record = vec![0; size as usize];
    file.read_exact_at(&mut record, body)?;
    if checksum(octets, &record) == expected { Ok(Some(record)) } else { Err(damaged()) }
}

/// Reads the next whole record; false at the end, and at the first that is not whole.
fn read_next(reader: &mut impl io::Read, record: &mut Vec<u8>) -> io::Result<bool> {
    let mut header = [0; HEADER];
    if !fill(reader, &mut header)? {
        return Ok(false);
    }
    let (octets, expected) = split(header);
    let size = u32::from_le_bytes(octets) as usize;
    if size > MAX_RECORD {
        return Ok(false);
    }
    record.clear();
    let read = reader.take(size as u64).read_to_end(record)?;
    Ok(read == size && checksum(octets, record) == expected)
}

fn fill(reader: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn split(header: [u8; HEADER]) -> ([u8; 4], u32) {
    let [a, b, c, d, e, f, g, h] = header;
    ([a, b, c, d], u32::from_le_bytes([e, f, g, h]))
}

/// The length is covered too, so that a stretch of zeros is no record.
fn checksum(length: [u8; 4], record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length) ^ 0x5249_4e47, record)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a record of the log fails its checks")
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.{EXTENSION}"))
}
