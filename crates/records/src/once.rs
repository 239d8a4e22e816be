//! Doing what a request asks for at most once, and answering it the same however often it comes, also while the first try is under way.

use api::Refusal;
use store::{Claim, Committed, Conflict, Key, Record, Rule, Store, Unit};

use crate::{Act, keys, refuse_store, replayed};

/// One try of a request.
pub struct Attempt<'a> {
    store: &'a dyn Store,
    act: &'a Act,
    request: Key,
}

impl<'a> Attempt<'a> {
    /// Its circumstances.
    #[must_use]
    pub fn act(&self) -> &'a Act {
        self.act
    }

    /// Commits the unit of the request, which is found by the request's id from then on; a conflict when another try was faster.
    ///
    /// # Errors
    /// What the store says.
    pub fn commit(self, mut unit: Unit) -> Result<Result<Committed, Conflict>, Refusal> {
        unit.claims.insert(0, Claim { key: self.request, rule: Rule::Absent });
        commit_one(self.store, unit)
    }
}

/// Answers a request from its record or, when it is not on record, by what `make` makes of it.
///
/// What stands in the way of `make` may be what another try of the same request did meanwhile. So its refusal is the answer only when the
/// request is not on record then, either.
///
/// # Errors
/// What `answer` and `make` refuse; what the store says; `REQUEST_ID_INVALID` when the act has no request.
pub fn once<T>(
    store: &dyn Store,
    act: &Act,
    answer: impl FnOnce(&Record) -> Result<T, Refusal>,
    make: impl FnOnce(Attempt<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let request = act.request.ok_or_else(|| Refusal::new("REQUEST_ID_INVALID", "request_id is missing"))?;
    if let Some(record) = replayed(store, act)? {
        return answer(&record);
    }
    let request = keys::request(&act.caller.manufacturer, request);
    make(Attempt { store, act, request }).or_else(|refusal| match replayed(store, act)? {
        Some(record) => answer(&record),
        None => Err(refusal),
    })
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
