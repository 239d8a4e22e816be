//! X.509 version 3 certificates.

use std::fmt;
use std::sync::{Arc, OnceLock};

use der::Tag;
use der::oid::ObjectIdentifier;

use crate::asn1::{self, Cursor, constructed, primitive};
use crate::digest::Sha256;
use crate::error::{Fault, ParseError, ParseReason};
use crate::extensions::{
    AuthorityKeyId, BasicConstraints, ExtendedKeyUsage, Extension, ExtensionList, KeyUsage, KnownExtensions,
    PrivateKeyUsagePeriod,
};
use crate::general_name::{GeneralName, NameConstraints};
use crate::key::PublicKey;
use crate::name::Name;
use crate::serial::CertificateSerial;
use crate::signature::{SignatureAlgorithm, SignedParts, check_identifier};
use crate::time::UnixTime;

/// A certificate that is strict DER, of version 3, with every extension that we know in proper form. Nothing is said
/// about whether to trust it: see [`verify_path`](crate::path::verify_path). Cheap to clone; equal when the octets are.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    tbs: std::ops::Range<usize>,
    serial: CertificateSerial,
    issuer: Name,
    subject: Name,
    not_before: UnixTime,
    not_after: UnixTime,
    public_key: PublicKey,
    algorithm: Option<SignatureAlgorithm>,
    algorithms_agree: bool,
    signature: Vec<u8>,
    extensions: ExtensionList,
    known: KnownExtensions,
    sha256: OnceLock<Sha256>,
}

impl Certificate {
    /// A longer certificate is not read.
    pub const MAX_OCTETS: usize = 65_536;

    /// Reads exactly one DER certificate (RFC 5280 section 4.1). Unknown extensions are kept, critical ones too: the
    /// verifier refuses those.
    ///
    /// # Errors
    /// `MALFORMED_CERTIFICATE`, `VERSION_UNSUPPORTED`, `SERIAL_INVALID`, `DUPLICATE_EXTENSION`, `KEY_UNSUPPORTED`,
    /// `MALFORMED_KEY` or `TOO_LARGE`.
    pub fn parse(der: &[u8]) -> Result<Certificate, ParseError> {
        if der.len() > Certificate::MAX_OCTETS {
            return Err(ParseError::new(ParseReason::TooLarge, "a certificate of more than 65536 octets"));
        }
        let fault = |fault: Fault| fault.within(ParseReason::MalformedCertificate);
        let parts = SignedParts::parse(der).map_err(fault)?;
        Inner::read(der, &parts).map(|inner| Certificate(Arc::new(inner))).map_err(fault)
    }

    /// The whole certificate.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The DER TBSCertificate: what the signature covers.
    pub fn tbs(&self) -> &[u8] {
        self.0.der.get(self.0.tbs.clone()).unwrap_or_default()
    }

    /// The serial that the issuer gave.
    pub fn serial(&self) -> &CertificateSerial {
        &self.0.serial
    }

    /// Who signed.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// Whose key it is.
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// The first second of validity.
    pub fn not_before(&self) -> UnixTime {
        self.0.not_before
    }

    /// The last second of validity.
    pub fn not_after(&self) -> UnixTime {
        self.0.not_after
    }

    /// The certified key.
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// How it is signed; `None` when by an algorithm that we do not believe.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.0.algorithm
    }

    /// The signature's octets; DER for ECDSA.
    pub fn signature(&self) -> &[u8] {
        &self.0.signature
    }

    /// Whether signatureAlgorithm and the signature field inside are the same octets (RFC 5280 section 4.1.1.2).
    pub(crate) fn signature_algorithms_agree(&self) -> bool {
        self.0.algorithms_agree
    }

    /// Whether issuer and subject are the same name (RFC 5280 section 3.2), as in key rollover and roots.
    pub fn is_self_issued(&self) -> bool {
        self.0.issuer == self.0.subject
    }

    /// basicConstraints.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.0.known.basic_constraints
    }

    /// Whether basicConstraints say CA.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints().is_some_and(|constraints| constraints.ca)
    }

    /// keyUsage.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.0.known.key_usage
    }

    /// extKeyUsage.
    pub fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage> {
        self.0.known.extended_key_usage.as_ref()
    }

    /// subjectAltName; empty when there is none.
    pub fn subject_alt_names(&self) -> &[GeneralName] {
        &self.0.known.subject_alt_names
    }

    /// nameConstraints.
    pub fn name_constraints(&self) -> Option<&NameConstraints> {
        self.0.known.name_constraints.as_ref()
    }

    /// subjectKeyIdentifier.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.known.subject_key_id.as_deref()
    }

    /// authorityKeyIdentifier.
    pub fn authority_key_id(&self) -> Option<&AuthorityKeyId> {
        self.0.known.authority_key_id.as_ref()
    }

    /// privateKeyUsagePeriod: the signing window. No verifier can enforce it from a certificate alone.
    pub fn private_key_usage_period(&self) -> Option<PrivateKeyUsagePeriod> {
        self.0.known.private_key_usage_period
    }

    /// The extension of this type, in the form in which it stands in the certificate.
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<Extension<'_>> {
        self.0.extensions.get(oid)
    }

    /// All extensions, in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.0.extensions.iter()
    }

    /// SHA-256 of the whole certificate.
    pub fn sha256(&self) -> Sha256 {
        *self.0.sha256.get_or_init(|| Sha256::of(&self.0.der))
    }
}

