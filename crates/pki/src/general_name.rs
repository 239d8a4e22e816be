//! GeneralName in its two uses: alternative names (RFC 5280 section 4.2.1.6) and name constraints (section 4.2.1.10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::Tag;

use crate::asn1::{self, Cursor, Element, constructed, primitive};
use crate::error::Fault;
use crate::name::Name;

/// An alternative name. Text is what the certificate says, not yet judged: a dNSName may hold a wildcard, or no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// rfc822Name.
    Email(String),
    /// dNSName.
    Dns(String),
    /// directoryName.
    Directory(Name),
    /// uniformResourceIdentifier.
    Uri(String),
    /// iPAddress.
    Ip(IpAddr),
    /// otherName, x400Address, ediPartyName or registeredID, which we carry and do not read.
    Other {
        /// The context-specific tag number.
        tag: u32,
        /// The whole element.
        der: Vec<u8>,
    },
}

/// The name constraints of a CA (RFC 5280 section 4.2.1.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameConstraints {
    /// Names of a kind listed here must lie within one of that kind.
    pub permitted: Vec<Subtree>,
    /// Names must not lie within these.
    pub excluded: Vec<Subtree>,
}

/// The base of one subtree; minimum is 0 and maximum absent, as RFC 5280 demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subtree {
    /// A mailbox, a host, or a domain written with a leading dot.
    Email(String),
    /// A DNS name, and all names below it. Empty: every name.
    Dns(String),
    /// All names that begin so.
    Directory(Name),
    /// A host, or a domain written with a leading dot.
    Uri(String),
    /// Address and mask, 4 or 16 octets each.
    Ip {
        /// The network.
        address: IpAddr,
        /// The mask, of the same family.
        mask: IpAddr,
    },
    /// A kind that we cannot compare: names of that kind are refused.
    Other {
        /// The context-specific tag number.
        tag: u32,
    },
}

impl GeneralName {
    fn read(element: &Element<'_>) -> Result<GeneralName, Fault> {
        let what = "a GeneralName that is not DER";
        Ok(match kind(element)? {
            1 => GeneralName::Email(ascii_text(element.value)?),
            2 => GeneralName::Dns(ascii_text(element.value)?),
            4 => GeneralName::Directory(directory(element)?),
            6 => GeneralName::Uri(ascii_text(element.value)?),
            7 => GeneralName::Ip(
                ip_address(element.value).ok_or(Fault::Syntax("an iPAddress of neither 4 nor 16 octets"))?,
            ),
            8 => {
                asn1::object_identifier(element.value)?;
                GeneralName::Other { tag: 8, der: element.raw.to_vec() }
            }
            tag @ (0 | 3 | 5) => GeneralName::Other { tag, der: element.raw.to_vec() },
            _ => return Err(Fault::Syntax(what)),
        })
    }

    /// Reads GeneralNames: at least one.
    pub(crate) fn read_all(mut names: Cursor<'_>) -> Result<Vec<GeneralName>, Fault> {
        let mut all = Vec::new();
        while !names.is_at_end() {
            all.push(GeneralName::read(&names.any("a GeneralName that is not DER")?)?);
        }
        // RFC 5280 section 4.2.1.6: SIZE (1..MAX).
        if all.is_empty() { Err(Fault::Syntax("an empty list of names")) } else { Ok(all) }
    }
}

impl NameConstraints {
    pub(crate) fn read(value: &[u8]) -> Result<NameConstraints, Fault> {
        let what = "nameConstraints that are not DER";
        let mut inside = asn1::whole(value, Tag::Sequence, what)?.inside()?;
        let permitted = inside.optional(constructed(0), what)?;
        let excluded = inside.optional(constructed(1), what)?;
        inside.finish(what)?;
        if permitted.is_none() && excluded.is_none() {
            // RFC 5280 section 4.2.1.10: never an empty sequence.
            return Err(Fault::Syntax("nameConstraints that constrain nothing"));
        }
        let list = |element: Option<Element<'_>>| element.map_or(Ok(Vec::new()), |list| read_subtrees(list.inside()?));
        Ok(NameConstraints { permitted: list(permitted)?, excluded: list(excluded)? })
    }
}

