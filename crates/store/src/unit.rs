//! What is committed: units, their preconditions, and what can stand against them.

use std::fmt;

use aws_lc_rs::digest;

use crate::outside::{Movement, Overdrawn, Sha256};
use crate::receipt::Receipt;

/// Where a frame starts in the journal: a count of octets over all segments, strictly increasing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(u64);

impl Position {
    /// The position with this number; it need not be the start of a frame, reading it will tell.
    #[must_use]
    pub const fn from_u64(octets: u64) -> Self {
        Self(octets)
    }

    /// The position as a number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a record can be found by: the first 16 octets of SHA-256 over a key space and its parts, each length-prefixed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// The key of `parts` in `space`.
    #[must_use]
    pub fn new(space: &str, parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in std::iter::once(space.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    /// The key with these octets, as read back from [`Key::as_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key's octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// What must hold at a key, and whether the key then points to the unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The key must not exist; it then points to the unit.
    Absent,
    /// The key must point to this position; it then points to the unit (compare and set).
    At(Position),
    /// The key points to the unit, whatever was there.
    Any,
    /// The key must point to this position and goes on pointing there.
    Unchanged(Position),
}

/// A precondition on one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The key.
    pub key: Key,
    /// What must hold there.
    pub rule: Rule,
}

/// A movement in the tally of one lot; `Movement::Open` creates the lot's tally.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TallyMove {
    /// The lot, as a key in a space of the service's choice.
    pub lot: Key,
    /// What moves.
    pub movement: Movement,
}

/// Lists a record under a name in a collection; the latest record of a name wins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Entry {
    collection: String,
    name: String,
}

/// A collection or a name that cannot be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a collection is 1 to 64 graphic ASCII characters, a name at most 512 octets without NUL")]
pub struct EntryInvalid;

impl EntryInvalid {
    /// The name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        "ENTRY_INVALID"
    }
}

impl Entry {
    /// An entry; `collection` is 1 to 64 graphic ASCII characters, `name` at most 512 octets without NUL.
    pub fn new(collection: &str, name: &str) -> Result<Self, EntryInvalid> {
        let collection_fits = (1..=64).contains(&collection.len()) && collection.bytes().all(|c| c.is_ascii_graphic());
        let name_fits = name.len() <= 512 && !name.contains('\0');
        if !(collection_fits && name_fits) {
            return Err(EntryInvalid);
        }
        Ok(Self { collection: collection.to_owned(), name: name.to_owned() })
    }

    /// The collection.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The name within the collection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The atom of the store: one record, written whole when all its preconditions hold, else not at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unit {
    /// What the payload is; opaque to the store.
    pub kind: u16,
    /// The record's octets; opaque to the store.
    pub payload: Vec<u8>,
    /// Preconditions on keys, all judged against the state before the unit. At most 256.
    pub claims: Vec<Claim>,
    /// Tally movements, applied in order. At most 64.
    pub moves: Vec<TallyMove>,
    /// Digest of the bytes that may be signed once the unit is durable. The unit is then *open* until another completes it.
    pub intent: Option<Sha256>,
    /// Closes that open unit, with a result or as void.
    pub completes: Option<Position>,
    /// Where the record is listed.
    pub entry: Option<Entry>,
}

/// A unit that is durable.
#[derive(Debug)]
pub struct Committed {
    /// Where it stands.
    pub position: Position,
    /// The permission to sign, if the unit has an intent.
    pub receipt: Option<Receipt>,
}

/// Why a unit was not accepted; it changed nothing. What it ran into is durable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Conflict {
    /// A key that must be absent is there.
    #[error("key {key} is taken at {at}")]
    KeyTaken {
        /// The key.
        key: Key,
        /// Where it points.
        at: Position,
    },
    /// A key does not point where the claim says.
    #[error("key {key} has moved")]
    KeyMoved {
        /// The key.
        key: Key,
        /// Where it points, if anywhere.
        at: Option<Position>,
    },
    /// The lot's tally refuses the movement.
    #[error("the tally of lot {lot} refuses the movement")]
    Overdrawn {
        /// The lot.
        lot: Key,
        /// Why, and the tally as it stands.
        #[source]
        refusal: Overdrawn,
    },
    /// The lot has no tally.
    #[error("lot {lot} has no tally")]
    NoSuchLot {
        /// The lot.
        lot: Key,
    },
    /// The unit to be completed is not open.
    #[error("the unit at {position} is not open")]
    NotOpen {
        /// The position that was to be completed.
        position: Position,
    },
}

impl Conflict {
    /// The name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::KeyTaken { .. } => "KEY_TAKEN",
            Self::KeyMoved { .. } => "KEY_MOVED",
            Self::Overdrawn { refusal, .. } => refusal.reason(),
            Self::NoSuchLot { .. } => "LOT_UNKNOWN",
            Self::NotOpen { .. } => "INTENT_NOT_OPEN",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_every_engine_can_list_is_an_entry() {
        let long = "x".repeat(513);
        let collection = "c".repeat(65);
        for (collection, name) in
            [("", "a"), ("a b", "a"), ("é", "a"), (collection.as_str(), "a"), ("lots", "a\0b"), ("lots", long.as_str())]
        {
            assert_eq!(
                Entry::new(collection, name).unwrap_err().reason(),
                "ENTRY_INVALID",
                "{collection:?} {name:.9?}"
            );
        }
        for (collection, name) in [(&collection[1..], &long[1..]), ("lots", "")] {
            assert!(Entry::new(collection, name).is_ok());
        }
    }
}
