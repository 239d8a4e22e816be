//! A presented chain against what the hub trusts.

use std::sync::Arc;

use api::Refusal;
use bytes::Bytes;
use mfg::{
    Accepted, Quantity,
    journey::{self, Journey, Witness},
};
use pki::{
    Certificate, Sha256, UnixTime,
    path::{Path, PathOptions, PathReason, PathRefusal, Purpose, Rules, SignatureChecks, verify_path_within},
};

use super::memory::Known;
use super::view::{RegisteredCa, Standing, TrustView, Whose, carries_handoff};

/// A presented chain, read.
#[derive(Debug, Clone)]
pub(crate) struct Presented {
    leaf: Certificate,
    others: Vec<Certificate>,
}

impl Presented {
    /// Reads the certificates, DER, leaf first.
    ///
    /// # Errors
    /// `CHAIN_NOT_PRESENTED`; `MALFORMED_CERTIFICATE` and the other names of what does not parse, with its place in the chain.
    pub(crate) fn read(certificates: &[Bytes]) -> Result<Self, Refusal> {
        let mut read = Vec::with_capacity(certificates.len());
        for (place, der) in certificates.iter().enumerate() {
            let certificate = Certificate::parse(der).map_err(|error| {
                Refusal::new(error.reason(), format!("certificate {} of the presented chain: {error}", place + 1))
                    .with("certificate", place + 1)
            })?;
            read.push(certificate);
        }
        let mut read = read.into_iter();
        let leaf =
            read.next().ok_or_else(|| Refusal::new("CHAIN_NOT_PRESENTED", "the device presented no certificate"))?;
        Ok(Self { leaf, others: read.collect() })
    }

    pub(crate) fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// What followed the leaf, in the order in which it came.
    pub(crate) fn others(&self) -> &[Certificate] {
        &self.others
    }

    fn all(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.others)
    }
}

/// What a chain that holds says.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// The device id: under Countersign's rules in lower case, else the common name as it is.
    pub(crate) device_id: String,
    /// Name of the registered CA that the path ends at.
    pub(crate) ca: String,
    pub(crate) whose: Whose,
    /// Leaf first, the registered CA last.
    pub(crate) path: Vec<Certificate>,
    /// SHA-256 of every CA key that the device stands under, as far as is known.
    pub(crate) keys: Vec<Sha256>,
    /// SHA-256 of the key that signed the leaf: the lot key.
    pub(crate) issuer_key: Sha256,
    /// The device's DNS name; empty under plain rules.
    pub(crate) dns_name: String,
    /// 0 under plain rules.
    pub(crate) generation: u32,
    /// Empty under plain rules.
    pub(crate) order: String,
    /// The brand's first; empty under plain rules.
    pub(crate) hops: Vec<VerdictHop>,
}

/// One handoff of the journey, with the key that it is about.
#[derive(Debug, Clone)]
pub(crate) struct VerdictHop {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) lot: String,
    pub(crate) quantity: Quantity,
    pub(crate) subtree: String,
    pub(crate) accepted: Accepted,
    /// SHA-256 of the lot key.
    pub(crate) key: Sha256,
}

impl Verdict {
    /// SHA-256 of the device certificate.
    pub(crate) fn certificate(&self) -> Sha256 {
        self.path.first().map_or_else(|| Sha256::of(&[]), Certificate::sha256)
    }

    /// The registered CA's certificate.
    pub(crate) fn anchor(&self) -> Option<&Certificate> {
        self.path.last()
    }
}

/// Judges a chain for a claimed device id. Whether a key of it is disabled is the caller's to ask, of [`key_refusal`]: a line may
/// register what must not connect.
///
/// Whatever is presented, a path takes at most [`pki::path::MAX_SIGNATURE_CHECKS`] signature checks: one a certificate where all is in
/// order, and one in all where its CAs were believed before. Acceptances take one a hop, once.
///
/// # Errors
/// `DEVICE_ID_MISMATCH`, `CA_UNVERIFIED`, every reason of a path (RFC 5280) and of a journey.
pub(crate) fn judge(presented: &Presented, claimed: &str, view: &TrustView, now: UnixTime) -> Result<Verdict, Refusal> {
    let known = view.memory().known();
    judge_within(presented, claimed, view, now, &known, &mut SignatureChecks::beyond(&known.signatures))
}

