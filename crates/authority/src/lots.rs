//! The lots that an authority signs from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use api::Refusal;
use bytes::Bytes;
use issuance::OrderProfiles;
use mfg::SignedTerms;
use pki::{DnsName, Sha256};
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
    /// The key was destroyed when the lot closed: what was issued is still answered.
    Closed,
    /// The key cannot be read, or may not be used any more: what was issued is still answered.
    Gone(String),
}

impl Lot {
    /// The issuer, if its key is here.
    ///
    /// # Errors
    /// `LOT_CLOSED`; `LOT_NOT_OPEN` with the cause.
    pub fn issuer(&self) -> Result<&issuance::Issuer<Receipt>, Refusal> {
        match &self.issuer {
            LotIssuer::Loaded(issuer) => Ok(issuer),
            LotIssuer::Closed => Err(closed(&self.id)),
            LotIssuer::Gone(why) => {
                Err(Refusal::new("LOT_NOT_OPEN", format!("lot {} cannot sign: {why}", self.id)).with("lot", &self.id))
            }
        }
    }
}

/// The answer for a lot whose certificate is still to come from its sender.
#[must_use]
pub fn not_received(id: &str) -> Refusal {
    Refusal::new("LOT_NOT_OPEN", format!("lot {id} is not received yet")).with("lot", id)
}

/// The answer for a lot that gives nothing more.
pub(crate) fn closed(id: &str) -> Refusal {
    Refusal::new("LOT_CLOSED", format!("lot {id} is closed")).with("lot", id)
}

/// All lots of an authority.
#[derive(Debug, Default)]
pub struct Lots(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Ids of lots that are countersigned here, and whose certificate is still to come from their sender.
    awaited: BTreeSet<String>,
    /// Those that units may be taken from, by id.
    current: BTreeMap<String, Arc<Lot>>,
    /// What an id stood for under terms that were replaced, by id and terms digest: what was handed off under them is answered for.
    earlier: BTreeMap<(String, [u8; 32]), Arc<Lot>>,
}

impl Lots {
    /// The lot with this id.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_NOT_OPEN` (not received yet).
    pub fn get(&self, id: &str) -> Result<Arc<Lot>, Refusal> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.current.get(id).cloned().ok_or_else(|| known.missing(id))
    }

    /// Why there is no lot with this id: whoever asks for it anywhere hears the same.
    pub(crate) fn missing(&self, id: &str) -> Refusal {
        self.0.read().unwrap_or_else(PoisonError::into_inner).missing(id)
    }

    /// The lot with this id, with the terms of this digest: not always those that hold now.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`.
    pub fn under(&self, id: &str, terms_digest: &Sha256) -> Result<Arc<Lot>, Refusal> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let current = known.current.get(id).filter(|lot| lot.terms.digest() == *terms_digest);
        let earlier = || known.earlier.get(&(id.to_owned(), *terms_digest.as_bytes()));
        current.or_else(earlier).cloned().ok_or_else(|| known.missing(id))
    }

    /// Every lot that is known by its id: open ones, and closed ones that still answer.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Lot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).current.values().cloned().collect()
    }

    /// Those that units may be taken from and whose key is here, by id.
    pub(crate) fn signing(&self) -> Vec<Arc<Lot>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.current.values().filter(|lot| matches!(lot.issuer, LotIssuer::Loaded(_))).cloned().collect()
    }

    /// Notes a lot that is countersigned, and cannot be used before its sender's certificate is here.
    pub fn wait_for(&self, id: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.awaited.insert(id.to_owned());
    }

    /// Adds a lot that is about to be on record, unless it is known: whoever reads of it there finds it here. Until then it has no tally,
    /// so nothing can be spent from it.
    pub fn put_new(&self, lot: Lot) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.awaited.remove(&lot.id);
        known.current.entry(lot.id.clone()).or_insert_with(|| Arc::new(lot));
    }

    /// Adds a lot, or replaces what was known of it.
    pub fn put(&self, lot: Lot) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Under the same terms the new one answers for all that the old one did, and an old key must not outlive its lot here.
        if known.current.get(&lot.id).is_some_and(|before| before.terms.digest() != lot.terms.digest()) {
            known.keep(&lot.id);
        }
        known.awaited.remove(&lot.id);
        known.current.insert(lot.id.clone(), Arc::new(lot));
    }

    /// Takes nothing more from a lot; it still answers for what was handed off.
    pub fn withdraw(&self, id: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.keep(id);
        known.current.remove(id);
    }
}

impl Known {
    fn keep(&mut self, id: &str) {
        if let Some(lot) = self.current.get(id) {
            self.earlier.insert((id.to_owned(), *lot.terms.digest().as_bytes()), Arc::clone(lot));
        }
    }

    fn missing(&self, id: &str) -> Refusal {
        if self.awaited.contains(id) {
            return not_received(id);
        }
        Refusal::new("LOT_UNKNOWN", format!("lot {id:?} is not known here")).with("lot", id)
    }
}
