//! What rcgen does not check about an issuer.

use std::sync::Arc;

use mfg::oid::DEVELOPMENT_MARKER;
use mfg::terms::TermsTime;
use mfg::{Handoff, OidArc, OrderCa};
use pki::path::{PathOptions, Purpose, verify_path};
use pki::{Certificate, DnsName, Subtree, UnixTime};

use super::{CaKey, LoadRefusal, Standing};
use crate::cycle::Receipt;
use crate::key::SigningKey;
use crate::profile::{Period, Stage};
use crate::signatory::Signatory;

/// What loading depends on besides the chain and the key.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Development anchors and the documentation arc are refused in production.
    pub stage: Stage,
    /// The program's arc, under which the handoff extension stands.
    pub oid_arc: OidArc,
    /// When the chain must verify.
    pub now: UnixTime,
}

pub(super) fn load<R: Receipt>(
    chain: Vec<Certificate>,
    key: Arc<dyn SigningKey>,
    options: &LoadOptions,
) -> Result<(CaKey<R>, Standing), LoadRefusal> {
    let (ca, subtree) = ca_key(&chain, key, options.stage, options.now)?;
    options.stage.check_arc(&options.oid_arc).map_err(|_| LoadRefusal::DocumentationArc)?;
    let handoff = own_handoff(ca.certificate(), options)?;
    if let (Some(handoff), Some(subtree)) = (&handoff, &subtree) {
        check_spelling(handoff, subtree)?;
    }
    let path_length_left = path_length_left(&chain);
    Ok((ca, Standing { chain, path_length_left, subtree, handoff }))
}

/// The key, and the innermost permitted subtree of its chain.
pub(super) fn ca_key<R: Receipt>(
    chain: &[Certificate],
    key: Arc<dyn SigningKey>,
    stage: Stage,
    now: UnixTime,
) -> Result<(CaKey<R>, Option<DnsName>), LoadRefusal> {
    let (Some(own), Some(anchor)) = (chain.first(), chain.last()) else {
        return Err(LoadRefusal::ChainEmpty);
    };
    if key.public_key() != own.public_key() {
        return Err(LoadRefusal::KeyMismatch);
    }
    if stage == Stage::Production && anchor.extension(&DEVELOPMENT_MARKER).is_some() {
        return Err(LoadRefusal::DevelopmentAnchor);
    }
    chain.iter().try_for_each(check_ca)?;
    check_path(chain, now)?;
    mfg::depth::check(chain.len().saturating_sub(1), OrderCa::Absent)?;
    let key_id = own.subject_key_id().ok_or(LoadRefusal::WithoutKeyId)?.to_vec();
    let Nested { validity, window, subtree } = Nested::of(chain)?;
    let signatory = Signatory::new(key, own.subject().der().to_vec(), key_id);
    Ok((CaKey::new(signatory, own.clone(), validity, window), subtree))
}

/// RFC 5280 sections 4.2.1.9 and 4.2.1.3. The anchor too: a root without them cannot be held to anything.
fn check_ca(certificate: &Certificate) -> Result<(), LoadRefusal> {
    let shown = || certificate.subject().to_string();
    if !certificate.is_ca() {
        return Err(LoadRefusal::NotACa(shown()));
    }
    if !certificate.key_usage().is_some_and(pki::KeyUsage::key_cert_sign) {
        return Err(LoadRefusal::WithoutKeyCertSign(shown()));
    }
    Ok(())
}

/// Signatures, names, lengths and times, by the same judge that judges devices. Each certificate must be issued by
/// the very next one, so every step is verified as a path of its own below the rest.
fn check_path(chain: &[Certificate], now: UnixTime) -> Result<(), LoadRefusal> {
    let options = PathOptions::new(now, Purpose::Any);
    let Some((anchor, intermediates)) = chain.split_last() else {
        return Err(LoadRefusal::ChainEmpty);
    };
    let (leaf, candidates) = intermediates.split_first().unwrap_or((anchor, &[]));
    let path = verify_path(leaf, candidates, std::slice::from_ref(anchor), &options).map_err(LoadRefusal::Path)?;
    // A shorter path than the one given would mean that the standing is computed over strangers.
    if path.intermediates() != candidates || path.anchor() != anchor {
        return Err(LoadRefusal::Strangers);
    }
    Ok(())
}

