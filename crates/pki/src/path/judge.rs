//! One chain of valid signatures against the rules (RFC 5280 sections 4.2 and 6.1), from the anchor down.

use der::oid::ObjectIdentifier;

use super::constraints::{Constraints, check_names};
use super::revocation;
use super::{PathOptions, PathReason, PathRefusal, Purpose, Rules};
use crate::certificate::Certificate;
use crate::extensions::oid;
use crate::key::{KeyAlgorithm, PublicKey};

/// What came of a chain.
pub(super) enum Verdict {
    Passed,
    Refused {
        /// How many certificates, leaf included, had not passed when the refusal came; 0 for the last questions.
        pending: usize,
        refusal: PathRefusal,
    },
}

/// What is left of the comparisons that one question may cost.
pub(super) struct Budget {
    comparisons: usize,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget { comparisons: 100_000 }
    }

    pub(super) fn spend(&mut self, comparisons: usize) -> Result<(), PathRefusal> {
        self.comparisons = self.comparisons.checked_sub(comparisons).ok_or_else(|| {
            PathRefusal::new(PathReason::PathSearchExhausted, "too many names to compare with too many constraints")
        })?;
        Ok(())
    }
}

/// Extensions that must not be critical (RFC 5280 sections 4.2.1.1, 4.2.1.2, 4.2.1.15, 4.2.2.1, 4.2.2.2).
const NEVER_CRITICAL: [ObjectIdentifier; 5] = [
    oid::AUTHORITY_KEY_ID,
    oid::SUBJECT_KEY_ID,
    oid::FRESHEST_CRL,
    oid::AUTHORITY_INFO_ACCESS,
    oid::SUBJECT_INFO_ACCESS,
];

/// Extensions that must be critical (RFC 5280 sections 4.2.1.11, 4.2.1.14).
const ALWAYS_CRITICAL: [ObjectIdentifier; 2] = [oid::POLICY_CONSTRAINTS, oid::INHIBIT_ANY_POLICY];

/// Extensions that we process, so that they may be critical. Policies are not among them: who demands a policy is
/// refused rather than ignored.
const PROCESSED: [ObjectIdentifier; 5] =
    [oid::BASIC_CONSTRAINTS, oid::KEY_USAGE, oid::EXTENDED_KEY_USAGE, oid::SUBJECT_ALT_NAME, oid::NAME_CONSTRAINTS];

