//! The handoff extension: what one intermediate CA certificate says about the lot that passes on.
//!
//! DER as published in `docs/handoff.asn1`. Reading is strict: a value is accepted only if writing what was read
//! gives the same octets again.

use std::fmt;

use der::asn1::{OctetStringRef, Utf8StringRef};
use der::{Decode, Reader, Sequence, SliceReader, Tag, TagMode, TagNumber};
use pki::Sha256;

use crate::depth::MAX_INTERMEDIATES;
use crate::encode;
use crate::id::{IdRefusal, LotId, ManufacturerId, OrderId, ProgramId};
use crate::quantity::{Quantity, QuantityRefusal};

/// The only version of the extension.
pub const VERSION: u8 = 1;
/// Longest extension value read, in octets: the longest that can be written is well below.
pub const MAX_LENGTH: usize = 1024;
/// Longest signature in an acceptance, in octets (RSA-4096).
pub const MAX_SIGNATURE_LENGTH: usize = 512;

const MANIFEST_TAG: u8 = 0x80;
const ACCEPTANCE_TAG: u8 = 0xa1;

/// Which handoff of the route this is, counted from the brand: 1 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop(u8);

impl Hop {
    /// The brand's handoff to the first manufacturer.
    pub const FIRST: Self = Self(1);

    /// The hop with this number.
    ///
    /// # Errors
    /// `HOP_INVALID` for 0 and above 6.
    pub fn of(number: u8) -> Result<Self, HandoffRefusal> {
        if (1..=MAX_INTERMEDIATES).contains(&number) { Ok(Self(number)) } else { Err(HandoffRefusal::Hop(number)) }
    }

    /// The number, 1 to 6.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// The hop below.
    ///
    /// # Errors
    /// `HOP_INVALID` below the sixth.
    pub fn next(self) -> Result<Self, HandoffRefusal> {
        Self::of(self.0.saturating_add(1))
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What passes from whom to whom: what the sender offers and the receiver accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consignment {
    /// The program the devices belong to.
    pub program: ProgramId,
    /// The production order that authorises it.
    pub order: OrderId,
    /// The sender.
    pub from: ManufacturerId,
    /// The receiver.
    pub to: ManufacturerId,
    /// The lot, unique at its sender.
    pub lot: LotId,
    /// How many units.
    pub quantity: Quantity,
    /// Which handoff of the route.
    pub hop: Hop,
    /// SHA-256 of the order's terms; the same at every hop.
    pub terms_digest: Sha256,
}

/// The receiver's countersignature.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptance {
    /// SHA-256 of the SubjectPublicKeyInfo of the receiver's identity key.
    pub identity_key_digest: Sha256,
    /// Signature by that key over the acceptance statement (see [`crate::statement`]).
    pub signature: Vec<u8>,
}

/// The handoff extension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handoff {
    /// What passes on.
    pub consignment: Consignment,
    /// SHA-256 of the lot's manifest, if the order has one; the same at every hop.
    pub manifest_digest: Option<Sha256>,
    /// The receiver's countersignature.
    pub acceptance: Acceptance,
}

/// Why octets are no handoff extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoffRefusal {
    /// Longer than [`MAX_LENGTH`].
    #[error("handoff extension of {0} octets, at most {MAX_LENGTH} are read")]
    TooLong(usize),
    /// Not the published structure.
    #[error("cannot read the handoff extension as der")]
    Malformed(#[source] der::Error),
    /// Another encoding of the same content (X.690 section 10).
    #[error("the handoff extension is not in its one der encoding")]
    NotDer,
    /// A version that this code does not know.
    #[error("handoff extension version {0}, only {VERSION} is known")]
    Version(u64),
    /// A field is no identity.
    #[error("cannot read an identity in the handoff extension")]
    Id(#[from] IdRefusal),
    /// The quantity is out of bounds.
    #[error("cannot read the quantity in the handoff extension")]
    Quantity(#[from] QuantityRefusal),
    /// The hop is out of bounds.
    #[error("a hop is 1 to {MAX_INTERMEDIATES}, not {0}")]
    Hop(u8),
    /// A digest is not 32 octets.
    #[error("a sha-256 digest has 32 octets, not {0}")]
    Digest(usize),
    /// The signature is empty or too long.
    #[error("a signature of {0} octets, 1 to {MAX_SIGNATURE_LENGTH} are read")]
    Signature(usize),
}

impl HandoffRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) | Self::Malformed(_) | Self::NotDer | Self::Digest(_) | Self::Signature(_) => {
                "HANDOFF_MALFORMED"
            }
            Self::Version(_) => "HANDOFF_VERSION_UNKNOWN",
            Self::Id(cause) => cause.reason(),
            Self::Quantity(cause) => cause.reason(),
            Self::Hop(_) => "HOP_INVALID",
        }
    }
}

impl From<der::Error> for HandoffRefusal {
    fn from(cause: der::Error) -> Self {
        Self::Malformed(cause)
    }
}

