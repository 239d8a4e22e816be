//! The terms: a production order as bytes, carried unchanged with every handoff and committed to by its SHA-256.
//!
//! [`TermsDocument`] is what an operator writes; [`TermsDocument::check`] makes it [`Terms`], whose bytes are the one
//! canonical form: JSON without white space, fields in the order of the structures here. [`Terms::parse`] accepts
//! nothing else, so two different texts never mean the same order.

mod graph;
mod party;
mod policy;
mod refusal;
mod signed;

use pki::{DnsName, PublicKey, Sha256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use graph::{Edge, Graph, GraphRefusal, MAX_EDGES, RouteRefusal};
pub use party::{MAX_IDENTITY_KEYS, MAX_NAME_LENGTH, Party};
pub use policy::{DeviceKeyAlgorithm, HandoffKeyAlgorithm, NameConstraintsProfile, Period, TermsTime, UnlimitedLots};
pub use refusal::TermsRefusal;
pub use signed::SignedTerms;

use crate::depth::{self, OrderCa};
use crate::id::{DeviceId, LotId, ManufacturerId, OrderId, ProgramId};
use crate::oid::OidArc;
use crate::quantity::Quantity;
use crate::room;
use crate::statement::{Statement, StatementRefusal};

/// The only version of the terms.
pub const VERSION: u32 = 1;
/// Longest terms read, in octets.
pub const MAX_LENGTH: usize = 64 * 1024;

/// One product family under one trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program.
    pub id: ProgramId,
    /// The DNS name under which all its devices are named.
    #[serde(with = "dns_name")]
    pub base_name: DnsName,
    /// The arc of its private extensions and policy.
    pub oid_arc: OidArc,
    /// Longest device id, in octets, 1 to 63.
    pub max_device_id_length: u8,
    /// Longest lot id that an order may need, in octets, 1 to 24; the room check counts on it.
    pub max_lot_id_length: u8,
}

/// What the order authorises to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Good units wanted, or `"unlimited"`.
    pub units: Quantity,
    /// Further units that may be built to make up for scrap; 0 when unlimited.
    pub yield_allowance: u32,
}

/// Validity of certificates, apart from the signing window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Device certificates: constant, so that no station's clock matters.
    pub devices: Period,
    /// Handoff certificates: at least as long as the devices'.
    pub cas: Period,
}

/// The terms as an operator writes them, before any check across fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsDocument {
    /// Always [`VERSION`].
    pub version: u32,
    /// The production order.
    pub order: OrderId,
    /// 1 for the first terms of an order, one more for each change.
    pub order_version: u32,
    /// The brand owner, where every route begins.
    pub brand: ManufacturerId,
    /// The program.
    pub program: Program,
    /// What may be built.
    pub quantity: Build,
    /// Who may hand lots to whom.
    pub graph: Vec<Edge>,
    /// Who may issue device certificates.
    pub device_issuers: Vec<ManufacturerId>,
    /// Every receiver of the graph, with its name and identity keys.
    pub parties: Vec<Party>,
    /// Algorithm of lot keys.
    pub handoff_key: HandoffKeyAlgorithm,
    /// Algorithms that device keys may have.
    pub device_keys: Vec<DeviceKeyAlgorithm>,
    /// Validity of certificates.
    pub validity: Validity,
    /// When lot keys may sign.
    pub signing_window: Period,
    /// Most reworks of one device.
    pub rework_cap: u32,
    /// Most replacements of one device's certificate that was issued and never written.
    pub replacement_cap: u32,
    /// SHA-256 of the order's manifest, in hex.
    #[serde(with = "optional_digest")]
    pub manifest_digest: Option<Sha256>,
    /// Whether lots without a quantity may be handed on.
    pub unlimited_lots: UnlimitedLots,
    /// How handoff certificates carry their name constraint.
    pub name_constraints: NameConstraintsProfile,
}

/// Terms as they travel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TermsBytes {
    bytes: Vec<u8>,
    digest: Sha256,
}

/// Checked terms. Built only by [`Terms::parse`] and [`TermsDocument::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    document: TermsDocument,
    graph: Graph,
    identity_keys: party::IdentityKeys,
    authorised: Quantity,
    bytes: TermsBytes,
}

impl TermsBytes {
    /// Takes bytes as they came; [`Terms::parse`] judges them.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::of(&bytes);
        Self { bytes, digest }
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their SHA-256, the terms digest.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.digest
    }
}

