//! Revocation lists along a path (RFC 5280 section 6.3.3), direct and complete ones only.

use super::judge::refuse;
use super::search::may_have_listed;
use super::{PathOptions, PathReason, PathRefusal};
use crate::certificate::Certificate;
use crate::extensions::oid;
use crate::revocation_list::RevocationList;

/// removeFromCRL (RFC 5280 section 5.3.1): the entry takes a hold back.
const REMOVE_FROM_CRL: u8 = 8;

/// Asks each certificate of `chain` (leaf first) of the lists of its issuer. A list that cannot be used is refused by
/// name, unless another of the same issuer can: a CA's older list may lie beside its newest.
pub(super) fn check(
    chain: &[&Certificate],
    anchor: &Certificate,
    options: &PathOptions<'_>,
) -> Result<(), PathRefusal> {
    let issuers = chain.iter().skip(1).copied().chain([anchor]);
    for (certificate, issuer) in chain.iter().zip(issuers) {
        let mut usable = false;
        let mut fault = None;
        for list in options.crls.iter().filter(|list| may_have_listed(issuer, list)) {
            match check_list(list, issuer, options) {
                Ok(()) => usable = true,
                Err(refusal) => {
                    fault = fault.or(Some(refusal));
                    continue;
                }
            }
            if let Some(entry) = list.revoked(certificate.serial())
                && entry.reason != Some(REMOVE_FROM_CRL)
            {
                let detail = format!("revoked at {}", entry.at);
                return Err(refuse(PathReason::Revoked, certificate, &detail));
            }
        }
        if let Some(refusal) = fault
            && !usable
        {
            return Err(refusal);
        }
    }
    Ok(())
}

fn check_list(list: &RevocationList, issuer: &Certificate, options: &PathOptions<'_>) -> Result<(), PathRefusal> {
    let no = |reason, detail: &str| Err(PathRefusal::new(reason, format!("{list:?}: {detail}")));
    // Section 6.3.3 (f): when there is a keyUsage, it must say cRLSign.
    if issuer.key_usage().is_some_and(|usage| !usage.crl_sign()) {
        return no(PathReason::CrlIssuerWithoutCrlSign, "its issuer's keyUsage lacks cRLSign");
    }
    if list.verify(issuer.public_key()).is_err() {
        return no(PathReason::CrlSignatureInvalid, "its signature does not verify");
    }
    // Section 5.2.3: always there, never critical.
    if list.extension(&oid::CRL_NUMBER).is_none_or(|number| number.critical) {
        return no(PathReason::CrlNumberInvalid, "it has no cRLNumber, or a critical one");
    }
    // Section 5.2: a list with a critical extension that one does not process must not be used. Among them are
    // issuingDistributionPoint and deltaCRLIndicator.
    if list.extensions().any(|extension| extension.critical) || list.has_unread_critical_entry() {
        return no(PathReason::CrlUnknownCriticalExtension, "it has a critical extension that is not processed");
    }
    if options.at < list.this_update() {
        return no(PathReason::CrlNotYetValid, "it is from the future");
    }
    match list.next_update() {
        None => no(PathReason::CrlWithoutNextUpdate, "it does not say when the next one comes"),
        Some(next) if options.at > next => no(PathReason::CrlExpired, &format!("the next one was due at {next}")),
        Some(_) => Ok(()),
    }
}
