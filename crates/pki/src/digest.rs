//! SHA-256 values and hexadecimal.

use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// A text that is not hexadecimal, or not of the expected length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not hexadecimal of the expected length")]
pub struct HexError;

impl HexError {
    /// The published name of this refusal.
    pub fn reason(&self) -> &'static str {
        "HEX_INVALID"
    }
}

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Sha256 {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut value = [0; 32];
        for (to, from) in value.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Sha256(value)
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Sha256 {
        Sha256(bytes)
    }

    /// A digest out of exactly 32 octets; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Sha256> {
        bytes.try_into().ok().map(Sha256)
    }

    /// The 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Sha256, HexError> {
        Sha256::from_slice(&hex::decode(text)?).ok_or(HexError)
    }
}

impl AsRef<[u8]> for Sha256 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Sha256, HexError> {
        Sha256::parse(text)
    }
}

/// Hexadecimal: lower case out, either case in.
pub mod hex {
    use super::HexError;

    /// Two lower-case digits an octet.
    pub fn encode(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 0x0f])
            .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
            .collect()
    }

    /// The octets that pairs of digits stand for.
    ///
    /// # Errors
    /// When a character is no digit or the number of digits is odd.
    pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(HexError);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(HexError);
        pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4) | digit(*low)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_nothing() {
        let empty = Sha256::of(b"");
        assert_eq!(empty.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Sha256::parse(&empty.to_string().to_uppercase()).unwrap(), empty);
    }

    #[test]
    fn hex_refuses_what_is_not_hex() {
        for wrong in ["0", "0g", "é", "+1", "0x"] {
            assert_eq!(hex::decode(wrong).unwrap_err().reason(), "HEX_INVALID");
        }
        assert!(Sha256::parse("00").is_err());
    }
}
