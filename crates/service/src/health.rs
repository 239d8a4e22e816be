//! The plaintext probes: `grpc.health.v1`, `/livez`, `/readyz` and `/metrics`, on a port of their own.
//!
//! kubelet's probes cannot present certificates, so these stand outside mutual TLS and tell nothing secret.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::metrics::Metrics;
use crate::net::{BoxStream, Listener};
use crate::places::{Place, Places};

/// Probes come from a few places and are over in moments; with more connections than this, the oldest is closed.
const MAX_PROBE_CONNECTIONS: usize = 64;

/// The text format that [`Metrics::encode`] writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What must hold for this process to be sent work. Ready means: every condition holds.
#[derive(Debug, Clone)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<&'static str, Condition>>>,
    changed: Arc<watch::Sender<()>>,
}

/// The state of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It holds.
    Holds,
    /// It does not, for this reason; shown to whoever asks `/readyz`.
    Fails(String),
}

impl Readiness {
    pub(crate) fn new() -> Self {
        let (changed, _) = watch::channel(());
        Self { conditions: Arc::default(), changed: Arc::new(changed) }
    }

    /// Sets the condition called `name`, for example `store`.
    pub fn set(&self, name: &'static str, condition: Condition) {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).insert(name, condition);
        self.changed.send_replace(());
    }

    /// The conditions that do not hold. Empty: ready.
    #[must_use]
    pub fn failing(&self) -> Vec<(&'static str, String)> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = |(name, condition): (&&'static str, &Condition)| match condition {
            Condition::Holds => None,
            Condition::Fails(reason) => Some((*name, reason.clone())),
        };
        conditions.iter().filter_map(failing).collect()
    }
}

/// Serves the probes until `stop`.
pub(crate) fn spawn(listener: Box<dyn Listener>, readiness: Readiness, metrics: Metrics, stop: CancellationToken) {
    let reporter = HealthReporter::new();
    let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
    let router = Router::new()
        .route_service("/grpc.health.v1.Health/{*method}", health)
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness.clone()))
        .route("/metrics", get(write_metrics).with_state(metrics));
    let listener = ProbeListener {
        local_address: listener.local_address(),
        listener,
        connections: Places::new(MAX_PROBE_CONNECTIONS),
    };
    tokio::spawn(report(readiness, reporter, stop.clone()));
    tokio::spawn(async move {
        let served = axum::serve(listener, router);
        // Dropped instead of drained: a probe that waits must not hold up the end of the process.
        tokio::select! {
            _ = served.into_future() => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Keeps `grpc.health.v1` in step with the conditions. "" is the process, "startup" the first time of being ready.
async fn report(readiness: Readiness, reporter: HealthReporter, stop: CancellationToken) {
    let mut changes = readiness.changed.subscribe();
    let mut started = ServingStatus::NotServing;
    reporter.set_service_status("", ServingStatus::Serving).await;
    loop {
        changes.mark_unchanged();
        let ready = if readiness.failing().is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing };
        if ready == ServingStatus::Serving {
            started = ServingStatus::Serving;
        }
        reporter.set_service_status("ready", ready).await;
        reporter.set_service_status("startup", started).await;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let failing = readiness.failing();
    if failing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines = failing.iter().map(|(name, reason)| format!("{name}: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn write_metrics(State(metrics): State<Metrics>) -> impl IntoResponse {
    // Reading tallies may wait for the store's lock, which a runtime's thread must not.
    let written = tokio::task::spawn_blocking(move || metrics.encode()).await;
    match written {
        Ok(Ok(text)) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], "no metrics\n".to_owned())
        }
    }
}

struct ProbeListener {
    listener: Box<dyn Listener>,
    local_address: String,
    connections: Places,
}

impl axum::serve::Listener for ProbeListener {
    type Io = ProbeStream;
    type Addr = String;

    async fn accept(&mut self) -> (ProbeStream, String) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let place = self.connections.take();
                    let lost = Box::pin(place.lost().clone().cancelled_owned());
                    return (ProbeStream { stream, lost, _place: place }, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a probe failed");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<String> {
        Ok(self.local_address.clone())
    }
}

struct ProbeStream {
    stream: BoxStream,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

impl AsyncRead for ProbeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ProbeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
