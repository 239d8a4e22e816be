//! Reading on to the end: a whole collection, or pages of what is listed nowhere, found in a bounded part of the journal at a time.

use api::Refusal;
use store::{Position, Record, Store};

use crate::refuse_store;

/// Most journal records that one page looks at.
const MOST_READ: usize = 10_000;

/// Visits every record of a collection with its name, in the order of the names. Nothing is locked meanwhile: what is recorded by a visit
/// is visited too if its name comes later.
///
/// # Errors
/// What the store says, what `visit` refuses with.
pub fn every(
    store: &dyn Store,
    collection: &str,
    mut visit: impl FnMut(&str, &Record) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut after: Option<String> = None;
    loop {
        let page = store.list(collection, after.as_deref(), store::MAX_LISTED).map_err(|e| refuse_store(&e))?;
        for (name, record) in &page {
            visit(name, record)?;
        }
        let Some((last, _)) = page.into_iter().next_back() else { return Ok(()) };
        after = Some(last);
    }
}

/// What `pick` makes of the journal's records from a position on, in order, at most `limit`; and where the next page goes on, if
/// there is one. A page may be short or empty and still have a next one.
///
/// # Errors
/// What the store says, what `pick` refuses with.
pub fn scan<T>(
    store: &dyn Store,
    mut from: Position,
    limit: usize,
    mut pick: impl FnMut(&Record) -> Result<Option<T>, Refusal>,
) -> Result<(Vec<T>, Option<Position>), Refusal> {
    let mut found = Vec::new();
    let mut seen = 0_usize;
    while seen < MOST_READ {
        let page = store.history(from, store::MAX_LISTED).map_err(|e| refuse_store(&e))?;
        for record in &page.records {
            if found.len() == limit {
                return Ok((found, Some(record.position)));
            }
            found.extend(pick(record)?);
        }
        seen = seen.saturating_add(page.records.len());
        if page.next >= page.head.position {
            return Ok((found, None));
        }
        from = page.next;
    }
    Ok((found, Some(from)))
}
