//! The gate for certification requests: in goes what a stranger sent, out comes a public key and nothing else.
//!
//! Names, usages and CA flags are never copied from a request. One that asks for what it will not get is refused
//! rather than quietly given something else, so that its maker finds out at once.

mod policy;
mod roca;

use mfg::{DeviceId, LotId};
use pki::{CertificateRequest, Name, ObjectIdentifier, ParseError, ParseReason, PublicKey, oid};

pub use policy::KeyPolicy;

use crate::encode::{tlv, utf8_string};
use crate::key::{KeyError, SigningKey};

/// A longer request is not read: the longest honest one (RSA-3072 with a few extensions) stays below 2 kB.
pub const MAX_OCTETS: usize = 8192;

/// A public key that may be certified: its holder proved possession, and the key policy allows it.
///
/// Made only by [`gate`] and [`SubjectKey::held`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKey(PublicKey);

impl SubjectKey {
    /// The key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0
    }

    /// The public half of a key that this process holds itself: the proof of possession is that it is here.
    ///
    /// # Errors
    /// `CSR_KEY_NOT_ALLOWED` or `CSR_KEY_WEAK`.
    pub fn held(key: &dyn SigningKey, policy: &KeyPolicy) -> Result<Self, CsrRefusal> {
        policy.check(key.public_key())?;
        Ok(Self(key.public_key().clone()))
    }
}

