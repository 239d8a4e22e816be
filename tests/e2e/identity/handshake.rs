//! The handshake: who shows no certificate, the wrong one, or somebody else's name, never reaches an RPC; the service's log says why.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use simulator::{BRAND, Organisation};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::world::{At, Chain, FACTORY, TECHNICIAN};

const ALICE: &str = "spiffe://company-x.example/company-x/operator/alice";

/// A certificate and its key, PEM.
struct Shown {
    certificate: String,
    key: String,
}

/// A CA that signs whatever it is asked for.
struct Forger(Issuer<'static, KeyPair>);

impl Forger {
    /// The service CA of an organisation, in the hands of somebody who signs anything.
    fn with_ca_of(organisation: &Organisation, display_name: &str) -> Self {
        let key = String::from_utf8(organisation.folder().read("service-ca.key").unwrap()).unwrap();
        Self::new(display_name, KeyPair::from_pem(&key).unwrap())
    }

    /// A CA of nobody's, with the names of an organisation's.
    fn stranger(display_name: &str) -> Self {
        Self::new(display_name, KeyPair::generate().unwrap())
    }

    fn new(display_name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, display_name);
        params.distinguished_name.push(DnType::CommonName, "service CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(Issuer::new(params, key))
    }

    fn sign(&self, uris: &[&str]) -> Shown {
        self.sign_for(uris, (2020, 2040))
    }

    /// Valid between two new years' days.
    fn sign_for(&self, uris: &[&str], years: (i32, i32)) -> Shown {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Shown { certificate, key: key.serialize_pem() }
    }
}

/// Connects with this certificate: `Ok` when the service speaks, else the reason in its log.
async fn met(chain: &Chain, at: At, shown: Option<&Shown>) -> Result<(), String> {
    let tcp = TcpStream::connect(chain.address(at)).await.unwrap();
    let own = tcp.local_addr().unwrap();
    let connector = TlsConnector::from(Arc::new(believing(shown)));
    let heard = async {
        let mut stream = connector.connect(ServerName::try_from("peer.invalid").unwrap(), tcp).await?;
        // A TLS 1.3 client learns the verdict only with the first octets (RFC 8446 section 4.4.4).
        stream.read(&mut [0; 16]).await
    };
    match heard.await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(logged(chain, at, own).await),
    }
}

/// The reason with which the service refused the connection from this address.
async fn logged(chain: &Chain, at: At, from: SocketAddr) -> String {
    let (manufacturer, role) = at.identity();
    let service = &chain.world.service(manufacturer, role.as_str()).unwrap().service;
    let log = service.config.with_extension("log");
    let found = async {
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            let of_ours = |line: &&str| line.contains("connection refused") && line.contains(&format!("{from}\""));
            if let Some(line) = text.lines().find(of_ours) {
                let reason = line.split_once(" reason=\"").and_then(|(_, rest)| rest.split_once('"'));
                return reason.unwrap_or_else(|| panic!("no reason in {line}")).0.to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("a refused connection is in the log")
}

#[tokio::test]
async fn a_good_certificate_of_the_same_make_gets_through() {
    let chain = Chain::shared().await;
    let brand = Forger::with_ca_of(chain.organisation(BRAND), "Company-X");
    assert_eq!(met(chain, At::RootCa, Some(&brand.sign(&[ALICE]))).await, Ok(()));
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_through() {
    let chain = Chain::shared().await;
    for at in [At::RootCa, At::FactoryCa, At::TechnicianCa, At::Provisioner] {
        assert_eq!(met(chain, at, None).await, Err("PEER_WITHOUT_IDENTITY".to_owned()), "{at:?}");
    }
}

#[tokio::test]
async fn a_certificate_bears_exactly_one_spiffe_id() {
    let chain = Chain::shared().await;
    let brand = Forger::with_ca_of(chain.organisation(BRAND), "Company-X");
    let bob = "spiffe://company-x.example/company-x/operator/bob";
    for uris in [&[][..], &[ALICE, bob], &[ALICE, "https://company-x.example/"], &["https://company-x.example/"]] {
        let outcome = met(chain, At::RootCa, Some(&brand.sign(uris))).await;
        assert_eq!(outcome, Err("PEER_WITHOUT_IDENTITY".to_owned()), "{uris:?}");
    }
}

#[tokio::test]
async fn an_expired_certificate_and_one_of_the_future_are_refused() {
    let chain = Chain::shared().await;
    let brand = Forger::with_ca_of(chain.organisation(BRAND), "Company-X");
    for years in [(2020, 2021), (2090, 2091)] {
        let outcome = met(chain, At::RootCa, Some(&brand.sign_for(&[ALICE], years))).await;
        assert_eq!(outcome, Err("PEER_CERTIFICATE_EXPIRED".to_owned()), "{years:?}");
    }
}

#[tokio::test]
async fn a_strangers_ca_cannot_make_our_operator() {
    let chain = Chain::shared().await;
    let stranger = Forger::stranger("Company-X");
    let factory = Forger::with_ca_of(chain.organisation(FACTORY), "Factory-Y Boards Ltd");
    let cases = [
        // Our trust domain, by a CA of nobody's and by a partner's: judged by our bundle alone.
        (&stranger, ALICE, "PEER_CERTIFICATE_INVALID"),
        (&factory, ALICE, "PEER_CERTIFICATE_INVALID"),
        // Its own trust domain with our path.
        (&stranger, "spiffe://stranger.example/company-x/operator/alice", "PEER_TRUST_DOMAIN_UNKNOWN"),
        (&factory, "spiffe://factory-y.example/company-x/operator/alice", "PEER_NOT_ALLOWED"),
        // Another partner's path, and a role that the brand does not take from this one.
        (&factory, "spiffe://factory-y.example/technician-z/intermediate-ca", "PEER_NOT_ALLOWED"),
        (&factory, "spiffe://factory-y.example/factory-y/operator/operator", "PEER_NOT_ALLOWED"),
    ];
    for (forger, uri, reason) in cases {
        assert_eq!(met(chain, At::RootCa, Some(&forger.sign(&[uri]))).await, Err(reason.to_owned()), "{uri}");
    }
    let good = factory.sign(&["spiffe://factory-y.example/factory-y/intermediate-ca"]);
    assert_eq!(met(chain, At::RootCa, Some(&good)).await, Ok(()));
}

#[tokio::test]
async fn a_manufacturers_people_reach_their_own_services_alone() {
    let chain = Chain::shared().await;
    let technician = Forger::with_ca_of(chain.organisation(TECHNICIAN), "Technician-Z Assembly GmbH");
    let at = |path: &str| format!("spiffe://technician-z.example/technician-z/{path}");
    for path in ["operator/operator", "station/station-1", "provisioner/line-1", "hub"] {
        let shown = technician.sign(&[&at(path)]);
        for elsewhere in [At::RootCa, At::FactoryCa] {
            let outcome = met(chain, elsewhere, Some(&shown)).await;
            assert_eq!(outcome, Err("PEER_NOT_ALLOWED".to_owned()), "{path} at {elsewhere:?}");
        }
    }
    assert_eq!(met(chain, At::Provisioner, Some(&technician.sign(&[&at("station/station-1")]))).await, Ok(()));
}

/// A client that believes any server, so that the verdict is the server's.
fn believing(shown: Option<&Shown>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let chain = vec![CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

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
