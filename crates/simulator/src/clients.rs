//! Calling a world's services as one of its people or machines would: with their service certificate, over mTLS.

use std::sync::Arc;

use service::{
    SystemClock,
    client::connect,
    config::{ConfigDirectory, FilePath, IdentitySection, Limits, Peer},
    identity::Role,
    net::{Network, TcpNetwork},
    tls::{Credentials, ExpectedPeer},
};
use tonic::transport::Channel;

use crate::organisation::Organisation;

/// One identity of an organisation, ready to call.
pub struct Clients {
    credentials: Arc<Credentials>,
    network: Arc<dyn Network>,
    limits: Limits,
}

impl Clients {
    /// The identity in `<file>.pem` and `<file>.key` of `own`, which knows the organisations in `peers`.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn load(own: &Organisation, file: &str, peers: &[&Organisation]) -> anyhow::Result<Self> {
        let of = |kind: &str| FilePath::new(own.folder().join(format!("{file}.{kind}")));
        let identity = IdentitySection::new(of("pem"), of("key"));
        let peers = peers
            .iter()
            .map(|peer| {
                Ok(Peer {
                    manufacturer: peer.id().parse()?,
                    trust_domain: peer.trust_domain().parse()?,
                    bundle: FilePath::new(peer.service_ca_path()),
                    roles: Role::ALL.to_vec(),
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let directory = ConfigDirectory::new(own.folder().path());
        let credentials = Credentials::load(&identity, &peers, &directory, Arc::new(SystemClock))?;
        Ok(Self { credentials, network: Arc::new(TcpNetwork), limits: Limits::default() })
    }

    /// A channel to a service, which must prove to be who is expected.
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn channel(&self, address: &str, manufacturer: &str, role: Role) -> anyhow::Result<Channel> {
        let expected = ExpectedPeer { manufacturer: manufacturer.parse()?, role };
        Ok(connect(&self.network, address, expected, &self.credentials, &self.limits)?)
    }
}
