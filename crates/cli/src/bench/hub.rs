//! `countersign bench --target hub`: connections, their judging, memory, telemetry, and a line that catches up.

use std::process::ExitCode;

use simulator::bench::hub::{Connections, HubBench, HubReport};

use super::{failure, mebibytes, millis, print, runtime, with_folder};
use crate::{
    args::{BenchArgs, BenchKey, BenchMode},
    failure::Failure,
};

pub(super) fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    if !args.local {
        return Err(Failure::usage("a hub is measured in a world of its own: --local"));
    }
    if args.mode != BenchMode::Stream || args.key != BenchKey::P256 || args.rate.is_some() || args.prefill > 0 {
        return Err(Failure::usage("--mode, --key, --rate and --prefill are about issuing, not about a hub"));
    }
    let bench = HubBench {
        devices: args.devices,
        in_flight: args.in_flight,
        clients: args.clients,
        duration: args.duration,
        warmup: args.warmup,
    };
    let measuring = with_folder(args, |folder, program| async move { bench.local(folder, program).await });
    let report = runtime()?.block_on(measuring).map_err(|e| failure(&e))?;
    print(args.output, &report, &words(&report))?;
    for (what, times) in report.first.refused.iter().chain(&report.storm.refused) {
        eprintln!("{times} x {what}");
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn words(report: &HubReport) -> String {
    let (judging, telemetry) = (&report.judging_us, &report.telemetry);
    let at_most =
        |micros: Option<f64>| micros.map_or("beyond 100 ms".to_owned(), |micros| format!("{micros:.0} us at most"));
    format!(
        "{} devices, each with a chain of {} intermediates.\n\
         \n\
         memory         {:.0} MiB resident in the hub with all of them connected, {:.0} MiB before\n\
         first time     {}\n\
         bare TLS       {:.0} handshakes a second with a rustls server that verifies the same chains and does nothing else, {:.0} us of\n\
         {:15}processor each on both sides\n\
         storm          {}\n\
         share          {:.2} of the bare handshakes; by processor time {:.2}\n\
         judging        p50 {}, p99 {} ({} chains, one after the other)\n\
         telemetry      {:.0} messages a second from {} devices, each acknowledged when it was durable\n\
         latency        p50 {}, p90 {}, p99 {}, p99.9 {}\n\
         processor      {:.0} us a message in the hub, {:.0} us in the devices\n\
         catching up    {:.0} devices a second, {} that were written while the hub was away; begun {:.2} s after it was back\n",
        report.devices,
        report.intermediates,
        mebibytes(report.rss_bytes),
        mebibytes(report.rss_before_bytes),
        connections(&report.first),
        report.bare.per_s,
        processor(&report.bare),
        "",
        connections(&report.storm),
        report.storm_share,
        processor(&report.bare) / processor(&report.storm),
        at_most(judging.p50_at_most),
        at_most(judging.p99_at_most),
        judging.count,
        telemetry.per_s,
        telemetry.clients,
        millis(telemetry.latency_us.p50),
        millis(telemetry.latency_us.p90),
        millis(telemetry.latency_us.p99),
        millis(telemetry.latency_us.p999),
        telemetry.cpu_us_per_message.server,
        telemetry.cpu_us_per_message.client,
        report.catching_up.per_s,
        report.catching_up.devices,
        report.catching_up.noticed_seconds,
    )
}

/// Microseconds of processor time for one connection, both sides together.
fn processor(of: &Connections) -> f64 {
    of.cpu_us_per_connection.server + of.cpu_us_per_connection.client
}

fn connections(of: &Connections) -> String {
    format!(
        "{:.0} connections a second ({} in {:.2} s, {} errors), {:.0} us of processor each in the hub, {:.0} us in the device",
        of.per_s, of.connected, of.seconds, of.errors, of.cpu_us_per_connection.server, of.cpu_us_per_connection.client
    )
}
