//! Reaching a service over mutual TLS, as somebody: as a profile says, as a demo that stays says, or as the command line says.

use std::{error::Error, sync::Arc};

use api::Refusal;
use service::{
    SystemClock,
    client::connect,
    config::{ConfigDirectory, IdentitySection, Limits, Peer},
    identity::Role,
    net::{Network, TcpNetwork},
    tls::{Credentials, ExpectedPeer, PeerRefusal},
};
use tonic::{Status, transport::Channel};

use crate::{
    failure::Failure,
    profile::{Profile, ServiceSection},
};

/// One service, and who calls it.
pub(crate) struct Place {
    /// `host:port` of its gRPC.
    pub(crate) address: String,
    /// Service certificate and key of the one who calls.
    pub(crate) identity: IdentitySection,
    /// Whose the service is, and its role.
    pub(crate) peer: Peer,
    pub(crate) role: Role,
    /// Where relative paths start.
    pub(crate) directory: ConfigDirectory,
}

impl Place {
    /// A service of a profile.
    pub(crate) fn of_profile(profile: &Profile, service: &ServiceSection) -> Self {
        Self {
            address: service.address.clone(),
            identity: profile.content.identity.clone(),
            peer: Peer {
                manufacturer: service.manufacturer.clone(),
                trust_domain: service.trust_domain.clone(),
                bundle: service.bundle.clone(),
                roles: vec![service.role],
            },
            role: service.role,
            directory: profile.directory.clone(),
        }
    }

    /// Makes the channel; the first call connects. Reloading credentials is a task: there must be a runtime.
    ///
    /// # Errors
    /// What the files are refused for; exit code 3 for one that is missing.
    pub(crate) fn connect(&self) -> Result<Channel, Failure> {
        let expected = ExpectedPeer { manufacturer: self.peer.manufacturer.clone(), role: self.role };
        let (limits, network): (_, Arc<dyn Network>) = (Limits::default(), Arc::new(TcpNetwork));
        let peers = std::slice::from_ref(&self.peer);
        let credentials = Credentials::load(&self.identity, peers, &self.directory, Arc::new(SystemClock))
            .map_err(|e| Failure::by_reason(e.reason(), &e))?;
        connect(&network, &self.address, expected, &credentials, &limits)
            .map_err(|e| Failure::by_reason(e.reason(), &e))
    }
}

/// Why a call failed, with the refusal of the peer's certificate if that is why; exit code 3 when nobody was reached.
pub(crate) fn failure(status: &Status) -> Failure {
    if let Some(refusal) = status.source().and_then(PeerRefusal::find) {
        return Failure::by_reason(refusal.reason(), refusal);
    }
    let refusal = Refusal::from_status(status);
    if status.source().is_some() {
        let mut words = refusal.message().to_owned();
        let mut cause = status.source();
        while let Some(error) = cause {
            let error_words = error.to_string();
            // Each layer repeats what the one below said.
            if !words.contains(&error_words) {
                words = format!("{words}: {error_words}");
            }
            cause = error.source();
        }
        return Failure::unavailable(refusal.reason(), words);
    }
    Failure::refused(&refusal)
}
