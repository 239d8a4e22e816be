//! What certificates cost: processor time from `/proc`, syncs and journal octets from the services' metrics.

use std::{fs, time::Duration, time::Instant};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The unit of processor times in `/proc`: USER_HZ, 100 a second on every Linux that we build for (proc(5)).
const TICK: Duration = Duration::from_millis(10);
/// Between two looks at the services' memory.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a service may take to write its metrics.
const METRICS_TAKE: Duration = Duration::from_secs(5);

/// A service on the way that is measured.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) pid: u32,
    /// `host:port` of its probes.
    pub(super) health: String,
}

/// What a stretch of time cost.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    /// How long it was.
    pub(super) took: Duration,
    /// Processor time of the services, and of this process.
    pub(super) processor: Processor,
    /// Syncs of the services' journals.
    pub(super) syncs: u64,
    /// Octets that the services' journals grew by.
    pub(super) journal_octets: u64,
    /// Memory of the services that is resident at the end, in octets.
    pub(super) resident: u64,
    /// How it went on growing, in octets a minute: the line that fits all looks at it best.
    pub(super) growth: f64,
    /// Descriptors that the services had open at the beginning and at the end.
    pub(super) descriptors: (usize, usize),
}

/// Processor time of services and of this process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Processor {
    pub(super) server: Duration,
    pub(super) client: Duration,
}

impl Processor {
    /// What was spent until now.
    pub(super) fn so_far(services: &[u32]) -> anyhow::Result<Self> {
        let server = services.iter().map(|pid| processor_time(&pid.to_string())).sum::<anyhow::Result<Duration>>()?;
        Ok(Self { server, client: processor_time("self")? })
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { server: self.server + other.server, client: self.client + other.client }
    }

    /// What was spent since.
    pub(super) fn since(self, before: Self) -> Self {
        Self { server: self.server.saturating_sub(before.server), client: self.client.saturating_sub(before.client) }
    }
}

/// Everything that grows, at one moment.
struct Moment {
    at: Instant,
    processor: Processor,
    syncs: u64,
    journal_octets: u64,
}

impl Usage {
    /// Waits for the beginning, then for the end.
    pub(super) async fn between(services: &[Watched], begin: Instant, end: Instant) -> anyhow::Result<Self> {
        tokio::time::sleep_until(begin.into()).await;
        let before = Moment::now(services).await?;
        let open_before = descriptors(services)?;
        let mut looks = Vec::new();
        while Instant::now() < end {
            looks.push((begin.elapsed().as_secs_f64() / 60.0, resident_of(services)?));
            tokio::time::sleep_until(end.min(Instant::now() + LOOK_EVERY).into()).await;
        }
        let after = Moment::now(services).await?;
        Ok(Self {
            took: after.at - before.at,
            processor: after.processor.since(before.processor),
            syncs: after.syncs.saturating_sub(before.syncs),
            journal_octets: after.journal_octets.saturating_sub(before.journal_octets),
            resident: resident_of(services)?,
            growth: slope(&looks),
            descriptors: (open_before, descriptors(services)?),
        })
    }
}

impl Moment {
    async fn now(services: &[Watched]) -> anyhow::Result<Self> {
        let pids: Vec<u32> = services.iter().map(|service| service.pid).collect();
        let (at, processor) = (Instant::now(), Processor::so_far(&pids)?);
        let mut moment = Self { at, processor, syncs: 0, journal_octets: 0 };
        for service in services {
            let metrics = metrics(&service.health).await?;
            moment.syncs += metric(&metrics, "countersign_store_syncs_total")?;
            moment.journal_octets += metric(&metrics, "countersign_store_journal_octets_total")?;
        }
        Ok(moment)
    }
}

/// User and system time of a process, all its threads included.
fn processor_time(process: &str) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks(&stat).with_context(|| format!("{path} is not as proc(5) says"))
}

/// Fields 14 and 15 of proc_pid_stat(5). The second field is a name in brackets that may hold anything, brackets too.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

fn resident_of(services: &[Watched]) -> anyhow::Result<u64> {
    services.iter().map(|service| resident(service.pid)).sum()
}

/// Descriptors that the services have open.
fn descriptors(services: &[Watched]) -> anyhow::Result<usize> {
    let open = |service: &Watched| {
        let path = format!("/proc/{}/fd", service.pid);
        Ok(fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count())
    };
    services.iter().map(open).sum()
}

/// Of the line with the least squares of the distances to all points; 0 for fewer than two.
#[expect(clippy::cast_precision_loss, reason = "memory stays far below 2^52 octets")]
fn slope(points: &[(f64, u64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| *y as f64).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - mean_x) * (*y as f64 - mean_y)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

/// Octets of a process that are in memory.
pub(super) fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kibibytes.with_context(|| format!("{path} has no VmRSS"))? * 1024)
}

/// What a service's probe port writes at `/metrics`.
pub(super) async fn metrics(health: &str) -> anyhow::Result<String> {
    let read = async {
        let mut stream = TcpStream::connect(health).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {health}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(METRICS_TAKE, read).await.with_context(|| format!("{health} writes no metrics"))??;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        Some(_) | None => bail!("{health} answers no metrics"),
    }
}

pub(super) fn metric(text: &str, name: &str) -> anyhow::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).with_context(|| format!("the service tells no {name}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_processor_time_of_a_process_is_read_behind_its_name() {
        let stat = "7 (a) 1 2 (b) R 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 3 0 100 1000 10";
        assert_eq!(ticks(stat), Some(Duration::from_secs(2)));
        assert_eq!(ticks("7 no name"), None);
        assert!(processor_time("self").is_ok());
        assert!(resident(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn growth_is_the_slope_of_the_line_that_fits() {
        assert!((slope(&[(0.0, 100), (1.0, 130), (2.0, 140), (3.0, 190)]) - 28.0).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9 && slope(&[(1.0, 7)]).abs() < 1e-9);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# TYPE syncs_total counter\nsyncs_total_of 3\nsyncs_total 17\n";
        assert_eq!(metric(text, "syncs_total").unwrap(), 17);
        assert!(metric(text, "syncs").is_err());
    }
}
