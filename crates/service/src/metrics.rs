//! What a process counts, and tells at `/metrics`.
//!
//! Whoever counts makes its metric, registers it with the process's [`Metrics`], and counts on its own handle: nothing is global, and a
//! test reads its own. What is known elsewhere already (a tally, a queue's length) is not counted twice: a [`Collector`] reads it when
//! somebody asks.
//!
//! Invariant: labels come from closed sets (reasons, RPCs, configured peers) or have a bound that stands beside them.
//! docs/metrics.md lists every name; a test compares it with what the services tell.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use api::Refusal;
use prometheus_client::encoding::{EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry};

pub use prometheus_client::collector::Collector;
pub use prometheus_client::encoding::DescriptorEncoder;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// What every name begins with.
const PREFIX: &str = "countersign";

/// A label with its value.
pub type Label = (&'static str, &'static str);

/// The metrics of one process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix(PREFIX))))
    }

    /// Adds a metric. `name` is without the prefix, and of a counter without `_total`; `help` is a sentence without its full stop.
    pub fn register(&self, name: &'static str, help: &'static str, metric: impl Metric) {
        self.registry(|registry| registry.register(name, help, metric));
    }

    /// Adds what is read when somebody asks.
    pub fn collect(&self, collector: impl Collector) {
        self.registry(|registry| registry.register_collector(Box::new(collector)));
    }

    /// Everything, in the text format of OpenMetrics 1.0.
    ///
    /// # Errors
    /// When a collector gives up.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        self.registry(|registry| text::encode(&mut text, registry))?;
        Ok(text)
    }

    fn registry<T>(&self, work: impl FnOnce(&mut Registry) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells a number that only grows; `name` is without `_total`. For collectors.
///
/// # Errors
/// As the encoder's.
pub fn tell_count(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: u64) -> fmt::Result {
    let metric = ConstCounter::new(count);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// Tells a number that goes up and down. For collectors.
///
/// # Errors
/// As the encoder's.
pub fn tell_state(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, state: i64) -> fmt::Result {
    let metric = ConstGauge::new(state);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// Tells several numbers of one name, each with its labels. For collectors.
///
/// # Errors
/// As the encoder's.
pub fn tell_states<'a, const LABELS: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    states: impl IntoIterator<Item = ([(&'a str, &'a str); LABELS], i64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, state) in states {
        ConstGauge::new(state).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Tells how many wait at a queue, read when somebody asks; nothing once the queue has ended.
pub struct QueueDepth {
    /// Its name at `/metrics`, without the prefix.
    pub name: &'static str,
    /// What it is, a sentence without its full stop.
    pub help: &'static str,
    /// Reads it, and keeps nothing alive.
    pub waiting: Box<dyn Fn() -> Option<usize> + Send + Sync>,
}

impl Collector for QueueDepth {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(waiting) = (self.waiting)() else { return Ok(()) };
        tell_state(&mut encoder, self.name, self.help, i64::try_from(waiting).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for QueueDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueDepth").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Refusals by published reason, which is a closed set; a reason stands there from its first time on.
#[derive(Debug, Clone, Default)]
pub struct ByReason(Family<[Label; 1], Counter>);

impl ByReason {
    /// Counts none yet; registered as `name`.
    #[must_use]
    pub fn register(metrics: &Metrics, name: &'static str, help: &'static str) -> Self {
        let counts = Self::default();
        counts.tell(metrics, name, help);
        counts
    }

    /// Registers these counts as `name`. `INTERNAL` stands there from the start, so that its first time is a change.
    pub fn tell(&self, metrics: &Metrics, name: &'static str, help: &'static str) {
        self.mention("INTERNAL");
        metrics.register(name, help, self.0.clone());
    }

    /// Counts one.
    pub fn count(&self, refusal: &Refusal) {
        self.count_named(refusal.reason());
    }

    /// Has a reason stand there before its first time.
    pub(crate) fn mention(&self, reason: &'static str) {
        drop(self.0.get_or_create(&[("reason", reason)]));
    }

    /// Counts one by its published name.
    pub(crate) fn count_named(&self, reason: &'static str) {
        self.0.get_or_create(&[("reason", reason)]).inc();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_counted_is_told_under_the_prefix_and_by_reason() {
        let metrics = Metrics::new();
        let refused = ByReason::register(&metrics, "things_refused", "Things refused");
        refused.count(&Refusal::new("QUANTITY_SPENT", "none left"));
        refused.count(&Refusal::new("QUANTITY_SPENT", "still none"));
        let text = metrics.encode().unwrap();
        assert!(text.contains("# TYPE countersign_things_refused counter\n"), "{text}");
        assert!(text.contains("countersign_things_refused_total{reason=\"QUANTITY_SPENT\"} 2\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
