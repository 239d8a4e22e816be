//! One organisation of a world: its folder, its own service CA, its identity key, its people and services.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use issuance::{Entropy as _, Instance, KeyKind, SerialSource, ServiceCa, SigningKey as _, SoftwareKey, SystemEntropy};
use mfg::terms::{Period, TermsTime};
use pki::{Certificate, PublicKey, UnixTime, pem};

use crate::folder::Folder;

const SECONDS_A_DAY: i64 = 86_400;
/// How long a development service CA and its certificates are valid.
const VALID_DAYS: i64 = 3650;
/// The instance octet of service certificates' serials.
const SERVICE_INSTANCE: u8 = 1;

/// An organisation with everything that is secret to it in one folder.
#[derive(Debug)]
pub struct Organisation {
    id: String,
    folder: Folder,
    service_ca: ServiceCa,
    serials: SerialSource,
    validity: Period,
}

impl Organisation {
    /// The organisation whose folder is in `world`: made with a service CA and an identity key, or taken as it is.
    ///
    /// # Errors
    /// What the file system says; a folder that holds something else.
    pub fn open(world: &Folder, id: &str, display_name: &str, now: UnixTime) -> anyhow::Result<Self> {
        let folder = world.sub(id)?;
        let serials = SerialSource::new(Instance::of(SERVICE_INSTANCE)?, Arc::new(SystemEntropy));
        let validity = validity(now)?;
        if !folder.has("identity.key") {
            let key = SoftwareKey::generate(KeyKind::P256)?;
            folder.write("identity.pub", pem::encode("PUBLIC KEY", key.public_key().spki()).as_bytes())?;
            write_key(&folder, "identity.key", &key)?;
        }
        if !folder.has("service-ca.pem") {
            let key = Arc::new(SoftwareKey::generate(KeyKind::P256)?);
            write_key(&folder, "service-ca.key", &key)?;
            let ca = ServiceCa::create(key, display_name, "service CA", &validity, serials.next_serial()?)?;
            folder.write("service-ca.pem", pem::encode("CERTIFICATE", ca.certificate().der()).as_bytes())?;
        }
        let key = Arc::new(SoftwareKey::from_file(&folder.read("service-ca.key")?)?);
        let certificate = read_certificate(&folder, "service-ca.pem")?;
        let validity =
            Period { not_before: TermsTime(certificate.not_before()), not_after: TermsTime(certificate.not_after()) };
        let service_ca = ServiceCa::load(key, certificate)?;
        Ok(Self { id: id.to_owned(), folder, service_ca, serials, validity })
    }

    /// Manufacturer id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its trust domain: every organisation has its own.
    #[must_use]
    pub fn trust_domain(&self) -> String {
        format!("{}.example", self.id)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where its service CA's certificate lies: what peers configure.
    #[must_use]
    pub fn service_ca_path(&self) -> PathBuf {
        self.folder.join("service-ca.pem")
    }

    /// Its public identity key.
    ///
    /// # Errors
    /// When the file is no public key.
    pub fn identity_key(&self) -> anyhow::Result<PublicKey> {
        read_public_key(&self.folder, "identity.pub")
    }

    /// Makes the service certificate of a service or a person, if it is not there: `<file>.pem` and `<file>.key`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn enroll(&self, file: &str, role: &str, name: Option<&str>) -> anyhow::Result<()> {
        let certificate_file = format!("{file}.pem");
        if self.folder.has(&certificate_file) {
            return Ok(());
        }
        let key = SoftwareKey::generate(KeyKind::P256)?;
        write_key(&self.folder, &format!("{file}.key"), &key)?;
        let name = name.map(|n| format!("/{n}")).unwrap_or_default();
        let id = format!("spiffe://{}/{}/{role}{name}", self.trust_domain(), self.id);
        // Our own services know each other by SPIFFE id; other gRPC tools want the host.
        let hosts = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let serial = self.serials.next_serial()?;
        let certificate = self.service_ca.issue_for_hosts(key.public_key(), &id, &hosts, &self.validity, serial)?;
        self.folder.write(&certificate_file, pem::encode("CERTIFICATE", certificate.der()).as_bytes())?;
        Ok(())
    }

