//! A device that is known by its certificate's thumbprint.

use api::{Refusal, hub::v1::Thumbprints};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use pki::{Certificate, UnixTime};

use super::chain::Presented;

/// Judges what a device presented by the thumbprints in its record. The TLS handshake proved that it holds the key; nothing vouches
/// for the certificate but the operator who registered it, so that only its own validity is left to ask.
///
/// # Errors
/// `THUMBPRINT_MISMATCH`, `EXPIRED`, `NOT_YET_VALID`.
pub(crate) fn judge_thumbprint(presented: &Presented, expected: &Thumbprints, now: UnixTime) -> Result<(), Refusal> {
    let leaf = presented.leaf();
    let sha256 = leaf.sha256();
    let registered = [&expected.primary, &expected.secondary];
    if !registered.into_iter().any(|thumbprint| is_of(thumbprint, leaf)) {
        let message =
            format!("the device presents the certificate {sha256}, and is registered with another thumbprint");
        return Err(Refusal::new("THUMBPRINT_MISMATCH", message).with("certificate_sha256", sha256));
    }
    if now < leaf.not_before() {
        let message = format!("the device's certificate is valid from {}, now is {now}", leaf.not_before());
        return Err(Refusal::new("NOT_YET_VALID", message));
    }
    if now > leaf.not_after() {
        let message = format!("the device's certificate was valid until {}, now is {now}", leaf.not_after());
        return Err(Refusal::new("EXPIRED", message));
    }
    Ok(())
}

/// SHA-1 is what other hubs show and people copy. It names a certificate that an operator picked; that nobody can make a second one
/// to it is not relied on beyond second pre-images, which SHA-1 still withstands.
fn is_of(thumbprint: &[u8], certificate: &Certificate) -> bool {
    match thumbprint.len() {
        20 => digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.der()).as_ref() == thumbprint,
        32 => certificate.sha256().as_bytes() == thumbprint,
        _ => false,
    }
}
