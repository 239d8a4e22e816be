//! What a provisioner tells at `/metrics` beside its store: units, and deliveries that wait or were set aside.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use api::Refusal;
use service::metrics::{ByReason, Collector, Counter, DescriptorEncoder, Metrics, tell_states};
use store::{Position, Store};

/// Units that were asked for since the start.
#[derive(Debug, Clone)]
pub(crate) struct UnitCounts {
    answered: Counter,
    refused: ByReason,
}

impl UnitCounts {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let answered = Counter::default();
        metrics.register("units_answered", "Requests answered with a provisioned unit", answered.clone());
        let refused = ByReason::register(metrics, "units_refused", "Requests for a unit refused, by published reason");
        Self { answered, refused }
    }

    /// Counts one request, on a stream or by itself.
    pub(crate) fn count<T>(&self, outcome: &Result<T, Refusal>) {
        match outcome {
            Ok(_) => drop(self.answered.inc()),
            Err(refusal) => self.refused.count(refusal),
        }
    }
}

/// How far one destination's outbox is.
#[derive(Debug)]
pub(crate) struct OutboxPlace {
    destination: &'static str,
    next: AtomicU64,
    set_aside: AtomicU64,
}

impl OutboxPlace {
    /// At a journal position, with what was set aside before.
    pub(crate) fn new(destination: &'static str, next: Position, set_aside: u64) -> Arc<Self> {
        Arc::new(Self { destination, next: AtomicU64::new(next.as_u64()), set_aside: AtomicU64::new(set_aside) })
    }

    pub(crate) fn move_to(&self, next: Position) {
        self.next.store(next.as_u64(), Ordering::Relaxed);
    }

    pub(crate) fn set_aside(&self, deliveries: u64) {
        self.set_aside.fetch_add(deliveries, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, deliveries: u64) {
        self.set_aside.fetch_sub(deliveries, Ordering::Relaxed);
    }

    pub(crate) fn is_anything_aside(&self) -> bool {
        self.set_aside.load(Ordering::Relaxed) > 0
    }
}

/// Tells of all outboxes over one journal.
pub(crate) fn tell_outboxes(metrics: &Metrics, store: &Arc<dyn Store>, places: Vec<Arc<OutboxPlace>>) {
    metrics.collect(Outboxes { store: Arc::downgrade(store), places });
}

struct Outboxes {
    store: Weak<dyn Store>,
    places: Vec<Arc<OutboxPlace>>,
}

impl Collector for Outboxes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(store) = self.store.upgrade() else { return Ok(()) };
        let head = store.head().position.as_u64();
        let of = |read: &dyn Fn(&OutboxPlace) -> u64| {
            let row = |place: &Arc<OutboxPlace>| {
                ([("destination", place.destination)], i64::try_from(read(place)).unwrap_or(i64::MAX))
            };
            self.places.iter().map(row).collect::<Vec<_>>()
        };
        let lag = of(&|place| head.saturating_sub(place.next.load(Ordering::Relaxed)));
        tell_states(&mut encoder, "outbox_lag_octets", "Octets of the journal not looked at for a destination", lag)?;
        let aside = of(&|place| place.set_aside.load(Ordering::Relaxed));
        tell_states(
            &mut encoder,
            "outbox_quarantined",
            "Deliveries that a destination refused and that are set aside",
            aside,
        )
    }
}

impl fmt::Debug for Outboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outboxes").field("places", &self.places).finish_non_exhaustive()
    }
}