    /// Makes what devices know a server of this organisation by, if it is not there: `<file>.pem` and `<file>.key` for localhost, issued
    /// by a CA of its own in `<file>-ca.pem`. Its key is not kept: devices learn nothing of the service PKI, and nobody else gets one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn enroll_server(&self, file: &str, ca_name: &str) -> anyhow::Result<()> {
        let certificate_file = format!("{file}.pem");
        if self.folder.has(&certificate_file) {
            return Ok(());
        }
        let organization = self.service_ca.certificate().subject().organization().unwrap_or_default();
        let ca_key = Arc::new(SoftwareKey::generate(KeyKind::P256)?);
        let ca = ServiceCa::create(ca_key, &organization, ca_name, &self.validity, self.serials.next_serial()?)?;
        let key = SoftwareKey::generate(KeyKind::P256)?;
        write_key(&self.folder, &format!("{file}.key"), &key)?;
        let hosts = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let serial = self.serials.next_serial()?;
        let certificate = ca.issue_server(key.public_key(), "localhost", &hosts, &self.validity, serial)?;
        let ca_pem = pem::encode("CERTIFICATE", ca.certificate().der());
        self.folder.write(&format!("{file}-ca.pem"), ca_pem.as_bytes())?;
        // Last: as long as it is not there, all is made again.
        self.folder.write(&certificate_file, pem::encode("CERTIFICATE", certificate.der()).as_bytes())?;
        Ok(())
    }

    /// Makes a key pair for approving orders, if it is not there: `<name>.approval.key` and `.pub`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn approval_key(&self, name: &str) -> anyhow::Result<SoftwareKey> {
        let file = format!("{name}.approval.key");
        if !self.folder.has(&file) {
            let key = SoftwareKey::generate(KeyKind::P256)?;
            let public = pem::encode("PUBLIC KEY", key.public_key().spki());
            self.folder.write(&format!("{name}.approval.pub"), public.as_bytes())?;
            write_key(&self.folder, &file, &key)?;
        }
        Ok(SoftwareKey::from_file(&self.folder.read(&file)?)?)
    }

    /// Makes the wrapping key of a key escrow, if it is not there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn escrow_key(&self) -> anyhow::Result<()> {
        if !self.folder.has("escrow.key") {
            let mut key = [0; 32];
            SystemEntropy.fill(&mut key)?;
            self.folder.write_secret("escrow.key", &key)?;
        }
        Ok(())
    }
}

/// From a day ago, because clocks differ.
fn validity(now: UnixTime) -> anyhow::Result<Period> {
    let at = |days: i64| now.checked_add(days.saturating_mul(SECONDS_A_DAY)).context("the clock is out of range");
    Ok(Period { not_before: TermsTime(at(-1)?), not_after: TermsTime(at(VALID_DAYS)?) })
}

/// Writes a key as PEM PKCS#8, mode 0600.
///
/// # Errors
/// What the file system says.
pub(crate) fn write_key(folder: &Folder, file: &str, key: &SoftwareKey) -> anyhow::Result<()> {
    let pkcs8 = key.to_pkcs8()?;
    folder.write_secret(file, pem::encode("PRIVATE KEY", &pkcs8).as_bytes())?;
    Ok(())
}

/// Reads a PEM certificate.
///
/// # Errors
/// When the file is not exactly one.
pub(crate) fn read_certificate(folder: &Folder, file: &str) -> anyhow::Result<Certificate> {
    let text = String::from_utf8(folder.read(file)?)?;
    let block = pem::single(&text, "CERTIFICATE").with_context(|| format!("{file} in {}", folder.path().display()))?;
    Ok(Certificate::parse(block.der())?)
}

fn read_public_key(folder: &Folder, file: &str) -> anyhow::Result<PublicKey> {
    let text = String::from_utf8(folder.read(file)?)?;
    let block = pem::single(&text, "PUBLIC KEY").with_context(|| format!("{file} in {}", folder.path().display()))?;
    Ok(PublicKey::parse(block.der())?)
}
