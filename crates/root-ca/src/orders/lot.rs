//! An approved order as the lot that first handoffs are taken from.

use std::sync::Arc;

use api::Refusal;
use authority::{Authority, Lot, LotIssuer};
use bytes::Bytes;
use issuance::{Issuer, LoadOptions, OrderProfiles, SigningKey, Stage};
use mfg::{OrderCa, SignedTerms};
use pki::Certificate;
use records::{keys, named, refuse_store};
use store::Receipt;
use tracing::info;

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

/// Loads every approved order at start.
///
/// # Errors
/// What the store says; the issuer's refusals.
pub(crate) fn load_all(orders: &Orders) -> Result<usize, Refusal> {
    let mut after: Option<String> = None;
    let mut loaded = 0;
    loop {
        let page = orders.authority.store().list("orders", after.as_deref(), 256).map_err(|e| refuse_store(&e))?;
        let Some((last, _)) = page.last() else {
            info!(orders = loaded, "approved orders loaded");
            return Ok(loaded);
        };
        after = Some(last.clone());
        for (_, record) in &page {
            let order = OrderOnRecord::from_record(orders.authority.store(), record)?;
            if order.brand_signature.is_some() {
                orders.authority.lots.put(of_order(orders, &order)?);
                loaded += 1;
            }
        }
    }
}

/// The lot of an approved order.
///
/// # Errors
/// The issuer's refusals.
pub(super) fn of_order(orders: &Orders, order: &OrderOnRecord) -> Result<Lot, Refusal> {
    let authority: &Authority = &orders.authority;
    let root = &orders.root;
    let signature = order.brand_signature.clone().unwrap_or_default();
    let terms = SignedTerms::verify(&order.proposed.terms, &signature, &orders.own_bundle())
        .map_err(named(mfg::TermsRefusal::reason))?;
    let chain: Vec<Certificate> = root.chain.iter().chain([&root.anchor]).cloned().collect();
    let options =
        LoadOptions { stage: root.stage, oid_arc: terms.terms().document().program.oid_arc, now: authority.now() };
    let issuer = Issuer::<Receipt>::load(chain, Arc::clone(&root.key), &options)
        .map_err(named(issuance::LoadRefusal::reason))?;
    let profiles = OrderProfiles::new(Arc::new(terms.terms().clone()), root.stage)
        .map_err(named(issuance::ProfileRefusal::reason))?;
    let id = order.proposed.order.clone();
    Ok(Lot {
        tally: keys::lot(&id),
        id,
        subtree: terms.terms().document().program.base_name.clone(),
        hops: 0,
        chain: root.chain.iter().map(|c| Bytes::copy_from_slice(c.der())).collect(),
        terms: Arc::new(terms),
        profiles,
        issuer: LotIssuer::Loaded(Box::new(issuer)),
    })
}
