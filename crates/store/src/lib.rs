//! The only crate that knows a database.
//!
//! A [`Unit`] is the atom: a record with its preconditions, written whole or not at all. [`Store::commit`] takes many of
//! them, lets them share one sync, and returns when all that were accepted are durable; in two halves, [`Store::submit`] and
//! [`Store::wait`], for who has other work meanwhile. The [`Receipt`] of a unit with an intent is the only value that allows a signature,
//! and only this crate can make one.
//!
//! What this crate deliberately does not know: what a payload means, what time it is, who asks, and how to sign.
//!
//! Start with [`Store`], then [`Unit`]. The engines are [`EmbeddedStore`] (an append-only journal is the truth, an index
//! is caught up from it) and [`MemoryStore`]; both fail on command at each step when given a [`FaultPlan`], and
//! [`overtaken()`] tries what happens between any two calls of one in memory. A [`Copier`] copies an
//! embedded store while it serves, [`keep_copy`] keeps the copy, [`lay_down`] makes a store of it.

mod body;
mod checkpoint;
mod copy;
mod embedded;
mod engine;
mod error;
mod fault;
mod files;
mod filter;
mod frame;
mod group;
#[cfg(feature = "hostile")]
pub mod hostile;
mod identity;
mod index;
mod indexer;
mod interruption;
mod journal;
mod key_map;
mod layer;
mod ledger;
mod memory;
mod open;
mod outside;
mod reader;
mod receipt;
mod record;
mod recovery;
mod run;
mod runs;
mod seam;
mod segment;
mod unit;
mod writer;

pub use copy::{Copier, Part, StoreCopy, keep_copy, lay_down};
pub use embedded::{EmbeddedStore, Opened, Options, Progress, SyncObserver, Synced};
pub use error::StoreError;
pub use fault::{FaultPlan, Step};
pub use identity::StoreIdentity;
pub use interruption::overtaken;
pub use memory::MemoryStore;
pub use receipt::Receipt;
pub use record::{Head, Page, Record};
pub use seam::{MAX_LISTED, MAX_UNIT_BYTES, MAX_UNITS, Store, Submitted};
pub use unit::{Claim, Committed, Conflict, Entry, EntryInvalid, Key, Position, Rule, TallyMove, Unit};
