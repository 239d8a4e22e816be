//! The handshake: who shows no certificate, the wrong one, or somebody else's name, never reaches an RPC; the service's log says why.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use pki::{Certificate, pem};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use simulator::{BRAND, Organisation};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::world::{At, Chain, FACTORY, TECHNICIAN};

/// What somebody shows in the handshake.
pub(super) struct Shown {
    /// The certificate and its key, PEM.
    identity: Option<(String, String)>,
    version: &'static SupportedProtocolVersion,
}

impl Shown {
    /// A service certificate of an organisation, from its folder.
    pub(super) fn of(organisation: &Organisation, file: &str) -> Self {
        let read =
            |ending| String::from_utf8(organisation.folder().read(&format!("{file}.{ending}")).unwrap()).unwrap();
        Self::identity(read("pem"), read("key"))
    }

    fn identity(certificate: String, key: String) -> Self {
        Self { identity: Some((certificate, key)), version: &TLS13 }
    }

    fn nothing() -> Self {
        Self { identity: None, version: &TLS13 }
    }

    fn over_tls12(self) -> Self {
        Self { version: &TLS12, ..self }
    }
}

/// A CA that signs whatever it is asked for.
struct Forger(Issuer<'static, KeyPair>);

impl Forger {
    /// The service CA of an organisation, in the hands of somebody who signs anything.
    fn with_ca_of(organisation: &Organisation) -> Self {
        let key = String::from_utf8(organisation.folder().read("service-ca.key").unwrap()).unwrap();
        Self::named_as_ca_of(organisation, KeyPair::from_pem(&key).unwrap())
    }

    /// A CA of nobody's, with the names of an organisation's.
    fn stranger(organisation: &Organisation) -> Self {
        Self::named_as_ca_of(organisation, KeyPair::generate().unwrap())
    }

    fn named_as_ca_of(organisation: &Organisation, key: KeyPair) -> Self {
        let known = pem::certificates(&fs::read_to_string(organisation.service_ca_path()).unwrap()).unwrap();
        let known = Certificate::parse(known[0].der()).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, known.subject().organization().unwrap());
        params.distinguished_name.push(DnType::CommonName, known.subject().common_names()[0].clone());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(Issuer::new(params, key))
    }

    fn sign(&self, uris: &[&str]) -> Shown {
        self.sign_for(uris, (2020, 2040))
    }

    /// Valid between two new years' days.
    fn sign_for(&self, uris: &[&str], years: (i32, i32)) -> Shown {
        let key = KeyPair::generate().unwrap();
        let certificate = asked_for(uris, years).signed_by(&key, &self.0).unwrap();
        Shown::identity(certificate.pem(), key.serialize_pem())
    }
}

fn asked_for(uris: &[&str], years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params
}

fn signed_by_itself(uris: &[&str]) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = asked_for(uris, (2020, 2040)).self_signed(&key).unwrap();
    Shown::identity(certificate.pem(), key.serialize_pem())
}

/// Connects with this certificate: `Ok` when the service speaks, else the reason in its log.
pub(super) async fn met(chain: &Chain, at: At, shown: &Shown) -> Result<(), String> {
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
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("a refused connection is in the log")
}

