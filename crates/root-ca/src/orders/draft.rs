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

use super::Orders;
use crate::registry;

const SECONDS_A_YEAR: i64 = 365 * 86_400;

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
pub(super) fn terms(orders: &Orders, draft: &OrderDraft, now: UnixTime) -> Result<Terms, Refusal> {
    let program: Program = registry::find(orders.authority.store(), &draft.program)?;
    let brand = &orders.authority.manufacturer;
    let graph = edges(draft)?;
    let units = wire::read_quantity("quantity", draft.quantity.as_ref())?;
    let document = TermsDocument {
        version: terms::VERSION,
        order: OrderId::parse(&draft.order).map_err(named(mfg::IdRefusal::reason))?,
        order_version: 1,
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
        manifest_digest: None,
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
    terms.check_depth(orders.root.order_ca).map_err(named(mfg::TermsRefusal::reason))?;
    Ok(terms)
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

/// Everyone on the route with name and identity key, so that each signer can check the next acceptance offline.
fn parties(orders: &Orders, graph: &[Edge]) -> Result<Vec<Party>, Refusal> {
    let receivers: BTreeSet<&ManufacturerId> = graph.iter().map(|edge| &edge.to).collect();
    receivers
        .into_iter()
        .map(|id| {
            let found: Manufacturer = registry::find(orders.authority.store(), id.as_str())?;
            Ok(Party {
                manufacturer: id.clone(),
                name: found.display_name,
                identity_keys: vec![found.identity_key.to_vec()],
            })
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
