//! The files of the line's identities, replaced as an operator or an agent would: each at once, by a rename.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use issuance::{Instance, KeyKind, SerialSource, ServiceCa, SigningKey as _, SoftwareKey, SystemEntropy};
use mfg::terms::{Period, TermsTime};
use pki::{Certificate, pem};

use crate::world::{At, Chain, TECHNICIAN};

/// What mends a file that was broken.
pub(crate) type Mend = Box<dyn FnOnce()>;

/// technician-z's service certificates and the CAs that sign them.
pub(crate) struct Rotating {
    folder: PathBuf,
    old: ServiceCa,
    new: ServiceCa,
    signs: Signs,
    serials: SerialSource,
    validity: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signs {
    Old,
    New,
}

impl Rotating {
    pub(crate) fn of(chain: &Chain) -> Self {
        let folder = chain.organisation(TECHNICIAN).folder().path().to_owned();
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let text = String::from_utf8(read("service-ca.pem")).unwrap();
        let certificate = Certificate::parse(pem::single(&text, "CERTIFICATE").unwrap().der()).unwrap();
        let validity =
            Period { not_before: TermsTime(certificate.not_before()), not_after: TermsTime(certificate.not_after()) };
        let key = SoftwareKey::from_file(&read("service-ca.key")).unwrap();
        let old = ServiceCa::load(Arc::new(key), certificate).unwrap();
        let serials = SerialSource::new(Instance::of(2).unwrap(), Arc::new(SystemEntropy));
        let new = Arc::new(SoftwareKey::generate(KeyKind::P256).unwrap());
        let new = ServiceCa::create(new, "Technician-Z, next", "service CA", &validity, serials.next_serial().unwrap())
            .unwrap();
        Self { folder, old, new, signs: Signs::Old, serials, validity }
    }

    /// A new key and certificate for a service of the line.
    pub(crate) fn replace(&self, at: At) {
        match at {
            At::TechnicianCa => self.enroll("intermediate-ca", "intermediate-ca"),
            At::Provisioner => self.enroll("provisioner", "provisioner/line-1"),
            At::RootCa | At::FactoryCa | At::Hub => panic!("{at:?} is not at the line"),
        }
    }

    pub(crate) fn replace_station(&self) {
        self.enroll("station", "station/station-1");
    }

    pub(crate) fn believe_both(&self) {
        self.write_bundle(&[&self.old, &self.new]);
    }

    pub(crate) fn sign_with_the_new_one(&mut self) {
        self.signs = Signs::New;
    }

    pub(crate) fn believe_the_new_one(&self) {
        self.write_bundle(&[&self.new]);
    }

    /// Half of the provisioner's certificate, as after a copy that was interrupted.
    pub(crate) fn halve_certificate(&self) -> Mend {
        self.breaking("provisioner.pem", 0o644, |octets| octets[..octets.len() / 2].to_vec())
    }

    /// A key that is not that of the certificate.
    pub(crate) fn exchange_key(&self) -> Mend {
        let other = SoftwareKey::generate(KeyKind::P256).unwrap().to_pkcs8().unwrap();
        self.breaking("provisioner.key", 0o600, |_| pem::encode("PRIVATE KEY", &other).into_bytes())
    }

    /// A bundle of nobody.
    pub(crate) fn empty_bundle(&self) -> Mend {
        self.breaking("service-ca.pem", 0o644, |_| Vec::new())
    }

    fn breaking(&self, name: &str, mode: u32, broken: impl FnOnce(&[u8]) -> Vec<u8>) -> Mend {
        let file = self.folder.join(name);
        let good = fs::read(&file).unwrap();
        replace(&file, &broken(&good), mode);
        Box::new(move || replace(&file, &good, mode))
    }

    fn enroll(&self, file: &str, path: &str) {
        let key = SoftwareKey::generate(KeyKind::P256).unwrap();
        let id = format!("spiffe://{TECHNICIAN}.example/{TECHNICIAN}/{path}");
        let ca = match self.signs {
            Signs::Old => &self.old,
            Signs::New => &self.new,
        };
        let serial = self.serials.next_serial().unwrap();
        let certificate = ca.issue(key.public_key(), &id, &self.validity, serial).unwrap();
        let (private, public) = (pem::encode("PRIVATE KEY", &key.to_pkcs8().unwrap()), certificate.der());
        replace(&self.folder.join(format!("{file}.key")), private.as_bytes(), 0o600);
        replace(&self.folder.join(format!("{file}.pem")), pem::encode("CERTIFICATE", public).as_bytes(), 0o644);
    }

    fn write_bundle(&self, cas: &[&ServiceCa]) {
        let text: String = cas.iter().map(|ca| pem::encode("CERTIFICATE", ca.certificate().der())).collect();
        replace(&self.folder.join("service-ca.pem"), text.as_bytes(), 0o644);
    }
}

/// Nobody ever reads half of it.
fn replace(file: &Path, octets: &[u8], mode: u32) {
    let beside = file.with_extension("next");
    let mut next = fs::File::options().create(true).truncate(true).write(true).mode(mode).open(&beside).unwrap();
    next.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
    next.write_all(octets).unwrap();
    fs::rename(&beside, file).unwrap();
}
