//! What a measurement of a hub says.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::crowd::Came;
use crate::bench::{
    histogram::Histogram,
    report::{CpuMicros, LatencyMicros},
    usage::Processor,
};

/// One measurement. As JSON, the fields and their names are a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HubReport {
    /// Always `hub`.
    pub target: &'static str,
    /// Devices that were connected at one time.
    pub devices: u32,
    /// Intermediates of each device's chain.
    pub intermediates: u32,
    /// Resident memory of the hub before the first device came.
    pub rss_before_bytes: u64,
    /// The same with every device connected.
    pub rss_bytes: u64,
    /// Every device's first connection: it is registered, counted under its lot and bound to its certificate.
    pub first: Connections,
    /// Handshakes with a bare rustls server that verifies the same chains, in turns with the storms. All processor time is the client's:
    /// it is the server too.
    pub bare: Connections,
    /// All devices come back at once, several times.
    pub storm: Connections,
    /// The storms' rate as a share of the bare one.
    pub storm_share: f64,
    /// How long judging took for devices that came one after the other.
    pub judging_us: JudgingMicros,
    /// What devices sent.
    pub telemetry: Telemetry,
    /// What the line wrote while the hub was away.
    pub catching_up: CatchingUp,
}

/// Many devices that connected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connections {
    /// How many were let in.
    pub connected: u64,
    /// How many were not.
    pub errors: u64,
    /// From the first TCP connection to the last CONNACK.
    pub seconds: f64,
    /// Connections a second.
    pub per_s: f64,
    /// From TCP connection to CONNACK.
    pub latency_us: LatencyMicros,
    /// Processor time of hub and clients for one connection.
    pub cpu_us_per_connection: CpuMicros,
    /// What those were told that were not let in, and how often.
    #[serde(skip)]
    pub refused: BTreeMap<String, u64>,
}

/// Times of judging, as upper ends of the hub's own buckets; none: longer than the last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct JudgingMicros {
    /// Chains that were judged.
    pub count: u64,
    /// Half of all took at most this long.
    pub p50_at_most: Option<f64>,
    /// 99 % took at most this long.
    pub p99_at_most: Option<f64>,
}

/// Telemetry over MQTT with QoS 1: acknowledged is what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Telemetry {
    /// Devices that sent.
    pub clients: u32,
    /// Messages that were acknowledged within the measured time.
    pub messages: u64,
    /// How long was measured.
    pub seconds: f64,
    /// Messages a second.
    pub per_s: f64,
    /// From PUBLISH to PUBACK.
    pub latency_us: LatencyMicros,
    /// Processor time of hub and clients for one message.
    pub cpu_us_per_message: CpuMicros,
}

/// A line that tells the hub, after an outage, what it wrote meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CatchingUp {
    /// Devices that were written while the hub was away.
    pub devices: u32,
    /// From the moment that the hub was ready again until the first of them was registered.
    pub noticed_seconds: f64,
    /// From then until the last was.
    pub seconds: f64,
    /// Devices a second from the first to the last.
    pub per_s: f64,
}

impl HubReport {
    /// Devices that were not let in.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.first.errors + self.storm.errors
    }
}

/// Crowds that connected one after the other, added up.
pub(super) struct Crowds {
    connected: u64,
    refused: BTreeMap<String, u64>,
    took: Duration,
    latencies: Histogram,
    spent: Processor,
}

impl Crowds {
    pub(super) fn none() -> Self {
        let (latencies, spent) = (Histogram::new(), Processor::default());
        Self { connected: 0, refused: BTreeMap::new(), took: Duration::ZERO, latencies, spent }
    }

    pub(super) fn add<T>(&mut self, came: &Came<T>) {
        self.connected += u64::try_from(came.results.len()).unwrap_or(u64::MAX);
        for (words, times) in &came.refused {
            *self.refused.entry(words.clone()).or_default() += times;
        }
        self.took += came.took;
        self.latencies.merge(&came.latencies);
        self.spent = self.spent.and(came.spent);
    }

    pub(super) fn told(self) -> Connections {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let connected = self.connected as f64;
        let seconds = self.took.as_secs_f64();
        Connections {
            connected: self.connected,
            errors: self.refused.values().sum(),
            seconds,
            per_s: connected / seconds,
            latency_us: LatencyMicros::of(&self.latencies),
            cpu_us_per_connection: CpuMicros::each(self.spent, connected),
            refused: self.refused,
        }
    }
}
