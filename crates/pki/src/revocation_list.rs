//! Certificate revocation lists of version 2 (RFC 5280 section 5).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use der::Tag;
use der::oid::ObjectIdentifier;

use crate::asn1::{self, Cursor, Element, constructed};
use crate::certificate::{read_time, tbs_range};
use crate::digest::Sha256;
use crate::error::{Fault, ParseError, ParseReason};
use crate::extensions::{AuthorityKeyId, Extension, ExtensionList, authority_key_id, oid};
use crate::key::PublicKey;
use crate::name::Name;
use crate::serial::CertificateSerial;
use crate::signature::{SignatureAlgorithm, SignatureError, SignedParts, check_identifier};
use crate::time::UnixTime;

/// A revocation list in proper form. Whether it may be believed is decided along a path: see
/// [`verify_path`](crate::path::verify_path). Cheap to clone.
#[derive(Clone)]
pub struct RevocationList(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    tbs: std::ops::Range<usize>,
    algorithm: Option<SignatureAlgorithm>,
    algorithms_agree: bool,
    signature: Vec<u8>,
    issuer: Name,
    this_update: UnixTime,
    next_update: Option<UnixTime>,
    revoked: HashMap<CertificateSerial, RevokedEntry>,
    unread_critical_entry: bool,
    extensions: ExtensionList,
    number: Option<Vec<u8>>,
    authority_key_id: Option<AuthorityKeyId>,
    /// The key that this list was once verified with: a list is long, and every path asks again.
    verified_with: OnceLock<Sha256>,
}

/// One revoked certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// revocationDate.
    pub at: UnixTime,
    /// reasonCode (RFC 5280 section 5.3.1).
    pub reason: Option<u8>,
}

impl RevocationList {
    /// A longer list is not read.
    pub const MAX_OCTETS: usize = 64 * 1024 * 1024;

    /// Reads exactly one DER CertificateList (RFC 5280 section 5.1).
    ///
    /// # Errors
    /// `MALFORMED_CRL`, `VERSION_UNSUPPORTED`, `SERIAL_INVALID`, `DUPLICATE_EXTENSION` or `TOO_LARGE`.
    pub fn parse(der: &[u8]) -> Result<RevocationList, ParseError> {
        if der.len() > RevocationList::MAX_OCTETS {
            return Err(ParseError::new(ParseReason::TooLarge, "a revocation list of more than 64 MiB"));
        }
        let fault = |fault: Fault| fault.within(ParseReason::MalformedRevocationList);
        let parts = SignedParts::parse(der).map_err(fault)?;
        Inner::read(der, &parts).map(|inner| RevocationList(Arc::new(inner))).map_err(fault)
    }

    /// The whole list.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Who signed it.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> UnixTime {
        self.0.this_update
    }

    /// By when the next one is made.
    pub fn next_update(&self) -> Option<UnixTime> {
        self.0.next_update
    }

    /// cRLNumber, most significant octet first.
    pub fn number(&self) -> Option<&[u8]> {
        self.0.number.as_deref()
    }

    /// authorityKeyIdentifier.
    pub fn authority_key_id(&self) -> Option<&AuthorityKeyId> {
        self.0.authority_key_id.as_ref()
    }

    /// The entry for this serial, if its certificate is revoked.
    pub fn revoked(&self, serial: &CertificateSerial) -> Option<RevokedEntry> {
        self.0.revoked.get(serial).copied()
    }

    /// How many certificates are revoked.
    pub fn revoked_count(&self) -> usize {
        self.0.revoked.len()
    }

    /// Every entry, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (&CertificateSerial, RevokedEntry)> {
        self.0.revoked.iter().map(|(serial, entry)| (serial, *entry))
    }

    /// The extension of this type.
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<Extension<'_>> {
        self.0.extensions.get(oid)
    }

    /// All extensions, in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.0.extensions.iter()
    }

    /// How it is signed; `None` when by an algorithm that we do not believe, or when the two places disagree.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.0.algorithm.filter(|_| self.0.algorithms_agree)
    }

    /// Whether an entry carries a critical extension that we do not read, so that no entry may be relied on
    /// (RFC 5280 section 5.3).
    pub(crate) fn has_unread_critical_entry(&self) -> bool {
        self.0.unread_critical_entry
    }

    /// Checks that the list is signed by this key.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        if self.0.verified_with.get() == Some(&key.sha256()) {
            return Ok(());
        }
        let algorithm = self.signature_algorithm().ok_or(SignatureError::AlgorithmUnfit)?;
        let tbs = self.0.der.get(self.0.tbs.clone()).unwrap_or_default();
        key.verify(algorithm, tbs, &self.0.signature)?;
        // When another key got there first its digest stays, and this one is verified again next time.
        let _ = self.0.verified_with.set(key.sha256());
        Ok(())
    }
}