#[tokio::test]
async fn a_forged_a_lent_and_an_unfit_certificate_get_through_nowhere() {
    let chain = Chain::shared().await;
    let mut tried = 0;
    for at in At::ALL {
        let (of, role) = at.identity();
        let own = chain.organisation(of);
        // Every service here takes the operators of its own organisation; a certificate like these but sound gets through.
        let id = |trust_domain: &str, name: &str| format!("spiffe://{trust_domain}/{of}/operator/{name}");
        let (alice, bob) = (id(&own.trust_domain(), "alice"), id(&own.trust_domain(), "bob"));
        let abroad = id("stranger.example", "alice");
        let (ours, stranger) = (Forger::with_ca_of(own), Forger::stranger(own));
        assert_eq!(met(chain, at, &ours.sign(&[&alice])).await, Ok(()), "{at:?}");
        let page = "https://company-x.example/";
        let mut cases = vec![
            ("no certificate", Shown::nothing(), "PEER_WITHOUT_IDENTITY"),
            ("no URI", ours.sign(&[]), "PEER_WITHOUT_IDENTITY"),
            ("two ids", ours.sign(&[&alice, &bob]), "PEER_WITHOUT_IDENTITY"),
            ("an id and a page", ours.sign(&[&alice, page]), "PEER_WITHOUT_IDENTITY"),
            ("a page", ours.sign(&[page]), "PEER_WITHOUT_IDENTITY"),
            ("expired", ours.sign_for(&[&alice], (2020, 2021)), "PEER_CERTIFICATE_EXPIRED"),
            ("of the future", ours.sign_for(&[&alice], (2090, 2091)), "PEER_CERTIFICATE_EXPIRED"),
            ("by nobody's CA", stranger.sign(&[&alice]), "PEER_CERTIFICATE_INVALID"),
            ("by itself", signed_by_itself(&[&alice]), "PEER_CERTIFICATE_INVALID"),
            ("our path, a stranger's trust domain", stranger.sign(&[&abroad]), "PEER_TRUST_DOMAIN_UNKNOWN"),
            ("that trust domain by our CA", ours.sign(&[&abroad]), "PEER_TRUST_DOMAIN_UNKNOWN"),
            ("TLS 1.2", ours.sign(&[&alice]).over_tls12(), "PEER_HANDSHAKE_FAILED"),
        ];
        // Whoever is let in here, with a CA of its own, signs our names and other roles' than it is let in for.
        for (partner, role) in partners(at) {
            let partner = chain.organisation(partner);
            let (theirs, domain) = (Forger::with_ca_of(partner), partner.trust_domain());
            let claims = |path: String| theirs.sign(&[&format!("spiffe://{domain}/{path}")]);
            assert_eq!(met(chain, at, &claims(format!("{}/{role}", partner.id()))).await, Ok(()), "{at:?}");
            cases.push(("our id by a partner's CA", theirs.sign(&[&alice]), "PEER_CERTIFICATE_INVALID"));
            cases.push((
                "our path, a partner's trust domain",
                claims(format!("{of}/operator/alice")),
                "PEER_NOT_ALLOWED",
            ));
            cases.push((
                "a partner's other role",
                claims(format!("{}/operator/alice", partner.id())),
                "PEER_NOT_ALLOWED",
            ));
            cases.push(("another company's path", claims(format!("somebody-else/{role}")), "PEER_NOT_ALLOWED"));
        }
        tried += cases.len();
        for (what, shown, reason) in cases {
            assert_eq!(met(chain, at, &shown).await, Err(reason.to_owned()), "{what} at {at:?}, the {role} of {of}");
        }
    }
    println!("{tried} certificates refused in the handshake, at {} services", At::ALL.len());
}

/// Who of other organisations may connect to a service.
fn partners(at: At) -> &'static [(&'static str, &'static str)] {
    match at {
        At::RootCa => &[(FACTORY, "intermediate-ca"), (TECHNICIAN, "intermediate-ca")],
        At::FactoryCa => &[(BRAND, "root-ca"), (TECHNICIAN, "intermediate-ca")],
        At::TechnicianCa => &[(FACTORY, "intermediate-ca")],
        At::Provisioner => &[(BRAND, "hub")],
        At::Hub => &[(TECHNICIAN, "provisioner/line")],
    }
}

/// Such a client with a service certificate of an organisation, from its folder.
pub(crate) fn believing_as(organisation: &Organisation, file: &str) -> ClientConfig {
    believing(&Shown::of(organisation, file))
}

/// A client that believes any server, so that the verdict is the server's.
fn believing(shown: &Shown) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[shown.version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let mut config = match &shown.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
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
