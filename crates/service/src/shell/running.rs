//! A running service, in a process of its own or within a test.

use std::io;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::follow::Looks;
use super::log::LostLines;
use super::serving::{self, Sockets};
use super::{Context, Service, StartError, Stop, World};
use crate::client::Reaches;
use crate::config::{ConfigDirectory, ListenSection, ServiceConfig};
use crate::health::{Condition, Readiness};
use crate::metrics::Metrics;
use crate::net::Listener;
use crate::refusal::chain;
use crate::tls::Credentials;
use crate::trace::Tracing;

/// A service that is bound and serving. Dropping it cuts the connections and closes the store without a drain.
pub struct Running {
    pub(super) grpc: String,
    pub(super) health: String,
    pub(super) bound: Vec<(&'static str, String)>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) stop: Stop,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
    pub(super) task: Option<JoinHandle<Result<(), StartError>>>,
}

impl Running {
    /// The address of gRPC with mutual TLS, with the port actually bound.
    #[must_use]
    pub fn grpc_address(&self) -> &str {
        &self.grpc
    }

    /// The address of the plaintext probes, with the port actually bound.
    #[must_use]
    pub fn health_address(&self) -> &str {
        &self.health
    }

    /// What the service bound beside these two, with what speaks there.
    #[must_use]
    pub fn further_addresses(&self) -> &[(&'static str, String)] {
        &self.bound
    }

    /// The credentials in use, for a reload on command.
    #[must_use]
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Returns when the service itself asked to stop.
    pub async fn stopping(&self) {
        self.stop.asked.cancelled().await;
    }

    /// Cancel it to break every connection at once instead of waiting for the drain.
    #[must_use]
    pub fn cutter(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Drains, closes, and says how it ended. Takes at most the configured limits.
    ///
    /// # Errors
    /// [`StartError::Fatal`] when the service had asked to stop, [`StartError::Close`] when its hook failed.
    pub async fn shutdown(mut self) -> Result<(), StartError> {
        self.drain.cancel();
        match self.task.as_mut() {
            Some(task) => task.await.map_err(StartError::setup)?,
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cut.cancel();
        self.drain.cancel();
    }
}

/// Builds, binds and serves, on the given network and clock. `directory` is where relative paths start.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub async fn start<S: Service>(
    service: &S,
    config: S::Config,
    directory: ConfigDirectory,
    world: World,
) -> Result<Running, StartError> {
    service.check(&config, &directory)?;
    let clock = Arc::clone(&world.clock);
    let credentials = Credentials::load(config.identity(), config.peers(), &directory, clock)?;
    let tracing = Tracing::start(config.trace(), S::NAME, &credentials.own_id()).map_err(StartError::setup)?;
    let metrics = Metrics::new();
    metrics.collect(LostLines);
    let context = Context {
        world,
        directory,
        credentials,
        limits: config.limits().clone(),
        readiness: Readiness::new(),
        reaches: Reaches::register(&metrics),
        looks: Looks::register(&metrics),
        metrics,
        tracing,
        stop: Stop::default(),
        background: CancellationToken::new(),
    };
    context.readiness.set("process", Condition::Fails("starting".to_owned()));
    let listen = config.listen().clone();
    let built = service.build(config, context.clone()).await?;
    let sockets = match bind_both(&context, &listen).await {
        Ok(sockets) => sockets,
        Err(error) => {
            // The store was opened already; leave it closed in an orderly way.
            context.background.cancel();
            // Closing waits for what the routes hold.
            drop(built.routes);
            if let Err(also) = serving::close(built.close, &context.limits).await {
                tracing::error!(error = %chain(&also), "closing after a failed start");
            }
            return Err(error);
        }
    };
    let (grpc, health) = (sockets.grpc.local_address(), sockets.health.local_address());
    let own = context.credentials.own_id();
    tracing::info!(service = S::NAME, %own, grpc, health, "bound");
    serving::spawn(context, built, sockets)
}

async fn bind_both(context: &Context, listen: &ListenSection) -> Result<Sockets, StartError> {
    Ok(Sockets { grpc: bind(context, &listen.grpc).await?, health: bind(context, &listen.health).await? })
}

async fn bind(context: &Context, address: &str) -> Result<Box<dyn Listener>, StartError> {
    let refused = |source: io::Error| {
        let address = address.to_owned();
        if source.kind() == io::ErrorKind::AddrInUse {
            return StartError::PortInUse { address, source };
        }
        StartError::Listen { address, source }
    };
    context.network().listen(address).await.map_err(refused)
}
