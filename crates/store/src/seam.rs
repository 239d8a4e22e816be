//! The seam: what every engine promises.

use crate::error::StoreError;
use crate::group::Ticket;
use crate::outside::Tally;
use crate::receipt::Receipt;
use crate::record::{Head, Page, Record};
use crate::unit::{Committed, Conflict, Key, Position, Unit};

/// Most units in one call of [`Store::commit`].
pub const MAX_UNITS: usize = 4096;
/// Most octets of one unit as written.
pub const MAX_UNIT_BYTES: usize = 4 << 20;
/// Most records in one answer of [`Store::list`] and [`Store::history`]; a larger limit is lowered to it.
pub const MAX_LISTED: usize = 1000;
/// Most claims of one unit.
pub(crate) const MAX_CLAIMS: usize = 256;
/// Most tally movements of one unit.
pub(crate) const MAX_MOVES: usize = 64;

/// Units that were judged and may not be durable: what became of them, receipts included, is told by [`Store::wait`] alone. Who
/// drops it never learns; they may become durable all the same.
#[derive(Debug)]
#[must_use = "nobody knows whether they are durable before they are waited for"]
pub struct Submitted {
    pub(crate) answers: Vec<Result<Committed, Conflict>>,
    /// None when they are durable.
    pub(crate) ticket: Option<Ticket>,
}

/// A store: synchronous, for many threads at once.
///
/// Reads answer from durable units alone, and see every unit whose commit has returned. After
/// [`StoreError::Stopped`] nothing can be said about the units of the failed call: the process is expected to exit, and
/// the store, opened again, re-reads what is on the disk.
pub trait Store: Send + Sync {
    /// Commits units; answers each in order.
    ///
    /// Each unit is atomic in itself and judged after the units before it; the units of one call share one sync. Returns
    /// only when all accepted ones, and whatever the refused ones ran into, are durable. On [`StoreError::Full`] none of
    /// the call's units is there, and a later call may succeed.
    fn commit(&self, units: Vec<Unit>) -> Result<Vec<Result<Committed, Conflict>>, StoreError> {
        self.wait(self.submit(units)?)
    }

    /// The first half of [`Store::commit`]: units are judged, and written with whatever is written next; at the latest when they are waited for.
    fn submit(&self, units: Vec<Unit>) -> Result<Submitted, StoreError>;

    /// Has what was submitted written meanwhile, by a thread of the store's: for who has other work before waiting.
    fn write_behind(&self);

    /// The second half of [`Store::commit`]: waits until they are durable.
    fn wait(&self, submitted: Submitted) -> Result<Vec<Result<Committed, Conflict>>, StoreError>;

    /// The newest durable record at the key.
    fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// The record at this position; [`StoreError::NoSuchRecord`] when none starts there.
    fn read(&self, at: Position) -> Result<Record, StoreError>;

    /// The records of a collection in the order of their names, those after `after`, at most `limit`.
    fn list(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError>;

    /// The durable tally of a lot.
    fn tally(&self, lot: &Key) -> Result<Option<Tally>, StoreError>;

    /// The durable units that are open, oldest first.
    fn open_intents(&self) -> Result<Vec<Position>, StoreError>;

    /// The permission to sign for an open intent, read back from durable storage: to complete it after a crash.
    fn receipt(&self, at: Position) -> Result<Receipt, StoreError>;

    /// How often the journal was synced since the store was opened.
    fn syncs(&self) -> u64;

    /// The durable end of the journal.
    fn head(&self) -> Head;

    /// Where the newest durable record starts; none in an empty journal.
    fn last(&self) -> Result<Option<Position>, StoreError>;

    /// The journal in order, from a record's position (0 is the first), at most `limit` records: for audit and rebuild.
    fn history(&self, from: Position, limit: usize) -> Result<Page, StoreError>;
}
