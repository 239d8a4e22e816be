//! Reading facts back.

use api::{Refusal, journal::v1 as journal, journal::v1::record::Fact};
use prost::Message as _;
use store::{Position, Record, Store};

use crate::{Act, keys, refuse::refuse_store};

/// The journal record in a frame.
///
/// # Errors
/// `JOURNAL_DAMAGED` when the payload is no record or has no fact: the frame's checks hold, so another program wrote it.
pub fn read(record: &Record) -> Result<(journal::Record, Fact), Refusal> {
    let damaged = |what: &str| Refusal::new("JOURNAL_DAMAGED", format!("the record at {} {what}", record.position));
    let mut entry = journal::Record::decode(record.payload.as_slice()).map_err(|_| damaged("is no journal record"))?;
    let fact = entry.fact.take().ok_or_else(|| damaged("has no fact that is known here"))?;
    Ok((entry, fact))
}

/// What was recorded under this act's request id before, if anything.
///
/// # Errors
/// What the store says.
pub fn replayed(store: &dyn Store, act: &Act) -> Result<Option<Record>, Refusal> {
    let Some(request) = act.request else { return Ok(None) };
    store.get(&keys::request(&act.caller.manufacturer, request)).map_err(|e| refuse_store(&e))
}

/// The record at a position that another record names, with its fact.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` as for [`read`].
pub fn read_at(store: &dyn Store, at: u64) -> Result<(Record, journal::Record, Fact), Refusal> {
    let record = store.read(Position::from_u64(at)).map_err(|e| refuse_store(&e))?;
    let (entry, fact) = read(&record)?;
    Ok((record, entry, fact))
}
