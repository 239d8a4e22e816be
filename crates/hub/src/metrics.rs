//! What a hub tells at `/metrics` beside its store.

use std::{fmt, sync::Arc, time::Instant};

use api::Refusal;
use service::metrics::{ByReason, Collector, Counter, DescriptorEncoder, Histogram, Metrics, tell_state};

use crate::registry::Presence;

/// Upper ends of the buckets of `hub_judging_seconds`: fine below the millisecond that is promised.
const JUDGING: [f64; 14] =
    [0.000_1, 0.000_2, 0.000_3, 0.000_4, 0.000_5, 0.000_6, 0.000_7, 0.000_8, 0.001, 0.0015, 0.002, 0.005, 0.01, 0.1];

/// What devices did since the start.
#[derive(Debug)]
pub(crate) struct DeviceCounts {
    admitted: Counter,
    messages: Counter,
    refused: ByReason,
    turned_away: ByReason,
    judging: Judging,
}

impl Default for DeviceCounts {
    fn default() -> Self {
        Self {
            admitted: Counter::default(),
            messages: Counter::default(),
            refused: ByReason::default(),
            turned_away: ByReason::default(),
            judging: Judging(Histogram::new(JUDGING)),
        }
    }
}

impl DeviceCounts {
    /// Registers the counts, and the sessions that `presence` knows.
    pub(crate) fn tell(&self, metrics: &Metrics, presence: &Arc<Presence>) {
        metrics.register("hub_admitted", "Devices let in", self.admitted.clone());
        metrics.register("hub_messages", "Telemetry messages kept", self.messages.clone());
        self.refused.tell(metrics, "hub_refused", "Devices refused, by published reason");
        let help = "Connections of devices that ended before TLS was up, by published reason";
        self.turned_away.tell(metrics, "hub_connections_refused", help);
        let help = "Reading and judging a presented chain, what is on record included";
        metrics.register("hub_judging_seconds", help, self.judging.0.clone());
        metrics.collect(Sessions(Arc::clone(presence)));
    }

    pub(crate) fn admitted(&self) {
        self.admitted.inc();
    }

    pub(crate) fn message(&self) {
        self.messages.inc();
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refused.count(refusal);
    }

    pub(crate) fn turned_away(&self, refusal: &Refusal) {
        self.turned_away.count(refusal);
    }

    /// For the thread that judges.
    pub(crate) fn judging(&self) -> Judging {
        self.judging.clone()
    }
}

/// How long judging takes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Judging(Histogram);

impl Judging {
    /// Does the work, and counts how long it took.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let judged = work();
        self.0.observe(begun.elapsed().as_secs_f64());
        judged
    }
}

struct Sessions(Arc<Presence>);

impl Collector for Sessions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sessions = i64::try_from(self.0.count()).unwrap_or(i64::MAX);
        tell_state(&mut encoder, "hub_sessions", "Devices that are connected", sessions)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_of_the_hubs_own_is_documented_and_every_documented_one_is_told() {
        let metrics = Metrics::new();
        DeviceCounts::default().tell(&metrics, &Arc::default());
        let text = metrics.encode().unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let told: BTreeSet<_> = types
            .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
            .collect();
        let page = include_str!("../../../docs/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let own = rows.filter(|(_, rest)| rest.split(" | ").nth(1) == Some("hub"));
        assert_eq!(told, own.map(|(name, _)| name.to_owned()).collect());
    }
}
