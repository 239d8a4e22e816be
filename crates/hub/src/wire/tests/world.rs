//! Doors on port 0, and certificates for whoever knocks.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use service::{Clock, SystemClock, net::TcpNetwork, secret::KeyFile};
use tokio_util::sync::CancellationToken;

use super::porter::Porter;
use crate::{
    admission::Admission,
    wire::{Addresses, Bound, DeviceLimits, DeviceTls, SessionTable, Wire},
};

/// A hub's doors, the registry behind them, and a CA for devices.
pub(crate) struct World {
    pub(crate) porter: Arc<Porter>,
    pub(crate) sessions: Arc<SessionTable>,
    pub(crate) bound: Bound,
    pub(crate) stop: CancellationToken,
    pub(crate) server: CertificateDer<'static>,
    ca: Issuer<'static, KeyPair>,
    ca_der: CertificateDer<'static>,
    _directory: tempfile::TempDir,
}

/// Open doors, and the certificate that they show.
pub(crate) struct Doors {
    pub(crate) bound: Bound,
    pub(crate) stop: CancellationToken,
    pub(crate) server: CertificateDer<'static>,
    pub(crate) directory: tempfile::TempDir,
}

impl Doors {
    pub(crate) async fn open(
        admission: Arc<dyn Admission>,
        sessions: Arc<SessionTable>,
        clock: Arc<dyn Clock>,
        limits: DeviceLimits,
        addresses: &Addresses,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (certificate_file, key_file) = (directory.path().join("hub.pem"), directory.path().join("hub.key"));
        std::fs::write(&certificate_file, pki::pem::encode("CERTIFICATE", certificate.der())).unwrap();
        write_secret(&key_file, &pki::pem::encode("PRIVATE KEY", &key.serialize_der()));
        let stop = CancellationToken::new();
        let wire = Wire {
            network: Arc::new(TcpNetwork),
            admission,
            sessions,
            clock,
            tls: DeviceTls::load(certificate_file, KeyFile { file: key_file, passphrase_file: None }).unwrap(),
            limits,
            rest: axum::Router::new(),
            stop: stop.clone(),
        };
        let bound = wire.open(addresses).await.unwrap();
        Self { bound, stop, server: certificate.der().clone(), directory }
    }
}

/// What a device presents.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(DeviceLimits::default()).await
    }

    pub(crate) async fn with(limits: DeviceLimits) -> Self {
        let free = || Some("127.0.0.1:0".to_owned());
        Self::at(limits, &Addresses { mqtt: free(), amqp: free(), https: free() }).await
    }

    pub(crate) async fn at(limits: DeviceLimits, addresses: &Addresses) -> Self {
        let (porter, sessions) = (Porter::new(), SessionTable::new());
        let (ca, ca_der) = ca();
        let admission = Arc::clone(&porter) as _;
        let doors = Doors::open(admission, Arc::clone(&sessions), Arc::new(SystemClock), limits, addresses).await;
        let Doors { bound, stop, server, directory } = doors;
        Self { porter, sessions, bound, stop, server, ca, ca_der, _directory: directory }
    }

    /// A certificate of our CA for the device.
    pub(crate) fn device(&self, id: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, id);
        let leaf = params.signed_by(&key, &self.ca).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Identity { chain: vec![leaf.der().clone(), self.ca_der.clone()], key }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn write_secret(file: &std::path::Path, text: &str) {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut open = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(file).unwrap();
    open.write_all(text.as_bytes()).unwrap();
}

fn ca() -> (Issuer<'static, KeyPair>, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "devices");
    let der = params.self_signed(&key).unwrap().der().clone();
    (Issuer::new(params, key), der)
}
