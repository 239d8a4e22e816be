//! A cursor over DER (X.690 section 10), so that the readers above it speak of fields and not of octets.
//!
//! Lengths and tags are checked by the `der` crate; this adds what every reader here needs: the raw octets of an
//! element, optional elements, and an error that costs no allocation.

use der::{AnyRef, Decode, Reader as _, SliceReader, Tag, TagNumber};

use crate::error::Fault;

/// One tag-length-value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    /// The tag, constructed bit included.
    pub(crate) tag: Tag,
    /// The contents octets.
    pub(crate) value: &'a [u8],
    /// Header and contents.
    pub(crate) raw: &'a [u8],
}

/// Reads elements one after the other.
pub(crate) struct Cursor<'a> {
    reader: Option<SliceReader<'a>>,
}

/// The context-specific tag `[number]` around other elements.
pub(crate) const fn constructed(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The context-specific tag `[number]` around octets.
pub(crate) const fn primitive(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Cursor<'a>, Fault> {
        if bytes.is_empty() {
            return Ok(Cursor { reader: None });
        }
        let reader = SliceReader::new(bytes).map_err(|_| Fault::Syntax("too long for DER"))?;
        Ok(Cursor { reader: Some(reader) })
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| reader.is_finished())
    }

    /// The next element, whatever its tag.
    pub(crate) fn any(&mut self, what: &'static str) -> Result<Element<'a>, Fault> {
        let fault = |_| Fault::Syntax(what);
        let reader = self.reader.as_mut().ok_or(Fault::Syntax(what))?;
        let raw = reader.tlv_bytes().map_err(fault)?;
        let any = AnyRef::from_der(raw).map_err(fault)?;
        Ok(Element { tag: der::Tagged::tag(&any), value: any.value(), raw })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: Tag, what: &'static str) -> Result<Element<'a>, Fault> {
        let element = self.any(what)?;
        if element.tag == tag { Ok(element) } else { Err(Fault::Syntax(what)) }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: Tag, what: &'static str) -> Result<Option<Element<'a>>, Fault> {
        match self.peek(what)? {
            Some(next) if next == tag => self.any(what).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The tag of the next element, `None` at the end.
    pub(crate) fn peek(&self, what: &'static str) -> Result<Option<Tag>, Fault> {
        match self.reader.as_ref() {
            Some(reader) if !reader.is_finished() => Tag::peek(reader).map(Some).map_err(|_| Fault::Syntax(what)),
            Some(_) | None => Ok(None),
        }
    }

    /// Succeeds when nothing is left.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), Fault> {
        if self.is_at_end() { Ok(()) } else { Err(Fault::Syntax(what)) }
    }
}

impl<'a> Element<'a> {
    /// A cursor over the contents of a constructed element.
    pub(crate) fn inside(&self) -> Result<Cursor<'a>, Fault> {
        Cursor::new(self.value)
    }
}

/// The one element that `bytes` are, with this tag and nothing after it.
pub(crate) fn whole<'a>(bytes: &'a [u8], tag: Tag, what: &'static str) -> Result<Element<'a>, Fault> {
    let mut cursor = Cursor::new(bytes)?;
    let element = cursor.expect(tag, what)?;
    cursor.finish(what)?;
    Ok(element)
}

/// A DER BOOLEAN's contents (X.690 section 11.1: TRUE is FF).
pub(crate) fn boolean(value: &[u8]) -> Result<bool, Fault> {
    match value {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(Fault::Syntax("a BOOLEAN that is not DER")),
    }
}

/// A DER INTEGER's contents, minimal (X.690 section 8.3.2).
pub(crate) fn integer(value: &[u8]) -> Result<&[u8], Fault> {
    match value {
        [] => Err(Fault::Syntax("an empty INTEGER")),
        [0x00, next, ..] if next & 0x80 == 0 => Err(Fault::Syntax("an INTEGER with needless leading octets")),
        [0xff, next, ..] if next & 0x80 != 0 => Err(Fault::Syntax("an INTEGER with needless leading octets")),
        _ => Ok(value),
    }
}

/// A DER INTEGER from 0 to 2^32 - 1.
pub(crate) fn small_integer(value: &[u8]) -> Result<u32, Fault> {
    let value = integer(value)?;
    if value.first().is_none_or(|top| top & 0x80 != 0) || value.len() > 5 {
        return Err(Fault::Syntax("an INTEGER out of range"));
    }
    let number = value.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    u32::try_from(number).map_err(|_| Fault::Syntax("an INTEGER out of range"))
}

/// A BIT STRING's contents whose number of bits is a multiple of eight.
pub(crate) fn octet_bits(value: &[u8]) -> Result<&[u8], Fault> {
    match value.split_first() {
        Some((0, bits)) => Ok(bits),
        Some(_) | None => Err(Fault::Syntax("a BIT STRING that is not whole octets")),
    }
}

/// A BIT STRING's contents as named bits, bit 0 first; at most sixteen.
pub(crate) fn named_bits(value: &[u8]) -> Result<u16, Fault> {
    let fault = Fault::Syntax("a BIT STRING that is not DER");
    let (unused, bits) = value.split_first().ok_or(fault)?;
    if *unused > 7 || (bits.is_empty() && *unused != 0) {
        return Err(fault);
    }
    // X.690 section 11.2.1: unused bits are zero.
    if bits.last().is_some_and(|last| last & ((1_u8 << unused) - 1) != 0) {
        return Err(fault);
    }
    match bits {
        [] => Ok(0),
        [high] => Ok(u16::from(*high) << 8),
        [high, low] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(fault),
    }
}

/// An OBJECT IDENTIFIER's contents: at least one arc, each minimal (X.690 section 8.19).
pub(crate) fn object_identifier(value: &[u8]) -> Result<&[u8], Fault> {
    let fault = Fault::Syntax("an OBJECT IDENTIFIER that is not DER");
    if value.last().is_none_or(|last| last & 0x80 != 0) {
        return Err(fault);
    }
    let mut starts = true;
    for byte in value {
        if starts && *byte == 0x80 {
            return Err(fault);
        }
        starts = byte & 0x80 == 0;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_der_forbids() {
        assert!(whole(&[0x30, 0x80, 0, 0], Tag::Sequence, "x").is_err(), "indefinite length");
        assert!(whole(&[0x30, 0x81, 0x00], Tag::Sequence, "x").is_err(), "long form of a short length");
        assert!(whole(&[0x30, 0x00, 0x00], Tag::Sequence, "x").is_err(), "trailing octet");
        assert!(whole(&[0x30, 0x01], Tag::Sequence, "x").is_err(), "too short");
        assert!(whole(&[0x30, 0x00], Tag::Sequence, "x").unwrap().inside().unwrap().is_at_end());
        assert!(boolean(&[1]).is_err());
        assert!(integer(&[0, 1]).is_err() && integer(&[0xff, 0x80]).is_err() && integer(&[]).is_err());
        assert_eq!(small_integer(&[0, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
        assert!(small_integer(&[0x80]).is_err() && small_integer(&[1, 0, 0, 0, 0]).is_err());
        assert!(named_bits(&[]).is_err() && named_bits(&[1]).is_err() && named_bits(&[1, 1]).is_err());
        assert_eq!(named_bits(&[2, 0x04]), Ok(0x0400));
        assert!(object_identifier(&[]).is_err() && object_identifier(&[0x80, 1]).is_err());
        assert!(object_identifier(&[0x81]).is_err() && object_identifier(&[0x55, 0x1d]).is_ok());
    }
}
