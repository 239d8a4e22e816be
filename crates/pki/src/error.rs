//! Why bytes were refused before anyone asked whether to trust them.

use std::fmt;

/// A named refusal of bytes as a certificate, request, revocation list, key or PEM text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ParseError {
    reason: ParseReason,
    detail: String,
}

/// The published names of refusals to parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseReason {
    /// Not a DER certificate of RFC 5280 section 4.1.
    MalformedCertificate,
    /// Not a PKCS#10 request of RFC 2986 section 4.
    MalformedRequest,
    /// Not a DER certificate list of RFC 5280 section 5.1.
    MalformedRevocationList,
    /// Not a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), or a key that is no key, such as a point off its curve.
    MalformedKey,
    /// Not PEM of RFC 7468.
    MalformedPem,
    /// Not version 3 (certificate), 1 (request) or 2 (revocation list).
    VersionUnsupported,
    /// Zero, negative or over-long (RFC 5280 section 4.1.2.2).
    SerialInvalid,
    /// An extension appears twice (RFC 5280 section 4.2).
    DuplicateExtension,
    /// None of P-256, P-384, P-521, Ed25519 and RSA.
    KeyUnsupported,
    /// The request is signed with an algorithm that does not fit its key, or none that we know.
    SignatureAlgorithmUnfit,
    /// The request is not signed by the key that it names (RFC 2986 section 3).
    PossessionInvalid,
    /// Longer than we are willing to read.
    TooLarge,
}

impl ParseReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [ParseReason; 12] = [
        ParseReason::MalformedCertificate,
        ParseReason::MalformedRequest,
        ParseReason::MalformedRevocationList,
        ParseReason::MalformedKey,
        ParseReason::MalformedPem,
        ParseReason::VersionUnsupported,
        ParseReason::SerialInvalid,
        ParseReason::DuplicateExtension,
        ParseReason::KeyUnsupported,
        ParseReason::SignatureAlgorithmUnfit,
        ParseReason::PossessionInvalid,
        ParseReason::TooLarge,
    ];

    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            ParseReason::MalformedCertificate => "MALFORMED_CERTIFICATE",
            ParseReason::MalformedRequest => "CSR_MALFORMED",
            ParseReason::MalformedRevocationList => "MALFORMED_CRL",
            ParseReason::MalformedKey => "MALFORMED_KEY",
            ParseReason::MalformedPem => "MALFORMED_PEM",
            ParseReason::VersionUnsupported => "VERSION_UNSUPPORTED",
            ParseReason::SerialInvalid => "SERIAL_INVALID",
            ParseReason::DuplicateExtension => "DUPLICATE_EXTENSION",
            ParseReason::KeyUnsupported => "KEY_UNSUPPORTED",
            ParseReason::SignatureAlgorithmUnfit => "CSR_SIGNATURE_ALGORITHM",
            ParseReason::PossessionInvalid => "CSR_POSSESSION_INVALID",
            ParseReason::TooLarge => "TOO_LARGE",
        }
    }
}

impl fmt::Display for ParseReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl ParseError {
    pub(crate) fn new(reason: ParseReason, detail: impl Into<String>) -> ParseError {
        ParseError { reason, detail: detail.into() }
    }

    /// The published name of this refusal.
    pub fn reason(&self) -> &'static str {
        self.reason.as_str()
    }

    /// The refusal as a value to match on.
    pub fn kind(&self) -> ParseReason {
        self.reason
    }
}

/// What the readers below a document report; the document gives it its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Syntax(&'static str),
    Version(&'static str),
    Serial(&'static str),
    DuplicateExtension,
    KeyUnsupported(&'static str),
    Key(&'static str),
}

impl Fault {
    /// The refusal of a document whose syntax errors are called `malformed`.
    pub(crate) fn within(self, malformed: ParseReason) -> ParseError {
        let (reason, detail) = match self {
            Fault::Syntax(detail) => (malformed, detail),
            Fault::Version(detail) => (ParseReason::VersionUnsupported, detail),
            Fault::Serial(detail) => (ParseReason::SerialInvalid, detail),
            Fault::DuplicateExtension => (ParseReason::DuplicateExtension, "an extension appears twice"),
            Fault::KeyUnsupported(detail) => (ParseReason::KeyUnsupported, detail),
            Fault::Key(detail) => (ParseReason::MalformedKey, detail),
        };
        ParseError::new(reason, detail)
    }
}
