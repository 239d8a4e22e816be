//! Distinguished names: kept as DER, compared as RFC 5280 section 7.1 asks, shown as RFC 4514 does.

use std::fmt;

use der::Tag;

use crate::asn1::{self, Cursor, Element};
use crate::error::Fault;
use crate::general_name::ascii_text;

/// A distinguished name. Two are equal when they match by RFC 5280 section 7.1: letter case and runs of spaces in
/// strings do not count. Compare [`der`](Name::der) for identity of octets.
#[derive(Clone)]
pub struct Name {
    der: Vec<u8>,
    rdns: Vec<Vec<Attribute>>,
    /// One entry an RDN, made so that equal octets mean matching RDNs.
    normal: Vec<Vec<u8>>,
}

/// One attribute of a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    oid: Vec<u8>,
    tag: Tag,
    value: Vec<u8>,
}

const COMMON_NAME: &[u8] = b"\x55\x04\x03";
const ORGANIZATION: &[u8] = b"\x55\x04\x0a";
const EMAIL_ADDRESS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01";

/// Short names of RFC 4514 section 3, and of those attributes that everyone abbreviates.
const SHORT_NAMES: [(&[u8], &str); 11] = [
    (COMMON_NAME, "CN"),
    (b"\x55\x04\x05", "serialNumber"),
    (b"\x55\x04\x06", "C"),
    (b"\x55\x04\x07", "L"),
    (b"\x55\x04\x08", "ST"),
    (b"\x55\x04\x09", "STREET"),
    (ORGANIZATION, "O"),
    (b"\x55\x04\x0b", "OU"),
    (EMAIL_ADDRESS, "emailAddress"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
];

impl Name {
    /// Reads the contents and header of a Name (RFC 5280 section 4.1.2.4).
    pub(crate) fn read(element: &Element<'_>) -> Result<Name, Fault> {
        let mut rdns = Vec::new();
        let mut sequence = element.inside()?;
        while !sequence.is_at_end() {
            rdns.push(read_rdn(sequence.expect(Tag::Set, "an RDN that is not a SET")?.inside()?)?);
        }
        let normal = rdns.iter().map(|rdn| normal_rdn(rdn)).collect();
        Ok(Name { der: element.raw.to_vec(), rdns, normal })
    }

    /// The DER of the whole name.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether there is no RDN at all.
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The relative distinguished names in the order of the encoding; nearly always one attribute each.
    pub fn rdns(&self) -> impl Iterator<Item = &[Attribute]> {
        self.rdns.iter().map(Vec::as_slice)
    }

    /// Every commonName that is text, in order.
    pub fn common_names(&self) -> Vec<String> {
        self.texts(COMMON_NAME)
    }

    /// The organizationName; `None` when there is none, or more than one.
    pub fn organization(&self) -> Option<String> {
        let mut all = self.texts(ORGANIZATION);
        let last = all.pop();
        if all.is_empty() { last } else { None }
    }

    /// Every emailAddress, which older certificates carry instead of an alternative name.
    pub(crate) fn email_addresses(&self) -> Vec<String> {
        self.texts(EMAIL_ADDRESS)
    }

    /// Whether this name begins with all of `base`: RFC 5280 section 4.2.1.10, directoryName.
    pub(crate) fn is_within(&self, base: &Name) -> bool {
        self.normal.starts_with(&base.normal)
    }

    fn texts(&self, oid: &[u8]) -> Vec<String> {
        self.rdns.iter().flatten().filter(|attribute| attribute.oid == oid).filter_map(Attribute::text).collect()
    }
}

impl Attribute {
    /// The contents octets of the attribute's type.
    pub fn oid_octets(&self) -> &[u8] {
        &self.oid
    }

    /// `CN`, `O` and so on, or the dotted object identifier.
    pub fn type_name(&self) -> String {
        SHORT_NAMES
            .iter()
            .find(|(oid, _)| *oid == self.oid)
            .map_or_else(|| dotted(&self.oid), |(_, name)| (*name).to_owned())
    }

    /// The value as text, `None` when it is of no string type or not of that type's alphabet.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the tags of ASN.1 are not ours")]
    pub fn text(&self) -> Option<String> {
        match self.tag {
            Tag::Utf8String => std::str::from_utf8(&self.value).ok().map(str::to_owned),
            Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
                ascii_text(&self.value).ok()
            }
            // Latin-1 is what is meant by those who still write it.
            Tag::TeletexString => Some(self.value.iter().copied().map(char::from).collect()),
            Tag::BmpString => {
                let (units, rest) = self.value.as_chunks::<2>();
                let units: Vec<u16> = units.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
                rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
            }
            _ => None,
        }
    }
}

