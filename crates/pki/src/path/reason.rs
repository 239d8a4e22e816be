//! The published names of what can be wrong with a path.

use std::fmt;

use crate::error::ParseError;

/// Why no path was found: the reason of the one that came furthest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct PathRefusal {
    /// The published reason.
    pub reason: PathReason,
    /// Which certificate, and what about it.
    pub detail: String,
}

impl PathRefusal {
    pub(crate) fn new(reason: PathReason, detail: impl Into<String>) -> PathRefusal {
        PathRefusal { reason, detail: detail.into() }
    }

    /// The published name of this refusal.
    pub fn reason(&self) -> &'static str {
        self.reason.as_str()
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The published reasons. A certificate that does not even parse is refused with the name of its
        /// [`ParseReason`](crate::ParseReason) instead.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PathReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl PathReason {
            /// Every reason, in the order of declaration.
            pub const ALL: &[PathReason] = &[$(PathReason::$variant,)+];

            /// The published name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(PathReason::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// No certificate at hand issued it: neither an anchor nor a candidate (RFC 5280 section 6.1.3 (a)(4)).
    UnknownIssuer = "UNKNOWN_ISSUER",
    /// The search hit its limits before it found a path; nothing is said about paths not tried (section 6.1).
    PathSearchExhausted = "PATH_SEARCH_EXHAUSTED",
    /// A signature does not verify with the issuer's key (section 6.1.3 (a)(1)).
    SignatureInvalid = "SIGNATURE_INVALID",
    /// The algorithm inside the signed part is not the one outside (section 4.1.1.2).
    SignatureAlgorithmMismatch = "SIGNATURE_ALGORITHM_MISMATCH",
    /// Signed with an algorithm that we do not believe, such as any with SHA-1, or one that the issuer's key cannot
    /// make (section 4.1.1.2).
    SignatureAlgorithmNotAllowed = "SIGNATURE_ALGORITHM_NOT_ALLOWED",
    /// RSA of fewer than 2048 bits (section 8; NIST SP 800-131A).
    KeyTooWeak = "KEY_TOO_WEAK",
    /// After notAfter (section 6.1.3 (a)(2)).
    Expired = "EXPIRED",
    /// Before notBefore (section 6.1.3 (a)(2)).
    NotYetValid = "NOT_YET_VALID",
    /// The trust anchor is after its notAfter (section 6.1.3 (a)(2), applied to the anchor).
    AnchorExpired = "ANCHOR_EXPIRED",
    /// The trust anchor is before its notBefore (section 6.1.3 (a)(2), applied to the anchor).
    AnchorNotYetValid = "ANCHOR_NOT_YET_VALID",
    /// An issuer has no basicConstraints (section 6.1.4 (k)).
    MissingBasicConstraints = "MISSING_BASIC_CONSTRAINTS",
    /// An issuer's basicConstraints do not say CA (section 6.1.4 (k)).
    NotACa = "NOT_A_CA",
    /// An issuer has a keyUsage without keyCertSign (section 6.1.4 (n)).
    CaWithoutKeyCertSign = "CA_WITHOUT_KEY_CERT_SIGN",
    /// keyCertSign in a certificate that is no CA (section 4.2.1.9).
    KeyCertSignWithoutCa = "KEY_CERT_SIGN_WITHOUT_CA",
    /// More intermediates below a CA than its pathLenConstraint allows (section 6.1.4 (l), (m)).
    PathLengthExceeded = "PATH_LENGTH_EXCEEDED",
    /// More intermediates than the caller allows, those that are self-issued aside (section 6.1.1).
    MaxDepthExceeded = "MAX_DEPTH_EXCEEDED",
    /// A name lies outside of what a CA above permits (section 6.1.3 (b)).
    NameNotPermitted = "NAME_NOT_PERMITTED",
    /// A name lies within what a CA above excludes (section 6.1.3 (c)).
    NameExcluded = "NAME_EXCLUDED",
    /// A name or a constraint of a constrained kind cannot be compared (section 4.2.1.10).
    NameConstraintUnsupported = "NAME_CONSTRAINT_UNSUPPORTED",
    /// A constraint is no name of its kind, such as a dNSName with a wildcard or a leading dot (section 4.2.1.10).
    NameConstraintInvalid = "NAME_CONSTRAINT_INVALID",
    /// nameConstraints are not critical (section 4.2.1.10); let pass under Countersign's rules.
    NameConstraintsNotCritical = "NAME_CONSTRAINTS_NOT_CRITICAL",
    /// nameConstraints in a certificate that is no CA (section 4.2.1.10).
    NameConstraintsWithoutCa = "NAME_CONSTRAINTS_WITHOUT_CA",
    /// A critical extension that we do not process (section 6.1.4 (o), 6.1.5 (f)).
    UnknownCriticalExtension = "UNKNOWN_CRITICAL_EXTENSION",
    /// An extension is critical that must not be, or the other way round (section 4.2.1).
    CriticalityInvalid = "CRITICALITY_INVALID",
    /// No authorityKeyIdentifier with a keyIdentifier, in other than a self-signed certificate (section 4.2.1.1).
    MissingAuthorityKeyId = "MISSING_AUTHORITY_KEY_ID",
    /// A CA without subjectKeyIdentifier (section 4.2.1.2).
    MissingSubjectKeyId = "MISSING_SUBJECT_KEY_ID",
    /// The issuer is an empty name (section 4.1.2.4).
    IssuerEmpty = "ISSUER_EMPTY",
    /// The subject is an empty name, in a CA or without critical alternative names (section 4.1.2.6).
    SubjectEmpty = "SUBJECT_EMPTY",
    /// keyUsage or extKeyUsage do not allow the purpose (section 4.2.1.3, 4.2.1.12).
    PurposeNotAllowed = "PURPOSE_NOT_ALLOWED",
    /// The leaf does not bear the expected name (RFC 9525 section 6).
    NameMismatch = "NAME_MISMATCH",
    /// The leaf of a device or service is a CA (Countersign's rule; RFC 5280 is silent).
    LeafIsCa = "LEAF_IS_CA",
    /// Revoked by its issuer (section 6.3.3).
    Revoked = "REVOKED",
    /// A revocation list is not signed by the CA whose name it bears (section 6.3.3 (g)).
    CrlSignatureInvalid = "CRL_SIGNATURE_INVALID",
    /// The CA that signed a revocation list has a keyUsage without cRLSign (section 6.3.3 (f)).
    CrlIssuerWithoutCrlSign = "CRL_ISSUER_WITHOUT_CRL_SIGN",
    /// A revocation list without cRLNumber, or with a critical one (section 5.2.3).
    CrlNumberInvalid = "CRL_NUMBER_INVALID",
    /// A critical extension of a revocation list or of an entry that we do not process (section 5.2, 5.3).
    CrlUnknownCriticalExtension = "CRL_UNKNOWN_CRITICAL_EXTENSION",
    /// A revocation list is from the future (section 5.1.2.4).
    CrlNotYetValid = "CRL_NOT_YET_VALID",
    /// A revocation list is after its nextUpdate (section 6.3.3 (a)).
    CrlExpired = "CRL_EXPIRED",
    /// A revocation list without nextUpdate (section 5.1.2.5).
    CrlWithoutNextUpdate = "CRL_WITHOUT_NEXT_UPDATE",
    /// A certificate that does not parse (section 4.1). Only from a [`ParseError`].
    MalformedCertificate = "MALFORMED_CERTIFICATE",
    /// A serial that is zero, negative or over-long (section 4.1.2.2). Only from a [`ParseError`].
    SerialInvalid = "SERIAL_INVALID",
    /// An extension appears twice (section 4.2). Only from a [`ParseError`].
    DuplicateExtension = "DUPLICATE_EXTENSION",
    /// Not a certificate of version 3 (section 4.1.2.1). Only from a [`ParseError`].
    VersionUnsupported = "VERSION_UNSUPPORTED",
    /// A key of a kind that we do not believe (section 4.1.2.7). Only from a [`ParseError`].
    KeyUnsupported = "KEY_UNSUPPORTED",
    /// A key that is no key (section 4.1.2.7). Only from a [`ParseError`].
    MalformedKey = "MALFORMED_KEY",
}

impl fmt::Display for PathReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl From<ParseError> for PathRefusal {
    /// So that a caller who parses and verifies has one refusal to show.
    fn from(error: ParseError) -> PathRefusal {
        let same = PathReason::ALL.iter().find(|reason| reason.as_str() == error.reason());
        PathRefusal::new(same.copied().unwrap_or(PathReason::MalformedCertificate), error.to_string())
    }
}
