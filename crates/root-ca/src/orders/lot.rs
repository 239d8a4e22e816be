//! An approved order as the lot that first handoffs are taken from.

use std::sync::Arc;

use api::{Refusal, journal::v1::record::Fact, order::v1::OrderState};
use authority::{Authority, Lot, LotIssuer, Noted, OwnCa, Versions};
use bytes::Bytes;
use issuance::{CaKey, Issuer, LoadOptions, LoadRefusal, OrderProfiles, SigningKey, Stage};
use mfg::{OrderCa, SignedTerms, Terms};
use pki::{Certificate, UnixTime};
use records::{keys, named};
use store::Receipt;
use tracing::warn;

use super::{OrderOnRecord, Orders};

/// The device root, or an order CA under an offline root.
pub(crate) struct DeviceRoot {
    /// The trust anchor.
    pub(crate) anchor: Certificate,
    /// The CA certificates below the anchor, the signing one first: empty under the root itself, one under an order CA.
    pub(crate) chain: Vec<Certificate>,
    /// Whether certificates are for real devices.
    pub(crate) stage: Stage,
    /// Whether an order CA stands between.
    pub(crate) order_ca: OrderCa,
    /// The signing key.
    pub(crate) key: Arc<dyn SigningKey>,
}

impl DeviceRoot {
    /// The CA that signs here, with its key: it proves to hubs that it is held, also when there is no order yet.
    pub(crate) fn own_ca(&self, now: UnixTime) -> OwnCa {
        let chain: Vec<Certificate> = self.chain.iter().chain([&self.anchor]).cloned().collect();
        let key = CaKey::load(&chain, Arc::clone(&self.key), self.stage, now);
        OwnCa::new(chain.first().unwrap_or(&self.anchor), key)
    }
}

/// Notes every order, at start; each is made when it is asked for.
///
/// # Errors
/// What the store says.
pub(crate) fn note_all(orders: &Arc<Orders>) -> Result<usize, Refusal> {
    let weak = Arc::downgrade(orders);
    orders.authority.lots.make_with(Box::new(move |id| match weak.upgrade() {
        Some(orders) => versions(&orders, id),
        None => Ok(Versions::default()),
    }));
    let mut approved = 0;
    records::every(orders.authority.store(), "orders", |id, record| {
        let is_open =
            matches!(records::read(record)?.1, Fact::OrderApproved(approved) if approved.brand_signature.is_some());
        approved += usize::from(is_open);
        orders.authority.lots.note(id, if is_open { Noted::Open } else { Noted::Ended });
        Ok(())
    })?;
    Ok(approved)
}

/// Every version of an order that was ever approved; units can be taken from the newest one when that is.
///
/// # Errors
/// What the store says; the issuer's refusals.
fn versions(orders: &Orders, id: &str) -> Result<Versions, Refusal> {
    let newest = orders.on_record(id)?;
    let state = newest.state();
    let mut versions = vec![newest];
    while let Some(earlier) = versions.last().map(|v| v.earlier(orders.authority.store())).transpose()?.flatten() {
        versions.push(earlier);
    }
    let approved = versions.iter().rev().filter(|version| version.brand_signature.is_some());
    let mut earlier = approved.map(|version| of_order(orders, version)).collect::<Result<Vec<_>, _>>()?;
    let current = if state == OrderState::Approved { earlier.pop() } else { None };
    Ok(Versions { earlier, current })
}

/// Checks before anybody approves that every certificate of an order can be made under the CA here: once approved, it could not be
/// loaded, or its handoffs would be refused one by one.
///
/// # Errors
/// `CHAIN_TOO_DEEP`, the profile's and the issuer's refusals.
pub(super) fn check_buildable(orders: &Orders, terms: &Terms) -> Result<(), Refusal> {
    terms.check_depth(orders.root.order_ca).map_err(named(mfg::TermsRefusal::reason))?;
    let profiles = profiles(orders, terms)?;
    let issuer = issuer(orders, terms).map_err(named(LoadRefusal::reason))?;
    issuer.check_order(&profiles).map_err(named(issuance::IssueRefusal::reason))
}

/// The lot of an approved order.
///
/// # Errors
/// The issuer's refusals.
pub(super) fn of_order(orders: &Orders, order: &OrderOnRecord) -> Result<Lot, Refusal> {
    let signature = order.brand_signature.clone().unwrap_or_default();
    let terms = SignedTerms::verify(&order.terms, &signature, &orders.own_bundle())
        .map_err(named(mfg::TermsRefusal::reason))?;
    let retired = orders.authority.retired(order.began_at(orders.authority.store())?);
    let issuer = match issuer(orders, terms.terms()) {
        Ok(_) if let Some(why) = &retired => LotIssuer::Gone(why.clone()),
        Ok(issuer) => LotIssuer::Loaded(Box::new(issuer)),
        // A CA that has expired signs nothing more, and what it signed is still answered for.
        Err(LoadRefusal::Path(cause)) => {
            warn!(order = order.order, %cause, "no handoff can be signed for this order");
            LotIssuer::Gone(cause.to_string())
        }
        Err(refusal) => return Err(Refusal::from_error(refusal.reason(), &refusal)),
    };
    let id = order.order.clone();
    Ok(Lot {
        tally: keys::lot(&id),
        id,
        subtree: terms.terms().document().program.base_name.clone(),
        hops: 0,
        chain: orders.root.chain.iter().map(|c| Bytes::copy_from_slice(c.der())).collect(),
        profiles: profiles(orders, terms.terms())?,
        terms: Arc::new(terms),
        issuer,
    })
}

fn profiles(orders: &Orders, terms: &Terms) -> Result<OrderProfiles, Refusal> {
    OrderProfiles::new(Arc::new(terms.clone()), orders.root.stage).map_err(named(issuance::ProfileRefusal::reason))
}

fn issuer(orders: &Orders, terms: &Terms) -> Result<Issuer<Receipt>, LoadRefusal> {
    let (authority, root): (&Authority, _) = (&orders.authority, &orders.root);
    let chain: Vec<Certificate> = root.chain.iter().chain([&root.anchor]).cloned().collect();
    let options = LoadOptions { stage: root.stage, oid_arc: terms.document().program.oid_arc, now: authority.now() };
    Issuer::load(chain, Arc::clone(&root.key), &options)
}
