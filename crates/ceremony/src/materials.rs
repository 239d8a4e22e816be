//! What a ceremony works with: the certified key, the issuing root, and what signs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use issuance::{AskedFor, Entropy, KeyPolicy, SigningKey, SoftwareKey, Stage, csr::SubjectKey, gate};
use pki::{Certificate, Sha256, UnixTime, pem};
use service::config::{ConfigDirectory, FilePath};

use crate::{
    evidence::KeyEvidence,
    folder,
    input::{Input, KeyOrigin, Kind, Protection, algorithm_name, key_kind},
    keys::{self, Ask, NewProtection},
    make::{Maker, stage_of},
    refusal::CeremonyRefusal,
};

/// A ceremony's file, and where its paths start.
pub(crate) struct Materials<'a> {
    pub(crate) input: &'a Input,
    pub(crate) directory: &'a ConfigDirectory,
}

/// The root above an order CA, opened.
pub(crate) struct IssuingRoot {
    pub(crate) certificate: Certificate,
    key: Arc<dyn SigningKey>,
}

impl IssuingRoot {
    /// A development root's certificates are for trying things out.
    pub(crate) fn stage(&self) -> Stage {
        stage_of(&self.certificate)
    }
}

/// The certified key, and what is known about it.
pub(crate) struct Certified {
    pub(crate) key: SubjectKey,
    /// Its private half; none when it is held elsewhere.
    pub(crate) own: Option<Arc<SoftwareKey>>,
    pub(crate) evidence: KeyEvidence,
}

impl Materials<'_> {
    fn path(&self, file: &FilePath) -> PathBuf {
        self.directory.path(file)
    }

    /// The root that signs an order CA; none for a root's own ceremony.
    pub(crate) fn issuing_root(&self, ask: &mut Ask<'_>) -> Result<Option<IssuingRoot>, CeremonyRefusal> {
        let issuer = match self.input.kind()? {
            Kind::Root(_) => return Ok(None),
            Kind::OrderCa { issuer, .. } => issuer,
        };
        let certificate = read_certificate(&self.path(&issuer.certificate))?;
        let passphrase_file = issuer.passphrase_file.as_ref().map(|file| self.path(file));
        let key = Arc::new(keys::read(&self.path(&issuer.key), passphrase_file.as_deref(), ask)?);
        Ok(Some(IssuingRoot { certificate, key }))
    }

    /// What signs: the new key itself for a root, the root for an order CA.
    pub(crate) fn maker(
        &self,
        key: SubjectKey,
        own: Option<Arc<SoftwareKey>>,
        root: Option<&IssuingRoot>,
        now: UnixTime,
    ) -> Result<Maker, CeremonyRefusal> {
        match (self.input.kind()?, root) {
            (Kind::Root(document), _) => {
                let own = own.ok_or_else(|| CeremonyRefusal::input("key.csr", "a root signs itself"))?;
                Maker::root(own, &KeyPolicy::ca(self.input.key.algorithm), document.clone().check()?)
            }
            (Kind::OrderCa { document, .. }, Some(root)) => {
                let profile = document.clone().check(root.stage())?;
                Maker::order_ca(root.certificate.clone(), Arc::clone(&root.key), profile, key, now)
            }
            (Kind::OrderCa { .. }, None) => {
                Err(CeremonyRefusal::input("issuer", "missing: an order CA is signed by a root"))
            }
        }
    }

    /// The key to certify: made now, made before the interruption, or named by a CSR.
    pub(crate) fn certified_key(&self, entropy: &dyn Entropy, ask: &mut Ask<'_>) -> Result<Certified, CeremonyRefusal> {
        let algorithm = algorithm_name(self.input.key.algorithm);
        match self.input.key_origin()? {
            KeyOrigin::Csr(file) => {
                let (key, csr) = self.requested_key(file)?;
                let spki_sha256 = key.public_key().sha256().to_string();
                let attributes = format!("held elsewhere; possession proven by the CSR with sha256 {csr}");
                let evidence = KeyEvidence { algorithm, spki_sha256, attributes, file: None };
                Ok(Certified { key, own: None, evidence })
            }
            KeyOrigin::Made { file, protection } => {
                let path = self.path(file);
                let own = Arc::new(self.made_key(&path, protection, entropy, ask)?);
                let key = SubjectKey::held(own.as_ref(), &KeyPolicy::ca(self.input.key.algorithm))?;
                let spki_sha256 = key.public_key().sha256().to_string();
                let attributes = match protection {
                    Protection::Passphrase => {
                        "made here; PKCS#8 under a passphrase (PBES2, PBKDF2-HMAC-SHA-256, AES-256-CBC)"
                    }
                    Protection::FileMode => "made here; PKCS#8 in a file of mode 0600",
                };
                let (attributes, file) = (attributes.to_owned(), Some(path.display().to_string()));
                Ok(Certified {
                    key,
                    own: Some(own),
                    evidence: KeyEvidence { algorithm, spki_sha256, attributes, file },
                })
            }
        }
    }

    fn made_key(
        &self,
        path: &Path,
        protection: Protection,
        entropy: &dyn Entropy,
        ask: &mut Ask<'_>,
    ) -> Result<SoftwareKey, CeremonyRefusal> {
        let passphrase_file = self.input.key.passphrase_file.as_ref().map(|file| self.path(file));
        if folder::is_there(path) {
            return keys::read(path, passphrase_file.as_deref(), ask);
        }
        let protection = match protection {
            Protection::FileMode => NewProtection::FileMode,
            Protection::Passphrase => NewProtection::Passphrase { file: passphrase_file },
        };
        keys::make(path, key_kind(self.input.key.algorithm), &protection, entropy, ask)
    }

    /// The key in a CSR, and the CSR's digest.
    pub(crate) fn requested_key(&self, file: &FilePath) -> Result<(SubjectKey, Sha256), CeremonyRefusal> {
        let path = self.path(file);
        let octets = fs::read(&path).map_err(|e| CeremonyRefusal::io(&path, e))?;
        let der = match std::str::from_utf8(&octets) {
            Ok(text) if text.contains("-----BEGIN ") => {
                let block =
                    pem::single(text, pem::CERTIFICATE_REQUEST).map_err(|e| CeremonyRefusal::malformed(&path, e))?;
                block.der().to_vec()
            }
            Ok(_) | Err(_) => octets,
        };
        let key = gate(&der, &KeyPolicy::ca(self.input.key.algorithm), AskedFor::OrderCa)?;
        Ok((key, Sha256::of(&der)))
    }
}

/// The only certificate of a PEM file.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, CeremonyRefusal> {
    let text = fs::read_to_string(path).map_err(|e| CeremonyRefusal::io(path, e))?;
    let block = pem::single(&text, pem::CERTIFICATE).map_err(|e| CeremonyRefusal::malformed(path, e))?;
    Certificate::parse(block.der()).map_err(|e| CeremonyRefusal::malformed(path, e))
}