impl Handoff {
    /// The extension's value.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(384);
        encode::integer(&mut content, VERSION.into());
        self.consignment.write(&mut content);
        if let Some(digest) = &self.manifest_digest {
            encode::element(&mut content, MANIFEST_TAG, digest.as_bytes());
        }
        let mut acceptance = Vec::with_capacity(128);
        encode::element(&mut acceptance, encode::OCTET_STRING, self.acceptance.identity_key_digest.as_bytes());
        encode::element(&mut acceptance, encode::OCTET_STRING, &self.acceptance.signature);
        encode::element(&mut content, ACCEPTANCE_TAG, &acceptance);
        encode::sequence(&content)
    }

    /// Reads an extension's value.
    ///
    /// # Errors
    /// Every [`HandoffRefusal`].
    pub fn from_der(value: &[u8]) -> Result<Self, HandoffRefusal> {
        if value.len() > MAX_LENGTH {
            return Err(HandoffRefusal::TooLong(value.len()));
        }
        let mut reader = SliceReader::new(value)?;
        let handoff = reader.sequence(read_handoff)?;
        reader.finish()?;
        if handoff.to_der() == value { Ok(handoff) } else { Err(HandoffRefusal::NotDer) }
    }
}

impl Consignment {
    /// The fields that the extension and the acceptance statement have in common, in this order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        encode::text(out, self.program.as_str());
        encode::text(out, self.order.as_str());
        encode::text(out, self.from.as_str());
        encode::text(out, self.to.as_str());
        encode::text(out, self.lot.as_str());
        if let Some(units) = self.quantity.units() {
            encode::integer(out, units.into());
        }
        encode::integer(out, self.hop.get().into());
        encode::element(out, encode::OCTET_STRING, self.terms_digest.as_bytes());
    }

    fn read<'a, R: Reader<'a>>(reader: &mut R) -> Result<Self, HandoffRefusal> {
        let program = ProgramId::parse(read_text(reader)?)?;
        let order = OrderId::parse(read_text(reader)?)?;
        let from = ManufacturerId::parse(read_text(reader)?)?;
        let to = ManufacturerId::parse(read_text(reader)?)?;
        let lot = LotId::parse(read_text(reader)?)?;
        let (quantity, hop) = read_quantity_and_hop(reader)?;
        let terms_digest = digest(<&OctetStringRef>::decode(reader)?.as_bytes())?;
        Ok(Self { program, order, from, to, lot, quantity, hop, terms_digest })
    }
}

#[derive(Sequence)]
struct AcceptanceFields<'a> {
    identity_key_digest: &'a OctetStringRef,
    signature: &'a OctetStringRef,
}

fn read_handoff<'a>(reader: &mut SliceReader<'a>) -> Result<Handoff, HandoffRefusal> {
    let version = u64::decode(reader)?;
    if version != u64::from(VERSION) {
        return Err(HandoffRefusal::Version(version));
    }
    let consignment = Consignment::read(reader)?;
    let manifest = reader.context_specific::<&OctetStringRef>(TagNumber(0), TagMode::Implicit)?;
    let manifest_digest = manifest.map(|octets| digest(octets.as_bytes())).transpose()?;
    let fields = reader
        .context_specific::<AcceptanceFields<'a>>(TagNumber(1), TagMode::Implicit)?
        .ok_or_else(|| HandoffRefusal::Malformed(der::ErrorKind::Failed.into()))?;
    let signature = fields.signature.as_bytes().to_vec();
    if signature.is_empty() || signature.len() > MAX_SIGNATURE_LENGTH {
        return Err(HandoffRefusal::Signature(signature.len()));
    }
    let identity_key_digest = digest(fields.identity_key_digest.as_bytes())?;
    Ok(Handoff { consignment, manifest_digest, acceptance: Acceptance { identity_key_digest, signature } })
}

fn read_text<'a, R: Reader<'a>>(reader: &mut R) -> Result<&'a str, HandoffRefusal> {
    Ok(Utf8StringRef::decode(reader)?.as_str())
}

/// The quantity is left out for an unlimited lot. Both are INTEGERs, so that a generic OPTIONAL would take the hop for
/// the quantity: of two INTEGERs the first is the quantity, a single one is the hop (`docs/handoff.asn1`).
fn read_quantity_and_hop<'a, R: Reader<'a>>(reader: &mut R) -> Result<(Quantity, Hop), HandoffRefusal> {
    let first = u64::decode(reader)?;
    if Tag::peek(reader)? == Tag::Integer {
        let hop = u64::decode(reader)?;
        Ok((Quantity::of(first)?, hop_of(hop)?))
    } else {
        Ok((Quantity::Unlimited, hop_of(first)?))
    }
}

fn hop_of(number: u64) -> Result<Hop, HandoffRefusal> {
    Hop::of(u8::try_from(number).unwrap_or(u8::MAX))
}

fn digest(octets: &[u8]) -> Result<Sha256, HandoffRefusal> {
    let octets: [u8; 32] = octets.try_into().map_err(|_| HandoffRefusal::Digest(octets.len()))?;
    Ok(Sha256::from_bytes(octets))
}
