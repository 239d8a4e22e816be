//! Signature algorithms, each with its exact AlgorithmIdentifier.

use std::fmt;

use crate::asn1::{self, Element};
use crate::error::Fault;

/// The algorithms that we believe. SHA-1 and MD5 are absent, and so is every RSA-PSS with other than the usual parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256 (RFC 5758 section 3.2).
    EcdsaSha256,
    /// ecdsa-with-SHA384.
    EcdsaSha384,
    /// ecdsa-with-SHA512.
    EcdsaSha512,
    /// Ed25519 (RFC 8410 section 3).
    Ed25519,
    /// sha256WithRSAEncryption (RFC 4055 section 5).
    RsaPkcs1Sha256,
    /// sha384WithRSAEncryption.
    RsaPkcs1Sha384,
    /// sha512WithRSAEncryption.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, a salt of 32 octets (RFC 4055 section 3.1).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384 throughout, a salt of 48 octets.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512 throughout, a salt of 64 octets.
    RsaPssSha512,
}

/// Why a signature was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key cannot make signatures of this algorithm.
    #[error("the signature algorithm does not fit the key")]
    AlgorithmUnfit,
    /// The signature is not one over this message by this key.
    #[error("the signature does not verify")]
    Invalid,
}

const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ECDSA_SHA512: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
const PKCS1_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const PKCS1_SHA384: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00";
const PKCS1_SHA512: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00";
const PSS_SHA256: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01\x20";
const PSS_SHA384: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\xa2\x03\x02\x01\x30";
const PSS_SHA512: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\xa2\x03\x02\x01\x40";

impl SignatureAlgorithm {
    /// Every algorithm, in the order of declaration.
    pub const ALL: [SignatureAlgorithm; 10] = [
        SignatureAlgorithm::EcdsaSha256,
        SignatureAlgorithm::EcdsaSha384,
        SignatureAlgorithm::EcdsaSha512,
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::RsaPkcs1Sha384,
        SignatureAlgorithm::RsaPkcs1Sha512,
        SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::RsaPssSha384,
        SignatureAlgorithm::RsaPssSha512,
    ];

    /// The DER AlgorithmIdentifier, parameters included (RFC 5280 section 4.1.1.2).
    pub const fn identifier_der(self) -> &'static [u8] {
        match self {
            SignatureAlgorithm::EcdsaSha256 => ECDSA_SHA256,
            SignatureAlgorithm::EcdsaSha384 => ECDSA_SHA384,
            SignatureAlgorithm::EcdsaSha512 => ECDSA_SHA512,
            SignatureAlgorithm::Ed25519 => ED25519,
            SignatureAlgorithm::RsaPkcs1Sha256 => PKCS1_SHA256,
            SignatureAlgorithm::RsaPkcs1Sha384 => PKCS1_SHA384,
            SignatureAlgorithm::RsaPkcs1Sha512 => PKCS1_SHA512,
            SignatureAlgorithm::RsaPssSha256 => PSS_SHA256,
            SignatureAlgorithm::RsaPssSha384 => PSS_SHA384,
            SignatureAlgorithm::RsaPssSha512 => PSS_SHA512,
        }
    }

    /// The algorithm of this DER AlgorithmIdentifier; `None` for one that we do not believe.
    pub fn from_identifier_der(der: &[u8]) -> Option<SignatureAlgorithm> {
        SignatureAlgorithm::ALL.into_iter().find(|algorithm| algorithm.identifier_der() == der)
    }

    /// The usual name, as OpenSSL and RFCs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            SignatureAlgorithm::EcdsaSha256 => "ecdsa-with-SHA256",
            SignatureAlgorithm::EcdsaSha384 => "ecdsa-with-SHA384",
            SignatureAlgorithm::EcdsaSha512 => "ecdsa-with-SHA512",
            SignatureAlgorithm::Ed25519 => "Ed25519",
            SignatureAlgorithm::RsaPkcs1Sha256 => "sha256WithRSAEncryption",
            SignatureAlgorithm::RsaPkcs1Sha384 => "sha384WithRSAEncryption",
            SignatureAlgorithm::RsaPkcs1Sha512 => "sha512WithRSAEncryption",
            SignatureAlgorithm::RsaPssSha256 => "RSASSA-PSS with SHA-256",
            SignatureAlgorithm::RsaPssSha384 => "RSASSA-PSS with SHA-384",
            SignatureAlgorithm::RsaPssSha512 => "RSASSA-PSS with SHA-512",
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The three parts that a certificate, a request and a revocation list are all made of (RFC 5280 section 4.1).
pub(crate) struct SignedParts<'a> {
    /// What is signed: header and contents.
    pub(crate) to_be_signed: Element<'a>,
    /// The outer AlgorithmIdentifier, as DER.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> SignedParts<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<SignedParts<'a>, Fault> {
        let mut outer = asn1::whole(der, der::Tag::Sequence, "not one DER SEQUENCE")?.inside()?;
        let to_be_signed = outer.expect(der::Tag::Sequence, "the part to be signed is not a SEQUENCE")?;
        let algorithm = outer.expect(der::Tag::Sequence, "the signature algorithm is not a SEQUENCE")?;
        check_identifier(&algorithm)?;
        let bits = outer.expect(der::Tag::BitString, "the signature is not a BIT STRING")?;
        outer.finish("something follows the signature")?;
        Ok(SignedParts { to_be_signed, algorithm: algorithm.raw, signature: asn1::octet_bits(bits.value)? })
    }
}

/// Checks the outline of an AlgorithmIdentifier; whether we know it is asked later.
pub(crate) fn check_identifier(element: &Element<'_>) -> Result<(), Fault> {
    let what = "an AlgorithmIdentifier that is not DER";
    let mut inside = element.inside()?;
    asn1::object_identifier(inside.expect(der::Tag::ObjectIdentifier, what)?.value)?;
    if !inside.is_at_end() {
        inside.any(what)?;
    }
    inside.finish(what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn identifiers_are_der_and_distinct() {
        for algorithm in SignatureAlgorithm::ALL {
            let element = asn1::whole(algorithm.identifier_der(), der::Tag::Sequence, "x").unwrap();
            check_identifier(&element).unwrap();
            assert_eq!(SignatureAlgorithm::from_identifier_der(algorithm.identifier_der()), Some(algorithm));
        }
        assert_eq!(SignatureAlgorithm::from_identifier_der(b""), None);
    }
}
