//! The server's side of a handshake: the one verifier of client certificates, for the gRPC of services and for a hub's doors.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::credentials::Credentials;
use super::trust::Side;
use super::{algorithms, provider};

/// Whom a handshake lets pass. Whoever presents a certificate proves that it holds the key, in either case.
#[derive(Debug)]
pub enum Clients {
    /// Peers that are configured, by what is current. TLS 1.3.
    Configured(Arc<Credentials>),
    /// Anybody, with any certificate or none: what was presented is judged afterwards, by the caller. TLS 1.2 and 1.3.
    Anybody,
}

/// TLS of a server that shows what `own` resolves to and speaks one of the protocols `application` (ALPN), or any where that is empty.
///
/// No session is resumed: it would skip the judgement over the client's certificate.
///
/// # Errors
/// When the provider lacks these versions of TLS, which ours does not.
pub fn server_config(
    clients: Clients,
    own: Arc<dyn ResolvesServerCert>,
    application: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let versions: &[&SupportedProtocolVersion] = match clients {
        Clients::Configured(_) => &[&TLS13],
        Clients::Anybody => &[&TLS13, &TLS12],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::new(ClientVerifier(clients)))
        .with_cert_resolver(own);
    config.alpn_protocols = application.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct ClientVerifier(Clients);

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Hints would tell strangers whom we trust, and some clients send nothing when their issuer is not among them.
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        match self.0 {
            Clients::Configured(_) => true,
            Clients::Anybody => false,
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.0 {
            Clients::Configured(own) => {
                own.material().trust.judge(end_entity, intermediates, own.now(), Side::Client)?;
            }
            Clients::Anybody => {}
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, algorithms())
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
