//! The certificate extensions that we read (RFC 5280 section 4.2), and all others as octets.

use der::Tag;
use der::oid::ObjectIdentifier;

use crate::asn1::{self, Cursor, constructed, primitive};
use crate::error::Fault;
use crate::general_name::{GeneralName, NameConstraints};
use crate::name::dotted;
use crate::time::UnixTime;

/// The object identifiers of the extensions and purposes that this crate reads.
pub mod oid {
    use der::oid::ObjectIdentifier;

    /// subjectKeyIdentifier (RFC 5280 section 4.2.1.2).
    pub const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
    /// keyUsage (section 4.2.1.3).
    pub const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
    /// privateKeyUsagePeriod (RFC 3280 section 4.2.1.4).
    pub const PRIVATE_KEY_USAGE_PERIOD: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.16");
    /// subjectAltName (RFC 5280 section 4.2.1.6).
    pub const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
    /// basicConstraints (section 4.2.1.9).
    pub const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
    /// cRLNumber (section 5.2.3).
    pub const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
    /// reasonCode of a revoked certificate (section 5.3.1).
    pub const CRL_REASON: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
    /// issuingDistributionPoint (section 5.2.5).
    pub const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
    /// deltaCRLIndicator (section 5.2.4).
    pub const DELTA_CRL_INDICATOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
    /// nameConstraints (section 4.2.1.10).
    pub const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
    /// certificatePolicies (section 4.2.1.4).
    pub const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
    /// authorityKeyIdentifier (section 4.2.1.1).
    pub const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
    /// policyConstraints (section 4.2.1.11).
    pub const POLICY_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.36");
    /// extKeyUsage (section 4.2.1.12).
    pub const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
    /// freshestCRL (section 4.2.1.15).
    pub const FRESHEST_CRL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.46");
    /// authorityInfoAccess (section 4.2.2.1).
    pub const AUTHORITY_INFO_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
    /// subjectInfoAccess (section 4.2.2.2).
    pub const SUBJECT_INFO_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.11");
    /// inhibitAnyPolicy (section 4.2.1.14).
    pub const INHIBIT_ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.54");

    /// anyExtendedKeyUsage (section 4.2.1.12).
    pub const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
    /// id-kp-serverAuth.
    pub const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
    /// id-kp-clientAuth.
    pub const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
}

/// One extension as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The contents octets of extnID.
    pub oid_octets: &'a [u8],
    /// Whether it is marked critical.
    pub critical: bool,
    /// The contents of extnValue: most often one DER value.
    pub value: &'a [u8],
}

impl Extension<'_> {
    /// The object identifier in dotted form.
    pub fn dotted(&self) -> String {
        dotted(self.oid_octets)
    }
}

/// basicConstraints (RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// cA.
    pub ca: bool,
    /// pathLenConstraint.
    pub path_len: Option<u32>,
}

/// keyUsage (RFC 5280 section 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// The names of the bits, bit 0 first.
    const NAMES: [&str; 9] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
        "decipherOnly",
    ];

    fn has(self, bit: u32) -> bool {
        (self.0 << bit) & 0x8000 != 0
    }

    /// Bit 0.
    pub fn digital_signature(self) -> bool {
        self.has(0)
    }

    /// Bit 2.
    pub fn key_encipherment(self) -> bool {
        self.has(2)
    }

    /// Bit 4.
    pub fn key_agreement(self) -> bool {
        self.has(4)
    }

    /// Bit 5.
    pub fn key_cert_sign(self) -> bool {
        self.has(5)
    }

    /// Bit 6.
    pub fn crl_sign(self) -> bool {
        self.has(6)
    }

    /// The names of the bits that are set, as RFC 5280 writes them.
    pub fn names(self) -> Vec<&'static str> {
        (0..).zip(KeyUsage::NAMES).filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name).collect()
    }
}

/// extKeyUsage (RFC 5280 section 4.2.1.12): at least one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    purposes: Vec<Vec<u8>>,
}

impl ExtendedKeyUsage {
    /// Whether this very purpose is listed; anyExtendedKeyUsage stands only for itself.
    pub fn contains(&self, purpose: &ObjectIdentifier) -> bool {
        self.purposes.iter().any(|listed| listed == purpose.as_bytes())
    }

    /// Whether clientAuth is listed.
    pub fn client_auth(&self) -> bool {
        self.contains(&oid::CLIENT_AUTH)
    }

    /// Whether serverAuth is listed.
    pub fn server_auth(&self) -> bool {
        self.contains(&oid::SERVER_AUTH)
    }

    /// Whether anyExtendedKeyUsage is listed.
    pub fn any(&self) -> bool {
        self.contains(&oid::ANY_EXTENDED_KEY_USAGE)
    }

    /// The purposes in dotted form, in order.
    pub fn dotted(&self) -> Vec<String> {
        self.purposes.iter().map(|purpose| dotted(purpose)).collect()
    }

    /// How many purposes are listed.
    pub fn count(&self) -> usize {
        self.purposes.len()
    }
}

