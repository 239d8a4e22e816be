//! The shell's own lines of `/metrics`.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::accept::ConnectionCounts;
use crate::guard::RequestCounts;
use crate::health::MetricsHook;
use crate::tls::Credentials;

/// What the shell counts.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) requests: Arc<RequestCounts>,
}

impl Counts {
    /// Writes the shell's lines, then the service's.
    pub(super) fn hook(self, credentials: Arc<Credentials>, service: Option<MetricsHook>) -> MetricsHook {
        Arc::new(move || {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = self.write(&mut text, &credentials);
            if let Some(service) = &service {
                text.push_str(&service());
            }
            text
        })
    }

    fn write(&self, text: &mut String, credentials: &Credentials) -> std::fmt::Result {
        let counters = [
            ("connections_accepted_total", self.connections.accepted.load(Ordering::Relaxed)),
            ("requests_total", self.requests.answered.load(Ordering::Relaxed)),
            ("requests_refused_total", self.requests.refused_by_guard.load(Ordering::Relaxed)),
            ("tls_reloads_total", credentials.reloads()),
            ("tls_reload_failures_total", credentials.reload_failures()),
        ];
        for (name, value) in counters {
            writeln!(text, "# TYPE countersign_{name} counter\ncountersign_{name} {value}")?;
        }
        writeln!(text, "# TYPE countersign_connections_refused_total counter")?;
        for (reason, value) in self.connections.refusals() {
            writeln!(text, "countersign_connections_refused_total{{reason=\"{reason}\"}} {value}")?;
        }
        let not_after = credentials.not_after().as_secs();
        writeln!(text, "# TYPE countersign_certificate_not_after_seconds gauge")?;
        writeln!(text, "countersign_certificate_not_after_seconds {not_after}")
    }
}