/// Judges `chain`, leaf first, whose signatures are valid up to `anchor`.
pub(super) fn judge(
    chain: &[&Certificate],
    anchor: &Certificate,
    options: &PathOptions<'_>,
    budget: &mut Budget,
) -> Verdict {
    let refused = |pending| move |refusal| Verdict::Refused { pending, refusal };
    let mut state = match State::at_anchor(anchor, options).map_err(refused(chain.len() + 1)) {
        Ok(state) => state,
        Err(verdict) => return verdict,
    };
    let mut above = anchor;
    for (below, certificate) in chain.iter().enumerate().rev() {
        let place = if below == 0 { Place::Leaf } else { Place::Intermediate };
        if let Err(refusal) = state.descend(certificate, above, place, options, budget) {
            return refused(below + 1)(refusal);
        }
        above = certificate;
    }
    match last_questions(chain, anchor, options) {
        Ok(()) => Verdict::Passed,
        Err(refusal) => refused(0)(refusal),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Anchor,
    Intermediate,
    Leaf,
}

/// The state variables of RFC 5280 section 6.1.2 that we keep.
struct State {
    /// max_path_length; `None` without limit.
    path_length: Option<u32>,
    /// permitted_subtrees and excluded_subtrees: a name must satisfy every CA's constraints, which is their
    /// intersection and their union.
    constraints: Vec<Constraints>,
}

impl State {
    fn at_anchor(anchor: &Certificate, options: &PathOptions<'_>) -> Result<State, PathRefusal> {
        check_validity(anchor, Place::Anchor, options)?;
        check_shape(anchor, None, Place::Anchor, options.rules)?;
        check_issuer(anchor, options.purpose)?;
        let mut state = State { path_length: None, constraints: Vec::new() };
        state.take_limits(anchor)?;
        Ok(state)
    }

    /// RFC 5280 sections 6.1.3 and 6.1.4 for one certificate of the path.
    fn descend(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        place: Place,
        options: &PathOptions<'_>,
        budget: &mut Budget,
    ) -> Result<(), PathRefusal> {
        check_validity(certificate, place, options)?;
        check_shape(certificate, Some(issuer.public_key()), place, options.rules)?;
        // Section 6.1.3 (b), (c): self-issued certificates are exempt unless last, for the sake of key rollover.
        if place == Place::Leaf || !certificate.is_self_issued() {
            check_names(certificate, &self.constraints, budget)?;
        }
        if place == Place::Leaf {
            return Ok(());
        }
        check_issuer(certificate, options.purpose)?;
        if !certificate.is_self_issued() {
            // Section 6.1.4 (l).
            self.path_length = match self.path_length {
                Some(left) => Some(left.checked_sub(1).ok_or_else(|| {
                    refuse(PathReason::PathLengthExceeded, certificate, "a CA above allows no further intermediate")
                })?),
                None => None,
            };
        }
        self.take_limits(certificate)
    }

    /// Section 6.1.4 (g), (m).
    fn take_limits(&mut self, ca: &Certificate) -> Result<(), PathRefusal> {
        if let Some(own) = ca.basic_constraints().and_then(|constraints| constraints.path_len) {
            self.path_length = Some(self.path_length.map_or(own, |left| left.min(own)));
        }
        if let Some(constraints) = ca.name_constraints() {
            let prepared = Constraints::prepare(constraints).ok_or_else(|| {
                refuse(PathReason::NameConstraintInvalid, ca, "a name constraint is no name of its kind")
            })?;
            self.constraints.push(prepared);
        }
        Ok(())
    }
}

pub(super) fn refuse(reason: PathReason, certificate: &Certificate, detail: &str) -> PathRefusal {
    PathRefusal::new(reason, format!("{certificate:?}: {detail}"))
}

/// RFC 5280 section 4.1.2.5: both ends belong to the period.
fn check_validity(certificate: &Certificate, place: Place, options: &PathOptions<'_>) -> Result<(), PathRefusal> {
    let (early, late) = match place {
        Place::Anchor => (PathReason::AnchorNotYetValid, PathReason::AnchorExpired),
        Place::Intermediate | Place::Leaf => (PathReason::NotYetValid, PathReason::Expired),
    };
    if options.at < certificate.not_before() {
        let detail = format!("valid from {}, asked for {}", certificate.not_before(), options.at);
        return Err(refuse(early, certificate, &detail));
    }
    if options.at > certificate.not_after() {
        let detail = format!("valid until {}, asked for {}", certificate.not_after(), options.at);
        return Err(refuse(late, certificate, &detail));
    }
    Ok(())
}

/// What RFC 5280 section 4 asks of any certificate, wherever it stands.
fn check_shape(
    certificate: &Certificate,
    issuer_key: Option<&PublicKey>,
    place: Place,
    rules: Rules,
) -> Result<(), PathRefusal> {
    let no = |reason, detail| Err(refuse(reason, certificate, detail));
    if matches!(certificate.public_key().algorithm(), KeyAlgorithm::Rsa { bits } if bits < 2048) {
        return no(PathReason::KeyTooWeak, "an rsa key of fewer than 2048 bits");
    }
    check_criticality(certificate, rules)?;
    if certificate.issuer().is_empty() {
        return no(PathReason::IssuerEmpty, "its issuer is an empty name");
    }
    if certificate.subject().is_empty() {
        let critical = certificate.extension(&oid::SUBJECT_ALT_NAME).is_some_and(|names| names.critical);
        if certificate.is_ca() || place != Place::Leaf || !critical {
            return no(
                PathReason::SubjectEmpty,
                "its subject is an empty name, and it is a CA or has no critical names",
            );
        }
    }
    if certificate.is_ca() {
        if certificate.subject_key_id().is_none() {
            return no(PathReason::MissingSubjectKeyId, "a CA without subjectKeyIdentifier");
        }
    } else {
        if certificate.key_usage().is_some_and(|usage| usage.key_cert_sign()) && place == Place::Leaf {
            return no(PathReason::KeyCertSignWithoutCa, "keyCertSign in a certificate that is no CA");
        }
        if certificate.name_constraints().is_some() {
            return no(PathReason::NameConstraintsWithoutCa, "nameConstraints in a certificate that is no CA");
        }
    }
    // Section 4.2.1.1: only a self-signed certificate may leave it out.
    let has_key_id = certificate.authority_key_id().is_some_and(|id| id.key_id.is_some());
    let self_signed = || match issuer_key {
        Some(key) => certificate.is_self_issued() && key == certificate.public_key(),
        None => certificate.is_self_issued() || is_signed_by_itself(certificate),
    };
    if !has_key_id && !self_signed() {
        return no(PathReason::MissingAuthorityKeyId, "no authorityKeyIdentifier with a keyIdentifier");
    }
    Ok(())
}

/// An anchor whose issuer is another name may be self-signed all the same, in the word's own sense.
fn is_signed_by_itself(certificate: &Certificate) -> bool {
    certificate.signature_algorithm().is_some_and(|algorithm| {
        certificate.public_key().verify(algorithm, certificate.tbs(), certificate.signature()).is_ok()
    })
}

fn check_criticality(certificate: &Certificate, rules: Rules) -> Result<(), PathRefusal> {
    let is_one_of = |list: &[ObjectIdentifier], octets: &[u8]| list.iter().any(|known| known.as_bytes() == octets);
    for extension in certificate.extensions() {
        let octets = extension.oid_octets;
        if extension.critical && is_one_of(&NEVER_CRITICAL, octets) {
            let detail = format!("extension {} must not be critical", extension.dotted());
            return Err(refuse(PathReason::CriticalityInvalid, certificate, &detail));
        }
        if !extension.critical && is_one_of(&ALWAYS_CRITICAL, octets) {
            let detail = format!("extension {} must be critical", extension.dotted());
            return Err(refuse(PathReason::CriticalityInvalid, certificate, &detail));
        }
        if extension.critical && !is_one_of(&PROCESSED, octets) {
            let detail = format!("critical extension {} is not processed", extension.dotted());
            return Err(refuse(PathReason::UnknownCriticalExtension, certificate, &detail));
        }
        // Section 4.2.1.9: critical in CA certificates.
        if !extension.critical && certificate.is_ca() && octets == oid::BASIC_CONSTRAINTS.as_bytes() {
            let detail = "basicConstraints of a CA must be critical";
            return Err(refuse(PathReason::CriticalityInvalid, certificate, detail));
        }
        // Section 4.2.1.10: must be critical. The compatibility profile of Countersign departs from it knowingly.
        if !extension.critical && octets == oid::NAME_CONSTRAINTS.as_bytes() && rules == Rules::Plain {
            let detail = "nameConstraints must be critical";
            return Err(refuse(PathReason::NameConstraintsNotCritical, certificate, detail));
        }
    }
    Ok(())
}

/// What RFC 5280 section 6.1.4 (k), (n) asks of whoever issues, and what everyone asks of extended usages above a leaf.
fn check_issuer(ca: &Certificate, purpose: Purpose) -> Result<(), PathRefusal> {
    match ca.basic_constraints() {
        None => return Err(refuse(PathReason::MissingBasicConstraints, ca, "an issuer without basicConstraints")),
        Some(constraints) if !constraints.ca => {
            return Err(refuse(PathReason::NotACa, ca, "an issuer whose basicConstraints do not say CA"));
        }
        Some(_) => {}
    }
    if ca.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(refuse(PathReason::CaWithoutKeyCertSign, ca, "an issuer whose keyUsage lacks keyCertSign"));
    }
    if extended_usage_allows(ca, purpose) {
        Ok(())
    } else {
        Err(refuse(PathReason::PurposeNotAllowed, ca, "an issuer whose extKeyUsage does not allow the purpose"))
    }
}

