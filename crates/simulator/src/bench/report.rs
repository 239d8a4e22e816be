//! What a measurement says.

use std::{collections::BTreeMap, time::Duration};

use api::Refusal;
use serde::Serialize;

use super::{
    Bench, Mode, Target,
    drive::Outcome,
    histogram::Histogram,
    usage::{Processor, Usage},
};

/// One measurement. As JSON, the fields and their names are a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How requests travelled.
    pub mode: Mode,
    /// Whose face was driven.
    pub target: Target,
    /// Certificates that were answered within the measured time.
    pub issued: u64,
    /// Requests that were not answered with a certificate, in the whole run.
    pub errors: u64,
    /// How long was measured.
    pub seconds: f64,
    /// Certificates a second.
    pub certs_per_s: f64,
    /// Verifications with signatures a second, on the same cores by the same library, before and after.
    pub ceiling_per_s: f64,
    /// The former as a share of the latter.
    pub share: f64,
    /// From request to answer.
    pub latency_us: LatencyMicros,
    /// Processor time.
    pub cpu_us_per_cert: CpuMicros,
    /// Syncs of the journals on the way.
    pub syncs_per_cert: f64,
    /// Octets that the journals on the way grew by.
    pub bytes_per_cert: f64,
    /// Resident memory of the services on the way, at the end.
    pub rss_bytes: u64,
    /// What it grew by, in octets a minute, over the measured time.
    pub rss_growth_per_min: f64,
    /// Descriptors that the services on the way had open, at the beginning and at the end.
    pub descriptors: (usize, usize),
    /// From a request that was answered long ago, made again by one station alone, to the same answer; with a prefill only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_us: Option<LatencyMicros>,
    /// The refusals behind `errors`: how often each, and the first one's words.
    #[serde(skip)]
    pub refused: BTreeMap<&'static str, (u64, String)>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LatencyMicros {
    /// Half of all are faster.
    pub p50: u64,
    /// 90 % are faster.
    pub p90: u64,
    /// 99 % are faster.
    pub p99: u64,
    /// 99.9 % are faster.
    pub p999: u64,
}

/// Processor time for one certificate, connection or message, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuMicros {
    /// Of the services on the way.
    pub server: f64,
    /// Of whoever asks.
    pub client: f64,
}

impl LatencyMicros {
    pub(super) fn of(latencies: &Histogram) -> Self {
        Self {
            p50: latencies.quantile(0.5),
            p90: latencies.quantile(0.9),
            p99: latencies.quantile(0.99),
            p999: latencies.quantile(0.999),
        }
    }
}

impl CpuMicros {
    /// What was spent, for each of so many.
    pub(super) fn each(spent: Processor, of: f64) -> Self {
        let each = |all: Duration| if of > 0.0 { all.as_secs_f64() * 1e6 / of } else { 0.0 };
        Self { server: each(spent.server), client: each(spent.client) }
    }
}

/// Refusals by reason.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals(BTreeMap<&'static str, (u64, String)>);

impl Refusals {
    pub(super) fn add(&mut self, refusal: &Refusal, times: u64) {
        let first = || (0, refusal.message().to_owned());
        self.0.entry(refusal.reason()).or_insert_with(first).0 += times;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (reason, (times, words)) in &other.0 {
            self.0.entry(reason).or_insert_with(|| (0, words.clone())).0 += times;
        }
    }
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(super) fn new(bench: &Bench, outcome: &Outcome, refusals: &Refusals, usage: &Usage, ceiling: f64) -> Self {
        let seconds = bench.duration.as_secs_f64();
        let certs_per_s = outcome.issued as f64 / seconds;
        // The counters were read a moment later than asked for; certificates count by the rate.
        let within = certs_per_s * usage.took.as_secs_f64();
        let each = |all: f64| if within > 0.0 { all / within } else { 0.0 };
        Self {
            mode: bench.mode,
            target: bench.target,
            issued: outcome.issued,
            errors: refusals.0.values().map(|(times, _)| times).sum(),
            seconds,
            certs_per_s,
            ceiling_per_s: ceiling,
            share: certs_per_s / ceiling,
            latency_us: LatencyMicros::of(&outcome.latencies),
            cpu_us_per_cert: CpuMicros::each(usage.processor, within),
            syncs_per_cert: each(usage.syncs as f64),
            bytes_per_cert: each(usage.journal_octets as f64),
            rss_bytes: usage.resident,
            rss_growth_per_min: usage.growth,
            descriptors: usage.descriptors,
            retry_us: None,
            refused: refusals.0.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bench::DeviceKey;

    #[test]
    fn the_json_has_exactly_the_promised_fields() {
        let bench = Bench {
            target: Target::Line,
            mode: Mode::Stream,
            key: DeviceKey::P256,
            clients: 1,
            in_flight: 1,
            duration: Duration::from_secs(2),
            warmup: Duration::ZERO,
            rate: None,
            prefill: 0,
        };
        let outcome = Outcome::of(300, Histogram::new());
        let processor = Processor { server: Duration::from_millis(30), ..Processor::default() };
        let usage = Usage { took: Duration::from_secs(2), syncs: 30, processor, ..Usage::default() };
        let mut refusals = Refusals::default();
        refusals.add(&Refusal::new("QUEUE_FULL", "no room"), 2);
        let json = serde_json::to_string(&Report::new(&bench, &outcome, &refusals, &usage, 600.0)).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"mode":"stream","target":"line","issued":300,"errors":2,"seconds":2.0,"certs_per_s":150.0,"#,
                r#""ceiling_per_s":600.0,"share":0.25,"latency_us":{"p50":0,"p90":0,"p99":0,"p999":0},"#,
                r#""cpu_us_per_cert":{"server":100.0,"client":0.0},"syncs_per_cert":0.1,"bytes_per_cert":0.0,"rss_bytes":0,"#,
                r#""rss_growth_per_min":0.0,"descriptors":[0,0]}"#
            )
        );
    }
}
