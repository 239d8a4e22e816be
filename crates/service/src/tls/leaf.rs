//! What is read from a service certificate before and beside its verification.

use pki::{Certificate, GeneralName, Sha256, UnixTime};

use super::refusal::{PeerReason, PeerRefusal};
use crate::identity::{IdentityError, SpiffeId};

/// A parsed certificate. Nothing here says that it is genuine.
pub(super) struct Leaf {
    certificate: Certificate,
}

impl Leaf {
    pub(super) fn parse(der: &[u8]) -> Result<Self, PeerRefusal> {
        match Certificate::parse(der) {
            Ok(certificate) => Ok(Self { certificate }),
            Err(error) => Err(PeerRefusal::new(PeerReason::CertificateInvalid, None, error.to_string())),
        }
    }

    /// The one SPIFFE id (X509-SVID, section 2: exactly one URI name, and it is the id).
    pub(super) fn spiffe_id(&self) -> Result<SpiffeId, PeerRefusal> {
        let refuse = |shown: Option<&str>, detail: &str| PeerRefusal::new(PeerReason::WithoutIdentity, shown, detail);
        let uris: Vec<&str> = self.certificate.subject_alt_names().iter().filter_map(uri).collect();
        match uris.as_slice() {
            [] => Err(refuse(None, "the certificate has no uri name")),
            [one] => one.parse().map_err(|error: IdentityError| refuse(Some(one), &error.to_string())),
            [first, ..] => Err(refuse(Some(first), "the certificate has several uri names, want one")),
        }
    }

    /// Whether it may stand in a bundle (RFC 5280, sections 4.2.1.3 and 4.2.1.9).
    pub(super) fn may_sign_certificates(&self) -> bool {
        self.certificate.is_ca() && self.certificate.key_usage().is_none_or(|usage| usage.key_cert_sign())
    }

    pub(super) fn not_before(&self) -> UnixTime {
        self.certificate.not_before()
    }

    pub(super) fn not_after(&self) -> UnixTime {
        self.certificate.not_after()
    }

    pub(super) fn sha256(&self) -> Sha256 {
        self.certificate.sha256()
    }
}

fn uri(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::Uri(uri) => Some(uri),
        GeneralName::Email(_)
        | GeneralName::Dns(_)
        | GeneralName::Directory(_)
        | GeneralName::Ip(_)
        | GeneralName::Other { .. } => None,
    }
}