fn read_subtrees(mut list: Cursor<'_>) -> Result<Vec<Subtree>, Fault> {
    let mut all = Vec::new();
    while !list.is_at_end() {
        let mut inside = list.expect(Tag::Sequence, "a subtree that is not a SEQUENCE")?.inside()?;
        all.push(Subtree::read(&inside.any("a subtree without its base")?)?);
        // RFC 5280 section 4.2.1.10: minimum MUST be zero (so DER leaves it out) and maximum absent.
        inside.finish("a subtree with a minimum or a maximum")?;
    }
    if all.is_empty() { Err(Fault::Syntax("an empty list of subtrees")) } else { Ok(all) }
}

impl Subtree {
    fn read(element: &Element<'_>) -> Result<Subtree, Fault> {
        Ok(match kind(element)? {
            1 => Subtree::Email(ascii_text(element.value)?),
            2 => Subtree::Dns(ascii_text(element.value)?),
            4 => Subtree::Directory(directory(element)?),
            6 => Subtree::Uri(ascii_text(element.value)?),
            7 => network(element.value)?,
            tag @ (0 | 3 | 5 | 8) => Subtree::Other { tag },
            _ => return Err(Fault::Syntax("a subtree that is no GeneralName")),
        })
    }
}

/// The number of a GeneralName's tag, whose constructed bit must be right.
fn kind(element: &Element<'_>) -> Result<u32, Fault> {
    [0, 3, 4, 5]
        .into_iter()
        .find(|number| element.tag == constructed(*number))
        .or_else(|| [1, 2, 6, 7, 8].into_iter().find(|number| element.tag == primitive(*number)))
        .ok_or(Fault::Syntax("a GeneralName of an unknown kind"))
}

/// directoryName is tagged explicitly, Name being a CHOICE (X.680 section 31.2.7).
fn directory(element: &Element<'_>) -> Result<Name, Fault> {
    Name::read(&asn1::whole(element.value, Tag::Sequence, "a directoryName that is not DER")?)
}

fn ip_address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

/// RFC 5280 section 4.2.1.10: 8 or 32 octets, address then mask in CIDR style.
fn network(value: &[u8]) -> Result<Subtree, Fault> {
    let fault = Fault::Syntax("an iPAddress constraint that is no address and mask");
    let (address, mask) = value.split_at_checked(value.len() / 2).ok_or(fault)?;
    let leading: u32 = mask.iter().map(|octet| octet.leading_ones()).sum();
    let ones: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let contiguous = mask.windows(2).all(|pair| matches!(pair, [0xff, _] | [_, 0x00]));
    match (ip_address(address), ip_address(mask)) {
        (Some(address), Some(mask)) if leading == ones && contiguous => Ok(Subtree::Ip { address, mask }),
        _ => Err(fault),
    }
}

/// IA5String and its relatives: printable or not, but ASCII.
pub(crate) fn ascii_text(value: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(Fault::Syntax("text that is not ASCII")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mask_must_be_contiguous() {
        assert!(network(&[192, 0, 2, 0, 255, 255, 255, 0]).is_ok());
        assert!(network(&[192, 0, 2, 0, 0, 0, 0, 0]).is_ok());
        assert!(network(&[192, 0, 2, 0, 255, 0, 255, 0]).is_err());
        assert!(network(&[192, 0, 2, 0, 255, 253, 0, 0]).is_err());
        assert!(network(&[192, 0, 2]).is_err() && network(&[]).is_err());
    }

    #[test]
    fn empty_lists_are_refused() {
        assert!(NameConstraints::read(&[0x30, 0]).is_err());
        assert!(NameConstraints::read(&[0x30, 2, 0xa0, 0]).is_err());
        assert!(GeneralName::read_all(Cursor::new(&[]).unwrap()).is_err());
        let wrong_octets = GeneralName::read_all(Cursor::new(&[0x87, 1, 1]).unwrap());
        assert!(wrong_octets.is_err());
    }
}
