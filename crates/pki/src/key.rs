//! Public keys: parsed once, checked to be keys, then used to verify.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{self as aws, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use der::Tag;

use crate::asn1;
use crate::digest::Sha256;
use crate::error::{Fault, ParseError, ParseReason};
use crate::signature::{SignatureAlgorithm, SignatureError};

/// What kind of key, and how large where the kind does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 (RFC 5480).
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA (RFC 3279 section 2.3.1).
    Rsa {
        /// The exact length of the modulus.
        bits: u32,
    },
}

/// A public key that is a point of its curve, or an RSA key of plausible outline. Cheap to clone.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    spki: Vec<u8>,
    algorithm: KeyAlgorithm,
    material: Material,
    sha256: OnceLock<Sha256>,
}

enum Material {
    /// Ready to verify with the curve's own hash, and the octets for the other hashes.
    Curve {
        parsed: ParsedPublicKey,
        octets: Vec<u8>,
    },
    Rsa {
        der: Vec<u8>,
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x2b\x81\x04\x00\x23";
const ED25519: &[u8] = b"\x2b\x65\x70";
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

/// RSA keys outside of this are not even looked at: small ones are no keys, large ones take long to verify.
const RSA_BITS: std::ops::RangeInclusive<u32> = 512..=8192;

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) and checks that the key is one. A point must be
    /// uncompressed and on its curve.
    ///
    /// # Errors
    /// `MALFORMED_KEY` or `KEY_UNSUPPORTED`.
    pub fn parse(spki_der: &[u8]) -> Result<PublicKey, ParseError> {
        PublicKey::read(spki_der).map_err(|fault| fault.within(ParseReason::MalformedKey))
    }

    pub(crate) fn read(spki_der: &[u8]) -> Result<PublicKey, Fault> {
        let what = "not a SubjectPublicKeyInfo";
        let mut outer = asn1::whole(spki_der, Tag::Sequence, what)?.inside()?;
        let mut identifier = outer.expect(Tag::Sequence, what)?.inside()?;
        let octets = asn1::octet_bits(outer.expect(Tag::BitString, what)?.value)?;
        outer.finish(what)?;
        let oid = asn1::object_identifier(identifier.expect(Tag::ObjectIdentifier, what)?.value)?;
        let (algorithm, material) = match oid {
            EC_PUBLIC_KEY => {
                // RFC 5480 section 2.1.1: only the named form; explicit curves are forbidden.
                let curve = identifier.any("a key without its curve")?;
                if curve.tag != Tag::ObjectIdentifier {
                    return Err(Fault::KeyUnsupported("a curve that is not named"));
                }
                curve_material(named_curve(curve.value)?, octets)?
            }
            ED25519 => curve_material(KeyAlgorithm::Ed25519, octets)?,
            RSA => {
                identifier.expect(Tag::Null, "an rsa key whose parameters are not NULL")?;
                rsa_material(octets)?
            }
            _ => return Err(Fault::KeyUnsupported("the key's algorithm is none of P-256, P-384, P-521, Ed25519, RSA")),
        };
        identifier.finish("needless parameters in a key")?;
        let sha256 = OnceLock::new();
        Ok(PublicKey(Arc::new(Inner { spki: spki_der.to_vec(), algorithm, material, sha256 })))
    }

