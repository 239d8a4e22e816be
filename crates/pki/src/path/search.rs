//! Path building: every chain of valid signatures from the leaf to an anchor, nearest anchor first, within limits.
//!
//! RFC 5280 leaves building to us (RFC 4158 describes it). Candidates come from strangers, so everything is counted:
//! steps, signature checks, comparisons of names.

use super::judge::{Budget, Verdict, judge};
use super::{MAX_CANDIDATES, MAX_INTERMEDIATES, Path, PathOptions, PathReason, PathRefusal, SignatureChecks};
use crate::certificate::Certificate;
use crate::key::KeyAlgorithm;
use crate::revocation_list::RevocationList;

/// Partial chains looked at; far more than a sane set of candidates has.
const MAX_STEPS: usize = 2_048;

pub(super) fn search(
    leaf: &Certificate,
    candidates: &[Certificate],
    anchors: &[Certificate],
    options: &PathOptions<'_>,
    checks: &mut SignatureChecks<'_>,
) -> Result<Path, PathRefusal> {
    if candidates.len() > MAX_CANDIDATES {
        let detail = format!("{} candidates were given and at most {MAX_CANDIDATES} are looked at", candidates.len());
        return Err(PathRefusal::new(PathReason::PathSearchExhausted, detail));
    }
    let mut distinct: Vec<&Certificate> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if !distinct.contains(&candidate) {
            distinct.push(candidate);
        }
    }
    let mut search = Search {
        candidates: distinct,
        anchors,
        options,
        checks,
        steps: 0,
        exhausted: None,
        budget: Budget::new(),
        furthest: None,
    };
    match search.from(&mut vec![leaf]) {
        Some(path) => Ok(path),
        None => Err(search.refusal()),
    }
}

struct Search<'a, 'known> {
    candidates: Vec<&'a Certificate>,
    anchors: &'a [Certificate],
    options: &'a PathOptions<'a>,
    checks: &'a mut SignatureChecks<'known>,
    steps: usize,
    exhausted: Option<&'static str>,
    budget: Budget,
    furthest: Option<(Progress, PathRefusal)>,
}

/// What came of the candidates above a chain.
enum Above {
    Found(Path),
    /// Some signed, and none led to a path.
    Tried,
    /// None signed.
    Nobody,
}

/// How far a failed path came; the greatest is the most telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// Ended below this many certificates without an issuer.
    NoIssuer(usize),
    /// An anchor was reached by valid signatures; `Reverse`d count of certificates that had not passed yet.
    Reached(std::cmp::Reverse<usize>),
}

