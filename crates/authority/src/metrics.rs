//! What an authority tells at `/metrics`: whether it issues at all, its open lots, and what its line issues.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use api::Refusal;
use mfg::{Tally, TallyFields};
use records::{Standing, Suspended, keys};
use service::metrics::{
    ByReason, Collector, Counter, DescriptorEncoder, Histogram, Metrics, exponential_buckets, tell_state, tell_states,
};

use crate::{authority::Authority, device::IssuedDevice};

/// Most lots whose units are told: a lot is a label. Those with the first ids; `lots_open` tells how many there are.
const MOST_LOTS: usize = 200;

/// Tells why nothing is issued, if so, and where the units of every open lot are, when somebody asks. Does not keep the authority alive.
pub fn tell_lots(authority: &Arc<Authority>, metrics: &Metrics) {
    metrics.collect(OpenLots(Arc::downgrade(authority)));
}

struct OpenLots(Weak<Authority>);

impl Collector for OpenLots {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(authority) = self.0.upgrade() else { return Ok(()) };
        let help = "1 while nothing is issued for this reason";
        tell_states(&mut encoder, "issuing_paused", help, pauses(authority.standing()))?;
        let lots = open_lots(&authority);
        let told = || lots.iter().take(MOST_LOTS);
        tell_state(&mut encoder, "lots_open", "Lots that units may be taken from", number(lots.len() as u64))?;
        let units = told().flat_map(|(lot, tally)| {
            states(*tally).map(|(state, units)| ([("lot", lot.as_str()), ("state", state)], number(units)))
        });
        tell_states(&mut encoder, "lot_units", "Units of an open lot, by what became of them", units)?;
        let remaining = told().filter_map(|(lot, tally)| match tally.remaining() {
            mfg::Remaining::Units(units) => Some(([("lot", lot.as_str())], number(units))),
            mfg::Remaining::Unlimited => None,
        });
        tell_states(&mut encoder, "lot_remaining", "Units of an open lot that may still be spent", remaining)
    }
}

impl fmt::Debug for OpenLots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenLots").finish_non_exhaustive()
    }
}

/// Every reason for which nothing is issued, and whether it holds.
fn pauses(standing: Standing) -> [([(&'static str, &'static str); 1], i64); 3] {
    let Standing { suspended, clock_behind, .. } = standing;
    [
        ("STORE_SUSPENDED", suspended == Some(Suspended::Restored)),
        ("JOURNAL_ROLLED_BACK", suspended == Some(Suspended::RolledBack)),
        ("CLOCK_BEHIND", clock_behind.is_some()),
    ]
    .map(|(reason, holds)| ([("reason", reason)], i64::from(holds)))
}

/// Every lot that can sign and is not closed, with its tally. A store that has stopped has none.
fn open_lots(authority: &Authority) -> Vec<(String, Tally)> {
    let is_open = |tally: &Tally| TallyFields::from(*tally).closed == 0;
    let tally = |id: &str| authority.store().tally(&keys::lot(id)).ok().flatten();
    let lots = authority.lots.signing().into_iter();
    lots.filter_map(|id| tally(&id).filter(is_open).map(|tally| (id, tally))).collect()
}

/// Provisioned units are written or in doubt; the others stand for themselves.
fn states(tally: Tally) -> [(&'static str, u64); 5] {
    let TallyFields { provisioned, written, handed_over, reserved, scrapped, .. } = tally.into();
    [
        ("in_doubt", provisioned.saturating_sub(written)),
        ("written", written),
        ("handed_over", handed_over),
        ("reserved", reserved),
        ("scrapped", scrapped),
    ]
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What a line did since the start.
#[derive(Debug)]
pub(crate) struct LineCounts {
    issued: Counter,
    repeated: Counter,
    refused: ByReason,
    batch: Histogram,
    /// Handed in and not answered.
    inside: AtomicUsize,
}

impl LineCounts {
    /// Counts none yet.
    pub(crate) fn new() -> Self {
        Self {
            issued: Counter::default(),
            repeated: Counter::default(),
            refused: ByReason::default(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
            inside: AtomicUsize::new(0),
        }
    }

    pub(crate) fn tell(&self, metrics: &Metrics) {
        metrics.register("line_issued", "Device certificates issued", self.issued.clone());
        metrics.register("line_repeated", "Requests answered with what was issued before", self.repeated.clone());
        metrics.register("line_batch_requests", "Requests that a worker took at once", self.batch.clone());
        self.refused.tell(metrics, "line_refused", "Requests for a device certificate refused, by published reason");
    }

    /// A request is handed in.
    pub(crate) fn entered(&self) {
        self.inside.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests are handed in and not answered.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// A certificate is durable for the first time.
    pub(crate) fn issued(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
        self.issued.inc();
    }

    /// A request is answered otherwise.
    pub(crate) fn answered(&self, outcome: &Result<IssuedDevice, Refusal>) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
        match outcome {
            Ok(_) => drop(self.repeated.inc()),
            Err(refusal) => self.refused.count(refusal),
        }
    }

    /// A worker took so many requests.
    pub(crate) fn took(&self, requests: usize) {
        if requests > 0 {
            self.batch.observe(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
        }
    }
}
