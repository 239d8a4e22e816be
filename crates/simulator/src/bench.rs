//! How fast certificates are issued, measured at the services' gRPC faces and told as a share of what the cryptography allows.
//!
//! [`Bench`] says what is asked for. [`Bench::local`] starts services of its own, [`Bench::running`] drives those that
//! `countersign demo --stay` left running. In the same run the `ceiling` is measured: verifying one CSR and signing one
//! certificate on every core, by the same library and with nothing else. The client shares the cores with the services, so the
//! share counts what it costs too.

mod ceiling;
mod drive;
mod face;
mod histogram;
pub mod hub;
mod place;
mod report;
mod requests;
mod schedule;
mod usage;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{folder::Folder, process::Program};
use drive::{Drive, Outcome};
use face::{LineFace, SignerFace};
use histogram::Histogram;
use place::{Local, Place};
use requests::{Asked, Requests};
use schedule::Schedule;
use usage::Usage;

pub use report::{CpuMicros, LatencyMicros, Report};

/// Whose face is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The last manufacturer's intermediate-ca, as its provisioner sees it.
    Signer,
    /// The whole line: station, provisioner, intermediate-ca.
    Line,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One stream for each client.
    Stream,
    /// One call for each request.
    Unary,
}

/// Whose key a request is about, and of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKey {
    /// Made by the device, P-256.
    P256,
    /// Made by the device, P-384.
    P384,
    /// Made by the device, Ed25519.
    Ed25519,
    /// Made by the provisioner, P-256; at the line only.
    Server,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// Whose face is driven.
    pub target: Target,
    /// How requests travel.
    pub mode: Mode,
    /// Which keys are certified.
    pub key: DeviceKey,
    /// Connections, each with one stream or its part of the unary calls.
    pub clients: u32,
    /// Requests that wait for an answer at one time, over all clients; at least one for each.
    pub in_flight: u32,
    /// How long is measured.
    pub duration: Duration,
    /// How long the services run under load before that.
    pub warmup: Duration,
    /// Requests a second over all clients; none: as fast as answers come.
    pub rate: Option<f64>,
    /// Devices that are issued before anything is measured.
    pub prefill: u64,
}

/// What a measurement can refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// The signer certifies keys that their devices made.
    #[error("only the line makes device keys: measure them with the target line")]
    ServerKeyAtSigner,
    /// Nothing is measured in no time.
    #[error("nothing can be measured within 0 s")]
    NoTime,
    /// A rate that is no number above 0.
    #[error("a rate is a number of requests a second above 0")]
    Rate,
}

impl Bench {
    /// Starts services of its own in `folder`, which is empty, measures, and ends them.
    ///
    /// # Errors
    /// A [`BenchError`]; what keeps a service from starting; what the file system says. Refused requests are no error but part of
    /// the report.
    pub async fn local(&self, folder: Folder, program: Program) -> anyhow::Result<Report> {
        self.check()?;
        let mut local = Local::start(folder, program, self.target).await?;
        let report = match local.place() {
            Ok(place) => self.measure(&place).await,
            Err(error) => Err(error),
        };
        let stopped = local.stop().await;
        let report = report?;
        stopped?;
        Ok(report)
    }

    /// Measures the services that `countersign demo --stay` runs in `folder`. They issue from the demo's last lot, which is small.
    ///
    /// # Errors
    /// A [`BenchError`]; a folder without a running demo.
    pub async fn running(&self, folder: &Folder) -> anyhow::Result<Report> {
        self.check()?;
        self.measure(&Place::of_demo(folder, self.target)?).await
    }

    fn check(&self) -> Result<(), BenchError> {
        if self.key == DeviceKey::Server && self.target == Target::Signer {
            return Err(BenchError::ServerKeyAtSigner);
        }
        if self.duration.is_zero() {
            return Err(BenchError::NoTime);
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(BenchError::Rate);
        }
        Ok(())
    }

    async fn measure(&self, place: &Place) -> anyhow::Result<Report> {
        match self.target {
            Target::Signer => self.measure_at(place, |channel| SignerFace::new(channel, &place.lot)).await,
            Target::Line => self.measure_at(place, |channel| LineFace::new(channel, &place.lot)).await,
        }
    }

    async fn measure_at<F: face::Face>(
        &self,
        place: &Place,
        face: impl Fn(tonic::transport::Channel) -> F,
    ) -> anyhow::Result<Report> {
        let clients = self.clients.max(1);
        let faces = (0..clients).map(|_| place.channel().map(&face)).collect::<anyhow::Result<Vec<F>>>()?;
        let window = (self.in_flight / clients).max(1);
        let drive = Drive { faces, mode: self.mode, window, requests: Arc::new(Requests::none(self.key)) };
        let (mut errors, old) = self.prefill(&drive).await?;
        let station = drive.faces.first().cloned();

        let before = ceiling::measure(self.key)?;
        let requests = Arc::new(Requests::prepare(self.key, self.expected(before))?);
        let drive = Drive { requests, ..drive };
        let schedule = Schedule::starting_now(self.warmup, self.duration, self.rate);
        let watched = tokio::spawn({
            let services = place.services.clone();
            let (begin, end) = (schedule.measure_from, schedule.end);
            async move { Usage::between(&services, begin, end).await }
        });
        let outcome = drive.run(schedule).await?;
        let usage = watched.await??;
        let after = ceiling::measure(self.key)?;
        errors.merge(outcome.refusals());
        let mut retries = Outcome::of(0, Histogram::new());
        for asked in old {
            let Some(station) = &station else { break };
            retries.again(Instant::now(), station.call(asked).await);
        }
        errors.merge(retries.refusals());
        let report = Report::new(self, &outcome, &errors, &usage, f64::midpoint(before, after));
        Ok(Report { retry_us: (retries.issued > 0).then(|| LatencyMicros::of(&retries.latencies)), ..report })
    }

    /// Devices that must be there before the measurement, by the same way and in pieces, so that memory stays small. Answers some of
    /// their requests, to be made again.
    async fn prefill<F: face::Face>(&self, drive: &Drive<F>) -> anyhow::Result<(report::Refusals, Vec<Asked>)> {
        const PIECE: u64 = 50_000;
        const SAMPLED: usize = 2000;
        let pieces = usize::try_from(self.prefill.div_ceil(PIECE))?;
        let mut sample = Vec::new();
        let mut refusals = report::Refusals::default();
        let mut left = self.prefill;
        while left > 0 {
            let piece = left.min(PIECE);
            let count = usize::try_from(piece)?;
            let requests = Arc::new(Requests::prepare(self.key, count)?);
            let outcome = drive.with(Mode::Stream, Arc::clone(&requests)).run(Schedule::of(count)).await?;
            refusals.merge(outcome.refusals());
            sample.extend(requests.sample(SAMPLED.div_ceil(pieces))?);
            left -= piece;
        }
        Ok((refusals, sample))
    }

    /// How many requests are worth preparing, given the ceiling: what is asked for beyond that is made on the way.
    fn expected(&self, ceiling: f64) -> usize {
        const MOST: f64 = 1_500_000.0;
        let reachable = match self.target {
            Target::Signer => 0.9 * ceiling,
            Target::Line => 0.7 * ceiling,
        };
        let rate = self.rate.map_or(reachable, |rate| rate.min(reachable));
        let expected = rate * (self.warmup + self.duration).as_secs_f64() + f64::from(self.in_flight);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and MOST")]
        let expected = expected.clamp(0.0, MOST) as usize;
        expected
    }
}