fn own_handoff(own: &Certificate, options: &LoadOptions) -> Result<Option<Handoff>, LoadRefusal> {
    let extension = own.extension(&options.oid_arc.handoff());
    Ok(extension.map(|extension| Handoff::from_der(extension.value)).transpose()?)
}

/// The subtree spells the handoff: `<lot>.<to>.` and the parent's.
fn check_spelling(handoff: &Handoff, subtree: &DnsName) -> Result<(), LoadRefusal> {
    let consignment = &handoff.consignment;
    let mut labels = subtree.labels();
    let spelled = (labels.next(), labels.next());
    if spelled == (Some(consignment.lot.as_str()), Some(consignment.to.as_str())) {
        return Ok(());
    }
    Err(LoadRefusal::SubtreeNotSpelled(subtree.as_str().to_owned()))
}

/// What nests from the anchor down.
struct Nested {
    validity: Period,
    window: Option<Period>,
    subtree: Option<DnsName>,
}

impl Nested {
    fn of(chain: &[Certificate]) -> Result<Self, LoadRefusal> {
        let mut from_anchor = chain.iter().rev();
        let anchor = from_anchor.next().ok_or(LoadRefusal::ChainEmpty)?;
        let first = Self { validity: validity(anchor), window: window(anchor), subtree: subtree(anchor) };
        from_anchor.try_fold(first, Self::down)
    }

    fn down(self, certificate: &Certificate) -> Result<Self, LoadRefusal> {
        let shown = || certificate.subject().to_string();
        let validity = validity(certificate);
        if !self.validity.encloses(&validity) {
            return Err(LoadRefusal::ValidityNotNested(shown()));
        }
        let window = match (self.window, window(certificate)) {
            (Some(above), Some(own)) if !above.encloses(&own) => return Err(LoadRefusal::WindowNotNested(shown())),
            (above, own) => own.or(above),
        };
        let subtree = subtree(certificate).ok_or_else(|| LoadRefusal::SubtreeNotNested(shown()))?;
        if self.subtree.is_some_and(|above| !subtree.is_within(&above)) {
            return Err(LoadRefusal::SubtreeNotNested(shown()));
        }
        Ok(Self { validity, window, subtree: Some(subtree) })
    }
}

fn validity(certificate: &Certificate) -> Period {
    Period { not_before: TermsTime(certificate.not_before()), not_after: TermsTime(certificate.not_after()) }
}

/// An end that is not given is the validity's.
fn window(certificate: &Certificate) -> Option<Period> {
    certificate.private_key_usage_period().map(|period| Period {
        not_before: TermsTime(period.not_before.unwrap_or(certificate.not_before())),
        not_after: TermsTime(period.not_after.unwrap_or(certificate.not_after())),
    })
}

/// The permitted dNSName, when nameConstraints are exactly one.
fn subtree(certificate: &Certificate) -> Option<DnsName> {
    let constraints = certificate.name_constraints()?;
    match (constraints.permitted.as_slice(), constraints.excluded.as_slice()) {
        ([Subtree::Dns(base)], []) => DnsName::from_any_case(base).ok(),
        (_, _) => None,
    }
}

/// RFC 5280 section 6.1.4 (l) and (m): each certificate below one with a limit uses up one, self-issued ones aside.
fn path_length_left(chain: &[Certificate]) -> Option<u32> {
    chain.iter().rev().fold(None, |above: Option<u32>, certificate| {
        let cost = u32::from(!certificate.is_self_issued());
        let left = above.map(|left| left.saturating_sub(cost));
        let own = certificate.basic_constraints().and_then(|constraints| constraints.path_len);
        match (left, own) {
            (Some(left), Some(own)) => Some(left.min(own)),
            (left, own) => left.or(own),
        }
    })
}
