//! What every process tells at `/metrics`.

use std::fmt;
use std::sync::Arc;

use crate::accept::ConnectionCounts;
use crate::authorization::Table;
use crate::guard::RequestCounts;
use crate::metrics::{Collector, DescriptorEncoder, Metrics, tell_state};
use crate::tls::Credentials;

const SECONDS_A_DAY: i64 = 86_400;

/// What the shell counts.
pub(super) struct Counts {
    pub(super) connections: ConnectionCounts,
    pub(super) requests: RequestCounts,
}

impl Counts {
    /// Registers what the shell counts and reads.
    pub(super) fn register(metrics: &Metrics, table: Table, credentials: &Arc<Credentials>) -> Self {
        metrics.collect(OwnCredentials(Arc::clone(credentials)));
        Self { connections: ConnectionCounts::register(metrics), requests: RequestCounts::register(metrics, table) }
    }
}

/// The process's certificate.
#[derive(Debug)]
struct OwnCredentials(Arc<Credentials>);

impl Collector for OwnCredentials {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (credentials, encoder) = (&self.0, &mut encoder);
        let (not_after, now) = (credentials.not_after().as_secs(), credentials.now().as_secs());
        let days_left = not_after.saturating_sub(now).div_euclid(SECONDS_A_DAY);
        tell_state(encoder, "certificate_not_after_seconds", "End of our own certificate since 1970", not_after)?;
        tell_state(encoder, "certificate_days_left", "Whole days that our own certificate is still valid", days_left)
    }
}
