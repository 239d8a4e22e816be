//! Uploads: one certificate and no key; and the proof that somebody holds a CA's key.

use api::Refusal;
use pki::{Certificate, UnixTime, hex, pem};

/// A longer upload is not read.
const MAX_UPLOAD: usize = 64 * 1024;
/// Octets of a verification code: 48 hex digits.
const CODE_OCTETS: usize = 24;

/// The one certificate of an upload, PEM or DER.
///
/// # Errors
/// `PRIVATE_KEY_IN_UPLOAD`, `MALFORMED_PEM`, `MALFORMED_CERTIFICATE` and the other names of what does not parse, `REQUEST_MALFORMED`.
pub(super) fn read_upload(octets: &[u8]) -> Result<Certificate, Refusal> {
    if octets.is_empty() {
        return Err(Refusal::malformed("certificate", "is missing"));
    }
    if octets.len() > MAX_UPLOAD {
        return Err(Refusal::malformed("certificate", format!("is longer than {MAX_UPLOAD} octets")));
    }
    let text = std::str::from_utf8(octets).ok().filter(|text| text.contains("-----BEGIN "));
    let parsed = match text {
        Some(text) if text.contains("PRIVATE KEY-----") => return Err(private_key()),
        Some(text) => pem::single(text, "CERTIFICATE").and_then(|block| Certificate::parse(block.der())),
        None if is_private_key(octets) => return Err(private_key()),
        None => Certificate::parse(octets),
    };
    parsed.map_err(|error| Refusal::new(error.reason(), format!("the uploaded certificate: {error}")))
}

fn private_key() -> Refusal {
    Refusal::new("PRIVATE_KEY_IN_UPLOAD", "the upload holds a private key")
}

/// PKCS#8 (RFC 5958), PKCS#1 and RFC 5915 keys all begin with a SEQUENCE and a version 0 or 1; a certificate with a SEQUENCE and
/// another one.
fn is_private_key(der: &[u8]) -> bool {
    let contents = match der {
        [0x30, length, rest @ ..] if *length < 0x80 => rest,
        [0x30, 0x81, _, rest @ ..] | [0x30, 0x82, _, _, rest @ ..] => rest,
        _ => return false,
    };
    matches!(contents, [0x02, 0x01, 0 | 1, ..])
}

/// How far the clock of who proves possession may be ahead.
const CLOCK_DIFFERENCE_SECONDS: i64 = 300;

/// A fresh verification code: 48 hex digits.
///
/// # Errors
/// `ENTROPY_UNAVAILABLE`.
pub(super) fn fresh_code() -> Result<String, Refusal> {
    let mut octets = [0; CODE_OCTETS];
    aws_lc_rs::rand::fill(&mut octets)
        .map_err(|_| Refusal::new("ENTROPY_UNAVAILABLE", "reading random octets for a verification code failed"))?;
    Ok(hex::encode(&octets))
}

/// Whether a CA certificate is one that devices' chains can end at.
///
/// # Errors
/// `CA_CERTIFICATE_UNFIT`.
pub(super) fn check_ca(certificate: &Certificate) -> Result<(), Refusal> {
    let unfit = |what: &str| Err(Refusal::new("CA_CERTIFICATE_UNFIT", format!("{}: {what}", certificate.subject())));
    if !certificate.is_ca() {
        return unfit("its basicConstraints do not say that it is a ca");
    }
    if certificate.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return unfit("its keyUsage does not let it sign certificates");
    }
    Ok(())
}

/// Whether a certificate proves that somebody holds the CA's key: signed by it, valid now, its common name the code. What else it says
/// does not matter: the usual scripts make it with whatever extensions they have at hand.
///
/// # Errors
/// `POSSESSION_NOT_PROVEN`.
pub(super) fn check_proof(ca: &Certificate, code: &str, proof: &Certificate, now: UnixTime) -> Result<(), Refusal> {
    let not_proven = |what: String| Err(Refusal::new("POSSESSION_NOT_PROVEN", what));
    let names = proof.subject().common_names();
    if !matches!(names.as_slice(), [name] if name.eq_ignore_ascii_case(code)) {
        return not_proven(format!(
            "the common name of the verification certificate is {:?}, not the code",
            names.join(", ")
        ));
    }
    let signed = proof
        .signature_algorithm()
        .is_some_and(|algorithm| ca.public_key().verify(algorithm, proof.tbs(), proof.signature()).is_ok());
    if proof.issuer() != ca.subject() || !signed {
        let issuer = proof.issuer();
        return not_proven(format!(
            "the verification certificate is issued by {issuer} and not signed by the key of {}",
            ca.subject()
        ));
    }
    // Whoever signs has just done so, on a machine whose clock may be a little ahead of ours.
    let soon = now.checked_add(CLOCK_DIFFERENCE_SECONDS).unwrap_or(now);
    if soon < proof.not_before() || proof.not_after() < now {
        let (from, until) = (proof.not_before(), proof.not_after());
        return not_proven(format!("the verification certificate is valid from {from} until {until}, now is {now}"));
    }
    Ok(())
}
