//! The reviewed file. deploy/ceremony has a sample of each kind.

use issuance::{
    KeyKind,
    profile::{OrderCaProfileDocument, RootProfileDocument},
};
use mfg::terms::HandoffKeyAlgorithm;
use serde::Deserialize;
use service::config::FilePath;

use crate::refusal::CeremonyRefusal;

/// The only version of the file.
const VERSION: u32 = 1;

/// What is to be made, with which key, and where it goes. Relative paths start at the file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Always 1.
    pub version: u32,
    /// What the ceremony is called in its evidence.
    pub title: String,
    /// Who is present. May be empty.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// The root to be made; or else `order_ca`.
    pub root: Option<RootProfileDocument>,
    /// The order CA to be certified; or else `root`.
    pub order_ca: Option<OrderCaProfileDocument>,
    /// Who signs an order CA; with `order_ca` alone.
    pub issuer: Option<IssuerSection>,
    /// The key that is certified.
    pub key: KeySection,
    /// Where everything goes.
    pub output: OutputSection,
}

/// `[issuer]`: the offline root.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSection {
    /// PEM: its certificate.
    pub certificate: FilePath,
    /// Its key, PKCS#8, mode 0600 or encrypted.
    pub key: FilePath,
    /// Where the key's passphrase stands, mode 0600. Absent: it is asked for, when the key is encrypted.
    pub passphrase_file: Option<FilePath>,
}

/// `[key]`: made here, or held elsewhere and proven by a CSR.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySection {
    /// Which kind of key; a CSR must have a key of this kind.
    pub algorithm: HandoffKeyAlgorithm,
    /// Where the new key goes; or else `csr`.
    pub file: Option<FilePath>,
    /// How the new key is protected; with `file` alone.
    pub protection: Option<Protection>,
    /// Where the passphrase of the new key stands, mode 0600. Absent: it is asked for twice.
    pub passphrase_file: Option<FilePath>,
    /// PKCS#10 of an order CA's key that is held elsewhere, PEM or DER; or else `file`.
    pub csr: Option<FilePath>,
}

/// How a new key lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// PKCS#8 encrypted under a passphrase: for a key that lies offline.
    Passphrase,
    /// PKCS#8 in a file of mode 0600: for a key that a service reads.
    FileMode,
}

/// `[output]`: nothing that is there already is touched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSection {
    /// The folder of the evidence: made by the ceremony.
    pub evidence: FilePath,
    /// Where the certificate goes, PEM.
    pub certificate: FilePath,
}

/// Where the certified key comes from.
pub(crate) enum KeyOrigin<'a> {
    Made { file: &'a FilePath, protection: Protection },
    Csr(&'a FilePath),
}

/// What is made.
pub(crate) enum Kind<'a> {
    Root(&'a RootProfileDocument),
    OrderCa { document: &'a OrderCaProfileDocument, issuer: &'a IssuerSection },
}

impl Input {
    /// Version and title, and that the sections fit together.
    pub(crate) fn check(&self) -> Result<(), CeremonyRefusal> {
        if self.version != VERSION {
            return Err(CeremonyRefusal::input("version", format!("{} is not known, want {VERSION}", self.version)));
        }
        let words =
            std::iter::once(("title", &self.title)).chain(self.witnesses.iter().map(|name| ("witnesses", name)));
        for (field, text) in words {
            if text.trim().is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
                return Err(CeremonyRefusal::input(field, "want 1 to 200 octets without control characters"));
            }
        }
        self.kind()?;
        self.key_origin()?;
        Ok(())
    }

    pub(crate) fn kind(&self) -> Result<Kind<'_>, CeremonyRefusal> {
        match (&self.root, &self.order_ca, &self.issuer) {
            (Some(root), None, None) => Ok(Kind::Root(root)),
            (None, Some(document), Some(issuer)) => Ok(Kind::OrderCa { document, issuer }),
            (None, Some(_), None) => Err(CeremonyRefusal::input("issuer", "missing: an order CA is signed by a root")),
            (Some(_), None, Some(_)) => Err(CeremonyRefusal::input("issuer", "a root signs itself")),
            (Some(_), Some(_), _) => Err(CeremonyRefusal::input("order_ca", "one file makes one certificate")),
            (None, None, _) => Err(CeremonyRefusal::input("root", "missing, and so is order_ca")),
        }
    }

    pub(crate) fn key_origin(&self) -> Result<KeyOrigin<'_>, CeremonyRefusal> {
        let KeySection { file, protection, passphrase_file, csr, .. } = &self.key;
        match (file, protection, csr) {
            (Some(file), Some(protection), None) => match (protection, passphrase_file) {
                (Protection::FileMode, Some(_)) => {
                    Err(CeremonyRefusal::input("key.passphrase_file", "protection is file-mode, without a passphrase"))
                }
                (Protection::FileMode, None) | (Protection::Passphrase, _) => {
                    Ok(KeyOrigin::Made { file, protection: *protection })
                }
            },
            (Some(_), None, None) => {
                Err(CeremonyRefusal::input("key.protection", "missing: want \"passphrase\" or \"file-mode\""))
            }
            (None, None, Some(csr)) if self.order_ca.is_some() && passphrase_file.is_none() => Ok(KeyOrigin::Csr(csr)),
            (None, None, Some(_)) => {
                Err(CeremonyRefusal::input("key.csr", "for an order CA alone, without passphrase_file"))
            }
            (_, _, Some(_)) => Err(CeremonyRefusal::input("key.csr", "a key that is held elsewhere is not made here")),
            (None, _, None) => Err(CeremonyRefusal::input("key.file", "missing, and so is csr")),
        }
    }
}

/// The kind of key to make for an algorithm.
pub(crate) fn key_kind(algorithm: HandoffKeyAlgorithm) -> KeyKind {
    match algorithm {
        HandoffKeyAlgorithm::P256 => KeyKind::P256,
        HandoffKeyAlgorithm::P384 => KeyKind::P384,
        HandoffKeyAlgorithm::Ed25519 => KeyKind::Ed25519,
    }
}

/// As it stands in files.
pub(crate) fn algorithm_name(algorithm: HandoffKeyAlgorithm) -> &'static str {
    match algorithm {
        HandoffKeyAlgorithm::P256 => "p256",
        HandoffKeyAlgorithm::P384 => "p384",
        HandoffKeyAlgorithm::Ed25519 => "ed25519",
    }
}