impl TermsDocument {
    /// Checks everything and fixes the bytes.
    ///
    /// # Errors
    /// Every [`TermsRefusal`] but `TERMS_NOT_CANONICAL`.
    pub fn check(self) -> Result<Terms, TermsRefusal> {
        if self.version != VERSION {
            return Err(TermsRefusal::Version(self.version));
        }
        let authorised = self.authorised()?;
        let graph = Graph::new(&self.brand, &self.graph)?;
        depth::check(graph.remaining_hops(&self.brand).unwrap_or(usize::MAX), OrderCa::Absent)?;
        self.check_device_issuers(&graph)?;
        let identity_keys = party::check(&self.parties, &graph)?;
        self.check_room(&graph)?;
        self.check_times()?;
        self.check_keys()?;
        let bytes = serde_json::to_vec(&self).map_err(|cause| TermsRefusal::Malformed(cause.to_string()))?;
        if bytes.len() > MAX_LENGTH {
            return Err(TermsRefusal::TooLong(bytes.len()));
        }
        Ok(Terms { document: self, graph, identity_keys, authorised, bytes: TermsBytes::new(bytes) })
    }

    fn authorised(&self) -> Result<Quantity, TermsRefusal> {
        if self.order_version == 0 {
            return Err(TermsRefusal::OrderVersion);
        }
        match (self.quantity.units.units(), self.unlimited_lots) {
            (Some(units), _) => Ok(Quantity::of(u64::from(units) + u64::from(self.quantity.yield_allowance))?),
            (None, UnlimitedLots::Refused) => Err(TermsRefusal::UnlimitedNotAllowed),
            (None, UnlimitedLots::Allowed) if self.quantity.yield_allowance > 0 => Err(TermsRefusal::YieldOfUnlimited),
            (None, UnlimitedLots::Allowed) => Ok(Quantity::Unlimited),
        }
    }

    fn check_device_issuers(&self, graph: &Graph) -> Result<(), TermsRefusal> {
        for (index, issuer) in self.device_issuers.iter().enumerate() {
            let on_route = graph.remaining_hops(issuer).is_some() && *issuer != self.brand;
            if !on_route || self.device_issuers.iter().take(index).any(|earlier| earlier == issuer) {
                return Err(TermsRefusal::DeviceIssuer(issuer.clone()));
            }
        }
        let dead_end =
            |who: &&ManufacturerId| graph.remaining_hops(who) == Some(0) && !self.device_issuers.contains(who);
        match graph.manufacturers().find(dead_end) {
            Some(who) => Err(TermsRefusal::DeadEnd(who.clone())),
            None => Ok(()),
        }
    }

    fn check_room(&self, graph: &Graph) -> Result<(), TermsRefusal> {
        let Program { max_device_id_length, max_lot_id_length, .. } = self.program;
        if max_device_id_length == 0 {
            return Err(TermsRefusal::MaxDeviceIdLength);
        }
        if !(1..=LotId::MAX_LENGTH).contains(&usize::from(max_lot_id_length)) {
            return Err(TermsRefusal::MaxLotIdLength(max_lot_id_length));
        }
        let prefix = graph.widest_prefix(max_lot_id_length);
        room::check_lengths(prefix + self.program.base_name.as_str().len(), max_device_id_length)?;
        Ok(())
    }

    fn check_times(&self) -> Result<(), TermsRefusal> {
        let Validity { devices, cas } = self.validity;
        if !(devices.is_ordered() && cas.is_ordered() && self.signing_window.is_ordered()) {
            return Err(TermsRefusal::NotOrdered);
        }
        // An expired CA above a device certificate is refused everywhere, so CAs outlive devices.
        if !cas.encloses(&devices) {
            return Err(TermsRefusal::ValidityNotNested);
        }
        if !cas.encloses(&self.signing_window) {
            return Err(TermsRefusal::SigningWindowNotNested);
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), TermsRefusal> {
        let repeated = |(index, key)| self.device_keys.iter().take(index).any(|earlier| earlier == key);
        if self.device_keys.is_empty() || self.device_keys.iter().enumerate().any(repeated) {
            return Err(TermsRefusal::DeviceKeys);
        }
        Ok(())
    }
}

impl Terms {
    /// Reads terms as they travel.
    ///
    /// # Errors
    /// Every [`TermsRefusal`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TermsRefusal> {
        if bytes.len() > MAX_LENGTH {
            return Err(TermsRefusal::TooLong(bytes.len()));
        }
        let document: TermsDocument =
            serde_json::from_slice(bytes).map_err(|cause| TermsRefusal::Malformed(cause.to_string()))?;
        let terms = document.check()?;
        if terms.bytes.as_bytes() == bytes { Ok(terms) } else { Err(TermsRefusal::NotCanonical) }
    }

    /// Every field.
    #[must_use]
    pub fn document(&self) -> &TermsDocument {
        &self.document
    }