/// authorityKeyIdentifier (RFC 5280 section 4.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityKeyId {
    /// keyIdentifier.
    pub key_id: Option<Vec<u8>>,
    /// authorityCertIssuer.
    pub issuer: Option<Vec<GeneralName>>,
    /// authorityCertSerialNumber, the contents of the INTEGER.
    pub serial: Option<Vec<u8>>,
}

/// privateKeyUsagePeriod (RFC 3280 section 4.2.1.4): when the key may sign. At least one end is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateKeyUsagePeriod {
    /// The first second in which it may.
    pub not_before: Option<UnixTime>,
    /// The last second in which it may.
    pub not_after: Option<UnixTime>,
}

/// An extension that owns its octets.
#[derive(Clone, Debug)]
struct Kept {
    oid: Vec<u8>,
    critical: bool,
    value: Vec<u8>,
}

/// All extensions of one document, no two of the same type.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtensionList(Vec<Kept>);

impl ExtensionList {
    /// More extensions than this are not read: looking for duplicates must stay cheap.
    const MAX: usize = 64;

    /// Reads Extensions (RFC 5280 section 4.1.2.9): at least one.
    pub(crate) fn read(mut list: Cursor<'_>) -> Result<ExtensionList, Fault> {
        let what = "an extension that is not DER";
        let mut all: Vec<Kept> = Vec::new();
        while !list.is_at_end() {
            let mut inside = list.expect(Tag::Sequence, what)?.inside()?;
            let oid = asn1::object_identifier(inside.expect(Tag::ObjectIdentifier, what)?.value)?;
            let critical = match inside.optional(Tag::Boolean, what)? {
                // X.690 section 11.5: a default value is not encoded.
                Some(element) if !asn1::boolean(element.value)? => return Err(Fault::Syntax("an encoded default")),
                found => found.is_some(),
            };
            let value = inside.expect(Tag::OctetString, what)?.value;
            inside.finish(what)?;
            if all.len() == ExtensionList::MAX {
                return Err(Fault::Syntax("more than 64 extensions"));
            }
            // RFC 5280 section 4.2: no more than one instance of a particular extension.
            if all.iter().any(|kept| kept.oid == oid) {
                return Err(Fault::DuplicateExtension);
            }
            all.push(Kept { oid: oid.to_vec(), critical, value: value.to_vec() });
        }
        if all.is_empty() { Err(Fault::Syntax("an empty list of extensions")) } else { Ok(ExtensionList(all)) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Extension<'_>> {
        self.0.iter().map(|kept| Extension { oid_octets: &kept.oid, critical: kept.critical, value: &kept.value })
    }

    pub(crate) fn get(&self, oid: &ObjectIdentifier) -> Option<Extension<'_>> {
        self.iter().find(|extension| extension.oid_octets == oid.as_bytes())
    }

