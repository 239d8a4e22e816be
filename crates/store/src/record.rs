//! What is read back.

use crate::outside::{Sha256, Tally};
use crate::unit::{Entry, Key, Position};

/// A durable unit, read back from the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// The chain hash after it: SHA-256 over the hash before it and the frame's body.
    pub chain: Sha256,
    /// What the payload is.
    pub kind: u16,
    /// The record's octets.
    pub payload: Vec<u8>,
    /// The keys that it made point to itself.
    pub keys: Vec<Key>,
    /// The keys that it relied on and left where they were.
    pub relied_on: Vec<Key>,
    /// The tallies of the lots it moved, after the movement.
    pub tallies: Vec<(Key, Tally)>,
    /// Digest of the bytes that it allowed to be signed.
    pub intent: Option<Sha256>,
    /// The open unit that it closed.
    pub completes: Option<Position>,
    /// Where it is listed.
    pub entry: Option<Entry>,
}

/// The durable end of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Where the next frame will start; grows with every unit.
    pub position: Position,
    /// The chain hash over everything before it.
    pub chain: Sha256,
}

/// A stretch of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The records, in order, without gaps.
    pub records: Vec<Record>,
    /// Where to read on.
    pub next: Position,
    /// The durable end when this page was read; nothing is left when `next` has reached it.
    pub head: Head,
}
