//! rustls's traits, answered from the current [`Credentials`].

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::verify_tls13_signature;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, ServerConfig, ServerConnection, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::algorithms;
use super::credentials::Credentials;
use super::refusal::{PeerReason, PeerRefusal};
use super::server::{Clients, server_config};
use super::trust::{ExpectedPeer, Side};
use crate::identity::PeerIdentity;

/// HTTP/2, the only protocol spoken over these connections.
const ALPN: &[u8] = b"h2";

impl Credentials {
    /// A TLS 1.3 server that demands a client certificate. It follows every reload; make it once.
    ///
    /// # Errors
    /// When the provider lacks TLS 1.3, which ours does not.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Error> {
        server_config(Clients::Configured(Arc::clone(self)), Arc::new(OwnCertificate(Arc::clone(self))), &[ALPN])
    }

    /// A TLS 1.3 client that reaches `expected` and nobody else. It follows every reload; make it once.
    ///
    /// # Errors
    /// When the provider lacks TLS 1.3, which ours does not.
    pub fn client_config(self: &Arc<Self>, expected: ExpectedPeer) -> Result<Arc<ClientConfig>, Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(super::provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ExpectedServer { credentials: Arc::clone(self), expected }))
            .with_client_cert_resolver(Arc::new(OwnCertificate(Arc::clone(self))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    /// The identity of a client that presented these certificates (DER, leaf first) in a handshake that another acceptor finished: the
    /// caller vouches that it proved to hold the leaf's key.
    ///
    /// # Errors
    /// [`PeerRefusal`], as in a handshake of our own.
    pub fn client_identity(&self, presented: &[&[u8]]) -> Result<PeerIdentity, PeerRefusal> {
        let presented: Vec<CertificateDer<'_>> = presented.iter().map(|der| CertificateDer::from(*der)).collect();
        let Some((leaf, intermediates)) = presented.split_first() else {
            return Err(PeerRefusal::new(PeerReason::WithoutIdentity, None, "no certificate was presented"));
        };
        self.material().trust.judge(leaf, intermediates, self.now(), Side::Client)
    }
}

/// The identity of the client of a finished handshake, judged once more by what is current now.
pub(crate) fn identity_of(
    connection: &ServerConnection,
    credentials: &Credentials,
) -> Result<PeerIdentity, PeerRefusal> {
    let Some((leaf, intermediates)) = connection.peer_certificates().and_then(<[_]>::split_first) else {
        return Err(PeerRefusal::new(PeerReason::WithoutIdentity, None, "no certificate was presented"));
    };
    credentials.material().trust.judge(leaf, intermediates, credentials.now(), Side::Client)
}

#[derive(Debug)]
struct OwnCertificate(Arc<Credentials>);

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.material().certified))
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.material().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct ExpectedServer {
    credentials: Arc<Credentials>,
    expected: ExpectedPeer,
}

impl ServerCertVerifier for ExpectedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let material = self.credentials.material();
        let found = material.trust.judge(end_entity, intermediates, self.credentials.now(), Side::Server)?;
        if *found.manufacturer() != self.expected.manufacturer || found.role() != self.expected.role {
            let detail = format!("expected {}", self.expected);
            let shown = found.id().to_string();
            return Err(PeerRefusal::new(PeerReason::NotAllowed, Some(&shown), detail).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