    /// The extension of this type, read by `read`.
    pub(crate) fn read_one<T>(
        &self,
        oid: &ObjectIdentifier,
        read: fn(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.get(oid).map(|extension| read(extension.value)).transpose()
    }
}

/// The extensions that path validation reads, each in its own form.
#[derive(Clone, Debug)]
pub(crate) struct KnownExtensions {
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<ExtendedKeyUsage>,
    pub(crate) subject_alt_names: Vec<GeneralName>,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<AuthorityKeyId>,
    pub(crate) private_key_usage_period: Option<PrivateKeyUsagePeriod>,
}

impl KnownExtensions {
    pub(crate) fn read(list: &ExtensionList) -> Result<KnownExtensions, Fault> {
        list.read_one(&oid::AUTHORITY_INFO_ACCESS, info_access)?;
        Ok(KnownExtensions {
            basic_constraints: list.read_one(&oid::BASIC_CONSTRAINTS, basic_constraints)?,
            key_usage: list.read_one(&oid::KEY_USAGE, key_usage)?,
            extended_key_usage: list.read_one(&oid::EXTENDED_KEY_USAGE, extended_key_usage)?,
            subject_alt_names: list.read_one(&oid::SUBJECT_ALT_NAME, alt_names)?.unwrap_or_default(),
            name_constraints: list.read_one(&oid::NAME_CONSTRAINTS, NameConstraints::read)?,
            subject_key_id: list.read_one(&oid::SUBJECT_KEY_ID, subject_key_id)?,
            authority_key_id: list.read_one(&oid::AUTHORITY_KEY_ID, authority_key_id)?,
            private_key_usage_period: list.read_one(&oid::PRIVATE_KEY_USAGE_PERIOD, private_key_usage_period)?,
        })
    }
}

fn basic_constraints(value: &[u8]) -> Result<BasicConstraints, Fault> {
    let what = "basicConstraints that are not DER";
    let mut inside = asn1::whole(value, Tag::Sequence, what)?.inside()?;
    let ca = match inside.optional(Tag::Boolean, what)? {
        Some(element) if !asn1::boolean(element.value)? => return Err(Fault::Syntax("an encoded default")),
        found => found.is_some(),
    };
    let path_len = inside.optional(Tag::Integer, what)?.map(|number| path_len(number.value)).transpose()?;
    inside.finish(what)?;
    Ok(BasicConstraints { ca, path_len })
}

/// INTEGER (0..MAX): what does not fit is no limit that any path reaches.
fn path_len(value: &[u8]) -> Result<u32, Fault> {
    match asn1::integer(value)?.first() {
        Some(top) if top & 0x80 == 0 => Ok(asn1::small_integer(value).unwrap_or(u32::MAX)),
        Some(_) | None => Err(Fault::Syntax("a negative pathLenConstraint")),
    }
}

fn key_usage(value: &[u8]) -> Result<KeyUsage, Fault> {
    let element = asn1::whole(value, Tag::BitString, "a keyUsage that is not DER")?;
    match asn1::named_bits(element.value)? {
        // RFC 5280 section 4.2.1.3: at least one bit is set.
        0 => Err(Fault::Syntax("a keyUsage without any bit")),
        bits => Ok(KeyUsage(bits)),
    }
}

fn extended_key_usage(value: &[u8]) -> Result<ExtendedKeyUsage, Fault> {
    let what = "an extKeyUsage that is not DER";
    let mut inside = asn1::whole(value, Tag::Sequence, what)?.inside()?;
    let mut purposes = Vec::new();
    while !inside.is_at_end() {
        let purpose = inside.expect(Tag::ObjectIdentifier, what)?;
        purposes.push(asn1::object_identifier(purpose.value)?.to_vec());
    }
    // RFC 5280 section 4.2.1.12: SIZE (1..MAX).
    if purposes.is_empty() { Err(Fault::Syntax("an empty extKeyUsage")) } else { Ok(ExtendedKeyUsage { purposes }) }
}

fn alt_names(value: &[u8]) -> Result<Vec<GeneralName>, Fault> {
    GeneralName::read_all(asn1::whole(value, Tag::Sequence, "a subjectAltName that is not DER")?.inside()?)
}

fn subject_key_id(value: &[u8]) -> Result<Vec<u8>, Fault> {
    let element = asn1::whole(value, Tag::OctetString, "a subjectKeyIdentifier that is not DER")?;
    if element.value.is_empty() {
        Err(Fault::Syntax("an empty subjectKeyIdentifier"))
    } else {
        Ok(element.value.to_vec())
    }
}

pub(crate) fn authority_key_id(value: &[u8]) -> Result<AuthorityKeyId, Fault> {
    let what = "an authorityKeyIdentifier that is not DER";
    let mut inside = asn1::whole(value, Tag::Sequence, what)?.inside()?;
    let key_id = inside.optional(primitive(0), what)?.map(|id| id.value.to_vec());
    let issuer = inside.optional(constructed(1), what)?;
    let issuer = issuer.map(|names| GeneralName::read_all(names.inside()?)).transpose()?;
    let serial = inside.optional(primitive(2), what)?;
    let serial = serial.map(|number| asn1::integer(number.value).map(<[u8]>::to_vec)).transpose()?;
    inside.finish(what)?;
    // RFC 5280 appendix A.2: both or neither of issuer and serial.
    if issuer.is_some() == serial.is_some() {
        Ok(AuthorityKeyId { key_id, issuer, serial })
    } else {
        Err(Fault::Syntax(what))
    }
}

fn private_key_usage_period(value: &[u8]) -> Result<PrivateKeyUsagePeriod, Fault> {
    let what = "a privateKeyUsagePeriod that is not DER";
    let mut inside = asn1::whole(value, Tag::Sequence, what)?.inside()?;
    let mut end = |number| -> Result<Option<UnixTime>, Fault> {
        let Some(element) = inside.optional(primitive(number), what)? else { return Ok(None) };
        UnixTime::from_generalized_time(element.value).map(Some).ok_or(Fault::Syntax(what))
    };
    let (not_before, not_after) = (end(0)?, end(1)?);
    inside.finish(what)?;
    // RFC 3280 section 4.2.1.4: never empty.
    if not_before.is_none() && not_after.is_none() {
        Err(Fault::Syntax(what))
    } else {
        Ok(PrivateKeyUsagePeriod { not_before, not_after })
    }
}

/// RFC 5280 section 4.2.2.1. Nothing here follows such an address; only the form is held to.
fn info_access(value: &[u8]) -> Result<(), Fault> {
    let what = "an authorityInfoAccess that is not DER";
    let mut inside = asn1::whole(value, Tag::Sequence, what)?.inside()?;
    if inside.is_at_end() {
        return Err(Fault::Syntax("an empty authorityInfoAccess"));
    }
    while !inside.is_at_end() {
        let mut description = inside.expect(Tag::Sequence, what)?.inside()?;
        asn1::object_identifier(description.expect(Tag::ObjectIdentifier, what)?.value)?;
        description.any(what)?;
        description.finish(what)?;
    }
    Ok(())
}
