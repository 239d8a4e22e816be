//! Why a peer's certificate was not accepted.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The named reasons of a refused handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerReason {
    /// No certificate, or not exactly one URI name that is a SPIFFE id of this system.
    WithoutIdentity,
    /// No configured peer has the trust domain.
    TrustDomainUnknown,
    /// The trust domain is known, but not with this manufacturer or role, or another peer was expected.
    NotAllowed,
    /// The certificate does not verify against its trust domain's bundle.
    CertificateInvalid,
    /// The certificate, or everything that could vouch for it, is expired or not yet valid.
    CertificateExpired,
    /// The handshake itself failed: wrong protocol version, broken bytes, closed in the middle.
    HandshakeFailed,
    /// The handshake took longer than `limits.handshake_timeout_ms`.
    HandshakeTimeout,
    /// The peer refused our certificate.
    RefusedByPeer,
    /// `limits.max_connections`, `limits.max_connections_per_peer` or `limits.max_handshakes` is reached.
    ConnectionLimit,
}

impl PeerReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::WithoutIdentity,
        Self::TrustDomainUnknown,
        Self::NotAllowed,
        Self::CertificateInvalid,
        Self::CertificateExpired,
        Self::HandshakeFailed,
        Self::HandshakeTimeout,
        Self::RefusedByPeer,
        Self::ConnectionLimit,
    ];

    /// The published name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WithoutIdentity => "PEER_WITHOUT_IDENTITY",
            Self::TrustDomainUnknown => "PEER_TRUST_DOMAIN_UNKNOWN",
            Self::NotAllowed => "PEER_NOT_ALLOWED",
            Self::CertificateInvalid => "PEER_CERTIFICATE_INVALID",
            Self::CertificateExpired => "PEER_CERTIFICATE_EXPIRED",
            Self::HandshakeFailed => "PEER_HANDSHAKE_FAILED",
            Self::HandshakeTimeout => "PEER_HANDSHAKE_TIMEOUT",
            Self::RefusedByPeer => "REFUSED_BY_PEER",
            Self::ConnectionLimit => "CONNECTION_LIMIT_REACHED",
        }
    }
}

/// A refused peer: the reason, what it presented, and what exactly was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRefusal {
    reason: PeerReason,
    presented: Option<String>,
    detail: String,
}

/// Longer ids are cut in messages; they come from strangers.
const MAX_PRESENTED: usize = 300;

impl PeerRefusal {
    pub(crate) fn new(reason: PeerReason, presented: Option<&str>, detail: impl Into<String>) -> Self {
        let presented = presented.map(|text| text.escape_default().take(MAX_PRESENTED).collect());
        Self { reason, presented, detail: detail.into() }
    }

    /// The refusal inside an error that came out of a handshake, a connection or a call.
    #[must_use]
    pub fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(found) = error.downcast_ref::<rustls::Error>().and_then(in_rustls) {
                return Some(found);
            }
            // An I/O error's own `source` skips the error it wraps.
            next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }

    /// The refusal for a failed server handshake.
    #[must_use]
    pub fn of_handshake(error: &std::io::Error) -> Self {
        if let Some(found) = Self::find(error) {
            return found.clone();
        }
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let reason = match tls {
            Some(rustls::Error::NoCertificatesPresented) => PeerReason::WithoutIdentity,
            // The signature in the handshake did not fit the certificate, or its form is broken.
            Some(rustls::Error::InvalidCertificate(_)) => PeerReason::CertificateInvalid,
            _ => PeerReason::HandshakeFailed,
        };
        Self::new(reason, None, error.to_string())
    }

    /// Which of the named reasons.
    #[must_use]
    pub fn kind(&self) -> PeerReason {
        self.reason
    }

    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason.as_str()
    }

    /// The id the peer presented, unverified, escaped and cut to a bounded length.
    #[must_use]
    pub fn presented(&self) -> Option<&str> {
        self.presented.as_deref()
    }
}

impl fmt::Display for PeerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presented = self.presented.as_deref().unwrap_or("no id");
        write!(f, "{}: peer presented {presented}: {}", self.reason(), self.detail)
    }
}

impl Error for PeerRefusal {}

impl From<PeerRefusal> for rustls::Error {
    fn from(refusal: PeerRefusal) -> Self {
        use rustls::{CertificateError, OtherError};
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

fn in_rustls(error: &rustls::Error) -> Option<&PeerRefusal> {
    if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error {
        return other.0.downcast_ref();
    }
    None
}