impl Inner {
    fn read(der: &[u8], parts: &SignedParts<'_>) -> Result<Inner, Fault> {
        let mut tbs = parts.to_be_signed.inside()?;
        // RFC 5280 section 5.1.2.1: version 2, written as 1.
        match tbs.optional(Tag::Integer, "a version that is not DER")? {
            Some(version) if asn1::small_integer(version.value)? == 1 => {}
            Some(_) | None => return Err(Fault::Version("a revocation list not of version 2")),
        }
        let inner_algorithm = tbs.expect(Tag::Sequence, "the inner signature algorithm is not a SEQUENCE")?;
        check_identifier(&inner_algorithm)?;
        let issuer = Name::read(&tbs.expect(Tag::Sequence, "an issuer that is not a SEQUENCE")?)?;
        let this_update = read_time(&mut tbs)?;
        let next_update = match tbs.peek("a revocation list that ends early")? {
            Some(Tag::UtcTime | Tag::GeneralizedTime) => Some(read_time(&mut tbs)?),
            _ => None,
        };
        let entries = tbs.optional(Tag::Sequence, "revoked certificates that are not DER")?;
        let (revoked, unread_critical_entry) = read_entries(entries)?;
        let extensions = read_extensions(&mut tbs)?;
        tbs.finish("something follows the extensions")?;
        Ok(Inner {
            der: der.to_vec(),
            tbs: tbs_range(der, &parts.to_be_signed)?,
            algorithm: SignatureAlgorithm::from_identifier_der(parts.algorithm),
            algorithms_agree: inner_algorithm.raw == parts.algorithm,
            signature: parts.signature.to_vec(),
            issuer,
            this_update,
            next_update,
            revoked,
            unread_critical_entry,
            number: extensions.read_one(&oid::CRL_NUMBER, crl_number)?,
            authority_key_id: extensions.read_one(&oid::AUTHORITY_KEY_ID, authority_key_id)?,
            extensions,
            verified_with: OnceLock::new(),
        })
    }
}

fn read_extensions(tbs: &mut Cursor<'_>) -> Result<ExtensionList, Fault> {
    let what = "extensions that are not DER";
    let Some(wrapper) = tbs.optional(constructed(0), what)? else { return Ok(ExtensionList::default()) };
    ExtensionList::read(asn1::whole(wrapper.value, Tag::Sequence, what)?.inside()?)
}

/// RFC 5280 section 5.2.3: not negative, at most 20 octets.
fn crl_number(value: &[u8]) -> Result<Vec<u8>, Fault> {
    let element = asn1::whole(value, Tag::Integer, "a cRLNumber that is not an INTEGER")?;
    let number = asn1::integer(element.value)?;
    if number.len() > 20 || number.first().is_none_or(|top| top & 0x80 != 0) {
        return Err(Fault::Syntax("a cRLNumber that is negative or longer than 20 octets"));
    }
    Ok(number.to_vec())
}

type Entries = (HashMap<CertificateSerial, RevokedEntry>, bool);

fn read_entries(list: Option<Element<'_>>) -> Result<Entries, Fault> {
    let mut all = HashMap::new();
    let mut unread_critical = false;
    let Some(list) = list else { return Ok((all, unread_critical)) };
    let mut list = list.inside()?;
    while !list.is_at_end() {
        let what = "a revoked certificate that is not DER";
        let mut inside = list.expect(Tag::Sequence, what)?.inside()?;
        let serial = CertificateSerial::from_integer(asn1::integer(inside.expect(Tag::Integer, what)?.value)?)?;
        let at = read_time(&mut inside)?;
        let extensions = match inside.optional(Tag::Sequence, what)? {
            Some(element) => ExtensionList::read(element.inside()?)?,
            None => ExtensionList::default(),
        };
        inside.finish(what)?;
        let reason = extensions.read_one(&oid::CRL_REASON, reason_code)?;
        unread_critical |=
            extensions.iter().any(|found| found.critical && found.oid_octets != oid::CRL_REASON.as_bytes());
        all.insert(serial, RevokedEntry { at, reason });
    }
    Ok((all, unread_critical))
}

fn reason_code(value: &[u8]) -> Result<u8, Fault> {
    let element = asn1::whole(value, Tag::Enumerated, "a reasonCode that is not DER")?;
    match element.value {
        // RFC 5280 section 5.3.1: 7 is not used.
        [code @ (0..=6 | 8..=10)] => Ok(*code),
        _ => Err(Fault::Syntax("a reasonCode that RFC 5280 does not know")),
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RevocationList({} of {}, {} revoked)", self.issuer(), self.this_update(), self.revoked_count())
    }
}
