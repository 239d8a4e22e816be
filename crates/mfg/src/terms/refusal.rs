//! Why bytes are no terms, or an act is outside them.

use crate::depth::DepthRefusal;
use crate::id::{DeviceId, LotId, ManufacturerId};
use crate::quantity::QuantityRefusal;
use crate::room::RoomRefusal;
use crate::statement::StatementRefusal;
use crate::terms::{GraphRefusal, MAX_LENGTH, RouteRefusal, VERSION};

/// Why bytes are no terms, or an act is outside them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsRefusal {
    /// Longer than [`MAX_LENGTH`].
    #[error("terms of {0} octets, at most {MAX_LENGTH} are read")]
    TooLong(usize),
    /// Not the JSON of terms; unknown fields included.
    #[error("cannot read the terms: {0}")]
    Malformed(String),
    /// A version that this code does not know.
    #[error("terms version {0}, only {VERSION} is known")]
    Version(u32),
    /// The same content, written differently.
    #[error("the terms are not in their one canonical form: json without white space, fields in order")]
    NotCanonical,
    /// Order versions count from 1.
    #[error("an order version counts from 1")]
    OrderVersion,
    /// Units and yield allowance together are no quantity.
    #[error("units and yield allowance together are no quantity")]
    Quantity(#[from] QuantityRefusal),
    /// A lot without a quantity where every lot has one.
    #[error("the terms permit no lot without a quantity")]
    UnlimitedNotAllowed,
    /// A yield allowance on an order without limit.
    #[error("an unlimited order has no yield allowance")]
    YieldOfUnlimited,
    /// The edges make no graph of handoffs.
    #[error("cannot use the graph")]
    Graph(#[from] GraphRefusal),
    /// The longest route is too long.
    #[error("cannot use the longest route")]
    Depth(#[from] DepthRefusal),
    /// The longest device name is too long.
    #[error("cannot fit the longest device name")]
    Room(#[from] RoomRefusal),
    /// A device issuer that is the brand, off every route, or named twice.
    #[error("{0} is the brand, on no route, or stands twice among the device issuers")]
    DeviceIssuer(ManufacturerId),
    /// A party that is no receiver, stands twice, is missing, or lacks a name or keys.
    #[error("{0} must stand exactly once among the parties, as a receiver, with a name and 1 to 8 identity keys")]
    Party(ManufacturerId),
    /// An identity key that is no public key.
    #[error("an identity key of {0} is no public key")]
    IdentityKey(ManufacturerId),
    /// An identity key that stands twice.
    #[error("an identity key of {0} stands twice among the parties")]
    IdentityKeyShared(ManufacturerId),
    /// The bundle registers no identity key of the brand.
    #[error("no identity key of the brand {0} is registered")]
    BrandKeyUnknown(ManufacturerId),
    /// The brand did not sign these terms.
    #[error("cannot verify the brand's signature over the terms")]
    Approval(#[from] StatementRefusal),
    /// Lots would end where no device can be issued.
    #[error("lots end at {0}, which may not issue device certificates")]
    DeadEnd(ManufacturerId),
    /// Device ids need at least one octet.
    #[error("the longest device id has at least one octet")]
    MaxDeviceIdLength,
    /// Lot ids have 1 to 24 octets.
    #[error("the longest lot id has 1 to 24 octets, not {0}")]
    MaxLotIdLength(u8),
    /// A period ends before it begins.
    #[error("a period of the terms ends before it begins")]
    NotOrdered,
    /// CAs would not be valid as long as devices.
    #[error("the validity of cas does not enclose that of devices")]
    ValidityNotNested,
    /// Keys would sign outside their validity.
    #[error("the signing window is not inside the validity of cas")]
    SigningWindowNotNested,
    /// No device key algorithm, or one twice.
    #[error("device keys need at least one algorithm, and each once")]
    DeviceKeys,
    /// A handoff that no edge permits.
    #[error("cannot hand the lot on")]
    Route(#[from] RouteRefusal),
    /// A lot id longer than the program's longest.
    #[error("lot id {0} is longer than the program permits")]
    LotIdTooLong(LotId),
    /// A device id longer than the program's longest.
    #[error("device id {0} is longer than the program permits")]
    DeviceIdTooLong(DeviceId),
    /// This manufacturer issues no device certificates.
    #[error("the terms do not let {0} issue device certificates")]
    NotADeviceIssuer(ManufacturerId),
}

impl TermsRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "TERMS_TOO_LONG",
            Self::Malformed(_) => "TERMS_MALFORMED",
            Self::Version(_) => "TERMS_VERSION_UNKNOWN",
            Self::NotCanonical => "TERMS_NOT_CANONICAL",
            Self::OrderVersion => "ORDER_VERSION_INVALID",
            Self::Quantity(cause) => cause.reason(),
            Self::UnlimitedNotAllowed => "UNLIMITED_NOT_ALLOWED",
            Self::YieldOfUnlimited => "YIELD_ALLOWANCE_INVALID",
            Self::Graph(cause) => cause.reason(),
            Self::Depth(cause) => cause.reason(),
            Self::Room(cause) => cause.reason(),
            Self::DeviceIssuer(_) => "DEVICE_ISSUER_INVALID",
            Self::Party(_) => "PARTY_INVALID",
            Self::IdentityKey(_) => "IDENTITY_KEY_INVALID",
            Self::IdentityKeyShared(_) => "IDENTITY_KEY_SHARED",
            Self::BrandKeyUnknown(_) => "BRAND_KEY_UNKNOWN",
            Self::Approval(cause) => cause.reason(),
            Self::DeadEnd(_) => "ROUTE_WITHOUT_DEVICE_ISSUER",
            Self::MaxDeviceIdLength => "MAX_DEVICE_ID_LENGTH_INVALID",
            Self::MaxLotIdLength(_) => "MAX_LOT_ID_LENGTH_INVALID",
            Self::NotOrdered => "PERIOD_NOT_ORDERED",
            Self::ValidityNotNested => "VALIDITY_NOT_NESTED",
            Self::SigningWindowNotNested => "SIGNING_WINDOW_NOT_NESTED",
            Self::DeviceKeys => "DEVICE_KEYS_INVALID",
            Self::Route(cause) => cause.reason(),
            Self::LotIdTooLong(_) => "LOT_ID_TOO_LONG",
            Self::DeviceIdTooLong(_) => "DEVICE_ID_TOO_LONG",
            Self::NotADeviceIssuer(_) => "DEVICE_ISSUER_NOT_ALLOWED",
        }
    }
}
