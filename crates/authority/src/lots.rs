//! The lots that an authority signs from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::Instant,
};

use api::Refusal;
use bytes::Bytes;
use issuance::OrderProfiles;
use mfg::SignedTerms;
use pki::{DnsName, Sha256};
use store::{Key, Receipt};
use tracing::{info, warn};

use crate::authority::Authority;

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

/// All lots of an authority. At start it is only noted which there are: making thousands of them, with every signature checked, takes longer
/// than a line may wait. A lot is made from what is on record when it is first asked for.
#[derive(Default)]
pub struct Lots {
    known: RwLock<Known>,
    maker: OnceLock<Box<MakeLot>>,
}

/// Makes what is known of one lot from what is on record.
pub type MakeLot = dyn Fn(&str) -> Result<Versions, Refusal> + Send + Sync;

/// What is known of one lot.
#[derive(Debug, Default)]
pub struct Versions {
    /// Under terms that were replaced, or withdrawn: it answers for what was handed off under them.
    pub earlier: Vec<Lot>,
    /// As it is taken from now, if it is.
    pub current: Option<Lot>,
}

/// What a lot that was not made yet is on record as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Units may be taken from it, if its key is there.
    Open,
    /// It answers for what was issued from it.
    Ended,
}

#[derive(Debug, Default)]
struct Known {
    /// Ids of lots that are countersigned here, and whose certificate is still to come from their sender.
    awaited: BTreeSet<String>,
    /// Those that are on record and were not made yet, by id. Each id stands either here or below.
    noted: BTreeMap<String, Noted>,
    /// Those that units may be taken from, by id.
    current: BTreeMap<String, Arc<Lot>>,
    /// What an id stood for under terms that were replaced, by id and terms digest: what was handed off under them is answered for.
    earlier: BTreeMap<(String, [u8; 32]), Arc<Lot>>,
}

impl Lots {
    /// Says how lots are made. Called once, before any is noted.
    pub fn make_with(&self, maker: Box<MakeLot>) {
        // A second maker would make the same.
        let _ = self.maker.set(maker);
    }

    /// Notes that a lot is on record; what was known of it before is made anew when it is asked for.
    pub fn note(&self, id: &str, noted: Noted) {
        let mut known = self.write();
        known.current.remove(id);
        known.noted.insert(id.to_owned(), noted);
    }

    fn noted(&self) -> Vec<String> {
        self.read().noted.keys().cloned().collect()
    }

    /// Makes a lot that is noted; one that cannot be says so in the log, and whenever it is asked for.
    fn make(&self, id: &str) {
        if let Err(refusal) = self.ensure(id) {
            warn!(lot = id, %refusal, "a lot cannot be made from what is on record");
        }
    }

    /// Makes a lot that is noted.
    fn ensure(&self, id: &str) -> Result<(), Refusal> {
        if !self.read().noted.contains_key(id) {
            return Ok(());
        }
        let Some(maker) = self.maker.get() else { return Ok(()) };
        // Without the lock: this takes long. Whoever changes a lot that is noted makes it first, so what was read is replaced by no older one.
        let made = maker(id)?;
        let mut known = self.write();
        if known.noted.remove(id).is_some() {
            for lot in made.earlier {
                known.earlier.insert((lot.id.clone(), *lot.terms.digest().as_bytes()), Arc::new(lot));
            }
            known.current.extend(made.current.map(|lot| (id.to_owned(), Arc::new(lot))));
        }
        Ok(())
    }

