//! The little DER that this crate writes. Writing cannot fail, which `der`'s fallible encoders cannot promise;
//! everything written here is read back through `der` and compared (see `handoff`).

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const SEQUENCE: u8 = 0x30;

/// One element: tag, definite length in its shortest form (X.690 section 10.1), content.
pub(crate) fn element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len().to_be_bytes();
    let significant = significant(&length);
    match significant {
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // At most eight octets, so the count fits the long form's seven bits.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
}

pub(crate) fn sequence(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 4);
    element(&mut out, SEQUENCE, content);
    out
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    element(out, UTF8_STRING, text.as_bytes());
}

/// A non-negative INTEGER in its shortest form (X.690 section 8.3.2).
pub(crate) fn integer(out: &mut Vec<u8>, number: u64) {
    let octets = number.to_be_bytes();
    let mut content = Vec::with_capacity(9);
    if significant(&octets).first().is_some_and(|first| *first >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(significant(&octets));
    element(out, INTEGER, &content);
}

/// Without leading zero octets, but at least one octet.
fn significant(octets: &[u8]) -> &[u8] {
    let mut rest = octets;
    while let [0, tail @ ..] = rest
        && !tail.is_empty()
    {
        rest = tail;
    }
    rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use der::{Decode, Encode};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_der(number: u64, length in 0usize..70_000) {
            let mut out = Vec::new();
            integer(&mut out, number);
            prop_assert_eq!(u64::from_der(&out).unwrap(), number);
            prop_assert_eq!(&out, &number.to_der().unwrap());
            let content = vec![7u8; length];
            let mut out = Vec::new();
            element(&mut out, OCTET_STRING, &content);
            let other = der::asn1::OctetString::new(content).unwrap().to_der().unwrap();
            prop_assert_eq!(out, other);
        }
    }
}
