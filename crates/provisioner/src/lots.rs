//! Which lots units come from, and the chains that are handed out with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use api::{
    Refusal,
    journal::v1::{LotLearned, record::Fact},
    lot::v1::{ListLotsRequest, Lot, LotState, lot_service_client::LotServiceClient},
};
use bytes::Bytes;
use mfg::LotId;
use records::{Act, CommitQueue, keys, read, refuse_store};
use service::client::PeerChannel;
use store::{Claim, Rule, Store};

/// Lots in one answer of the signer.
const PAGE: i32 = 1000;
/// Most pages of lots that are read: closed lots stay listed.
const MOST_PAGES: usize = 100;

/// The signer's open lots as last seen, and every chain ever handed out.
pub(crate) struct KnownLots {
    client: LotServiceClient<PeerChannel>,
    store: Arc<dyn Store>,
    commits: CommitQueue,
    /// The lots of this line in the order of use; empty: every open lot, by id.
    queue: Vec<LotId>,
    chains: Mutex<BTreeMap<String, Vec<Bytes>>>,
    current: Mutex<Option<String>>,
}

impl KnownLots {
    pub(crate) fn new(
        client: LotServiceClient<PeerChannel>,
        store: Arc<dyn Store>,
        commits: CommitQueue,
        queue: Vec<LotId>,
    ) -> Self {
        Self { client, store, commits, queue, chains: Mutex::default(), current: Mutex::default() }
    }

    /// The lot that a request without one takes its unit from: the first open one of the line's queue that has units left.
    ///
    /// # Errors
    /// `UPSTREAM_UNREACHABLE`; `QUANTITY_SPENT` when every open lot is spent; `LOT_UNKNOWN` when no lot is open here.
    pub(crate) async fn current(&self) -> Result<String, Refusal> {
        if let Some(lot) = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(lot);
        }
        let open = self.queued(self.open().await?);
        let with_units = open.iter().find(|lot| has_units(lot)).and_then(|lot| lot.facts.as_ref());
        let lot = match with_units {
            Some(facts) => facts.lot.clone(),
            None if open.is_empty() => return Err(Refusal::new("LOT_UNKNOWN", "no lot is open at the signer")),
            None => return Err(Refusal::new("QUANTITY_SPENT", "no lot that is open at the signer has units left")),
        };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(lot.clone());
        Ok(lot)
    }

    /// Whether the current lot is known without asking the signer.
    pub(crate) fn has_current(&self) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Forgets the current lot after the signer said that it is spent or closed; the next request looks for another.
    pub(crate) fn roll_over(&self, spent: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_deref() == Some(spent) {
            *current = None;
        }
    }

    /// One lot as the signer sees it.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `UPSTREAM_UNREACHABLE`.
    pub(crate) async fn lot(&self, id: &str) -> Result<Lot, Refusal> {
        let request = api::lot::v1::GetLotRequest { lot: id.to_owned() };
        let answer = self.client.clone().get_lot(request).await.map_err(|s| Refusal::from_status(&s))?;
        answer.into_inner().lot.ok_or_else(|| Refusal::new("INTERNAL", "the signer answered no lot"))
    }

    /// Every lot that devices can come from, by id.
    async fn open(&self) -> Result<Vec<Lot>, Refusal> {
        let mut open = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MOST_PAGES {
            let request = ListLotsRequest { page_size: PAGE, page_token };
            let answer = self.client.clone().list_lots(request).await.map_err(|s| Refusal::from_status(&s))?;
            let page = answer.into_inner();
            open.extend(page.lots.into_iter().filter(issues));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(open)
    }

    /// Those of the line's queue, in its order.
    fn queued(&self, open: Vec<Lot>) -> Vec<Lot> {
        if self.queue.is_empty() {
            return open;
        }
        let is = |lot: &Lot, id: &LotId| lot.facts.as_ref().is_some_and(|facts| facts.lot == id.as_str());
        self.queue.iter().filter_map(|id| open.iter().find(|lot| is(lot, id)).cloned()).collect()
    }

    /// Whether a lot's chain is at hand.
    pub(crate) fn knows(&self, lot: &str) -> bool {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).contains_key(lot)
    }

    /// Puts a lot's chain on record the first time it is seen, so that retries are answered without the signer.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn learn(&self, act: &Act, lot: &str, chain: &[Bytes]) -> Result<(), Refusal> {
        let own = Act { request: None, ..act.clone() };
        let mut unit = own.unit(Fact::LotLearned(LotLearned { lot: lot.to_owned(), chain: chain.to_vec() }));
        unit.claims = vec![Claim { key: keys::lot_chain(lot), rule: Rule::Absent }];
        // A conflict means that it is on record already.
        let _ = self.commits.commit(unit).await?;
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).insert(lot.to_owned(), chain.to_vec());
        Ok(())
    }

    /// The chain of a lot that units were issued from.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when it was never learned.
    pub(crate) fn chain(&self, lot: &str) -> Result<Vec<Bytes>, Refusal> {
        if let Some(chain) = self.chains.lock().unwrap_or_else(PoisonError::into_inner).get(lot) {
            return Ok(chain.clone());
        }
        let chain = chain_on_record(self.store.as_ref(), lot)?;
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).insert(lot.to_owned(), chain.clone());
        Ok(chain)
    }
}

/// The chain of a lot that units were issued from, as it was learned.
///
/// # Errors
/// `JOURNAL_DAMAGED` when it never was; what the store says.
pub(crate) fn chain_on_record(store: &dyn Store, lot: &str) -> Result<Vec<Bytes>, Refusal> {
    let record = store.get(&keys::lot_chain(lot)).map_err(|e| refuse_store(&e))?;
    match record.map(|record| read(&record)).transpose()? {
        Some((_, Fact::LotLearned(learned))) => Ok(learned.chain),
        Some(_) | None => Err(Refusal::new("JOURNAL_DAMAGED", format!("the chain of lot {lot} is on no record"))),
    }
}

/// Whether devices can come from a lot, were there units left.
fn issues(lot: &Lot) -> bool {
    lot.state() == LotState::Open
        && lot.issues_devices
        && lot.cannot_sign.is_empty()
        && lot.tally.as_ref().is_some_and(|t| !t.closed)
}

fn has_units(lot: &Lot) -> bool {
    lot.tally.as_ref().is_some_and(|t| t.remaining != Some(0))
}
