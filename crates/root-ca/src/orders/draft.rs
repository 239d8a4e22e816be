//! From what operators ask for to the exact terms.

use std::collections::BTreeSet;

use api::{Refusal, manufacturer::v1::Manufacturer, order::v1::OrderDraft, program::v1::Program};
use bytes::Bytes;
use mfg::{
    ManufacturerId, OidArc, OrderId, ProgramId, Terms, TermsDocument, terms,
    terms::{
        Build, DeviceKeyAlgorithm, Edge, HandoffKeyAlgorithm, NameConstraintsProfile, Party, Period, TermsTime,
        UnlimitedLots, Validity,
    },
};
use pki::{DnsName, Sha256, UnixTime};
use prost::Message as _;
use records::{named, wire};
use serde::Deserialize;

use super::{Orders, lot};
use crate::registry;

const SECONDS_A_YEAR: i64 = 365 * 86_400;
/// The version of an order as it is first proposed.
pub(super) const FIRST_VERSION: u32 = 1;

/// The version that amends `version`.
///
/// # Errors
/// `ORDER_VERSION_INVALID` when versions have run out.
pub(super) fn next_version(version: u32) -> Result<u32, Refusal> {
    version.checked_add(1).ok_or_else(|| Refusal::new("ORDER_VERSION_INVALID", "the order has no further version"))
}

/// `[terms]`: what every order's terms take from the brand's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermsProfile {
    /// Validity of device certificates: constant, so that no station's clock matters.
    pub(crate) devices: Period,
    /// Validity of handoff certificates: at least as long as the devices'.
    pub(crate) cas: Period,
    /// Kind of lot keys.
    pub(crate) handoff_key: HandoffKeyAlgorithm,
    /// Kinds of keys that devices may have.
    pub(crate) device_keys: Vec<DeviceKeyAlgorithm>,
}

/// SHA-256 of a draft: tells a repetition from another content.
pub(super) fn digest(draft: &OrderDraft) -> Bytes {
    wire::digest(&Sha256::of(&draft.encode_to_vec()))
}

/// Makes the terms and checks everything that can be known now.
pub(super) fn terms(orders: &Orders, draft: &OrderDraft, now: UnixTime, order_version: u32) -> Result<Terms, Refusal> {
    let program: Program = registry::find(orders.authority.store(), &draft.program)?;
    let brand = &orders.authority.manufacturer;
    let graph = edges(draft)?;
    let units = wire::read_quantity("quantity", draft.quantity.as_ref())?;
    let document = TermsDocument {
        version: terms::VERSION,
        order: OrderId::parse(&draft.order).map_err(named(mfg::IdRefusal::reason))?,
        order_version,
        brand: brand.clone(),
        program: program_terms(&program)?,
        quantity: Build { units, yield_allowance: draft.yield_allowance },
        device_issuers: device_issuers(draft, &graph)?,
        parties: parties(orders, &graph)?,
        graph,
        handoff_key: orders.profile.handoff_key,
        device_keys: orders.profile.device_keys.clone(),
        validity: Validity { devices: orders.profile.devices, cas: orders.profile.cas },
        signing_window: signing_window(draft, now)?,
        rework_cap: draft.rework_cap,
        replacement_cap: draft.replacement_cap,
        manifest_digest: manifest(orders, draft)?,
        unlimited_lots: match units {
            mfg::Quantity::Unlimited => UnlimitedLots::Allowed,
            mfg::Quantity::Units(_) => UnlimitedLots::Refused,
        },
        name_constraints: if draft.compatible_name_constraints {
            NameConstraintsProfile::Compatible
        } else {
            NameConstraintsProfile::Critical
        },
    };
    let terms = document.check().map_err(named(mfg::TermsRefusal::reason))?;
    lot::check_buildable(orders, &terms)?;
    Ok(terms)
}

/// The manifest's digest, if the order has one; the manifest must be here before receivers ask for it.
fn manifest(orders: &Orders, draft: &OrderDraft) -> Result<Option<Sha256>, Refusal> {
    let Some(octets) = &draft.manifest_sha256 else { return Ok(None) };
    let digest = wire::read_digest("manifest_sha256", octets)?;
    match orders.authority.manifest(&digest)? {
        Some(_) => Ok(Some(digest)),
        None => Err(Refusal::new("MANIFEST_MISSING", format!("manifest {digest} is not here; put it first"))),
    }
}

fn edges(draft: &OrderDraft) -> Result<Vec<Edge>, Refusal> {
    let id = |text: &str| ManufacturerId::parse(text).map_err(named(mfg::IdRefusal::reason));
    draft.routes.iter().map(|route| Ok(Edge { from: id(&route.from)?, to: id(&route.to)? })).collect()
}

/// Those named, or everyone who hands nothing on.
fn device_issuers(draft: &OrderDraft, graph: &[Edge]) -> Result<Vec<ManufacturerId>, Refusal> {
    if !draft.device_issuers.is_empty() {
        let id = |text: &String| ManufacturerId::parse(text).map_err(named(mfg::IdRefusal::reason));
        return draft.device_issuers.iter().map(id).collect();
    }
    let senders: BTreeSet<&ManufacturerId> = graph.iter().map(|edge| &edge.from).collect();
    let last: BTreeSet<&ManufacturerId> =
        graph.iter().map(|edge| &edge.to).filter(|to| !senders.contains(to)).collect();
    Ok(last.into_iter().cloned().collect())
}

/// Everyone on the route with name and every identity key that is not retired, so that each signer can check the next acceptance offline.
fn parties(orders: &Orders, graph: &[Edge]) -> Result<Vec<Party>, Refusal> {
    let receivers: BTreeSet<&ManufacturerId> = graph.iter().map(|edge| &edge.to).collect();
    receivers
        .into_iter()
        .map(|id| {
            let found: Manufacturer = registry::find(orders.authority.store(), id.as_str())?;
            let in_use = found.identity_keys.iter().filter(|key| key.retired_at.is_none());
            let identity_keys = in_use.map(|key| key.public_key.to_vec()).collect();
            Ok(Party { manufacturer: id.clone(), name: found.display_name, identity_keys })
        })
        .collect()
}

fn program_terms(program: &Program) -> Result<terms::Program, Refusal> {
    let octets =
        |field: &str, value: u32| u8::try_from(value).map_err(|_| Refusal::malformed(field, "is out of range"));
    Ok(terms::Program {
        id: ProgramId::parse(&program.program).map_err(named(mfg::IdRefusal::reason))?,
        base_name: DnsName::parse(&program.base_name).map_err(|e| Refusal::from_error("PROGRAM_INVALID", &e))?,
        oid_arc: OidArc::parse(&program.oid_arc).map_err(named(mfg::oid::OidArcRefusal::reason))?,
        max_device_id_length: octets("max_device_id_length", program.max_device_id_length)?,
        max_lot_id_length: octets("max_lot_id_length", program.max_lot_id_length)?,
    })
}

fn signing_window(draft: &OrderDraft, now: UnixTime) -> Result<Period, Refusal> {
    let time = |field: &str, at: &Option<prost_types::Timestamp>| {
        at.as_ref().map(wire::read_timestamp).ok_or_else(|| Refusal::malformed(field, "is missing"))
    };
    let (from, until) = match &draft.signing_window {
        Some(window) => (
            time("signing_window.not_before", &window.not_before)?,
            time("signing_window.not_after", &window.not_after)?,
        ),
        None => (now, now.checked_add(SECONDS_A_YEAR).unwrap_or(UnixTime::NEVER)),
    };
    Ok(Period { not_before: TermsTime(from), not_after: TermsTime(until) })
}