    /// The terms as they travel.
    #[must_use]
    pub fn bytes(&self) -> &TermsBytes {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.bytes.digest()
    }

    /// Who may hand lots to whom.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What may be built in all: units and yield allowance.
    #[must_use]
    pub fn authorised(&self) -> Quantity {
        self.authorised
    }

    /// The production order.
    #[must_use]
    pub fn order(&self) -> &OrderId {
        &self.document.order
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.document.program
    }

    /// SHA-256 of the order's manifest.
    #[must_use]
    pub fn manifest_digest(&self) -> Option<Sha256> {
        self.document.manifest_digest
    }

    /// Algorithm of lot keys.
    #[must_use]
    pub fn handoff_key(&self) -> HandoffKeyAlgorithm {
        self.document.handoff_key
    }

    /// Whether lots without a quantity may be handed on.
    #[must_use]
    pub fn allows_unlimited(&self) -> bool {
        self.document.unlimited_lots == UnlimitedLots::Allowed
    }

    /// A receiver of the graph, with its name and identity keys.
    #[must_use]
    pub fn party(&self, manufacturer: &ManufacturerId) -> Option<&Party> {
        self.document.parties.iter().find(|party| party.manufacturer == *manufacturer)
    }

    /// The identity key of a receiver that has this digest, if the terms list it.
    #[must_use]
    pub fn identity_key(&self, of: &ManufacturerId, digest: &Sha256) -> Option<&PublicKey> {
        self.identity_keys.get(of)?.iter().find(|key| key.sha256() == *digest)
    }

    /// Checks the longest route again, now that it is known whether an order CA stands above it.
    ///
    /// # Errors
    /// `CHAIN_TOO_DEEP`.
    pub fn check_depth(&self, order_ca: OrderCa) -> Result<(), TermsRefusal> {
        Ok(depth::check(self.graph.longest_route().len().saturating_sub(1), order_ca)?)
    }

    /// Checks one offer against the terms: route, lot id, and that an unlimited lot is permitted.
    ///
    /// # Errors
    /// `OFF_ROUTE`, `LOT_ID_TOO_LONG`, `UNLIMITED_NOT_ALLOWED`.
    pub fn check_offer(
        &self,
        from: &ManufacturerId,
        to: &ManufacturerId,
        lot: &LotId,
        quantity: Quantity,
    ) -> Result<(), TermsRefusal> {
        self.graph.may_receive(from, to)?;
        if lot.as_str().len() > usize::from(self.document.program.max_lot_id_length) {
            return Err(TermsRefusal::LotIdTooLong(lot.clone()));
        }
        match (quantity, self.document.unlimited_lots) {
            (Quantity::Unlimited, UnlimitedLots::Refused) => Err(TermsRefusal::UnlimitedNotAllowed),
            (Quantity::Unlimited, UnlimitedLots::Allowed) | (Quantity::Units(_), _) => Ok(()),
        }
    }

    /// Checks that a manufacturer may issue a device certificate for this device id.
    ///
    /// # Errors
    /// `DEVICE_ISSUER_NOT_ALLOWED`, `DEVICE_ID_TOO_LONG`.
    pub fn check_device(&self, issuer: &ManufacturerId, device: &DeviceId) -> Result<(), TermsRefusal> {
        if !self.document.device_issuers.contains(issuer) {
            return Err(TermsRefusal::NotADeviceIssuer(issuer.clone()));
        }
        if device.as_str().len() > usize::from(self.document.program.max_device_id_length) {
            return Err(TermsRefusal::DeviceIdTooLong(device.clone()));
        }
        Ok(())
    }

    /// What the brand signs to approve these terms.
    #[must_use]
    pub fn approval(&self) -> Statement {
        let TermsDocument { program, order, order_version, brand, .. } = &self.document;
        Statement::terms_approval(&program.id, order, *order_version, brand, &self.digest())
    }

    /// Checks the brand's signature over these terms.
    ///
    /// # Errors
    /// `TERMS_APPROVAL_INVALID`.
    pub fn verify_approval(&self, brand_key: &PublicKey, signature: &[u8]) -> Result<(), StatementRefusal> {
        self.approval().verify(brand_key, signature)
    }
}

mod dns_name {
    use super::{Deserialize, Deserializer, DnsName, Serializer};

    pub(super) fn serialize<S: Serializer>(name: &DnsName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DnsName, D::Error> {
        DnsName::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

mod optional_digest {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Sha256};

    pub(super) fn serialize<S: Serializer>(digest: &Option<Sha256>, to: S) -> Result<S::Ok, S::Error> {
        digest.map(|digest| digest.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sha256>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Sha256::parse(&text)).transpose().map_err(serde::de::Error::custom)
    }
}