    /// Before a lot is changed. One that cannot be made has nothing that is to be kept.
    fn settle(&self, id: &str) {
        self.make(id);
        self.write().noted.remove(id);
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lot with this id.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_NOT_OPEN` (not received yet); why it cannot be made.
    pub fn get(&self, id: &str) -> Result<Arc<Lot>, Refusal> {
        // Every certificate asks for its lot, and most lots were made long ago.
        if let Some(lot) = self.read().current.get(id) {
            return Ok(Arc::clone(lot));
        }
        self.ensure(id)?;
        let known = self.read();
        known.current.get(id).cloned().ok_or_else(|| known.missing(id))
    }

    /// Why there is no lot with this id: whoever asks for it anywhere hears the same.
    pub(crate) fn missing(&self, id: &str) -> Refusal {
        self.read().missing(id)
    }

    /// The lot with this id, with the terms of this digest: not always those that hold now.
    ///
    /// # Errors
    /// As [`Lots::get`].
    pub fn under(&self, id: &str, terms_digest: &Sha256) -> Result<Arc<Lot>, Refusal> {
        self.ensure(id)?;
        let known = self.read();
        let current = known.current.get(id).filter(|lot| lot.terms.digest() == *terms_digest);
        let earlier = || known.earlier.get(&(id.to_owned(), *terms_digest.as_bytes()));
        current.or_else(earlier).cloned().ok_or_else(|| known.missing(id))
    }

    /// Every lot that is known by its id: open ones, and closed ones that still answer. Those that cannot be made are left out.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Lot>> {
        self.noted().iter().for_each(|id| self.make(id));
        self.read().current.values().cloned().collect()
    }

    /// The ids of those that units may be taken from and whose key is here; of one that was not made yet, is thought to be.
    pub(crate) fn signing(&self) -> Vec<String> {
        let known = self.read();
        let made = known.current.iter().filter(|(_, lot)| matches!(lot.issuer, LotIssuer::Loaded(_)));
        let noted = known.noted.iter().filter(|(_, noted)| **noted == Noted::Open);
        let mut ids: Vec<String> = made.map(|(id, _)| id.clone()).chain(noted.map(|(id, _)| id.clone())).collect();
        ids.sort_unstable();
        ids
    }

    /// Notes a lot that is countersigned, and cannot be used before its sender's certificate is here.
    pub fn wait_for(&self, id: &str) {
        self.write().awaited.insert(id.to_owned());
    }

    /// Adds a lot that is about to be on record, unless it is known: whoever reads of it there finds it here. Until then it has no tally,
    /// so nothing can be spent from it.
    pub fn put_new(&self, lot: Lot) {
        let mut known = self.write();
        known.awaited.remove(&lot.id);
        if !known.noted.contains_key(&lot.id) {
            known.current.entry(lot.id.clone()).or_insert_with(|| Arc::new(lot));
        }
    }

    /// Adds a lot, or replaces what was known of it.
    pub fn put(&self, lot: Lot) {
        self.settle(&lot.id);
        let mut known = self.write();
        // Under the same terms the new one answers for all that the old one did, and an old key must not outlive its lot here.
        if known.current.get(&lot.id).is_some_and(|before| before.terms.digest() != lot.terms.digest()) {
            known.keep(&lot.id);
        }
        known.awaited.remove(&lot.id);
        known.current.insert(lot.id.clone(), Arc::new(lot));
    }

    /// Takes nothing more from a lot; it still answers for what was handed off.
    pub fn withdraw(&self, id: &str) {
        self.settle(id);
        let mut known = self.write();
        known.keep(id);
        known.current.remove(id);
    }
}

/// Makes the lots that nobody has asked for yet, while the service works: those that cannot sign are told at once, not when they are needed.
/// Called in a runtime.
pub fn make_lots(authority: &Arc<Authority>) {
    let weak = Arc::downgrade(authority);
    tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let noted: Vec<String> = weak.upgrade().map(|authority| authority.lots.noted()).unwrap_or_default();
        let lots = noted.len();
        for id in noted {
            let Some(authority) = weak.upgrade() else { return };
            authority.lots.make(&id);
            // The line's work goes first.
            thread::yield_now();
        }
        info!(lots, milliseconds = began.elapsed().as_millis(), "every lot is made");
    });
}

impl fmt::Debug for Lots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lots").field("known", &self.known).finish_non_exhaustive()
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