impl<'a> Search<'a, '_> {
    /// Extends the chain (leaf first) upwards in every way until a path is found.
    fn from(&mut self, chain: &mut Vec<&'a Certificate>) -> Option<Path> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            self.exhausted = Some("too many partial chains");
        }
        if self.exhausted.is_some() {
            return None;
        }
        let current = *chain.last()?;
        let mut named = None;
        for anchor in self.anchors {
            // A chain that already holds the anchor's name and key gains nothing above it, a lone leaf aside.
            if !may_have_issued(anchor, current)
                || (chain.len() > 1 && chain.iter().any(|held| same_entity(held, anchor)))
            {
                continue;
            }
            match self.check_signature(current, anchor) {
                Ok(()) => match self.judge(chain, anchor) {
                    Some(path) => return Some(path),
                    None => named = named.or(Some(PathReason::UnknownIssuer)),
                },
                Err(reason) => named = Some(reason),
            }
        }
        match self.above(chain, &mut named) {
            Above::Found(path) => return Some(path),
            Above::Tried => {}
            Above::Nobody => self.note_end(chain.len(), current, named),
        }
        None
    }

    /// Goes on through each candidate that signed the last of the chain.
    fn above(&mut self, chain: &mut Vec<&'a Certificate>, named: &mut Option<PathReason>) -> Above {
        let Some(current) = chain.last().copied() else { return Above::Nobody };
        let mut above = Above::Nobody;
        for candidate in self.candidates.clone() {
            if !may_have_issued(candidate, current) || chain.iter().any(|held| same_entity(held, candidate)) {
                continue;
            }
            if chain.len() > MAX_INTERMEDIATES {
                self.exhausted = Some("a path of more than 10 intermediates");
            }
            if self.exhausted.is_some() {
                return Above::Tried;
            }
            match self.check_signature(current, candidate) {
                Ok(()) => {
                    above = Above::Tried;
                    chain.push(candidate);
                    let found = self.from(chain);
                    chain.pop();
                    if let Some(path) = found {
                        return Above::Found(path);
                    }
                }
                Err(reason) => *named = Some(reason),
            }
        }
        above
    }

    fn judge(&mut self, chain: &[&'a Certificate], anchor: &'a Certificate) -> Option<Path> {
        match judge(chain, anchor, self.options, &mut self.budget) {
            Verdict::Passed => {
                let (leaf, intermediates) = chain.split_first()?;
                Some(Path {
                    leaf: (*leaf).clone(),
                    intermediates: intermediates.iter().map(|held| (*held).clone()).collect(),
                    anchor: anchor.clone(),
                })
            }
            Verdict::Refused { pending, refusal } => {
                if refusal.reason == PathReason::PathSearchExhausted {
                    self.exhausted = Some("too many names to compare with too many constraints");
                }
                self.note(Progress::Reached(std::cmp::Reverse(pending)), refusal);
                None
            }
        }
    }

    /// RFC 5280 section 6.1.3 (a)(1).
    fn check_signature(&mut self, subject: &Certificate, issuer: &Certificate) -> Result<(), PathReason> {
        if !subject.signature_algorithms_agree() {
            return Err(PathReason::SignatureAlgorithmMismatch);
        }
        let algorithm = subject.signature_algorithm().ok_or(PathReason::SignatureAlgorithmNotAllowed)?;
        let key = issuer.public_key();
        if matches!(key.algorithm(), KeyAlgorithm::Rsa { bits } if bits < 2048) {
            return Err(PathReason::KeyTooWeak);
        }
        let outcome = self.checks.check(algorithm, subject, key);
        if outcome == Err(PathReason::PathSearchExhausted) {
            self.exhausted = Some("too many signatures to check");
        }
        outcome
    }

    /// The chain ends here; `named` says what came of the issuers that bear the right name.
    fn note_end(&mut self, length: usize, last: &Certificate, named: Option<PathReason>) {
        let refusal = match named {
            // An anchor above was judged, which is further than this.
            Some(PathReason::UnknownIssuer) => return,
            Some(reason) => {
                let detail = format!("{last:?}: no certificate with its issuer's name verifies its signature");
                PathRefusal::new(reason, detail)
            }
            None => PathRefusal::new(PathReason::UnknownIssuer, self.describe_missing(last)),
        };
        self.note(Progress::NoIssuer(length), refusal);
    }

    fn describe_missing(&self, last: &Certificate) -> String {
        let other_key = self
            .anchors
            .iter()
            .chain(self.candidates.iter().copied())
            .any(|held| held.subject() == last.issuer() && !same_entity(held, last) && !key_ids_agree(held, last));
        if other_key {
            format!("{last:?}: a certificate with its issuer's name is at hand, but for another key")
        } else {
            format!("{last:?}: its issuer is neither among the anchors nor among the candidates")
        }
    }

    fn note(&mut self, progress: Progress, refusal: PathRefusal) {
        if self.furthest.as_ref().is_none_or(|(before, _)| *before < progress) {
            self.furthest = Some((progress, refusal));
        }
    }

    fn refusal(self) -> PathRefusal {
        match (self.exhausted, self.furthest) {
            (Some(limit), Some((_, furthest))) => {
                let detail = format!("the search ended at its limits: {limit}; until then: {furthest}");
                PathRefusal::new(PathReason::PathSearchExhausted, detail)
            }
            (Some(limit), None) => {
                PathRefusal::new(PathReason::PathSearchExhausted, format!("the search ended at its limits: {limit}"))
            }
            (None, Some((_, furthest))) => furthest,
            (None, None) => PathRefusal::new(PathReason::UnknownIssuer, "no issuer is at hand"),
        }
    }
}

/// Whether names chain (RFC 5280 section 6.1.3 (a)(4)) and key identifiers, where both are there, are the same
/// (section 4.2.1.2: the issuer's subjectKeyIdentifier MUST be what its certificates carry).
fn may_have_issued(issuer: &Certificate, subject: &Certificate) -> bool {
    issuer.subject() == subject.issuer() && key_ids_agree(issuer, subject)
}

pub(super) fn key_ids_agree(issuer: &Certificate, subject: &Certificate) -> bool {
    same_key_id(issuer, subject.authority_key_id().and_then(|id| id.key_id.as_deref()))
}

/// Whether a list may come from this CA: its name, and its key identifier where both are there.
pub(super) fn may_have_listed(issuer: &Certificate, list: &RevocationList) -> bool {
    issuer.subject() == list.issuer()
        && same_key_id(issuer, list.authority_key_id().and_then(|id| id.key_id.as_deref()))
}

fn same_key_id(issuer: &Certificate, authority: Option<&[u8]>) -> bool {
    match (issuer.subject_key_id(), authority) {
        (Some(own), Some(wanted)) => own == wanted,
        (Some(_) | None, _) => true,
    }
}

/// The same name with the same key: a path that meets it twice can be cut short, so it need not be looked at.
fn same_entity(one: &Certificate, other: &Certificate) -> bool {
    one.public_key() == other.public_key() && one.subject() == other.subject()
}
