//! PEM (RFC 7468): labelled blocks of base64, with any text between them.

use crate::certificate::Certificate;
use crate::error::{ParseError, ParseReason};

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a PKCS#10 request.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
/// The label of a revocation list.
pub const X509_CRL: &str = "X509 CRL";
/// The label of a SubjectPublicKeyInfo.
pub const PUBLIC_KEY: &str = "PUBLIC KEY";
/// The label of an unencrypted PKCS#8 key.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";
/// The label of an encrypted PKCS#8 key.
pub const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// More blocks than this in one text are refused.
pub const MAX_BLOCKS: usize = 4096;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One block. Its octets may be a secret: it shows only their number, and wipes them when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    label: String,
    der: Vec<u8>,
}

impl Block {
    /// What stands after BEGIN.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The octets.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.der);
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Block({}, {} octets)", self.label, self.der.len())
    }
}

/// Every block of a text, in order; text between the blocks is explanatory and skipped (RFC 7468 section 5.2). A text
/// without any block gives none.
///
/// # Errors
/// `MALFORMED_PEM` when a block does not end, ends with another label, or is not base64.
pub fn blocks(text: &str) -> Result<Vec<Block>, ParseError> {
    let mut all = Vec::new();
    let mut open: Option<(&str, zeroize::Zeroizing<String>)> = None;
    for line in text.lines().map(str::trim) {
        let begins = boundary(line, BEGIN);
        let ends = boundary(line, END);
        match (&mut open, begins, ends) {
            (None, Some(label), _) => open = Some((label, zeroize::Zeroizing::new(String::new()))),
            (None, None, None) => {}
            (None, None, Some(_)) => return Err(malformed("a pem block ends that did not begin")),
            (Some(_), Some(_), _) => return Err(malformed("a pem block begins inside another")),
            (Some((_, body)), None, None) => body.push_str(line),
            (Some((label, body)), None, Some(end)) => {
                if end != *label {
                    return Err(malformed("a pem block ends with another label than it began with"));
                }
                let der = decode_base64(body).ok_or_else(|| malformed("a pem block that is not base64"))?;
                all.push(Block { label: (*label).to_owned(), der });
                open = None;
            }
        }
        if all.len() > MAX_BLOCKS {
            return Err(ParseError::new(ParseReason::TooLarge, "more than 4096 pem blocks"));
        }
    }
    if open.is_some() { Err(malformed("a pem block that does not end")) } else { Ok(all) }
}

/// Every certificate of a text, in order. Blocks with other labels are skipped.
///
/// # Errors
/// What [`blocks`] and [`Certificate::parse`] refuse, and `MALFORMED_PEM` when there is no certificate at all.
pub fn certificates(text: &str) -> Result<Vec<Certificate>, ParseError> {
    let all: Vec<Certificate> = blocks(text)?
        .iter()
        .filter(|block| block.label() == CERTIFICATE)
        .map(|block| Certificate::parse(block.der()))
        .collect::<Result<_, _>>()?;
    if all.is_empty() { Err(malformed("no pem block with the label CERTIFICATE")) } else { Ok(all) }
}

/// The octets of the only block with this label.
///
/// # Errors
/// What [`blocks`] refuses, and `MALFORMED_PEM` when there is none or more than one.
pub fn single(text: &str, label: &str) -> Result<Block, ParseError> {
    let mut found: Vec<Block> = blocks(text)?.into_iter().filter(|block| block.label() == label).collect();
    match (found.pop(), found.is_empty()) {
        (Some(block), true) => Ok(block),
        (Some(_), false) => Err(malformed("more than one pem block with the expected label")),
        (None, _) => Err(malformed("no pem block with the expected label")),
    }
}

/// One block: 64 characters a line and a final newline, as RFC 7468 section 3 wants it.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut out = format!("{BEGIN}{label}{DASHES}\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            push_group(&mut out, group);
        }
        out.push('\n');
    }
    out.push_str(&format!("{END}{label}{DASHES}\n"));
    out
}

/// Certificates one after the other.
pub fn encode_certificates<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> String {
    certificates.into_iter().map(|certificate| encode(CERTIFICATE, certificate.der())).collect()
}

fn malformed(detail: &str) -> ParseError {
    ParseError::new(ParseReason::MalformedPem, detail)
}

fn boundary<'a>(line: &'a str, which: &str) -> Option<&'a str> {
    line.strip_prefix(which)?.strip_suffix(DASHES)
}

fn push_group(out: &mut String, group: &[u8]) {
    let octet = |at: usize| group.get(at).copied().unwrap_or(0);
    let bits = u32::from_be_bytes([0, octet(0), octet(1), octet(2)]);
    for at in 0..4 {
        let index = usize::try_from((bits >> (18 - 6 * at)) & 0x3f).unwrap_or(0);
        let letter = ALPHABET.get(index).copied().map_or('=', char::from);
        out.push(if usize::try_from(at).is_ok_and(|at| at <= group.len()) { letter } else { '=' });
    }
}

/// RFC 4648 section 4, with padding and without stray bits, white space aside.
fn decode_base64(body: &str) -> Option<Vec<u8>> {
    let letters: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let letters = zeroize::Zeroizing::new(letters);
    let (groups, rest) = letters.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(groups.len() * 3);
    for (index, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|letter| **letter == b'=').count();
        if padding > 2 || (padding > 0 && index + 1 != groups.len()) {
            return None;
        }
        let mut bits = 0_u32;
        for letter in group.iter().take(4 - padding) {
            bits = (bits << 6) | sextet(*letter)?;
        }
        bits <<= 6 * padding;
        let [_, octets @ ..] = bits.to_be_bytes();
        let (kept, dropped) = octets.split_at_checked(3 - padding)?;
        if dropped.iter().any(|octet| *octet != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

fn sextet(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn round_trips_every_length() {
        for length in 0..200_usize {
            let octets: Vec<u8> = (0..length).map(|at| u8::try_from(at * 7 % 256).unwrap()).collect();
            let text = format!("some words\n{}\nmore words", encode("X", &octets));
            let found = blocks(&text).unwrap();
            assert_eq!(found.first().unwrap().der(), octets);
            assert!(text.lines().all(|line| line.len() <= 64));
        }
        assert!(encode("X", b"foob").contains("Zm9vYg==\n"));
    }

    #[test]
    fn refuses_broken_blocks() {
        for text in [
            "-----BEGIN X-----\nAAAA\n",
            "-----BEGIN X-----\nAAAA\n-----END Y-----\n",
            "-----BEGIN X-----\nAAA\n-----END X-----\n",
            "-----BEGIN X-----\nAB==AAAA\n-----END X-----\n",
            "-----BEGIN X-----\nAB==\n-----END X-----\n",
            "-----BEGIN X-----\nA===\n-----END X-----\n",
            "-----BEGIN X-----\n-----BEGIN X-----\n-----END X-----\n",
            "-----END X-----\n",
            "-----BEGIN X-----\nA*AA\n-----END X-----\n",
        ] {
            assert_eq!(blocks(text).unwrap_err().reason(), "MALFORMED_PEM", "{text}");
        }
        assert_eq!(certificates("nothing").unwrap_err().reason(), "MALFORMED_PEM");
        assert_eq!(blocks("nothing").unwrap(), []);
    }

    #[test]
    fn a_single_block_is_single() {
        let one = encode("X", b"a");
        assert_eq!(single(&one, "X").unwrap().der(), b"a");
        assert!(single(&one, "Y").is_err());
        assert!(single(&format!("{one}{one}"), "X").is_err());
    }
}