/// As [`judge`], by what is known of signatures, and with the checks that its path took told.
pub(super) fn judge_within(
    presented: &Presented,
    claimed: &str,
    view: &TrustView,
    now: UnixTime,
    known: &Known,
    checks: &mut SignatureChecks<'_>,
) -> Result<Verdict, Refusal> {
    let forced = presented.all().any(carries_handoff);
    let mut find_ca = |standing| find(presented, view, now, forced, standing, checks);
    let (ca, path, whose) = match find_ca(Standing::Verified) {
        Ok(found) => found,
        // Another CA may know the chain, only not be proven yet: the more telling answer.
        Err(refusal) => match find_ca(Standing::Unverified) {
            Ok((ca, _, _)) => return Err(unverified(ca)),
            Err(_) => return Err(path_refusal(&refusal, presented)),
        },
    };
    if whose == Whose::Countersign && !forced && !carries_handoff(path.anchor()) {
        let message = format!("no certificate of this chain is a handoff, and {} is not registered as plain", ca.name);
        return Err(Refusal::new("HANDOFF_MISSING", message).with("ca", &ca.name));
    }
    let keys = keys(presented, &path, view);
    match whose {
        Whose::Plain => {
            let verdict = plain(claimed, ca, &path, keys)?;
            view.memory().learn(known, &path, None);
            Ok(verdict)
        }
        Whose::Countersign => {
            let witness = Witness { bundle: view.bundle().map(Arc::as_ref), proven: &known.accepted };
            let journey = journey::read_with(&path, &witness)
                .map_err(|refusal| Refusal::new(refusal.reason(), refusal.detail.clone()))?;
            let verdict = countersign(claimed, ca, &path, keys, &journey)?;
            view.memory().learn(known, &path, Some(&journey));
            Ok(verdict)
        }
    }
}

/// `CA_DISABLED` when one of the keys is disabled.
///
/// # Errors
/// `CA_DISABLED`.
pub(crate) fn key_refusal(keys: &[Sha256], view: &TrustView) -> Result<(), Refusal> {
    match keys.iter().find_map(|key| view.disabled_key(key).map(|disabled| (key, disabled))) {
        None => Ok(()),
        Some((key, disabled)) => {
            let message = format!("the ca key {key} of this chain is disabled: {}", disabled.why);
            Err(Refusal::new("CA_DISABLED", message).with("key_sha256", key).with("why", &disabled.why))
        }
    }
}

type Found<'a> = (&'a RegisteredCa, Path, Whose);

/// Looks for a path to a CA of this standing. A handoff anywhere forces Countersign's rules; without one, each CA is asked by its own.
fn find<'a>(
    presented: &Presented,
    view: &'a TrustView,
    now: UnixTime,
    forced: bool,
    standing: Standing,
    checks: &mut SignatureChecks<'_>,
) -> Result<Found<'a>, PathRefusal> {
    let whose_of = |ca: &RegisteredCa| match ca.whose {
        Whose::Plain if !forced && !carries_handoff(&ca.certificate) => Whose::Plain,
        Whose::Plain | Whose::Countersign => Whose::Countersign,
    };
    let mut first = None;
    for whose in [Whose::Countersign, Whose::Plain] {
        let of_these = |ca: &&RegisteredCa| ca.standing == standing && whose_of(ca) == whose;
        let anchors: Vec<Certificate> = view.cas().iter().filter(of_these).map(|ca| ca.certificate.clone()).collect();
        if anchors.is_empty() {
            continue;
        }
        let rules = match whose {
            Whose::Countersign => Rules::Countersign,
            Whose::Plain => Rules::Plain,
        };
        let options = PathOptions { rules, ..PathOptions::new(now, Purpose::Client) };
        match verify_path_within(presented.leaf(), presented.others(), &anchors, &options, checks) {
            Ok(path) => match view.ca(path.anchor()) {
                Some(ca) => return Ok((ca, path, whose)),
                None => continue,
            },
            Err(refusal) => first = more_telling(first, refusal),
        }
    }
    Err(first.unwrap_or_else(|| PathRefusal {
        reason: PathReason::UnknownIssuer,
        detail: "no ca certificate is registered that could have issued this chain".to_owned(),
    }))
}

