//! What the shell gives to a service while it is built, and what the service keeps of it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::StartError;
use super::follow::Looks;
use crate::client::{self, PeerChannel, Reaches};
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigDirectory, Limits};
use crate::files::FromFiles;
use crate::health::Readiness;
use crate::identity::SpiffeId;
use crate::metrics::Metrics;
use crate::net::{Network, TcpNetwork};
use crate::tls::{Credentials, ExpectedPeer};
use crate::trace::Tracing;

/// What surrounds a process: its network and its clock.
#[derive(Clone)]
pub struct World {
    /// Where it listens and connects.
    pub network: Arc<dyn Network>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl World {
    /// TCP and the system's clock.
    #[must_use]
    pub fn real() -> Self {
        Self { network: Arc::new(TcpNetwork), clock: Arc::new(SystemClock) }
    }
}

/// Everything a service may want from its shell. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(super) world: World,
    pub(super) directory: ConfigDirectory,
    pub(super) credentials: Arc<Credentials>,
    pub(super) limits: Limits,
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
    pub(super) tracing: Tracing,
    pub(super) reaches: Reaches,
    pub(super) looks: Looks,
    pub(super) stop: Stop,
    pub(super) background: CancellationToken,
}

impl Context {
    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.world.clock
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.world.network
    }

    /// Where relative paths of the configuration start.
    #[must_use]
    pub fn directory(&self) -> &ConfigDirectory {
        &self.directory
    }

    /// Our own identity and the bundles of the peers.
    #[must_use]
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Who this process is.
    #[must_use]
    pub fn own_id(&self) -> SpiffeId {
        self.credentials.own_id()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// For conditions of the service's own, for example `store`.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// For what the service itself counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// For ending the process when the service can no longer be sure of itself.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Cancelled when the last request is over and background work must end, before the close hook runs.
    #[must_use]
    pub fn background(&self) -> &CancellationToken {
        &self.background
    }

    /// Looks at files every `limits.credentials_poll_ms` until the service ends, and takes them when they changed and are good.
    /// `name` is what they are called at `/metrics` and in the log; docs/metrics.md lists the names.
    pub fn follow(&self, name: &'static str, files: Arc<dyn FromFiles>) {
        let (poll, end) = (self.limits.credentials_poll(), self.background.clone());
        self.looks.follow(name, files, poll, end);
    }

    /// A channel to another service, which carries traces on and tells at `/metrics` whether the peer can be reached; see
    /// [`client::connect`].
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn connect(&self, address: &str, expected: ExpectedPeer) -> Result<PeerChannel, StartError> {
        let reach = self.reaches.of(&expected);
        let channel = client::connect(self.network(), address, expected, &self.credentials, &self.limits);
        Ok(PeerChannel::watched(channel.map_err(StartError::setup)?, reach))
    }
}

/// Ends the process with exit code 1. The first cause counts.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    pub(super) asked: CancellationToken,
    cause: Arc<Mutex<Option<(&'static str, String)>>>,
}

impl Stop {
    /// Asks the shell to stop. Requests in flight still get the time to drain.
    pub fn fatal(&self, reason: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::error!(reason, detail, "the service asks to stop");
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((reason, detail));
        self.asked.cancel();
    }

    pub(super) fn outcome(&self) -> Result<(), StartError> {
        match self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some((reason, detail)) => Err(StartError::Fatal { reason, detail }),
            None => Ok(()),
        }
    }
}
