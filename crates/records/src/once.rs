//! Committing a request's unit at most once.

use api::Refusal;
use store::{Claim, Committed, Conflict, Record, Rule, Store, Unit};

use crate::{Act, keys, refuse_store};

/// How the attempt ended.
#[derive(Debug)]
pub enum Once {
    /// The unit is durable.
    Committed(Committed),
    /// This request was recorded before, here; nothing was changed.
    Before(Record),
    /// Something else stands against the unit; nothing was changed.
    Refused(Conflict),
}

/// Commits a unit under its act's request id; the id's key then points to the unit.
///
/// # Errors
/// What the store says; `REQUEST_ID_INVALID` when the act has no request.
pub fn commit_once(store: &dyn Store, act: &Act, mut unit: Unit) -> Result<Once, Refusal> {
    let request = act.request.ok_or_else(|| Refusal::new("REQUEST_ID_INVALID", "request_id is missing"))?;
    let request_key = keys::request(&act.caller.manufacturer, request);
    unit.claims.insert(0, Claim { key: request_key, rule: Rule::Absent });
    match commit_one(store, unit)? {
        Ok(committed) => Ok(Once::Committed(committed)),
        Err(Conflict::KeyTaken { key, at }) if key == request_key => {
            store.read(at).map(Once::Before).map_err(|e| refuse_store(&e))
        }
        Err(conflict) => Ok(Once::Refused(conflict)),
    }
}

/// Commits one unit alone.
///
/// # Errors
/// What the store says.
pub fn commit_one(store: &dyn Store, unit: Unit) -> Result<Result<Committed, Conflict>, Refusal> {
    let mut outcomes = store.commit(vec![unit]).map_err(|e| refuse_store(&e))?;
    outcomes.pop().ok_or_else(|| Refusal::new("INTERNAL", "the store answered no outcome for a unit"))
}

/// The refusal for a request id that was used for something else.
#[must_use]
pub fn reused(act: &Act, differs: &str) -> Refusal {
    let id = act.request.map(|r| r.to_string()).unwrap_or_default();
    Refusal::new("REQUEST_ID_REUSED", format!("request {id} was used before with another {differs}"))
        .with("request_id", id)
        .with("differs", differs)
}
