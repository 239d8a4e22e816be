//! From fields to the exact octets that will be signed.
//!
//! rcgen writes the TBSCertificate; serial, times and extensions come from us. Its own idea of the issuer's name
//! and algorithm is then replaced by the issuer's octets as they stand in the issuer's certificate, so that the
//! chain links byte for byte whatever string types the issuer's own issuer chose (RFC 5280 section 7.1).

use std::cell::Cell;

use der::{Decode, Encode, Header, Reader, SliceReader, Tag};
use pki::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use rcgen::{CertificateParams, PublicKeyData, SigningKey};

/// Writing the certificate failed; not for any input that the types let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("encoding the certificate failed: {0}")]
pub struct EncodeRefusal(pub(crate) String);

impl EncodeRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "CERTIFICATE_ENCODING_FAILED"
    }
}

impl From<der::Error> for EncodeRefusal {
    fn from(cause: der::Error) -> Self {
        Self(cause.to_string())
    }
}

/// What the issuer contributes to every TBSCertificate. Constant, so made once.
pub(crate) struct IssuerOctets {
    /// The DER of the issuer's subject.
    pub(crate) name: Vec<u8>,
    /// The algorithm of its key's signatures.
    pub(crate) algorithm: SignatureAlgorithm,
}

/// The DER TBSCertificate for this key, by this issuer.
pub(crate) fn tbs(
    params: &CertificateParams,
    key: &PublicKey,
    issuer: &IssuerOctets,
) -> Result<Vec<u8>, EncodeRefusal> {
    let subject = Subject { octets: key.key_octets(), algorithm: rcgen_algorithm(key.algorithm()) };
    let capture = Capture { tbs: Cell::new(Vec::new()) };
    let mut nameless = CertificateParams::default();
    nameless.distinguished_name = rcgen::DistinguishedName::new();
    params
        .signed_by(&subject, &rcgen::Issuer::from_params(&nameless, &capture))
        .map_err(|cause| EncodeRefusal(cause.to_string()))?;
    with_issuer(&capture.tbs.take(), issuer)
}

/// SEQUENCE { tbsCertificate, signatureAlgorithm, signature } (RFC 5280 section 4.1).
pub(crate) fn certificate(tbs: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tbs, algorithm.identifier_der(), &tlv(0x03, &[&[0], signature])])
}

/// One DER element with these contents.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    // X.690 section 8.1.3: short form below 128, else the number of octets first.
    let octets = length.to_be_bytes();
    let leading = octets.iter().take_while(|octet| **octet == 0).count();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(_) | Err(_) => {
            let count = u8::try_from(octets.len().saturating_sub(leading)).unwrap_or(u8::MAX);
            out.push(0x80 | count);
            out.extend(octets.iter().skip(leading));
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Whether the algorithm inside a TBSCertificate is this one (RFC 5280 section 4.1.2.3).
pub(crate) fn names_algorithm(tbs: &[u8], algorithm: SignatureAlgorithm) -> bool {
    fn inner(tbs: &[u8]) -> der::Result<&[u8]> {
        let mut reader = SliceReader::new(tbs)?;
        Header::decode(&mut reader)?;
        let (_version, _serial) = (reader.tlv_bytes()?, reader.tlv_bytes()?);
        reader.tlv_bytes()
    }
    inner(tbs).is_ok_and(|found| found == algorithm.identifier_der())
}

/// version, serial, [signature, issuer] replaced, then all the rest as it was.
fn with_issuer(tbs: &[u8], issuer: &IssuerOctets) -> Result<Vec<u8>, EncodeRefusal> {
    let mut reader = SliceReader::new(tbs)?;
    Header::decode(&mut reader)?.tag().assert_eq(Tag::Sequence)?;
    let version = reader.tlv_bytes()?;
    let serial = reader.tlv_bytes()?;
    let (_algorithm, _issuer) = (reader.tlv_bytes()?, reader.tlv_bytes()?);
    let rest = reader.read_slice(reader.remaining_len())?;
    Ok(tlv(0x30, &[version, serial, issuer.algorithm.identifier_der(), &issuer.name, rest]))
}

/// The DER of a subject, as [`tbs`] writes it.
pub(crate) fn name(name: &rcgen::DistinguishedName) -> Result<Vec<u8>, EncodeRefusal> {
    let mut rdns = Vec::new();
    for (kind, value) in name.iter() {
        let kind = if *kind == rcgen::DnType::OrganizationName {
            b"\x06\x03\x55\x04\x0a"
        } else if *kind == rcgen::DnType::CommonName {
            b"\x06\x03\x55\x04\x03"
        } else {
            return Err(EncodeRefusal("a subject of other than O and CN".to_owned()));
        };
        let rcgen::DnValue::Utf8String(text) = value else {
            return Err(EncodeRefusal("a subject that is not utf-8".to_owned()));
        };
        rdns.extend(tlv(0x31, &[&tlv(0x30, &[kind, &utf8_string(text)])]));
    }
    Ok(tlv(0x30, &[&rdns]))
}

struct Subject<'a> {
    octets: &'a [u8],
    algorithm: &'static rcgen::SignatureAlgorithm,
}

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.octets
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

/// Stands where rcgen expects the issuer's key: keeps the message and signs nothing, so that no signature can
/// exist before the record.
struct Capture {
    tbs: Cell<Vec<u8>>,
}

impl PublicKeyData for Capture {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl SigningKey for Capture {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.tbs.set(message.to_vec());
        Ok(vec![0])
    }
}

/// rcgen names a key's SubjectPublicKeyInfo by a signature algorithm of that key.
fn rcgen_algorithm(key: KeyAlgorithm) -> &'static rcgen::SignatureAlgorithm {
    match key {
        KeyAlgorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyAlgorithm::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
        KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
        KeyAlgorithm::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
    }
}

/// A DER INTEGER above 0, from its octets, the most significant first.
pub(crate) fn positive_integer(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count().min(octets.len().saturating_sub(1));
    let significant = octets.get(zeros..).unwrap_or_default();
    // X.690 section 8.3: a set top bit would make it negative.
    let sign: &[u8] = if significant.first().is_some_and(|top| top & 0x80 != 0) { &[0] } else { &[] };
    tlv(0x02, &[sign, significant])
}

/// A DER UTF8String.
pub(crate) fn utf8_string(text: &str) -> Vec<u8> {
    tlv(0x0c, &[text.as_bytes()])
}

/// The DER of an object identifier.
pub(crate) fn object_identifier(oid: pki::ObjectIdentifier) -> Vec<u8> {
    oid.to_der().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(tlv(0x30, &[&[7; 3]]), [0x30, 3, 7, 7, 7]);
        assert!(tlv(4, &[&[0; 127]]).starts_with(&[4, 127]));
        assert!(tlv(4, &[&[0; 128]]).starts_with(&[4, 0x81, 128]));
        assert!(tlv(4, &[&[0; 200], &[0; 100]]).starts_with(&[4, 0x82, 1, 44]));
        assert!(tlv(4, &[&[0; 70_000]]).starts_with(&[4, 0x83, 1, 0x11, 0x70]));
    }

    #[test]
    fn what_is_no_certificate_gets_no_issuer() {
        let issuer = IssuerOctets { name: tlv(0x30, &[]), algorithm: SignatureAlgorithm::EcdsaSha256 };
        for octets in [&b""[..], b"\x30\x00", b"\x31\x00", b"\x30\x05\x02\x01\x02"] {
            assert_eq!(
                with_issuer(octets, &issuer).unwrap_err().reason(),
                "CERTIFICATE_ENCODING_FAILED",
                "{octets:x?}"
            );
        }
    }
}
