//! `[limits]`: the stated bound of everything that callers could make grow.

use std::time::Duration;

use serde::Deserialize;

use super::FieldProblem;

/// `[limits]`: every field may be left out; its default is stated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of one message. 1048576.
    pub max_message_bytes: u32,
    /// Connections at one time; further ones are closed at once. 4096.
    pub max_connections: u32,
    /// Connections of one identity at one time, within `max_connections`; further ones are closed at once. 1024.
    pub max_connections_per_peer: u32,
    /// Handshakes under way at one time, within `max_connections`; whoever comes then takes the place of the slowest. 256.
    pub max_handshakes: u32,
    /// Streams at one time on one connection. 256.
    pub max_streams_per_connection: u32,
    /// Streams that a peer has opened and taken back before they were looked at; with more the connection is closed. 64.
    pub max_reset_streams: u32,
    /// Octets of one request's header list. 16384.
    pub max_header_list_bytes: u32,
    /// Requests being answered at one time; further ones get UNAVAILABLE. 8192.
    pub max_requests: u32,
    /// Until a call's answer begins, on both sides. A stream may then go on. 30000.
    pub request_timeout_ms: u32,
    /// Until a connection is open and both sides are known, and then until HTTP/2 begins on it. 5000.
    pub handshake_timeout_ms: u32,
    /// Between two HTTP/2 pings. 30000.
    pub keepalive_interval_ms: u32,
    /// Until a ping's answer, then the connection is closed. 10000.
    pub keepalive_timeout_ms: u32,
    /// After this age a connection is asked to go away, so that certificates are looked at again; streams under way go
    /// on. 3600000.
    pub max_connection_age_ms: u32,
    /// Between two looks at the files of certificates, key and bundles. 10000.
    pub credentials_poll_ms: u32,
    /// Between NOT_SERVING and GOAWAY when stopping, for load balancers to notice. 0.
    pub drain_delay_ms: u32,
    /// For requests in flight to finish when stopping; then connections are cut. 10000.
    pub drain_ms: u32,
    /// For the service to close its store when stopping. 30000.
    pub close_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1024 * 1024,
            max_connections: 4096,
            max_connections_per_peer: 1024,
            max_handshakes: 256,
            max_streams_per_connection: 256,
            max_reset_streams: 64,
            max_header_list_bytes: 16 * 1024,
            max_requests: 8192,
            request_timeout_ms: 30_000,
            handshake_timeout_ms: 5_000,
            keepalive_interval_ms: 30_000,
            keepalive_timeout_ms: 10_000,
            max_connection_age_ms: 3_600_000,
            credentials_poll_ms: 10_000,
            drain_delay_ms: 0,
            drain_ms: 10_000,
            close_ms: 30_000,
        }
    }
}

/// A day: no wait here is longer.
const DAY_MS: u32 = 24 * 3_600_000;

impl Limits {
    pub(super) fn check(&self) -> Result<(), FieldProblem> {
        let bounds = [
            ("max_message_bytes", self.max_message_bytes, 1024, 64 * 1024 * 1024),
            ("max_connections", self.max_connections, 1, 1_000_000),
            ("max_connections_per_peer", self.max_connections_per_peer, 1, 1_000_000),
            ("max_handshakes", self.max_handshakes, 1, 1_000_000),
            ("max_streams_per_connection", self.max_streams_per_connection, 1, 65_536),
            ("max_reset_streams", self.max_reset_streams, 1, 65_536),
            ("max_header_list_bytes", self.max_header_list_bytes, 4096, 1024 * 1024),
            ("max_requests", self.max_requests, 1, 1_000_000),
            ("request_timeout_ms", self.request_timeout_ms, 1, DAY_MS),
            ("handshake_timeout_ms", self.handshake_timeout_ms, 1, DAY_MS),
            ("keepalive_interval_ms", self.keepalive_interval_ms, 100, DAY_MS),
            ("keepalive_timeout_ms", self.keepalive_timeout_ms, 100, DAY_MS),
            ("max_connection_age_ms", self.max_connection_age_ms, 1_000, DAY_MS),
            ("credentials_poll_ms", self.credentials_poll_ms, 10, DAY_MS),
            ("drain_delay_ms", self.drain_delay_ms, 0, DAY_MS),
            ("drain_ms", self.drain_ms, 0, DAY_MS),
            ("close_ms", self.close_ms, 1, DAY_MS),
        ];
        for (field, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                let problem = format!("{value} is not within {least} to {most}");
                return Err(FieldProblem::new(format!("limits.{field}"), problem));
            }
        }
        Ok(())
    }

    /// For `max_decoding_message_size` of a generated server or client. The shell refuses larger requests
    /// before any server sees them; this keeps the library's own smaller default (4 MiB) out of the way.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        usize::try_from(self.max_message_bytes).unwrap_or(usize::MAX)
    }

    /// `request_timeout_ms`
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        millis(self.request_timeout_ms)
    }

    /// `handshake_timeout_ms`
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        millis(self.handshake_timeout_ms)
    }

    /// `keepalive_interval_ms`
    #[must_use]
    pub fn keepalive_interval(&self) -> Duration {
        millis(self.keepalive_interval_ms)
    }

    /// `keepalive_timeout_ms`
    #[must_use]
    pub fn keepalive_timeout(&self) -> Duration {
        millis(self.keepalive_timeout_ms)
    }

    /// `max_connection_age_ms`
    #[must_use]
    pub fn max_connection_age(&self) -> Duration {
        millis(self.max_connection_age_ms)
    }

    /// `credentials_poll_ms`
    #[must_use]
    pub fn credentials_poll(&self) -> Duration {
        millis(self.credentials_poll_ms)
    }

    /// `drain_delay_ms`
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        millis(self.drain_delay_ms)
    }

    /// `drain_ms`
    #[must_use]
    pub fn drain(&self) -> Duration {
        millis(self.drain_ms)
    }

    /// `close_ms`
    #[must_use]
    pub fn close(&self) -> Duration {
        millis(self.close_ms)
    }
}

fn millis(value: u32) -> Duration {
    Duration::from_millis(u64::from(value))
}

/// A limit as a count of permits or list entries.
pub(crate) fn count(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
