//! Certificate authorities, configuration files and a small service for the tests of this crate.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod probe;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pki::UnixTime;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use service::clock::SystemClock;
use service::config::{ConfigDirectory, FilePath, IdentitySection, Peer};
use service::identity::Role;
use service::tls::{Credentials, CredentialsError};
use service::{Clock, tls::ExpectedPeer};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

pub const DAY: Duration = Duration::DAY;

/// A CA of one trust domain.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::now_utc() - DAY;
        params.not_after = OffsetDateTime::now_utc() + DAY * 400;
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, uris: &[&str]) -> Issued {
        self.issue_valid(uris, -DAY, DAY * 30)
    }

    /// Validity in relation to now.
    pub fn issue_valid(&self, uris: &[&str], from: Duration, to: Duration) -> Issued {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "service");
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.use_authority_key_identifier_extension = true;
        params.not_before = OffsetDateTime::now_utc() + from;
        params.not_after = OffsetDateTime::now_utc() + to;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

/// A folder that holds the files of one process.
pub struct Home {
    pub folder: TempDir,
}

impl Home {
    /// A process with this identity, that trusts `peers`: (manufacturer, trust domain, CA).
    pub fn new(own: &Issued, peers: &[(&str, &str, &Ca)]) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        home.set_identity(own);
        for (_, trust_domain, ca) in peers {
            home.set_bundle(trust_domain, &ca.pem);
        }
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn directory(&self) -> ConfigDirectory {
        ConfigDirectory::new(self.path())
    }

    pub fn set_identity(&self, own: &Issued) {
        fs::write(self.path().join("own.pem"), &own.certificate).unwrap();
        write_mode(&self.path().join("own.key"), &own.key, 0o600);
    }

    pub fn set_bundle(&self, trust_domain: &str, pem: &str) {
        fs::write(self.path().join(format!("{trust_domain}.pem")), pem).unwrap();
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    pub fn identity() -> IdentitySection {
        IdentitySection::new(FilePath::new("own.pem"), FilePath::new("own.key"))
    }

    pub fn try_credentials(
        &self,
        peers: &[(&str, &str, &Ca)],
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Credentials>, CredentialsError> {
        Credentials::load(&Self::identity(), &peers_of(peers), &self.directory(), clock)
    }

    pub fn credentials(&self, peers: &[(&str, &str, &Ca)]) -> Arc<Credentials> {
        self.try_credentials(peers, Arc::new(SystemClock)).unwrap()
    }
}

pub fn write_mode(file: &Path, text: &str, mode: u32) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// Configured peers whose roles are provisioner, intermediate-ca and operator.
pub fn peers_of(peers: &[(&str, &str, &Ca)]) -> Vec<Peer> {
    let peer = |(manufacturer, trust_domain, _): &(&str, &str, &Ca)| Peer {
        manufacturer: manufacturer.parse().unwrap(),
        trust_domain: trust_domain.parse().unwrap(),
        bundle: FilePath::new(format!("{trust_domain}.pem")),
        roles: vec![Role::Provisioner, Role::IntermediateCa, Role::Operator],
    };
    peers.iter().map(peer).collect()
}

pub fn expected(manufacturer: &str, role: Role) -> ExpectedPeer {
    ExpectedPeer { manufacturer: manufacturer.parse().unwrap(), role }
}

pub fn now() -> UnixTime {
    SystemClock.now()
}
