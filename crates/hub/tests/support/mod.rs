//! A hub over TCP with a real store in a temporary folder, and those who call it: operators, lines, devices.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use hub::{Config, Hub};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use service::{
    SystemClock,
    client::connect,
    config::{self, ConfigDirectory, FilePath, IdentitySection, Limits, Peer},
    identity::Role,
    net::TcpNetwork,
    shell::{self, Running, Service as _, World},
    tls::{Credentials, ExpectedPeer},
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;

pub const OPERATOR: &str = "spiffe://company-x.example/company-x/operator/alice";
pub const AUDITOR: &str = "spiffe://company-x.example/company-x/auditor/eve";
pub const HUB: &str = "spiffe://company-x.example/company-x/hub";
pub const LINE: &str = "spiffe://factory.example/factory-y/provisioner/line-1";
pub const STATION: &str = "spiffe://factory.example/factory-y/station/s1";

/// A key with its certificate and everything above it but the root.
pub struct Held {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    pub key: KeyPair,
}

/// A CA.
pub struct Ca {
    pub issuer: Issuer<'static, KeyPair>,
    pub der: Vec<u8>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.not_before = OffsetDateTime::now_utc() - Duration::DAY;
    params.not_after = OffsetDateTime::now_utc() + Duration::DAY * 30;
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Ca {
    pub fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(name);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(name);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    /// A certificate for a name alone, as the usual scripts make them.
    pub fn issue(&self, common_name: &str, above: &[&Ca]) -> Held {
        self.issue_with(params(common_name), above)
    }

    /// A service certificate.
    pub fn service(&self, uri: &str) -> Held {
        let mut params = params("service");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        self.issue_with(params, &[])
    }

    /// A server certificate for devices.
    pub fn server(&self) -> Held {
        let mut params = params("hub");
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue_with(params, &[])
    }

    fn issue_with(&self, params: CertificateParams, above: &[&Ca]) -> Held {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        let chain = std::iter::once(leaf).chain(above.iter().map(|ca| ca.der.clone())).collect();
        Held { chain, key }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    pki::pem::encode(label, der)
}

fn write_held(folder: &Path, name: &str, held: &Held) {
    let chain: String = held.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    fs::write(folder.join(format!("{name}.pem")), chain).unwrap();
    let key = folder.join(format!("{name}.key"));
    fs::write(&key, pem("PRIVATE KEY", held.key.serialized_der())).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A running hub of company-x, with factory-y as a peer whose lines may register.
pub struct Site {
    pub folder: TempDir,
    pub running: Option<Running>,
    pub own: Ca,
    pub factory: Ca,
    pub server: Ca,
}

impl Site {
    pub async fn start() -> Self {
        Self::with("allowed").await
    }

    pub async fn with(verified_on_upload: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (own, factory, server) = (Ca::root("company-x services"), Ca::root("factory services"), Ca::root("server"));
        let path = folder.path();
        write_held(path, "hub", &own.service(HUB));
        write_held(path, "hub-devices", &server.server());
        fs::write(path.join("company-x.pem"), pem("CERTIFICATE", &own.der)).unwrap();
        fs::write(path.join("factory-y.pem"), pem("CERTIFICATE", &factory.der)).unwrap();
        fs::write(path.join("hub.toml"), config_text(verified_on_upload)).unwrap();
        let mut site = Self { folder, running: None, own, factory, server };
        Hub.init_store(&site.config(), &site.directory()).unwrap();
        site.run().await;
        site
    }

    /// Ends it in order, and starts it again over the same folder.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().shutdown().await.unwrap();
    }

    async fn run(&mut self) {
        let running = shell::start(&Hub, self.config(), self.directory(), World::real()).await.unwrap();
        self.running = Some(running);
    }

    fn directory(&self) -> ConfigDirectory {
        ConfigDirectory::new(self.folder.path())
    }

    fn config(&self) -> Config {
        config::read(&self.folder.path().join("hub.toml")).unwrap()
    }

    /// A channel of this identity.
    pub fn channel(&self, id: &str) -> Channel {
        let ca = if id.contains("company-x") { &self.own } else { &self.factory };
        let caller = tempfile::tempdir().unwrap();
        write_held(caller.path(), "own", &ca.service(id));
        fs::write(caller.path().join("ca.pem"), pem("CERTIFICATE", &self.own.der)).unwrap();
        let identity = IdentitySection::new(FilePath::new("own.pem"), FilePath::new("own.key"));
        let peer = Peer {
            manufacturer: "company-x".parse().unwrap(),
            trust_domain: "company-x.example".parse().unwrap(),
            bundle: FilePath::new("ca.pem"),
            roles: vec![Role::Hub],
        };
        let directory = ConfigDirectory::new(caller.path());
        let credentials = Credentials::load(&identity, &[peer], &directory, Arc::new(SystemClock)).unwrap();
        let expected = ExpectedPeer { manufacturer: "company-x".parse().unwrap(), role: Role::Hub };
        let network: Arc<dyn service::net::Network> = Arc::new(TcpNetwork);
        let address = self.running.as_ref().unwrap().grpc_address();
        connect(&network, address, expected, &credentials, &Limits::default()).unwrap()
    }

    /// One HTTP request over a connection of its own; status and body.
    pub async fn http(&self, door: &str, as_whom: &Held, request: &str, body: &str) -> (u16, String) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.server.der.clone())).unwrap();
        let chain = as_whom.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(as_whom.key.serialized_der().to_vec()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        let stream = TcpStream::connect(door).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
        let headers: String = headers.lines().map(|header| format!("{header}\r\n")).collect();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A peer that closes without close_notify ends the answer as well.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }
}

fn config_text(verified_on_upload: &str) -> String {
    format!(
        r#"
manufacturer = "company-x"
mode = "development"

[identity]
certificate = "hub.pem"
key = "hub.key"

[listen]
grpc = "127.0.0.1:0"
health = "127.0.0.1:0"
mqtt = "127.0.0.1:0"
amqp = ""
https = "127.0.0.1:0"

[device_tls]
certificate = "hub-devices.pem"
key = "hub-devices.key"

[store]
directory = "store"

[policy]
verified_on_upload = "{verified_on_upload}"

[telemetry]
directory = "telemetry"

[judgements]
directory = "judgements"

[mailboxes]
directory = "mailboxes"

[[peers]]
manufacturer = "company-x"
trust_domain = "company-x.example"
bundle = "company-x.pem"
roles = ["operator", "auditor"]

[[peers]]
manufacturer = "factory-y"
trust_domain = "factory.example"
bundle = "factory-y.pem"
roles = ["provisioner", "station"]
"#
    )
}
