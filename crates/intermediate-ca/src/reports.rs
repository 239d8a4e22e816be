//! Telling the senders where the units of their lots are: at every interval, and when a lot closes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{Refusal, custody::v1::TallyReport};
use mfg::ManufacturerId;
use records::named;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tracing::{info, warn};

use crate::{
    lots::{LotOnRecord, Stage},
    receive::Receiver,
};

/// How long the senders are waited for before the reports.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reporter of one manufacturer.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    due: Notify,
    /// Closed lots whose final report has arrived; their reports never change.
    done: Mutex<BTreeSet<String>>,
}

impl Reports {
    /// Asks for a report of every lot now.
    pub(crate) fn ask(&self) {
        self.due.notify_one();
    }

    fn is_done(&self, lot: &str) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(lot)
    }

    fn note_done(&self, lot: String) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(lot);
    }
}

/// Signs where the units of a lot are now; of a closed lot, answers what was signed when it closed.
///
/// # Errors
/// `LOT_UNKNOWN`, `LOT_NOT_OPEN` (not received yet, or retired); what the identity key says.
pub(crate) fn report(receiver: &Receiver, lot: &str) -> Result<TallyReport, Refusal> {
    let authority = &receiver.authority;
    let on_record = LotOnRecord::of(authority.store(), lot)?;
    on_record.check_not_retired(authority)?;
    match on_record.stage {
        Stage::Closed(_, report) => Ok(*report),
        Stage::Received(received) | Stage::Closing(received, _) => {
            let certificate = received.chain.first().cloned().unwrap_or_default();
            authority.tally_report(lot, &certificate, &authority.tally(lot)?)
        }
        Stage::Accepting(_) => Err(authority::not_received(lot)),
    }
}

/// Reports every lot at every interval, and when asked, for as long as the receiver lives. A sender that is not reachable hears it the
/// next time.
pub(crate) fn start(receiver: &Arc<Receiver>, every: Duration) {
    let (weak, reports) = (Arc::downgrade(receiver), Arc::clone(&receiver.reports));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = reports.due.notified() => {}
            }
            let Some(receiver) = weak.upgrade() else { return };
            if let Err(refusal) = report_all(&receiver).await {
                warn!(%refusal, "the lots could not be reported");
            }
        }
    });
}

async fn report_all(receiver: &Arc<Receiver>) -> Result<(), Refusal> {
    receiver.compare_all(PATIENCE).await?;
    if receiver.authority.standing().suspended.is_some() {
        // What it would say is the past, and its senders know better.
        return Ok(());
    }
    for (lot, from, is_final) in due(receiver).await? {
        let (this, id) = (Arc::clone(receiver), lot.clone());
        let signed = receiver.authority.seams.workers.run(move || report(&this, &id)).await?;
        match receiver.upstreams.report(&from, signed).await {
            Ok(()) if is_final => {
                info!(lot, sender = %from, "a closed lot's tally arrived at its sender");
                receiver.reports.note_done(lot);
            }
            Ok(()) => {}
            Err(refusal) => warn!(lot, sender = %from, %refusal, "a tally did not arrive"),
        }
    }
    Ok(())
}

/// The lots to be reported, each with its sender, and whether it is closed.
async fn due(receiver: &Arc<Receiver>) -> Result<Vec<(String, ManufacturerId, bool)>, Refusal> {
    let this = Arc::clone(receiver);
    let work = move || {
        let store = this.authority.store();
        let mut lots = Vec::new();
        records::every(store, "lots", |id, record| {
            if this.reports.is_done(id) {
                return Ok(());
            }
            let on_record = LotOnRecord::from_record(store, record)?;
            if on_record.check_not_retired(&this.authority).is_err() {
                return Ok(());
            }
            let is_final = match on_record.stage {
                Stage::Accepting(_) => return Ok(()),
                Stage::Received(_) | Stage::Closing(..) => false,
                Stage::Closed(..) => true,
            };
            let from = on_record.facts().map(|facts| facts.from.clone()).unwrap_or_default();
            let from = ManufacturerId::parse(&from).map_err(named(mfg::IdRefusal::reason))?;
            if this.upstreams.reaches(&from) {
                lots.push((id.to_owned(), from, is_final));
            }
            Ok(())
        })?;
        Ok(lots)
    };
    receiver.authority.seams.workers.run(work).await
}