/// "Nobody I know issued it" says less than anything else.
fn more_telling(before: Option<PathRefusal>, refusal: PathRefusal) -> Option<PathRefusal> {
    match before {
        Some(before) if before.reason != PathReason::UnknownIssuer => Some(before),
        Some(_) | None => Some(refusal),
    }
}

fn unverified(ca: &RegisteredCa) -> Refusal {
    let message = format!("the chain ends at the registered ca {}, whose key nobody has proven to hold", ca.name);
    Refusal::new("CA_UNVERIFIED", message).with("ca", &ca.name)
}

fn path_refusal(refusal: &PathRefusal, presented: &Presented) -> Refusal {
    Refusal::new(refusal.reason(), refusal.detail.clone()).with("presented", 1 + presented.others().len())
}

/// Every CA key that the device stands under: on the path, presented beside it, and registered above its anchor.
fn keys(presented: &Presented, path: &Path, view: &TrustView) -> Vec<Sha256> {
    let on_path = path.intermediates().iter().chain([path.anchor()]);
    let mut keys: Vec<Sha256> = on_path.map(|ca| ca.public_key().sha256()).collect();
    let beside = presented.others().iter().map(|ca| ca.public_key().sha256());
    for key in beside.chain(view.keys_above(path.anchor()).iter().copied()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn certificates(path: &Path) -> Vec<Certificate> {
    std::iter::once(path.leaf()).chain(path.intermediates()).chain([path.anchor()]).cloned().collect()
}

fn plain(claimed: &str, ca: &RegisteredCa, path: &Path, keys: Vec<Sha256>) -> Result<Verdict, Refusal> {
    let names = path.leaf().subject().common_names();
    if names.as_slice() != [claimed] {
        return Err(mismatch(claimed, &names));
    }
    Ok(Verdict {
        device_id: claimed.to_owned(),
        ca: ca.name.clone(),
        whose: Whose::Plain,
        path: certificates(path),
        keys,
        issuer_key: path.issuer().public_key().sha256(),
        dns_name: String::new(),
        generation: 0,
        order: String::new(),
        hops: Vec::new(),
    })
}

fn countersign(
    claimed: &str,
    ca: &RegisteredCa,
    path: &Path,
    keys: Vec<Sha256>,
    journey: &Journey,
) -> Result<Verdict, Refusal> {
    // A device id is lower-cased at input; the certificate's is in lower case already.
    if !claimed.eq_ignore_ascii_case(journey.device_id.as_str()) {
        return Err(mismatch(claimed, &path.leaf().subject().common_names()));
    }
    let path_certificates = certificates(path);
    let hops = journey.hops.iter().map(|hop| verdict_hop(hop, &path_certificates)).collect::<Result<_, _>>()?;
    let dns_name = match path.leaf().subject_alt_names() {
        [pki::GeneralName::Dns(name)] => name.clone(),
        _ => String::new(),
    };
    Ok(Verdict {
        device_id: journey.device_id.to_string(),
        ca: ca.name.clone(),
        whose: Whose::Countersign,
        issuer_key: path.issuer().public_key().sha256(),
        path: path_certificates,
        keys,
        dns_name,
        generation: journey.generation.get(),
        order: journey.order.to_string(),
        hops,
    })
}

fn verdict_hop(hop: &mfg::journey::Hop, path: &[Certificate]) -> Result<VerdictHop, Refusal> {
    let certificate = path.iter().find(|c| c.sha256() == hop.certificate_sha256);
    let certificate = certificate
        .ok_or_else(|| Refusal::new("INTERNAL", "a hop of the journey is not on the path that it was read from"))?;
    Ok(VerdictHop {
        from: hop.from.to_string(),
        to: hop.to.to_string(),
        lot: hop.lot.to_string(),
        quantity: hop.quantity,
        subtree: hop.subtree.to_string(),
        accepted: hop.accepted,
        key: certificate.public_key().sha256(),
    })
}

fn mismatch(claimed: &str, names: &[String]) -> Refusal {
    let named = names.join(", ");
    let message = format!("the device claims to be {claimed:?}, its certificate is that of {named:?}");
    let refusal = Refusal::new("DEVICE_ID_MISMATCH", message).with("claimed", claimed).with("common_name", &named);
    match names {
        [name] if name.eq_ignore_ascii_case(claimed) => refusal.with("differs", "upper and lower case"),
        _ => refusal,
    }
}
