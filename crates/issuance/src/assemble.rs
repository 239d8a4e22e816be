//! From what is on record back to the certificate: the TBS of the intent and the signature of the result.

use der::{Decode as _, Header, Reader as _, SliceReader, Tag};

use crate::encode::tlv;

/// What is on record does not make a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recorded octets are no TBSCertificate")]
pub struct AssembleRefusal;

impl AssembleRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "MALFORMED_CERTIFICATE"
    }
}

/// The DER certificate of a recorded TBS and its signature value. RFC 5280 section 4.1.1.2: the outer algorithm is the one inside.
///
/// # Errors
/// When the TBS is none.
pub fn assemble(tbs: &[u8], signature: &[u8]) -> Result<Vec<u8>, AssembleRefusal> {
    let algorithm = algorithm_of(tbs).map_err(|_| AssembleRefusal)?;
    Ok(tlv(0x30, &[tbs, algorithm, &tlv(0x03, &[&[0], signature])]))
}

/// The inner AlgorithmIdentifier: after the version and the serial number (RFC 5280 section 4.1.2.3).
fn algorithm_of(tbs: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(tbs)?;
    Header::decode(&mut reader)?.tag().assert_eq(Tag::Sequence)?;
    let _version = reader.tlv_bytes()?;
    let _serial = reader.tlv_bytes()?;
    reader.tlv_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tbs_is_refused() {
        for octets in [&b""[..], b"\x30\x00", b"\x02\x01\x00", b"\x30\x05\xa0\x03\x02\x01\x02"] {
            assert_eq!(assemble(octets, b"s"), Err(AssembleRefusal));
        }
    }
}
