//! PKCS#10 certification requests (RFC 2986): parsing one proves that its maker holds the key.

use der::Tag;
use der::oid::ObjectIdentifier;

use crate::asn1::{self, Cursor, Element, constructed};
use crate::certificate::tbs_range;
use crate::digest::Sha256;
use crate::error::{Fault, ParseError, ParseReason};
use crate::extensions::{Extension, ExtensionList, KnownExtensions};
use crate::general_name::GeneralName;
use crate::key::{KeyAlgorithm, PublicKey};
use crate::name::Name;
use crate::signature::{SignatureAlgorithm, SignatureError, SignedParts};
use crate::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

/// extensionRequest (RFC 2985 section 5.4.2).
const EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";

/// A request whose signature was verified with the key that it names. What it asks for is only what it asks for.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    der: Vec<u8>,
    subject: Name,
    public_key: PublicKey,
    algorithm: SignatureAlgorithm,
    attributes: Vec<RequestAttribute>,
    extensions: ExtensionList,
    known: KnownExtensions,
}

/// An attribute of a request, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestAttribute {
    /// The contents octets of the type.
    pub oid_octets: Vec<u8>,
    /// The contents of the SET of values.
    pub values: Vec<u8>,
}

impl CertificateRequest {
    /// A longer request is not read.
    pub const MAX_OCTETS: usize = 65_536;

    /// Reads exactly one DER request and verifies that it is signed by the key that it names, with the algorithm that
    /// fits this key: the hash as strong as the curve; for RSA any that we believe.
    ///
    /// # Errors
    /// `CSR_MALFORMED`, `VERSION_UNSUPPORTED`, `DUPLICATE_EXTENSION`, `KEY_UNSUPPORTED`, `MALFORMED_KEY`,
    /// `CSR_SIGNATURE_ALGORITHM`, `CSR_POSSESSION_INVALID` or `TOO_LARGE`.
    pub fn parse(der: &[u8]) -> Result<CertificateRequest, ParseError> {
        if der.len() > CertificateRequest::MAX_OCTETS {
            return Err(ParseError::new(ParseReason::TooLarge, "a request of more than 65536 octets"));
        }
        let fault = |fault: Fault| fault.within(ParseReason::MalformedRequest);
        let parts = SignedParts::parse(der).map_err(fault)?;
        let unproven = Unproven::read(&parts).map_err(fault)?;
        let algorithm = prove_possession(&unproven.public_key, &parts)?;
        let Unproven { subject, public_key, attributes, extensions, known } = unproven;
        Ok(CertificateRequest { der: der.to_vec(), subject, public_key, algorithm, attributes, extensions, known })
    }

    /// SHA-256 of the SubjectPublicKeyInfo that a request names, whose octets are not looked at: only to tell two requests apart before
    /// somebody else judges them.
    ///
    /// # Errors
    /// `CSR_MALFORMED`, `VERSION_UNSUPPORTED` or `TOO_LARGE`, for what is no outline of a request.
    pub fn named_key(der: &[u8]) -> Result<Sha256, ParseError> {
        if der.len() > CertificateRequest::MAX_OCTETS {
            return Err(ParseError::new(ParseReason::TooLarge, "a request of more than 65536 octets"));
        }
        let key = || {
            let parts = SignedParts::parse(der)?;
            Ok(Outline::read(&parts)?.key.raw)
        };
        key().map(Sha256::of).map_err(|fault: Fault| fault.within(ParseReason::MalformedRequest))
    }

    /// The whole request.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The DER CertificationRequestInfo: what the signature covers.
    pub fn info(&self) -> &[u8] {
        // Parsed before, so the range is there.
        let signed = SignedParts::parse(&self.der).and_then(|parts| tbs_range(&self.der, &parts.to_be_signed));
        signed.ok().and_then(|range| self.der.get(range)).unwrap_or_default()
    }

    /// The key whose possession is proven.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The name that is asked for.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// How the request is signed.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Every attribute, extensionRequest included.
    pub fn attributes(&self) -> &[RequestAttribute] {
        &self.attributes
    }

    /// The extensions that are asked for.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.extensions.iter()
    }

    /// The extension of this type that is asked for.
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<Extension<'_>> {
        self.extensions.get(oid)
    }

    /// The basicConstraints that are asked for.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.known.basic_constraints
    }

    /// The keyUsage that is asked for.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.known.key_usage
    }

    /// The extKeyUsage that is asked for.
    pub fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage> {
        self.known.extended_key_usage.as_ref()
    }

    /// The alternative names that are asked for.
    pub fn subject_alt_names(&self) -> &[GeneralName] {
        &self.known.subject_alt_names
    }
}

