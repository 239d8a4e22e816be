//! `countersign bench`: how fast certificates are issued here, as a share of what the cryptography allows; and what a hub can bear.

mod hub;

use std::{future::Future, process::ExitCode, time::Duration};

use api::Refusal;
use serde::Serialize;
use simulator::{
    Folder, Program,
    bench::{Bench, BenchError, DeviceKey, Mode, Report, Target},
};
use tokio::runtime::Runtime;

use crate::{
    args::{BenchArgs, BenchKey, BenchMode, BenchTarget, Output},
    failure::Failure,
};

pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    if let Some(out) = &args.out
        && out.read_dir().is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(Failure::usage(format!("{} is not empty: a measurement starts with empty stores", out.display())));
    }
    let target = match args.target {
        BenchTarget::Signer => Target::Signer,
        BenchTarget::Line => Target::Line,
        BenchTarget::Hub => return hub::run(args),
    };
    if !args.local && !args.demo.join("demo.json").exists() {
        let what = format!("no demo stays in {}; --local starts services of its own", args.demo.display());
        return Err(Failure::unavailable("FILE_MISSING", what));
    }
    let bench = bench(args, target);
    let report = runtime()?.block_on(measure(args, &bench)).map_err(|e| failure(&e))?;
    print(args.output, &report, &words(&bench, &report))?;
    for (reason, (times, first)) in &report.refused {
        eprintln!("{times} x {reason}: {first}");
    }
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Failure::unavailable("SETUP_FAILED", format!("no runtime: {e}")))
}

fn print(output: Output, report: &impl Serialize, words: &str) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let json = serde_json::to_string(report).map_err(|e| Failure::unavailable("INTERNAL", e.to_string()))?;
            println!("{json}");
        }
        Output::Text => print!("{words}"),
    }
    Ok(())
}

fn bench(args: &BenchArgs, target: Target) -> Bench {
    Bench {
        target,
        mode: match args.mode {
            BenchMode::Stream => Mode::Stream,
            BenchMode::Unary => Mode::Unary,
        },
        key: match args.key {
            BenchKey::P256 => DeviceKey::P256,
            BenchKey::P384 => DeviceKey::P384,
            BenchKey::Ed25519 => DeviceKey::Ed25519,
            BenchKey::Server => DeviceKey::Server,
        },
        clients: args.clients,
        in_flight: args.in_flight,
        duration: args.duration,
        warmup: args.warmup,
        rate: args.rate,
        prefill: args.prefill,
    }
}

async fn measure(args: &BenchArgs, bench: &Bench) -> anyhow::Result<Report> {
    if !args.local {
        return bench.running(&Folder::create(&args.demo)?).await;
    }
    with_folder(args, |folder, program| bench.local(folder, program)).await
}

/// Measures in the folder that was asked for, or in one that is removed again.
async fn with_folder<R: Serialize, F: Future<Output = anyhow::Result<R>>>(
    args: &BenchArgs,
    measure: impl FnOnce(Folder, Program) -> F,
) -> anyhow::Result<R> {
    let program = Program::countersign(std::env::current_exe()?);
    match &args.out {
        Some(out) => {
            let folder = Folder::create(out)?;
            let report = measure(folder.clone(), program).await?;
            folder.write("report.json", &serde_json::to_vec_pretty(&report)?)?;
            Ok(report)
        }
        None => {
            // Beside the work, not in /tmp, which is memory on many machines: the journals are to be on a disk.
            let path = std::env::current_dir()?.join(format!(".countersign-bench-{}", std::process::id()));
            let outcome = measure(Folder::create(&path)?, program).await;
            std::fs::remove_dir_all(&path)?;
            outcome
        }
    }
}

fn failure(error: &anyhow::Error) -> Failure {
    if error.is::<BenchError>() {
        return Failure::usage(format!("{error:#}"));
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<Refusal>()) {
        Some(refusal) => Failure::named(refusal.reason(), format!("{error:#}")),
        None => Failure::unavailable("SETUP_FAILED", format!("{error:#}")),
    }
}

fn words(bench: &Bench, report: &Report) -> String {
    let way = match (report.target, report.mode) {
        (Target::Signer, Mode::Stream) => "the intermediate-ca by stream",
        (Target::Signer, Mode::Unary) => "the intermediate-ca by unary calls",
        (Target::Line, Mode::Stream) => "the line (provisioner and intermediate-ca) by stream",
        (Target::Line, Mode::Unary) => "the line (provisioner and intermediate-ca) by unary calls",
    };
    let asked = match bench.rate {
        Some(rate) => format!("{rate} requests a second"),
        None => "as fast as answers came".to_owned(),
    };
    let latency = report.latency_us;
    let retries = report.retry_us.map_or_else(String::new, |again| {
        format!(
            "made again      p50 {}, p99 {} for requests that were answered long ago\n",
            millis(again.p50),
            millis(again.p99)
        )
    });
    format!(
        "Asked {way}: {} connections, {} in flight, {asked}, {} s.\n\
         \n\
         certificates   {:.0} a second ({} issued, {} errors)\n\
         ceiling        {:.0} a second: one request verified and one certificate signed, on every core, nothing else\n\
         share          {:.2}\n\
         latency        p50 {}, p90 {}, p99 {}, p99.9 {}\n\
         processor      {:.0} us a certificate in the services, {:.0} us in the client\n\
         durability     {:.3} syncs and {:.0} octets of journal a certificate\n\
         memory         {:.0} MiB resident in the services, growing by {:.2} MiB a minute; {} descriptors, {} before\n{retries}",
        bench.clients,
        bench.in_flight,
        report.seconds,
        report.certs_per_s,
        report.issued,
        report.errors,
        report.ceiling_per_s,
        report.share,
        millis(latency.p50),
        millis(latency.p90),
        millis(latency.p99),
        millis(latency.p999),
        report.cpu_us_per_cert.server,
        report.cpu_us_per_cert.client,
        report.syncs_per_cert,
        report.bytes_per_cert,
        mebibytes(report.rss_bytes),
        report.rss_growth_per_min / f64::from(1 << 20),
        report.descriptors.1,
        report.descriptors.0,
    )
}

fn millis(micros: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(micros).as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "memory stays far below 2^52 octets")]
fn mebibytes(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}