/// What the request is expected to be about.
#[derive(Debug, Clone, Copy)]
pub enum AskedFor<'a> {
    /// A device certificate for this device.
    Device(&'a DeviceId),
    /// A handoff certificate for this lot.
    Lot(&'a LotId),
    /// An order CA; the ceremony decides its name.
    OrderCa,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrRefusal {
    /// More octets than any honest request has.
    #[error("a certification request of {0} octets, at most {MAX_OCTETS} are read")]
    TooLarge(usize),
    /// Not exactly one PKCS#10 request in DER.
    #[error("the octets are not one certification request")]
    Malformed(#[source] ParseError),
    /// The signature is not by the key.
    #[error("the certification request does not prove possession of its key")]
    PossessionInvalid,
    /// The signature's algorithm is not the one that fits the key.
    #[error("the certification request is signed with an algorithm that does not fit its key")]
    SignatureAlgorithm,
    /// The key is of an allowed kind but easily broken.
    #[error("the key is weak: {0}")]
    KeyWeak(&'static str),
    /// The key policy does not allow keys of this kind or size.
    #[error("the key policy does not allow {0}")]
    KeyNotAllowed(String),
    /// It asks for a name that it was not asked for.
    #[error("the certification request asks for the name {0}")]
    AsksForNames(String),
    /// It asks for alternative names.
    #[error("the certification request asks for alternative names")]
    AsksForAlternativeNames,
    /// It asks to be a CA.
    #[error("the certification request asks to be a ca")]
    AsksForCa,
    /// It asks for some other extension or usage.
    #[error("the certification request asks for {0}")]
    AsksForExtensions(String),
}

impl CsrRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::Malformed(_) => "CSR_MALFORMED",
            Self::PossessionInvalid => "CSR_POSSESSION_INVALID",
            Self::SignatureAlgorithm => "CSR_SIGNATURE_ALGORITHM",
            Self::KeyWeak(_) => "CSR_KEY_WEAK",
            Self::KeyNotAllowed(_) => "CSR_KEY_NOT_ALLOWED",
            Self::AsksForNames(_) | Self::AsksForAlternativeNames => "CSR_ASKS_FOR_NAMES",
            Self::AsksForCa => "CSR_ASKS_FOR_CA",
            Self::AsksForExtensions(_) => "CSR_ASKS_FOR_EXTENSIONS",
        }
    }
}

/// Judges a DER certification request and gives its key.
///
/// Attributes other than extensionRequest (a challengePassword, a vendor's) are ignored: nothing is copied from them.
///
/// # Errors
/// Every [`CsrRefusal`].
pub fn gate(der: &[u8], policy: &KeyPolicy, asked_for: AskedFor<'_>) -> Result<SubjectKey, CsrRefusal> {
    if der.len() > MAX_OCTETS {
        return Err(CsrRefusal::TooLarge(der.len()));
    }
    let request = CertificateRequest::parse(der).map_err(|cause| refusal_of(cause, der))?;
    policy.check(request.public_key())?;
    check_subject(request.subject(), asked_for)?;
    check_extensions(&request, asked_for)?;
    Ok(SubjectKey(request.public_key().clone()))
}

/// A request for this key, by this key: subject CN `common_name`, no extensions.
///
/// # Errors
/// When the key does not sign.
pub fn make_csr(key: &dyn SigningKey, common_name: &str) -> Result<Vec<u8>, KeyError> {
    let cn = tlv(0x30, &[b"\x06\x03\x55\x04\x03", &utf8_string(common_name)]);
    let subject = tlv(0x30, &[&tlv(0x31, &[&cn])]);
    // RFC 2986 section 4.1: version 0, and the attributes are there even when empty.
    let info = tlv(0x30, &[b"\x02\x01\x00", &subject, key.public_key().spki(), b"\xa0\x00"]);
    let signature = key.sign(&info)?;
    Ok(tlv(0x30, &[&info, key.algorithm().identifier_der(), &tlv(0x03, &[&[0], &signature])]))
}

fn refusal_of(cause: ParseError, der: &[u8]) -> CsrRefusal {
    match cause.kind() {
        // A short RSA key never verifies; say so rather than blame the signature.
        ParseReason::PossessionInvalid | ParseReason::SignatureAlgorithmUnfit if policy::names_short_rsa(der) => {
            CsrRefusal::KeyWeak("an rsa modulus of fewer than 2048 bits")
        }
        ParseReason::PossessionInvalid => CsrRefusal::PossessionInvalid,
        ParseReason::SignatureAlgorithmUnfit => CsrRefusal::SignatureAlgorithm,
        ParseReason::KeyUnsupported => CsrRefusal::KeyNotAllowed("a key of this kind".to_owned()),
        ParseReason::MalformedCertificate
        | ParseReason::MalformedRequest
        | ParseReason::MalformedRevocationList
        | ParseReason::MalformedKey
        | ParseReason::MalformedPem
        | ParseReason::VersionUnsupported
        | ParseReason::SerialInvalid
        | ParseReason::DuplicateExtension
        | ParseReason::TooLarge => CsrRefusal::Malformed(cause),
    }
}

/// Empty, or one CN that is what was asked for.
fn check_subject(subject: &Name, asked_for: AskedFor<'_>) -> Result<(), CsrRefusal> {
    let expected = match asked_for {
        AskedFor::Device(device) => Some(device.as_str()),
        AskedFor::Lot(lot) => Some(lot.as_str()),
        AskedFor::OrderCa => None,
    };
    let attributes: Vec<_> = subject.rdns().flatten().collect();
    match (attributes.as_slice(), expected) {
        ([], _) => Ok(()),
        ([only], Some(expected))
            if only.type_name() == "CN" && only.text().is_some_and(|text| text.eq_ignore_ascii_case(expected)) =>
        {
            Ok(())
        }
        ([_], None) if subject.common_names().len() == 1 => Ok(()),
        (_, _) => Err(CsrRefusal::AsksForNames(subject.to_string())),
    }
}

fn check_extensions(request: &CertificateRequest, asked_for: AskedFor<'_>) -> Result<(), CsrRefusal> {
    let ca_is_given = match asked_for {
        AskedFor::Device(_) => false,
        AskedFor::Lot(_) | AskedFor::OrderCa => true,
    };
    for extension in request.extensions() {
        let is = |oid: ObjectIdentifier| extension.oid_octets == oid.as_bytes();
        if is(oid::SUBJECT_ALT_NAME) {
            return Err(CsrRefusal::AsksForAlternativeNames);
        } else if is(oid::BASIC_CONSTRAINTS) {
            check_basic_constraints(request, ca_is_given)?;
        } else if is(oid::KEY_USAGE) {
            check_key_usage(request, ca_is_given)?;
        } else if is(oid::EXTENDED_KEY_USAGE) {
            check_purposes(request, ca_is_given)?;
        } else {
            return Err(CsrRefusal::AsksForExtensions(format!("the extension {}", extension.dotted())));
        }
    }
    Ok(())
}

fn check_basic_constraints(request: &CertificateRequest, ca_is_given: bool) -> Result<(), CsrRefusal> {
    match request.basic_constraints() {
        Some(asked) if asked.ca && !ca_is_given => Err(CsrRefusal::AsksForCa),
        Some(asked) if asked.path_len.is_some() => {
            Err(CsrRefusal::AsksForExtensions("a path length of its own choice".to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_key_usage(request: &CertificateRequest, ca_is_given: bool) -> Result<(), CsrRefusal> {
    let names = request.key_usage().map(pki::KeyUsage::names).unwrap_or_default();
    let given: &[&str] = if ca_is_given { &["keyCertSign", "cRLSign"] } else { &["digitalSignature"] };
    match names.iter().find(|name| !given.contains(name)) {
        None => Ok(()),
        Some(&"keyCertSign" | &"cRLSign") => Err(CsrRefusal::AsksForCa),
        Some(other) => Err(CsrRefusal::AsksForExtensions(format!("the key usage {other}"))),
    }
}

fn check_purposes(request: &CertificateRequest, ca_is_given: bool) -> Result<(), CsrRefusal> {
    let Some(purposes) = request.extended_key_usage() else { return Ok(()) };
    if !ca_is_given && purposes.count() == 1 && purposes.client_auth() {
        return Ok(());
    }
    Err(CsrRefusal::AsksForExtensions(format!("the purposes {}", purposes.dotted().join(", "))))
}