/// Section 4.2.1.12: without the extension every purpose is allowed.
fn extended_usage_allows(certificate: &Certificate, purpose: Purpose) -> bool {
    let Some(usage) = certificate.extended_key_usage() else { return true };
    match purpose {
        Purpose::Any => true,
        Purpose::Client => usage.client_auth() || usage.any(),
        Purpose::Server => usage.server_auth() || usage.any(),
    }
}

/// What is asked once all certificates have passed.
fn last_questions(chain: &[&Certificate], anchor: &Certificate, options: &PathOptions<'_>) -> Result<(), PathRefusal> {
    let Some((leaf, intermediates)) = chain.split_first() else { return Ok(()) };
    let depth = intermediates.iter().filter(|ca| !ca.is_self_issued()).count();
    if let Some(most) = options.max_depth
        && u32::try_from(depth).is_ok_and(|depth| depth > most)
    {
        let detail = format!("{depth} intermediates, and at most {most} are allowed");
        return Err(refuse(PathReason::MaxDepthExceeded, leaf, &detail));
    }
    revocation::check(chain, anchor, options)?;
    check_purpose(leaf, options)?;
    match &options.name {
        Some(name) if !name.is_borne_by(leaf) => {
            Err(refuse(PathReason::NameMismatch, leaf, &format!("it does not bear the name {name}")))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_purpose(leaf: &Certificate, options: &PathOptions<'_>) -> Result<(), PathRefusal> {
    match (options.rules, options.purpose) {
        (Rules::Countersign, Purpose::Client | Purpose::Server) if leaf.is_ca() => {
            return Err(refuse(PathReason::LeafIsCa, leaf, "the leaf is a CA"));
        }
        (Rules::Plain | Rules::Countersign, Purpose::Any | Purpose::Client | Purpose::Server) => {}
    }
    // Section 4.2.1.3: what a key of TLS does depends on the key exchange; one of them must be allowed. A CA as a leaf
    // is judged as the CA that it is: its keyUsage speaks of certificates.
    let key_usage_allows = leaf.key_usage().is_none_or(|usage| match options.purpose {
        Purpose::Any => true,
        Purpose::Client => usage.digital_signature() || usage.key_agreement(),
        Purpose::Server => usage.digital_signature() || usage.key_encipherment() || usage.key_agreement(),
    });
    if !key_usage_allows && !leaf.is_ca() {
        return Err(refuse(PathReason::PurposeNotAllowed, leaf, "its keyUsage does not allow the purpose"));
    }
    if !extended_usage_allows(leaf, options.purpose) {
        return Err(refuse(PathReason::PurposeNotAllowed, leaf, "its extKeyUsage does not allow the purpose"));
    }
    Ok(())
}