impl Inner {
    fn read(der: &[u8], parts: &SignedParts<'_>) -> Result<Inner, Fault> {
        let mut tbs = parts.to_be_signed.inside()?;
        read_version(&mut tbs)?;
        let serial = tbs.expect(Tag::Integer, "a serial that is not an INTEGER")?;
        let serial = CertificateSerial::from_integer(asn1::integer(serial.value)?)?;
        let inner_algorithm = tbs.expect(Tag::Sequence, "the inner signature algorithm is not a SEQUENCE")?;
        check_identifier(&inner_algorithm)?;
        let issuer = Name::read(&tbs.expect(Tag::Sequence, "an issuer that is not a SEQUENCE")?)?;
        let mut validity = tbs.expect(Tag::Sequence, "a validity that is not a SEQUENCE")?.inside()?;
        let (not_before, not_after) = (read_time(&mut validity)?, read_time(&mut validity)?);
        validity.finish("a validity of more than two times")?;
        let subject = Name::read(&tbs.expect(Tag::Sequence, "a subject that is not a SEQUENCE")?)?;
        let public_key = PublicKey::read(tbs.expect(Tag::Sequence, "a key that is not a SEQUENCE")?.raw)?;
        // RFC 5280 section 4.1.2.8: conforming CAs do not write these, and nothing uses them.
        for number in [1, 2] {
            let id = tbs.optional(primitive(number), "a unique identifier that is not DER")?;
            id.map(|id| asn1::octet_bits(id.value)).transpose()?;
        }
        let extensions = read_extensions(&mut tbs)?;
        tbs.finish("something follows the extensions")?;
        let known = KnownExtensions::read(&extensions)?;
        Ok(Inner {
            der: der.to_vec(),
            tbs: tbs_range(der, &parts.to_be_signed)?,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            algorithm: SignatureAlgorithm::from_identifier_der(parts.algorithm),
            algorithms_agree: inner_algorithm.raw == parts.algorithm,
            signature: parts.signature.to_vec(),
            extensions,
            known,
            sha256: OnceLock::new(),
        })
    }
}

/// RFC 5280 section 4.1.2.1: extensions are what we live by, so version 3 it must be.
fn read_version(tbs: &mut Cursor<'_>) -> Result<(), Fault> {
    let what = "a version that is not DER";
    let Some(version) = tbs.optional(constructed(0), what)? else {
        return Err(Fault::Version("a certificate of version 1"));
    };
    let number = asn1::whole(version.value, Tag::Integer, what)?;
    if asn1::small_integer(number.value)? == 2 { Ok(()) } else { Err(Fault::Version("a certificate not of version 3")) }
}

fn read_extensions(tbs: &mut Cursor<'_>) -> Result<ExtensionList, Fault> {
    let what = "extensions that are not DER";
    let Some(wrapper) = tbs.optional(constructed(3), what)? else { return Ok(ExtensionList::default()) };
    ExtensionList::read(asn1::whole(wrapper.value, Tag::Sequence, what)?.inside()?)
}

/// Time (RFC 5280 section 4.1.2.5). A year before 2050 in GeneralizedTime is let pass: it is unambiguous.
pub(crate) fn read_time(cursor: &mut Cursor<'_>) -> Result<UnixTime, Fault> {
    let what = "a time that is not DER";
    let element = cursor.any(what)?;
    let time = if element.tag == Tag::UtcTime {
        UnixTime::from_utc_time(element.value)
    } else if element.tag == Tag::GeneralizedTime {
        UnixTime::from_generalized_time(element.value)
    } else {
        None
    };
    time.ok_or(Fault::Syntax(what))
}

/// Where the signed part lies: it is the first element of the outer SEQUENCE.
pub(crate) fn tbs_range(der: &[u8], tbs: &asn1::Element<'_>) -> Result<std::ops::Range<usize>, Fault> {
    let what = "not one DER SEQUENCE";
    let contents = asn1::whole(der, Tag::Sequence, what)?.value.len();
    let start = der.len().checked_sub(contents).ok_or(Fault::Syntax(what))?;
    Ok(start..start + tbs.raw.len())
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Certificate({} by {}, serial {})", self.subject(), self.issuer(), self.serial())
    }
}
