//! What a ceremony leaves beside its outputs: enough to say later what was made, from what, by which program.

use std::path::Path;

use issuance::Stage;
use pki::{Certificate, Sha256};
use serde::Serialize;

/// `evidence.json`. Its presence says that the ceremony was held to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Always 1.
    pub version: u32,
    /// The program and its version.
    pub tool: String,
    /// As in the reviewed file.
    pub title: String,
    /// As in the reviewed file.
    pub witnesses: Vec<String>,
    /// When the certificate was completed, RFC 3339.
    pub held_at: String,
    /// The reviewed file; a copy lies beside the evidence.
    pub input: FileEvidence,
    /// `root` or `order-ca`.
    pub kind: &'static str,
    /// The certified key.
    pub key: KeyEvidence,
    /// What was made.
    pub certificate: CertificateEvidence,
    /// Who signed an order CA.
    pub issuer: Option<IssuerEvidence>,
}

/// A file by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEvidence {
    /// Its path, as it was named.
    pub file: String,
    /// SHA-256 of its octets, hex.
    pub sha256: String,
}

/// The certified key's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyEvidence {
    /// `p256`, `p384` or `ed25519`.
    pub algorithm: &'static str,
    /// SHA-256 of the SubjectPublicKeyInfo, hex.
    pub spki_sha256: String,
    /// Where it was made and how it lies there, in words.
    pub attributes: String,
    /// Its file; none when it is held elsewhere.
    pub file: Option<String>,
}

/// The certificate's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateEvidence {
    /// Its file.
    pub file: String,
    /// SHA-256 of the certificate, DER, hex: its fingerprint.
    pub sha256: String,
    /// SHA-256 of the TBS, which was written down before it was signed, hex.
    pub tbs_sha256: String,
    /// Digest of the checked profile that it was made by, hex.
    pub profile_sha256: String,
    /// Certificate serial, hex.
    pub serial: String,
    /// Its subject.
    pub subject: String,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
    /// `development` or `production`.
    pub stage: &'static str,
}

/// Who signed an order CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerEvidence {
    /// Its subject.
    pub subject: String,
    /// SHA-256 of its certificate, DER, hex.
    pub sha256: String,
}

impl CertificateEvidence {
    pub(crate) fn of(certificate: &Certificate, file: &Path, profile: Sha256, stage: Stage) -> Self {
        Self {
            file: file.display().to_string(),
            sha256: certificate.sha256().to_string(),
            tbs_sha256: Sha256::of(certificate.tbs()).to_string(),
            profile_sha256: profile.to_string(),
            serial: certificate.serial().to_string(),
            subject: certificate.subject().to_string(),
            not_before: certificate.not_before().to_string(),
            not_after: certificate.not_after().to_string(),
            stage: match stage {
                Stage::Development => "development",
                Stage::Production => "production",
            },
        }
    }
}

impl IssuerEvidence {
    pub(crate) fn of(certificate: &Certificate) -> Self {
        Self { subject: certificate.subject().to_string(), sha256: certificate.sha256().to_string() }
    }
}
