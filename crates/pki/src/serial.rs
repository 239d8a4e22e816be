//! The number that an issuer gives to a certificate.

use std::fmt;

use crate::digest::hex;
use crate::error::Fault;

/// A certificate serial: 1 to 20 octets, positive (RFC 5280 section 4.1.2.2). Shown in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateSerial(Vec<u8>);

impl CertificateSerial {
    /// The most octets of the INTEGER's contents (RFC 5280 section 4.1.2.2).
    pub const MAX_OCTETS: usize = 20;

    /// The serial with these octets, most significant first; leading zeros are dropped. `None` when it is zero, or
    /// when its DER encoding would take more than 20 octets.
    pub fn from_bytes(bytes: &[u8]) -> Option<CertificateSerial> {
        let first = bytes.iter().position(|byte| *byte != 0)?;
        let digits = bytes.get(first..)?;
        // A set top bit costs one octet of zero, which keeps the INTEGER positive.
        let encoded = digits.len() + usize::from(digits.first().is_some_and(|top| top & 0x80 != 0));
        (encoded <= CertificateSerial::MAX_OCTETS).then(|| CertificateSerial(digits.to_vec()))
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<CertificateSerial> {
        CertificateSerial::from_bytes(&hex::decode(text).ok()?)
    }

    /// The octets, most significant first, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the contents of a DER INTEGER.
    pub(crate) fn from_integer(value: &[u8]) -> Result<CertificateSerial, Fault> {
        match value.first() {
            None => Err(Fault::Syntax("an empty serial number")),
            Some(top) if top & 0x80 != 0 => Err(Fault::Serial("the serial is negative")),
            Some(_) if value.len() > CertificateSerial::MAX_OCTETS => {
                Err(Fault::Serial("the serial is longer than 20 octets"))
            }
            Some(_) => CertificateSerial::from_bytes(value).ok_or(Fault::Serial("the serial is zero")),
        }
    }
}

impl fmt::Display for CertificateSerial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for CertificateSerial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CertificateSerial({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn positive_and_at_most_twenty_octets() {
        assert_eq!(CertificateSerial::from_bytes(&[]), None);
        assert_eq!(CertificateSerial::from_bytes(&[0, 0]), None);
        assert_eq!(CertificateSerial::from_bytes(&[0x80; 20]), None);
        assert_eq!(CertificateSerial::from_bytes(&[0x7f; 21]), None);
        assert_eq!(CertificateSerial::from_bytes(&[0, 0x0a, 0xff]).unwrap().to_string(), "0aff");
        let serial = CertificateSerial::from_bytes(&[0x7f; 20]).unwrap();
        assert_eq!(CertificateSerial::parse(&serial.to_string()), Some(serial));
    }
}
