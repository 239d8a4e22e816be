//! What the hub trusts at one moment.

use std::{collections::BTreeMap, sync::Arc};

use mfg::{Bundle, OidArc};
use pki::{Certificate, ObjectIdentifier, Sha256};

use super::memory::Memory;

/// Whose rules chains under a CA are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Countersign's: handoffs at every hop.
    Countersign,
    /// RFC 5280 alone.
    Plain,
}

/// Whether a CA vouches for anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has proven to hold its key.
    Unverified,
    /// Somebody has.
    Verified,
}

/// What becomes of an unknown device under a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFirstConnect {
    /// It is refused.
    Refuse,
    /// It is registered.
    Register,
}

/// A registered CA certificate, as the judgement sees it.
#[derive(Debug, Clone)]
pub(crate) struct RegisteredCa {
    pub(crate) name: String,
    pub(crate) certificate: Certificate,
    pub(crate) whose: Whose,
    pub(crate) standing: Standing,
    pub(crate) on_first_connect: OnFirstConnect,
}

/// A CA key that is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DisabledKey {
    /// What the operator said.
    pub(crate) why: String,
}

/// Everything that a chain is judged by, apart from the time and the device's record. Replaced whole with every change.
#[derive(Debug, Default)]
pub(crate) struct TrustView {
    cas: Vec<RegisteredCa>,
    disabled: BTreeMap<[u8; 32], DisabledKey>,
    /// For each CA by place, the digests of the registered CA keys above it that are known to have signed it.
    above: Vec<Vec<Sha256>>,
    bundle: Option<Arc<Bundle>>,
    /// What devices of the same lots need not be asked again; with the view it goes.
    memory: Memory,
}

impl TrustView {
    /// A view over these.
    pub(crate) fn new(
        cas: Vec<RegisteredCa>,
        disabled: BTreeMap<[u8; 32], DisabledKey>,
        bundle: Option<Arc<Bundle>>,
    ) -> Self {
        let above = cas.iter().map(|ca| keys_above(ca, &cas)).collect();
        Self { cas, disabled, above, bundle, memory: Memory::default() }
    }

    pub(crate) fn cas(&self) -> &[RegisteredCa] {
        &self.cas
    }

    pub(crate) fn bundle(&self) -> Option<&Arc<Bundle>> {
        self.bundle.as_ref()
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The registered CA with this certificate.
    pub(crate) fn ca(&self, certificate: &Certificate) -> Option<&RegisteredCa> {
        self.cas.iter().find(|ca| ca.certificate == *certificate)
    }

    pub(crate) fn disabled_key(&self, key: &Sha256) -> Option<&DisabledKey> {
        self.disabled.get(key.as_bytes())
    }

    /// The keys of registered CAs that signed this registered CA: an anchor below a disabled key is cut off with it, although no path
    /// leads there.
    pub(crate) fn keys_above(&self, certificate: &Certificate) -> &[Sha256] {
        let place = self.cas.iter().position(|ca| ca.certificate == *certificate);
        place.and_then(|place| self.above.get(place)).map_or(&[], Vec::as_slice)
    }
}

/// Walks up from a CA through the registered ones, each step a verified signature.
fn keys_above(ca: &RegisteredCa, all: &[RegisteredCa]) -> Vec<Sha256> {
    let mut above: Vec<Sha256> = Vec::new();
    let mut open = vec![&ca.certificate];
    while let Some(certificate) = open.pop() {
        for issuer in all.iter().map(|other| &other.certificate).filter(|issuer| signed(issuer, certificate)) {
            let key = issuer.public_key().sha256();
            if key != certificate.public_key().sha256() && !above.contains(&key) {
                above.push(key);
                open.push(issuer);
            }
        }
    }
    above
}

fn signed(issuer: &Certificate, certificate: &Certificate) -> bool {
    issuer.subject() == certificate.issuer()
        && certificate.signature_algorithm().is_some_and(|algorithm| {
            issuer.public_key().verify(algorithm, certificate.tbs(), certificate.signature()).is_ok()
        })
}

/// Whether a certificate carries what may be a handoff, under any program's arc.
pub(crate) fn carries_handoff(certificate: &Certificate) -> bool {
    certificate
        .extensions()
        .filter_map(|extension| ObjectIdentifier::from_bytes(extension.oid_octets).ok())
        .any(|oid| OidArc::of_handoff(&oid).is_some())
}
