//! What stands before every handler: admission, authorisation, message size, time limit, and one log line.

mod message_limit;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use api::Refusal;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::accept::PeerConnection;
use crate::authorization::{self, Denial, Table};
use crate::config::{Limits, count};
use crate::identity::{Manufacturer, PeerIdentity};
use crate::metrics::{ByReason, Family, Histogram, Label, Metrics, exponential_buckets};
use crate::net::BoxFuture;
use crate::refusal::reason_of;
use crate::trace::{Span, Tracing};

/// When to try again after an overload.
const OVERLOAD_RETRY: Duration = Duration::from_millis(200);

/// Puts the guard before a service's routes.
#[derive(Clone)]
pub(crate) struct GuardLayer(Arc<Rules>);

struct Rules {
    table: Table,
    own: Manufacturer,
    permits: Semaphore,
    message_bytes: u32,
    timeout: Duration,
    counts: RequestCounts,
    tracing: Tracing,
}

/// Requests since the start.
#[derive(Debug, Clone)]
pub(crate) struct RequestCounts {
    /// In the order of the table's rows: an RPC without a row is nobody's to name.
    seconds: Vec<Histogram>,
    refused: ByReason,
}

impl RequestCounts {
    pub(crate) fn register(metrics: &Metrics, table: Table) -> Self {
        let seconds = Family::<[Label; 1], Histogram>::new_with_constructor(request_seconds);
        metrics.register("request_seconds", "Time until an answer began, by rpc", seconds.clone());
        Self {
            seconds: table.iter().map(|row| seconds.get_or_create_owned(&[("rpc", row.rpc)])).collect(),
            refused: ByReason::register(metrics, "requests_refused", "Requests refused, by published reason"),
        }
    }

    fn count(&self, row: Option<usize>, refused: Option<&'static str>, elapsed: Duration) {
        if let Some(seconds) = row.and_then(|row| self.seconds.get(row)) {
            seconds.observe(elapsed.as_secs_f64());
        }
        if let Some(reason) = refused {
            self.refused.count_named(reason);
        }
    }
}

/// Half a millisecond to 8 seconds.
fn request_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 4.0, 8))
}

impl GuardLayer {
    pub(crate) fn new(
        table: Table,
        own: Manufacturer,
        limits: &Limits,
        counts: RequestCounts,
        tracing: Tracing,
    ) -> Self {
        Self(Arc::new(Rules {
            table,
            own,
            permits: Semaphore::new(count(limits.max_requests)),
            message_bytes: limits.max_message_bytes,
            timeout: limits.request_timeout(),
            counts,
            tracing,
        }))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { rules: Arc::clone(&self.0), inner }
    }
}

/// The guarded routes.
#[derive(Clone)]
pub(crate) struct Guard<S> {
    rules: Arc<Rules>,
    inner: S,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rules = Arc::clone(&self.rules);
        // The clone that was polled ready is the one to call (tower::Service, "be careful when cloning").
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let started = Instant::now();
            let rpc = request.uri().path().to_owned();
            let row = rules.table.iter().position(|row| row.rpc == rpc);
            let peer = request.extensions().get::<PeerConnection>().map(|connection| connection.identity.clone());
            let span = rules.tracing.serve(&rpc, request.headers());
            let answered = span.around(rules.answer(inner, request, peer.as_ref())).await;
            let response = match answered {
                Ok(response) => response,
                Err(status) => {
                    let refusal = Refusal::from_status(&status);
                    tracing::warn!(rpc, reason = refusal.reason(), message = refusal.message(), "request refused");
                    status.into_http()
                }
            };
            let refused = reason_of(&response);
            rules.counts.count(row, refused, started.elapsed());
            log(&rpc, peer.as_ref(), &response, &span, started.elapsed());
            span.end(refused);
            Ok(response)
        })
    }
}

impl Rules {
    async fn answer<S>(
        &self,
        mut inner: S,
        mut request: Request<Body>,
        peer: Option<&PeerIdentity>,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        // The accept loop hands over no connection without one; if that ever changes, nobody gets in.
        let peer =
            peer.ok_or_else(|| Refusal::new("PEER_WITHOUT_IDENTITY", "the connection has no verified identity"))?;
        authorization::decide(self.table, &self.own, peer, request.uri().path()).map_err(denied)?;
        let Ok(_permit) = self.permits.try_acquire() else {
            let message = "too many requests at one time";
            return Err(Refusal::new("QUEUE_FULL", message).retry_after(OVERLOAD_RETRY).into());
        };
        request.extensions_mut().insert(peer.clone());
        let request = request.map(|body| message_limit::limited(body, self.message_bytes));
        match tokio::time::timeout(self.timeout, inner.call(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(never)) => match never {},
            Err(_) => {
                let message = format!("no answer began within {} ms", self.timeout.as_millis());
                Err(Refusal::new("DEADLINE_TOO_SHORT", message).into())
            }
        }
    }
}

fn denied(denial: Denial) -> Status {
    match denial {
        Denial::NotYou(refusal) => refusal.into(),
        Denial::NoRow(refusal) => {
            let named = Status::from(refusal);
            let details = Bytes::copy_from_slice(named.details());
            Status::with_details(Code::Unimplemented, named.message(), details)
        }
    }
}

fn log(rpc: &str, peer: Option<&PeerIdentity>, response: &Response<Body>, span: &Span, elapsed: Duration) {
    let peer = peer.map(|peer| tracing::field::display(peer.id()));
    let status = response.headers().get(Status::GRPC_STATUS).and_then(|value| value.to_str().ok()).unwrap_or("0");
    let trace = span.trace_id().map(tracing::field::display);
    tracing::info!(rpc, peer, status, trace, elapsed_us = elapsed.as_micros(), "request");
}