fn read_rdn(mut set: Cursor<'_>) -> Result<Vec<Attribute>, Fault> {
    let what = "an attribute of a name that is not DER";
    let mut rdn = Vec::new();
    while !set.is_at_end() {
        let mut pair = set.expect(Tag::Sequence, what)?.inside()?;
        let oid = asn1::object_identifier(pair.expect(Tag::ObjectIdentifier, what)?.value)?.to_vec();
        let value = pair.any(what)?;
        pair.finish(what)?;
        rdn.push(Attribute { oid, tag: value.tag, value: value.value.to_vec() });
    }
    // X.501 section 9.3: an RDN has at least one attribute.
    if rdn.is_empty() { Err(Fault::Syntax("an empty RDN")) } else { Ok(rdn) }
}

/// Octets that are equal for matching RDNs (RFC 5280 section 7.1): a set of type and prepared value.
fn normal_rdn(rdn: &[Attribute]) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = rdn.iter().map(normal_attribute).collect();
    parts.sort();
    parts.concat()
}

fn normal_attribute(attribute: &Attribute) -> Vec<u8> {
    let folds = matches!(attribute.tag, Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    let string = if folds { attribute.text() } else { None };
    // The length of what follows keeps two attributes from running into one another.
    let (kind, value): (u32, Vec<u8>) = match string {
        Some(text) => {
            let words: Vec<String> = text.split(' ').filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
            (0, words.join(" ").into_bytes())
        }
        None => (attribute.tag.number().value().saturating_add(1), attribute.value.clone()),
    };
    let mut out = Vec::with_capacity(attribute.oid.len() + value.len() + 12);
    for part in [&attribute.oid, &value] {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&kind.to_be_bytes());
    out
}

/// An object identifier in dotted form; octets in hexadecimal when an arc is beyond counting.
pub(crate) fn dotted(oid: &[u8]) -> String {
    match der::oid::ObjectIdentifier::from_bytes(oid) {
        Ok(known) => known.to_string(),
        Err(_) => format!("oid:{}", crate::digest::hex::encode(oid)),
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Name({self})")
    }
}

impl fmt::Display for Name {
    /// RFC 4514: the last RDN first, control characters escaped.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rdn) in self.rdns.iter().rev().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            for (index, attribute) in rdn.iter().enumerate() {
                if index > 0 {
                    out.write_str("+")?;
                }
                write!(out, "{}={}", attribute.type_name(), escaped(attribute))?;
            }
        }
        Ok(())
    }
}

/// RFC 4514 section 2.4.
fn escaped(attribute: &Attribute) -> String {
    let Some(text) = attribute.text() else {
        return format!("#{}", crate::digest::hex::encode(&attribute.value));
    };
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (index, letter) in text.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', letter]),
            '#' if index == 0 => out.push_str("\\#"),
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            control if control.is_control() => {
                let mut octets = [0; 4];
                for octet in control.encode_utf8(&mut octets).bytes() {
                    out.push_str(&format!("\\{octet:02x}"));
                }
            }
            plain => out.push(plain),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        [&[tag, u8::try_from(value.len()).unwrap()][..], &value].concat()
    }

    fn attribute(oid: &[u8], tag: u8, text: &str) -> Vec<u8> {
        tlv(0x31, &[&tlv(0x30, &[&tlv(6, &[oid]), &tlv(tag, &[text.as_bytes()])])])
    }

    fn name(rdns: &[&[u8]]) -> Name {
        let der = tlv(0x30, rdns);
        Name::read(&asn1::whole(&der, Tag::Sequence, "x").unwrap()).unwrap()
    }

    #[test]
    fn matching_folds_case_space_and_string_type() {
        let one = name(&[&attribute(ORGANIZATION, 0x13, "Company X"), &attribute(COMMON_NAME, 0x0c, "Root")]);
        let two = name(&[&attribute(ORGANIZATION, 0x0c, " company  x "), &attribute(COMMON_NAME, 0x13, "ROOT")]);
        let other = name(&[&attribute(ORGANIZATION, 0x0c, "CompanyX"), &attribute(COMMON_NAME, 0x13, "ROOT")]);
        assert_eq!(one, two);
        assert_ne!(one, other);
        assert!(one.is_within(&name(&[&attribute(ORGANIZATION, 0x13, "company x")])));
        assert!(!one.is_within(&name(&[&attribute(COMMON_NAME, 0x0c, "root")])));
    }

    #[test]
    fn shown_as_rfc_4514() {
        let shown = name(&[&attribute(ORGANIZATION, 0x0c, "A, B"), &attribute(COMMON_NAME, 0x0c, "#x\0 ")]);
        assert_eq!(shown.to_string(), "CN=\\#x\\00\\ ,O=A\\, B");
        assert_eq!(shown.organization().as_deref(), Some("A, B"));
        assert_eq!(shown.common_names(), ["#x\0 "]);
        assert_eq!(name(&[]).to_string(), "");
    }

    #[test]
    fn an_empty_rdn_is_refused() {
        let der = tlv(0x30, &[&tlv(0x31, &[])]);
        assert!(Name::read(&asn1::whole(&der, Tag::Sequence, "x").unwrap()).is_err());
    }
}
