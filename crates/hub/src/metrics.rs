//! What a hub tells at `/metrics` beside its store.

use std::{fmt, sync::Arc};

use api::Refusal;
use service::metrics::{ByReason, Collector, Counter, DescriptorEncoder, Metrics, tell_state};

use crate::registry::Presence;

/// What devices did since the start.
#[derive(Debug, Default)]
pub(crate) struct DeviceCounts {
    admitted: Counter,
    messages: Counter,
    refused: ByReason,
}

impl DeviceCounts {
    /// Registers the counts, and the sessions that `presence` knows.
    pub(crate) fn tell(&self, metrics: &Metrics, presence: &Arc<Presence>) {
        metrics.register("hub_admitted", "Devices let in", self.admitted.clone());
        metrics.register("hub_messages", "Telemetry messages kept", self.messages.clone());
        self.refused.tell(metrics, "hub_refused", "Devices refused, by published reason");
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
