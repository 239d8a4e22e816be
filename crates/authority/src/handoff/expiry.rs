//! Offers that nobody accepted in time give their units back, without anybody asking.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::Refusal;
use pki::UnixTime;
use tracing::{debug, info, warn};

use super::state::{Current, Stage};
use crate::authority::Authority;

/// How long after its end an offer may still hold its units.
const LATE_AT_MOST: Duration = Duration::from_secs(1);

/// When open offers end, soonest first. What is on record is the truth: a lot stands here until its offer is seen to be closed.
#[derive(Debug, Default)]
pub(crate) struct Expiries(Mutex<BTreeSet<(i64, String)>>);

impl Expiries {
    /// Notes an offer; `expires_at` in seconds since 1970.
    pub(crate) fn add(&self, expires_at: i64, lot: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((expires_at, lot.to_owned()));
    }

    fn due(&self, now: UnixTime) -> Vec<(i64, String)> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().take_while(|(expires_at, _)| *expires_at < now.as_secs()).cloned().collect()
    }

    fn remove(&self, done: &(i64, String)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(done);
    }
}

/// Gives back what expired offers hold, for as long as the authority lives. Called once, in a runtime, before the service answers
/// anybody.
///
/// # Errors
/// What the store says.
pub fn release_expired_offers(authority: &Arc<Authority>) -> Result<(), Refusal> {
    authority.note_open_offers()?;
    let weak = Arc::downgrade(authority);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(LATE_AT_MOST);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(authority) = weak.upgrade() else { return };
            let workers = authority.seams.workers;
            let released = workers.run(move || {
                // Also while nobody asks for anything: a clock that jumped is noticed, and one that is right again.
                match authority.check_may_issue() {
                    Ok(_) => authority.release_expired(),
                    Err(refusal) => debug!(%refusal, "offers keep their units for now"),
                }
                Ok(())
            });
            if released.await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

impl Authority {
    fn note_open_offers(&self) -> Result<(), Refusal> {
        records::every(self.store(), "handoffs", |lot, _| {
            let current = Current::of(self.store(), lot)?;
            match current.stage {
                Stage::Offered => self.expiries.add(current.offered.expires_at, lot),
                Stage::Withdrawn { .. } | Stage::Voided { .. } | Stage::Accepted { .. } => {}
            }
            Ok(())
        })
    }

    /// Withdraws every offer that ran out of time, on record.
    fn release_expired(&self) {
        for due in self.expiries.due(self.now()) {
            match self.release(&due.1) {
                Ok(()) => self.expiries.remove(&due),
                Err(refusal) => warn!(lot = due.1, %refusal, "an expired offer keeps its units for now"),
            }
        }
    }

    pub(super) fn release(&self, lot: &str) -> Result<(), Refusal> {
        let current = Current::of(self.store(), lot)?;
        if current.has_expired(self.now()) {
            let unit = self.withdrawal(&self.own_act(), &current, lot, true)?;
            // A conflict means that it was accepted or cancelled this very moment: closed either way.
            if records::commit_one(self.store(), unit)?.is_ok() {
                info!(lot, "an offer expired; its units are back");
            }
        }
        Ok(())
    }
}