/// RFC 2986 section 3, note 2: the signature is what keeps one from asking for a certificate of another's key.
fn prove_possession(key: &PublicKey, parts: &SignedParts<'_>) -> Result<SignatureAlgorithm, ParseError> {
    let unfit = |detail: &str| ParseError::new(ParseReason::SignatureAlgorithmUnfit, detail);
    let algorithm = SignatureAlgorithm::from_identifier_der(parts.algorithm)
        .ok_or_else(|| unfit("the request is signed with an algorithm that we do not believe"))?;
    let rsa = matches!(key.algorithm(), KeyAlgorithm::Rsa { .. });
    if !rsa && algorithm != key.default_signature_algorithm() {
        return Err(unfit("the request's signature algorithm does not fit its key"));
    }
    match key.verify(algorithm, parts.to_be_signed.raw, parts.signature) {
        Ok(()) => Ok(algorithm),
        Err(SignatureError::AlgorithmUnfit) => Err(unfit("the request's signature algorithm does not fit its key")),
        Err(SignatureError::Invalid) => {
            Err(ParseError::new(ParseReason::PossessionInvalid, "the request is not signed by the key that it names"))
        }
    }
}

/// What stands where in a CertificationRequestInfo (RFC 2986 section 4.1).
struct Outline<'a> {
    subject: Element<'a>,
    key: Element<'a>,
    attributes: Option<Element<'a>>,
}

impl<'a> Outline<'a> {
    fn read(parts: &SignedParts<'a>) -> Result<Self, Fault> {
        let mut info = parts.to_be_signed.inside()?;
        let version = info.expect(Tag::Integer, "a version that is not an INTEGER")?;
        if asn1::small_integer(version.value)? != 0 {
            return Err(Fault::Version("a request not of version 1"));
        }
        let subject = info.expect(Tag::Sequence, "a subject that is not a SEQUENCE")?;
        let key = info.expect(Tag::Sequence, "a key that is not a SEQUENCE")?;
        // The attributes are not optional, but some writers leave them out when empty.
        let attributes = info.optional(constructed(0), "attributes that are not DER")?;
        info.finish("something follows the attributes")?;
        Ok(Self { subject, key, attributes })
    }
}

/// What the request says, before anyone proved anything.
struct Unproven {
    subject: Name,
    public_key: PublicKey,
    attributes: Vec<RequestAttribute>,
    extensions: ExtensionList,
    known: KnownExtensions,
}

impl Unproven {
    fn read(parts: &SignedParts<'_>) -> Result<Unproven, Fault> {
        let outline = Outline::read(parts)?;
        let subject = Name::read(&outline.subject)?;
        let public_key = PublicKey::read(outline.key.raw)?;
        let attributes = outline.attributes.map_or(Ok(Vec::new()), |list| read_attributes(list.inside()?))?;
        let extensions = requested_extensions(&attributes)?;
        let known = KnownExtensions::read(&extensions)?;
        Ok(Unproven { subject, public_key, attributes, extensions, known })
    }
}

fn read_attributes(mut list: Cursor<'_>) -> Result<Vec<RequestAttribute>, Fault> {
    const MAX: usize = 32;
    let what = "an attribute that is not DER";
    let mut all: Vec<RequestAttribute> = Vec::new();
    while !list.is_at_end() {
        let mut inside = list.expect(Tag::Sequence, what)?.inside()?;
        let oid = asn1::object_identifier(inside.expect(Tag::ObjectIdentifier, what)?.value)?;
        let values = inside.expect(Tag::Set, what)?;
        inside.finish(what)?;
        // RFC 2986 section 4.1: at least one value, each of them DER.
        let mut each = values.inside()?;
        each.any("an attribute without a value")?;
        while !each.is_at_end() {
            each.any(what)?;
        }
        if all.len() == MAX || all.iter().any(|seen| seen.oid_octets == oid) {
            return Err(Fault::Syntax("an attribute twice, or more than 32 attributes"));
        }
        all.push(RequestAttribute { oid_octets: oid.to_vec(), values: values.value.to_vec() });
    }
    Ok(all)
}

/// RFC 2985 section 5.4.2: a single value.
fn requested_extensions(attributes: &[RequestAttribute]) -> Result<ExtensionList, Fault> {
    match attributes.iter().find(|attribute| attribute.oid_octets == EXTENSION_REQUEST) {
        None => Ok(ExtensionList::default()),
        Some(request) => {
            let list = asn1::whole(&request.values, Tag::Sequence, "an extensionRequest that is not one SEQUENCE")?;
            ExtensionList::read(list.inside()?)
        }
    }
}
