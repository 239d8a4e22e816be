//! Who gets through the handshake, and the name under which everyone else is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use service::clock::ManualClock;
use service::identity::Role;
use service::tls::{Credentials, PeerReason, PeerRefusal};
use support::probe::{LINE, OWN};
use support::{Ca, DAY, Home, Issued, expected, now};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// The server of factory-y: trusts its own trust domain and that of a stranger.
struct Server {
    ours: Ca,
    stranger: Ca,
    clock: Arc<ManualClock>,
    credentials: Arc<Credentials>,
    _home: Home,
}

impl Server {
    fn new() -> Self {
        let (ours, stranger) = (Ca::new("ours"), Ca::new("stranger"));
        let peers = [("factory-y", "factory.example", &ours), ("company-x", "brand.example", &stranger)];
        let home = Home::new(&ours.issue(&[OWN]), &peers);
        let clock = Arc::new(ManualClock::new(now()));
        let credentials = home.try_credentials(&peers, clock.clone()).unwrap();
        Self { ours, stranger, clock, credentials, _home: home }
    }

    /// What the server says about a client with this certificate.
    async fn meets(&self, client: Option<&Issued>) -> Result<(), PeerRefusal> {
        self.meets_version(client, TLS13).await
    }

    async fn meets_version(
        &self,
        client: Option<&Issued>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<(), PeerRefusal> {
        let (near, far) = tokio::io::duplex(65_536);
        let acceptor = TlsAcceptor::from(self.credentials.server_config().unwrap());
        let connector = TlsConnector::from(Arc::new(trusting(client, version)));
        let name = ServerName::try_from("peer.invalid").unwrap();
        let (accepted, _connected) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
        accepted.map(|_| ()).map_err(|error| PeerRefusal::of_handshake(&error))
    }

    async fn refusal_of(&self, client: &Issued) -> &'static str {
        self.meets(Some(client)).await.unwrap_err().reason()
    }
}

#[tokio::test]
async fn a_configured_peer_gets_through() {
    let server = Server::new();
    assert_eq!(server.meets(Some(&server.ours.issue(&[LINE]))).await, Ok(()));
    let brand = server.stranger.issue(&["spiffe://brand.example/company-x/operator/alice"]);
    assert_eq!(server.meets(Some(&brand)).await, Ok(()));
}

#[tokio::test]
async fn no_certificate_is_refused() {
    let refusal = Server::new().meets(None).await.unwrap_err();
    assert_eq!(refusal.kind(), PeerReason::WithoutIdentity);
}

#[tokio::test]
async fn a_certificate_must_have_exactly_one_spiffe_id() {
    let server = Server::new();
    let cases: [&[&str]; 4] =
        [&[], &[LINE, OWN], &[LINE, "https://x.example/"], &["https://factory.example/factory-y/provisioner"]];
    for uris in cases {
        let refusal = server.meets(Some(&server.ours.issue(uris))).await.unwrap_err();
        assert_eq!(refusal.reason(), "PEER_WITHOUT_IDENTITY", "{uris:?}");
        assert_eq!(refusal.presented(), uris.first().copied());
    }
}

#[tokio::test]
async fn another_ca_cannot_vouch_for_our_ids() {
    let server = Server::new();
    assert_eq!(server.refusal_of(&Ca::new("unknown").issue(&[LINE])).await, "PEER_CERTIFICATE_INVALID");
    // The same name as our CA does not help.
    assert_eq!(server.refusal_of(&Ca::new("ours").issue(&[LINE])).await, "PEER_CERTIFICATE_INVALID");
}

#[tokio::test]
async fn bundles_are_not_pooled() {
    let server = Server::new();
    // A configured stranger's CA, in our trust domain: judged by our bundle alone.
    assert_eq!(server.refusal_of(&server.stranger.issue(&[LINE])).await, "PEER_CERTIFICATE_INVALID");
    // The same CA in its own trust domain, with our manufacturer in the path.
    let ours = server.stranger.issue(&["spiffe://brand.example/factory-y/operator"]);
    assert_eq!(server.refusal_of(&ours).await, "PEER_NOT_ALLOWED");
}

#[tokio::test]
async fn unknown_domains_and_roles_are_refused() {
    let server = Server::new();
    let foreign = server.ours.issue(&["spiffe://other.example/factory-y/provisioner"]);
    assert_eq!(server.refusal_of(&foreign).await, "PEER_TRUST_DOMAIN_UNKNOWN");
    let hub = server.ours.issue(&["spiffe://factory.example/factory-y/hub"]);
    let refusal = server.meets(Some(&hub)).await.unwrap_err();
    assert_eq!(refusal.reason(), "PEER_NOT_ALLOWED");
    assert_eq!(refusal.presented(), Some("spiffe://factory.example/factory-y/hub"));
}

