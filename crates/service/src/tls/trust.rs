//! The configured peers with their bundles, and the judgement over a presented certificate.

use std::fmt;
use std::sync::Arc;

use pki::UnixTime;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage};

use super::leaf::Leaf;
use super::refusal::{PeerReason, PeerRefusal};
use crate::identity::{Manufacturer, PeerIdentity, Role, SpiffeId, TrustDomain};

/// What the presented certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It authenticates a TLS client.
    Client,
    /// It authenticates a TLS server.
    Server,
}

/// The peer that a client means to reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExpectedPeer {
    /// Its organisation.
    pub manufacturer: Manufacturer,
    /// Its role.
    pub role: Role,
}

impl fmt::Display for ExpectedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.manufacturer, self.role)
    }
}

/// A CA certificate of a bundle. webpki keeps neither an anchor's validity nor its constraints, so they are kept here.
pub(super) struct Anchor {
    pub(super) trust: TrustAnchor<'static>,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

/// The anchors of one trust domain.
pub(super) struct Bundle {
    pub(super) anchors: Vec<Anchor>,
}

/// A configured peer with its bundle.
pub(super) struct TrustedPeer {
    pub(super) manufacturer: Manufacturer,
    pub(super) trust_domain: TrustDomain,
    pub(super) roles: Vec<Role>,
    pub(super) bundle: Arc<Bundle>,
}

/// Everyone this process may talk with.
pub(super) struct Trust {
    pub(super) peers: Vec<TrustedPeer>,
}

impl Trust {
    /// Decides whether the presented certificate is that of a configured peer.
    pub(super) fn judge(
        &self,
        presented: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        side: Side,
    ) -> Result<PeerIdentity, PeerRefusal> {
        let leaf = Leaf::parse(presented)?;
        let id = leaf.spiffe_id()?;
        let shown = id.to_string();
        let refuse = |reason, detail: &str| PeerRefusal::new(reason, Some(&shown), detail);

        let bundle = self
            .peers
            .iter()
            .find(|peer| peer.trust_domain == id.trust_domain)
            .map(|peer| &peer.bundle)
            .ok_or_else(|| refuse(PeerReason::TrustDomainUnknown, "no peer of this trust domain is configured"))?;
        bundle.verify(presented, intermediates, now, side).map_err(|(reason, detail)| refuse(reason, &detail))?;
        self.allows(&id).map_err(|detail| refuse(PeerReason::NotAllowed, detail))?;
        Ok(PeerIdentity::new(id, leaf.sha256(), leaf.not_after()))
    }

    fn allows(&self, id: &SpiffeId) -> Result<(), &'static str> {
        let peer = self
            .peers
            .iter()
            .find(|peer| peer.trust_domain == id.trust_domain && peer.manufacturer == id.manufacturer)
            .ok_or("this trust domain is not configured to speak for this manufacturer")?;
        if !peer.roles.contains(&id.role) {
            return Err("this role is not among the peer's configured roles");
        }
        Ok(())
    }
}

impl Bundle {
    fn verify(
        &self,
        presented: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        side: Side,
    ) -> Result<(), (PeerReason, String)> {
        let seconds = u64::try_from(now.as_secs())
            .map_err(|_| (PeerReason::CertificateExpired, "our clock stands before 1970".to_owned()))?;
        let valid = |anchor: &&Anchor| anchor.not_before <= now && now <= anchor.not_after;
        let anchors: Vec<TrustAnchor<'_>> = self.anchors.iter().filter(valid).map(|a| a.trust.clone()).collect();
        if anchors.is_empty() {
            let detail = "no CA certificate of the bundle is valid now".to_owned();
            return Err((PeerReason::CertificateExpired, detail));
        }
        let usage = match side {
            Side::Client => KeyUsage::client_auth(),
            Side::Server => KeyUsage::server_auth(),
        };
        let certificate = EndEntityCert::try_from(presented).map_err(|error| named(&error))?;
        certificate
            .verify_for_usage(
                super::provider().signature_verification_algorithms.all,
                &anchors,
                intermediates,
                rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
                usage,
                None,
                None,
            )
            .map(|_| ())
            .map_err(|error| named(&error))
    }
}

fn named(error: &webpki::Error) -> (PeerReason, String) {
    use webpki::Error::{CertExpired, CertNotValidYet};
    let outside_validity = matches!(error, CertExpired { .. } | CertNotValidYet { .. });
    let reason = if outside_validity { PeerReason::CertificateExpired } else { PeerReason::CertificateInvalid };
    (reason, error.to_string())
}
