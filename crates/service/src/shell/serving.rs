//! Serving, and the orderly end: not ready, GOAWAY, drain, close.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::metrics::Counts;
use super::{BoxError, Built, CloseHook, Context, Running, StartError};
use crate::accept;
use crate::config::{Limits, count};
use crate::files::{FromFiles, Reload};
use crate::guard::GuardLayer;
use crate::health::{self, Condition};
use crate::net::Listener;
use crate::refusal::{Refusal, chain};

/// Both listeners, bound and not yet served.
pub(super) struct Sockets {
    pub(super) grpc: Box<dyn Listener>,
    pub(super) health: Box<dyn Listener>,
}

/// The tokens that end one part each, in this order.
struct Ends {
    drain: CancellationToken,
    goaway: CancellationToken,
    cut: CancellationToken,
    probes: CancellationToken,
}

/// Starts to serve.
pub(super) fn spawn(context: Context, built: Built, sockets: Sockets) -> Result<Running, StartError> {
    let ends = Ends {
        drain: CancellationToken::new(),
        goaway: CancellationToken::new(),
        cut: CancellationToken::new(),
        probes: CancellationToken::new(),
    };
    let (grpc, health) = (sockets.grpc.local_address(), sockets.health.local_address());
    let (limits, credentials) = (&context.limits, &context.credentials);
    let counts = Counts::register(&context.metrics, built.authorization, credentials);

    let incoming = accept::spawn(sockets.grpc, credentials, limits, counts.connections, ends.cut.clone())
        .map_err(StartError::setup)?;
    let own = credentials.own_id().manufacturer;
    let guard = GuardLayer::new(built.authorization, own, limits, counts.requests, context.tracing.clone());
    let served = tokio::spawn(server(limits).layer(guard).serve_with_incoming_shutdown(
        built.routes.prepare(),
        ReceiverStream::new(incoming),
        ends.goaway.clone().cancelled_owned(),
    ));

    health::spawn(sockets.health, context.readiness.clone(), context.metrics.clone(), ends.probes.clone());
    context.follow("tls", Arc::new(OwnCertificate::new(&context)));
    context.readiness.set("process", Condition::Holds);

    Ok(Running {
        grpc,
        health,
        bound: built.bound,
        credentials: Arc::clone(credentials),
        stop: context.stop.clone(),
        drain: ends.drain.clone(),
        cut: ends.cut.clone(),
        task: Some(tokio::spawn(live(context, served, ends, built.close))),
    })
}

fn server(limits: &Limits) -> Server {
    Server::builder()
        .max_concurrent_streams(limits.max_streams_per_connection)
        .http2_keepalive_interval(Some(limits.keepalive_interval()))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout()))
        .http2_max_header_list_size(limits.max_header_list_bytes)
        .http2_max_pending_accept_reset_streams(Some(count(limits.max_reset_streams)))
        .max_connection_age(limits.max_connection_age())
}

/// Waits for the end and carries it out.
async fn live(
    context: Context,
    mut served: JoinHandle<Result<(), tonic::transport::Error>>,
    ends: Ends,
    hook: CloseHook,
) -> Result<(), StartError> {
    let early = tokio::select! {
        () = ends.drain.cancelled() => None,
        () = context.stop.asked.cancelled() => None,
        early = &mut served => Some(early),
    };
    context.readiness.set("process", Condition::Fails("stopping".to_owned()));
    match early {
        None => drain(&context.limits, &mut served, &ends).await,
        // Serving never ends by itself; if it did, no request is left to drain.
        Some(Ok(Ok(()))) => context.stop.fatal("SERVER_ENDED", "the server ended unasked"),
        Some(Ok(Err(error))) => context.stop.fatal("SERVER_ENDED", chain(&error)),
        Some(Err(error)) => context.stop.fatal("SERVER_ENDED", chain(&error)),
    }
    ends.cut.cancel();
    context.background.cancel();
    let closed = close(hook, &context.limits).await;
    ends.probes.cancel();
    context.tracing.clone().finish().await;
    context.stop.outcome()?;
    closed
}

async fn drain(limits: &Limits, served: &mut JoinHandle<Result<(), tonic::transport::Error>>, ends: &Ends) {
    tokio::select! {
        () = tokio::time::sleep(limits.drain_delay()) => {}
        () = ends.cut.cancelled() => {}
    }
    ends.goaway.cancel();
    let drained = tokio::select! {
        _ = &mut *served => true,
        () = tokio::time::sleep(limits.drain()) => false,
        () = ends.cut.cancelled() => false,
    };
    if !drained {
        tracing::warn!(reason = "DRAIN_CUT", "requests were still in flight, cutting their connections");
        ends.cut.cancel();
        // Every connection now fails at its next read, so this returns at once.
        if tokio::time::timeout(Duration::from_secs(1), &mut *served).await.is_err() {
            served.abort();
        }
    }
}

/// Runs the service's close hook within its limit.
pub(super) async fn close(hook: CloseHook, limits: &Limits) -> Result<(), StartError> {
    let refused = |source: BoxError| StartError::Close { source };
    match tokio::time::timeout(limits.close(), hook()).await {
        Ok(closed) => closed.map_err(refused),
        Err(late) => Err(refused(late.into())),
    }
}

/// The credential files; at every look, readiness says whether our own certificate is still valid.
struct OwnCertificate(Context);

impl OwnCertificate {
    fn new(context: &Context) -> Self {
        let own = Self(context.clone());
        own.tell();
        own
    }

    fn tell(&self) {
        let not_after = self.0.credentials.not_after();
        let condition = match self.0.clock().now() <= not_after {
            true => Condition::Holds,
            false => Condition::Fails(format!("our certificate expired at {not_after}")),
        };
        self.0.readiness.set("certificate", condition);
    }
}

impl FromFiles for OwnCertificate {
    fn reload(&self) -> Result<Reload, Refusal> {
        let outcome = FromFiles::reload(self.0.credentials.as_ref());
        self.tell();
        outcome
    }
}