#[tokio::test]
async fn validity_is_judged_by_our_clock() {
    let server = Server::new();
    let old = server.ours.issue_valid(&[LINE], DAY * -9, -DAY);
    assert_eq!(server.refusal_of(&old).await, "PEER_CERTIFICATE_EXPIRED");
    let coming = server.ours.issue_valid(&[LINE], DAY, DAY * 9);
    assert_eq!(server.refusal_of(&coming).await, "PEER_CERTIFICATE_EXPIRED");
    server.clock.advance(2 * 86_400);
    assert_eq!(server.meets(Some(&coming)).await, Ok(()));
    // The bundle's CA expires after 400 days, before this certificate. webpki would not ask.
    let long = server.ours.issue_valid(&[LINE], -DAY, DAY * 900);
    server.clock.advance(500 * 86_400);
    assert_eq!(server.refusal_of(&long).await, "PEER_CERTIFICATE_EXPIRED");
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let server = Server::new();
    let client = server.ours.issue(&[LINE]);
    let refusal = server.meets_version(Some(&client), &rustls::version::TLS12).await.unwrap_err();
    assert_eq!(refusal.reason(), "PEER_HANDSHAKE_FAILED");
}

#[tokio::test]
async fn a_client_reaches_only_the_peer_it_expects() {
    let server = Server::new();
    let peers = [("factory-y", "factory.example", &server.ours)];
    let home = Home::new(&server.ours.issue(&[LINE]), &peers);
    let client = home.credentials(&peers);
    let cases = [
        (expected("factory-y", Role::IntermediateCa), Ok(())),
        (expected("factory-y", Role::Provisioner), Err("PEER_NOT_ALLOWED")),
        (expected("company-x", Role::IntermediateCa), Err("PEER_NOT_ALLOWED")),
    ];
    for (expected, outcome) in cases {
        let (near, far) = tokio::io::duplex(65_536);
        let acceptor = TlsAcceptor::from(server.credentials.server_config().unwrap());
        let connector = TlsConnector::from(client.client_config(expected).unwrap());
        let name = ServerName::try_from("peer.invalid").unwrap();
        let (_, connected) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
        let connected = connected.map(|_| ()).map_err(|error| PeerRefusal::find(&error).unwrap().reason());
        assert_eq!(connected, outcome);
    }
}

#[test]
fn our_own_files_are_judged_before_use() {
    let ca = Ca::new("ours");
    let peers = [("factory-y", "factory.example", &ca)];
    let good = ca.issue(&[OWN]);
    let reason = |change: &dyn Fn(&Home)| {
        let home = Home::new(&good, &peers);
        change(&home);
        home.try_credentials(&peers, Arc::new(ManualClock::new(now()))).unwrap_err().reason()
    };
    let remove = |name: &'static str| move |home: &Home| std::fs::remove_file(home.path().join(name)).unwrap();
    assert_eq!(reason(&remove("own.pem")), "FILE_MISSING");
    assert_eq!(reason(&remove("own.key")), "FILE_MISSING");
    assert_eq!(reason(&remove("factory.example.pem")), "FILE_MISSING");
    let key = |home: &Home| home.path().join("own.key");
    assert_eq!(reason(&|home| support::write_mode(&key(home), &good.key, 0o644)), "KEY_FILE_EXPOSED");
    assert_eq!(reason(&|home| support::write_mode(&key(home), "no key", 0o600)), "KEY_FILE_MALFORMED");
    assert_eq!(reason(&|home| support::write_mode(&key(home), &ca.issue(&[OWN]).key, 0o600)), "OWN_KEY_MISMATCH");
    assert_eq!(reason(&|home| home.set_identity(&ca.issue(&[]))), "OWN_CERTIFICATE_WITHOUT_IDENTITY");
    let old = ca.issue_valid(&[OWN], DAY * -9, -DAY);
    assert_eq!(reason(&|home| home.set_identity(&old)), "OWN_CERTIFICATE_EXPIRED");
    // A bundle of something that is not a CA would make a pinned certificate an issuer.
    assert_eq!(reason(&|home| home.set_bundle("factory.example", &good.certificate)), "FILE_MALFORMED");
    assert_eq!(reason(&|home| home.set_bundle("factory.example", "")), "FILE_MALFORMED");
}

/// A client that believes any server.
fn trusting(own: Option<&Issued>, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
