//! Telemetry: how many messages a second are acknowledged, each of them durable.

use std::time::Instant;

use super::{HubBench, crowd::Crowd, report::Telemetry};
use crate::bench::{
    histogram::Histogram,
    report::{CpuMicros, LatencyMicros},
    usage::Processor,
};

/// The first `clients` devices send as fast as they are acknowledged.
pub(super) async fn measure(bench: &HubBench, crowd: &Crowd, hub: u32) -> anyhow::Result<Telemetry> {
    let sessions = crowd.first(usize::try_from(bench.clients)?).await?;
    let window = usize::try_from(bench.in_flight / bench.clients.max(1))?.max(1);
    let begin = Instant::now() + bench.warmup;
    let end = begin + bench.duration;
    let sending: Vec<_> = sessions
        .into_iter()
        .map(|mut session| tokio::spawn(async move { session.send(window, begin, end).await }))
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    let before = Processor::so_far(&[hub])?;
    tokio::time::sleep_until(end.into()).await;
    let spent = Processor::so_far(&[hub])?.since(before);
    let mut latencies = Histogram::new();
    for session in sending {
        latencies.merge(&session.await??);
    }
    let messages = latencies.count();
    let seconds = bench.duration.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    let counted = messages as f64;
    Ok(Telemetry {
        clients: bench.clients,
        messages,
        seconds,
        per_s: counted / seconds,
        latency_us: LatencyMicros::of(&latencies),
        cpu_us_per_message: CpuMicros::each(spent, counted),
    })
}
