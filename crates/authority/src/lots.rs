//! The lots that an authority signs from.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use api::Refusal;
use bytes::Bytes;
use issuance::OrderProfiles;
use mfg::SignedTerms;
use pki::DnsName;
use store::{Key, Receipt};

/// One lot: the units' terms, the names below it, and the key that may sign for it.
#[derive(Debug)]
pub struct Lot {
    /// Lot id; at a root-ca the production order id.
    pub id: String,
    /// The key of its tally in the store.
    pub tally: Key,
    /// The order's terms with the brand's signature.
    pub terms: Arc<SignedTerms>,
    /// How certificates of the order look, checked and proved.
    pub profiles: OrderProfiles,
    /// The DNS subtree under which it may name.
    pub subtree: DnsName,
    /// Handoffs so far: 0 at the root-ca.
    pub hops: u8,
    /// The CA certificates above what it signs, DER, its own first, without the anchor. Empty under a root.
    pub chain: Vec<Bytes>,
    /// Who signs.
    pub issuer: LotIssuer,
}

/// The signing side of a lot.
#[derive(Debug)]
pub enum LotIssuer {
    /// The key is here.
    Loaded(Box<issuance::Issuer<Receipt>>),
    /// The key was destroyed when the lot closed, or cannot be read: what was issued is still answered.
    Gone(String),
}

impl Lot {
    /// The issuer, if its key is here.
    ///
    /// # Errors
    /// `LOT_NOT_OPEN` with the cause.
    pub fn issuer(&self) -> Result<&issuance::Issuer<Receipt>, Refusal> {
        match &self.issuer {
            LotIssuer::Loaded(issuer) => Ok(issuer),
            LotIssuer::Gone(why) => {
                Err(Refusal::new("LOT_NOT_OPEN", format!("lot {} cannot sign: {why}", self.id)).with("lot", &self.id))
            }
        }
    }
}

/// All lots of an authority, by id.
#[derive(Debug, Default)]
pub struct Lots(RwLock<BTreeMap<String, Arc<Lot>>>);

impl Lots {
    /// The lot with this id.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`.
    pub fn get(&self, id: &str) -> Result<Arc<Lot>, Refusal> {
        let lots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        lots.get(id)
            .cloned()
            .ok_or_else(|| Refusal::new("LOT_UNKNOWN", format!("lot {id:?} is not known here")).with("lot", id))
    }

    /// Adds a lot, or replaces what was known of it.
    pub fn put(&self, lot: Lot) {
        let mut lots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        lots.insert(lot.id.clone(), Arc::new(lot));
    }
}
