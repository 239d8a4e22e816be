//! From the store's errors and conflicts to published refusals.

use api::Refusal;
use store::{Conflict, StoreError};

/// A refusal for an error of the pure crates: each names its own reason.
pub fn named<E: std::error::Error>(reason: impl Fn(&E) -> &'static str) -> impl Fn(E) -> Refusal {
    move |error| Refusal::from_error(reason(&error), &error)
}

/// What a caller is told when the store could not do its work.
#[must_use]
pub fn refuse_store(error: &StoreError) -> Refusal {
    Refusal::from_error(error.reason(), error)
}

/// What a caller is told when a unit was not accepted for its lot's tally.
///
/// Taken keys and moved keys are for the caller to resolve first: what they mean depends on the key. Left unresolved they say
/// that somebody else was faster.
#[must_use]
pub fn refuse_conflict(conflict: &Conflict, lot: &str) -> Refusal {
    match conflict {
        Conflict::Overdrawn { refusal, .. } => {
            let tally = &refusal.tally;
            Refusal::new(refusal.reason(), format!("lot {lot}: {refusal}"))
                .with("lot", lot)
                .with("provisioned", tally.provisioned())
                .with("handed_over", tally.handed_over())
                .with("reserved", tally.reserved())
        }
        Conflict::NoSuchLot { .. } => {
            Refusal::new("LOT_UNKNOWN", format!("lot {lot} is not known here")).with("lot", lot)
        }
        Conflict::KeyTaken { .. } | Conflict::KeyMoved { .. } | Conflict::NotOpen { .. } => {
            Refusal::new("IN_PROGRESS", format!("another request changed what this one relies on ({conflict})"))
                .retry_after(std::time::Duration::from_millis(50))
        }
    }
}
