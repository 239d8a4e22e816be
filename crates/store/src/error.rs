//! What an engine can refuse or fail with.

use std::io;
use std::path::{Path, PathBuf};

use crate::unit::Position;

/// Why the store could not do what was asked. A unit's own refusal is a [`Conflict`](crate::Conflict), not an error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store in this directory.
    #[error("no store was initialised in {}", dir.display())]
    NotInitialised {
        /// The directory.
        dir: PathBuf,
    },
    /// A store is initialised in an empty directory only.
    #[error("{} is not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no copy of a store in this folder, or one that was not kept to its end.
    #[error("{} holds no whole copy of a store", dir.display())]
    CopyMissing {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process has the store open.
    #[error("another process uses the store in {}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by a version of this program that this one does not know.
    #[error("{what} has format version {found}, which is not known here")]
    FormatUnknown {
        /// Which file.
        what: String,
        /// The version it has.
        found: u32,
    },
    /// The file that says whose store this is cannot be understood.
    #[error("the store's identity is invalid: {what}")]
    IdentityInvalid {
        /// What is wrong.
        what: String,
    },
    /// The journal fails its own checks. Nothing may be issued from it.
    #[error("journal segment {segment} is damaged at offset {offset}: {what}")]
    JournalDamaged {
        /// The segment's number.
        segment: u64,
        /// The octet in the segment's file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The journal ends before a position that was known to be durable.
    #[error("the journal ends at {journal}, but had reached {recorded}")]
    RolledBack {
        /// Where the journal ends.
        journal: Position,
        /// Where it had been.
        recorded: Position,
    },
    /// The index points to a record that does not carry the key.
    #[error("the index is damaged: {what}")]
    IndexDamaged {
        /// What is wrong.
        what: String,
    },
    /// No room on the disk; nothing of the call was kept.
    #[error("the disk is full")]
    Full,
    /// The engine stopped after a failure; it answers nothing more.
    #[error("the store has stopped: {why}")]
    Stopped {
        /// The first failure.
        why: String,
    },
    /// No record starts at this position.
    #[error("no record starts at {position}")]
    NoSuchRecord {
        /// The position.
        position: Position,
    },
    /// The unit at this position is not open.
    #[error("the unit at {position} is not an open intent")]
    IntentNotOpen {
        /// The position.
        position: Position,
    },
    /// A unit is over its bounds.
    #[error("a unit's {what} exceed {limit}")]
    UnitTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A call has too many units.
    #[error("{units} units in one call, at most {limit} are taken")]
    TooManyUnits {
        /// How many there were.
        units: usize,
        /// The bound.
        limit: usize,
    },
    /// A file operation failed.
    #[error("{doing} {} failed", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// The name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotInitialised { .. } => "STORE_NOT_INITIALISED",
            Self::NotEmpty { .. } => "STORE_DIR_NOT_EMPTY",
            Self::CopyMissing { .. } => "STORE_COPY_MISSING",
            Self::InUse { .. } => "STORE_IN_USE",
            Self::FormatUnknown { .. } => "STORE_FORMAT_UNKNOWN",
            Self::IdentityInvalid { .. } => "STORE_IDENTITY_INVALID",
            Self::JournalDamaged { .. } => "JOURNAL_DAMAGED",
            Self::RolledBack { .. } => "JOURNAL_ROLLED_BACK",
            Self::IndexDamaged { .. } => "INDEX_DAMAGED",
            Self::Full => "STORE_FULL",
            Self::Stopped { .. } => "STORE_STOPPED",
            Self::NoSuchRecord { .. } => "STORE_NO_SUCH_RECORD",
            Self::IntentNotOpen { .. } => "INTENT_NOT_OPEN",
            Self::UnitTooLarge { .. } => "UNIT_TOO_LARGE",
            Self::TooManyUnits { .. } => "TOO_MANY_UNITS",
            Self::Io { .. } => "STORE_IO",
        }
    }

    /// Wraps a failed file operation; a full disk keeps its own name.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if is_full(&source) { Self::Full } else { Self::Io { doing, path: path.to_owned(), source } }
        }
    }

    pub(crate) fn damaged(segment: u64, offset: u64, what: impl Into<String>) -> Self {
        Self::JournalDamaged { segment, offset, what: what.into() }
    }
}

/// Whether the disk, or our share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