    /// The kind of key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.0.spki
    }

    /// SHA-256 of [`spki`](PublicKey::spki).
    pub fn sha256(&self) -> Sha256 {
        *self.0.sha256.get_or_init(|| Sha256::of(&self.0.spki))
    }

    /// The contents of the BIT STRING: an uncompressed point, an Ed25519 key, or a DER RSAPublicKey.
    pub fn key_octets(&self) -> &[u8] {
        match &self.0.material {
            Material::Curve { octets, .. } => octets,
            Material::Rsa { der, .. } => der,
        }
    }

    /// Modulus and exponent, most significant octet first without leading zeros; `None` when not RSA.
    pub fn rsa_components(&self) -> Option<(&[u8], &[u8])> {
        match &self.0.material {
            Material::Curve { .. } => None,
            Material::Rsa { modulus, exponent, .. } => Some((modulus, exponent)),
        }
    }

    /// The algorithm that a signer with this key uses unless told otherwise: the hash as strong as the curve,
    /// PKCS #1 v1.5 with SHA-256 for RSA.
    pub fn default_signature_algorithm(&self) -> SignatureAlgorithm {
        match self.0.algorithm {
            KeyAlgorithm::P256 => SignatureAlgorithm::EcdsaSha256,
            KeyAlgorithm::P384 => SignatureAlgorithm::EcdsaSha384,
            KeyAlgorithm::P521 => SignatureAlgorithm::EcdsaSha512,
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
            KeyAlgorithm::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
        }
    }

    /// Checks that `signature` (DER for ECDSA) is one over `message` by this key.
    ///
    /// # Errors
    /// When the algorithm does not fit the key, or the signature is not one. RSA below 2048 bits never verifies.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let with = verification(self.0.algorithm, algorithm).ok_or(SignatureError::AlgorithmUnfit)?;
        let verified = match &self.0.material {
            Material::Curve { parsed, .. } if algorithm == self.default_signature_algorithm() => {
                parsed.verify_sig(message, signature)
            }
            Material::Curve { octets, .. } => UnparsedPublicKey::new(with, octets).verify(message, signature),
            Material::Rsa { der, .. } => UnparsedPublicKey::new(with, der).verify(message, signature),
        };
        verified.map_err(|_| SignatureError::Invalid)
    }
}

fn named_curve(oid: &[u8]) -> Result<KeyAlgorithm, Fault> {
    match oid {
        P256 => Ok(KeyAlgorithm::P256),
        P384 => Ok(KeyAlgorithm::P384),
        P521 => Ok(KeyAlgorithm::P521),
        _ => Err(Fault::KeyUnsupported("the curve is none of P-256, P-384, P-521")),
    }
}

fn curve_material(curve: KeyAlgorithm, octets: &[u8]) -> Result<(KeyAlgorithm, Material), Fault> {
    let (length, with): (usize, &'static dyn VerificationAlgorithm) = match curve {
        KeyAlgorithm::P256 => (65, &aws::ECDSA_P256_SHA256_ASN1),
        KeyAlgorithm::P384 => (97, &aws::ECDSA_P384_SHA384_ASN1),
        KeyAlgorithm::P521 => (133, &aws::ECDSA_P521_SHA512_ASN1),
        KeyAlgorithm::Ed25519 => (32, &aws::ED25519),
        KeyAlgorithm::Rsa { .. } => return Err(Fault::Key("an rsa key is no point")),
    };
    let uncompressed = curve == KeyAlgorithm::Ed25519 || octets.first() == Some(&0x04);
    if octets.len() != length || !uncompressed {
        // RFC 5480 section 2.2 lets us refuse the compressed form.
        return Err(Fault::Key("not an uncompressed point of the curve's size"));
    }
    let parsed = ParsedPublicKey::new(with, octets).map_err(|_| Fault::Key("the point is not on its curve"))?;
    Ok((curve, Material::Curve { parsed, octets: octets.to_vec() }))
}

fn rsa_material(der: &[u8]) -> Result<(KeyAlgorithm, Material), Fault> {
    let what = "not an RSAPublicKey";
    let mut inside = asn1::whole(der, Tag::Sequence, what)?.inside()?;
    let modulus = positive(inside.expect(Tag::Integer, what)?.value)?;
    let exponent = positive(inside.expect(Tag::Integer, what)?.value)?;
    inside.finish(what)?;
    let zeros = modulus.first().map_or(0, |top| top.leading_zeros());
    let octets = u32::try_from(modulus.len()).unwrap_or(u32::MAX);
    let bits = octets.saturating_mul(8).saturating_sub(zeros);
    let odd = |number: &[u8]| number.last().is_some_and(|low| low & 1 == 1);
    // RFC 8017 section 3.1: a product of odd primes, and 3 <= e < n.
    if !odd(modulus) || !odd(exponent) || exponent == [1] || exponent.len() > 8 {
        return Err(Fault::Key("an rsa key with an impossible modulus or exponent"));
    }
    if !RSA_BITS.contains(&bits) {
        return Err(Fault::KeyUnsupported("an rsa key of fewer than 512 or more than 8192 bits"));
    }
    let (modulus, exponent) = (modulus.to_vec(), exponent.to_vec());
    Ok((KeyAlgorithm::Rsa { bits }, Material::Rsa { der: der.to_vec(), modulus, exponent }))
}

/// The magnitude of a positive INTEGER, without its leading zero.
fn positive(value: &[u8]) -> Result<&[u8], Fault> {
    match asn1::integer(value)? {
        [0] => Err(Fault::Key("an rsa key with a zero")),
        [0, magnitude @ ..] => Ok(magnitude),
        [top, ..] if top & 0x80 != 0 => Err(Fault::Key("an rsa key with a negative number")),
        magnitude => Ok(magnitude),
    }
}

/// What verifies signatures of this algorithm by this kind of key.
fn verification(key: KeyAlgorithm, algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use SignatureAlgorithm as S;
    let rsa = matches!(key, KeyAlgorithm::Rsa { .. });
    Some(match algorithm {
        S::Ed25519 if key == KeyAlgorithm::Ed25519 => &aws::ED25519,
        S::RsaPkcs1Sha256 if rsa => &aws::RSA_PKCS1_2048_8192_SHA256,
        S::RsaPkcs1Sha384 if rsa => &aws::RSA_PKCS1_2048_8192_SHA384,
        S::RsaPkcs1Sha512 if rsa => &aws::RSA_PKCS1_2048_8192_SHA512,
        S::RsaPssSha256 if rsa => &aws::RSA_PSS_2048_8192_SHA256,
        S::RsaPssSha384 if rsa => &aws::RSA_PSS_2048_8192_SHA384,
        S::RsaPssSha512 if rsa => &aws::RSA_PSS_2048_8192_SHA512,
        S::EcdsaSha256 | S::EcdsaSha384 | S::EcdsaSha512 => return ecdsa(key, algorithm),
        S::Ed25519
        | S::RsaPkcs1Sha256
        | S::RsaPkcs1Sha384
        | S::RsaPkcs1Sha512
        | S::RsaPssSha256
        | S::RsaPssSha384
        | S::RsaPssSha512 => return None,
    })
}

fn ecdsa(key: KeyAlgorithm, algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    let hashes: [&'static dyn VerificationAlgorithm; 3] = match key {
        KeyAlgorithm::P256 => {
            [&aws::ECDSA_P256_SHA256_ASN1, &aws::ECDSA_P256_SHA384_ASN1, &aws::ECDSA_P256_SHA512_ASN1]
        }
        KeyAlgorithm::P384 => {
            [&aws::ECDSA_P384_SHA256_ASN1, &aws::ECDSA_P384_SHA384_ASN1, &aws::ECDSA_P384_SHA512_ASN1]
        }
        KeyAlgorithm::P521 => {
            [&aws::ECDSA_P521_SHA256_ASN1, &aws::ECDSA_P521_SHA384_ASN1, &aws::ECDSA_P521_SHA512_ASN1]
        }
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa { .. } => return None,
    };
    let [sha256, sha384, sha512] = hashes;
    match algorithm {
        SignatureAlgorithm::EcdsaSha256 => Some(sha256),
        SignatureAlgorithm::EcdsaSha384 => Some(sha384),
        SignatureAlgorithm::EcdsaSha512 => Some(sha512),
        SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512
        | SignatureAlgorithm::RsaPssSha256
        | SignatureAlgorithm::RsaPssSha384
        | SignatureAlgorithm::RsaPssSha512 => None,
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({}, {})", self.algorithm(), self.sha256())
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyAlgorithm::P256 => out.write_str("P-256"),
            KeyAlgorithm::P384 => out.write_str("P-384"),
            KeyAlgorithm::P521 => out.write_str("P-521"),
            KeyAlgorithm::Ed25519 => out.write_str("Ed25519"),
            KeyAlgorithm::Rsa { bits } => write!(out, "RSA-{bits}"),
        }
    }
}
