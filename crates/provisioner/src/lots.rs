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
use records::{Act, CommitQueue, keys, read, refuse_store};
use store::{Claim, Rule, Store};
use tonic::transport::Channel;

/// Most lots that are considered; a manufacturer with more open lots names the lot in its requests.
const MOST_LOTS: i32 = 1000;

/// The signer's open lots as last seen, and every chain ever handed out.
pub(crate) struct KnownLots {
    client: LotServiceClient<Channel>,
    store: Arc<dyn Store>,
    commits: CommitQueue,
    chains: Mutex<BTreeMap<String, Vec<Bytes>>>,
    current: Mutex<Option<String>>,
}

impl KnownLots {
    pub(crate) fn new(client: LotServiceClient<Channel>, store: Arc<dyn Store>, commits: CommitQueue) -> Self {
        Self { client, store, commits, chains: Mutex::default(), current: Mutex::default() }
    }

    /// The lot that a request without one takes its unit from: the first open one, by id, that has units left.
    ///
    /// # Errors
    /// `UPSTREAM_UNREACHABLE`; `LOT_UNKNOWN` when no lot is open here.
    pub(crate) async fn current(&self) -> Result<String, Refusal> {
        if let Some(lot) = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(lot);
        }
        let lots = self.list().await?;
        let open = lots.into_iter().find(has_units).and_then(|lot| lot.facts).map(|facts| facts.lot);
        let lot = open.ok_or_else(|| Refusal::new("LOT_UNKNOWN", "no lot with units left is open at the signer"))?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(lot.clone());
        Ok(lot)
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

    async fn list(&self) -> Result<Vec<Lot>, Refusal> {
        let request = ListLotsRequest { page_size: MOST_LOTS, page_token: String::new() };
        let answer = self.client.clone().list_lots(request).await.map_err(|s| Refusal::from_status(&s))?;
        Ok(answer.into_inner().lots)
    }

    /// Puts a lot's chain on record the first time it is seen, so that retries are answered without the signer.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn learn(&self, act: &Act, lot: &str, chain: &[Bytes]) -> Result<(), Refusal> {
        if self.chains.lock().unwrap_or_else(PoisonError::into_inner).contains_key(lot) {
            return Ok(());
        }
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
        let record = self.store.get(&keys::lot_chain(lot)).map_err(|e| refuse_store(&e))?;
        let learned = record.map(|r| read(&r)).transpose()?;
        let Some((_, Fact::LotLearned(learned))) = learned else {
            return Err(Refusal::new("JOURNAL_DAMAGED", format!("the chain of lot {lot} is on no record")));
        };
        self.chains.lock().unwrap_or_else(PoisonError::into_inner).insert(lot.to_owned(), learned.chain.clone());
        Ok(learned.chain)
    }
}

fn has_units(lot: &Lot) -> bool {
    lot.state() == LotState::Open
        && lot.issues_devices
        && lot.tally.as_ref().is_some_and(|t| !t.closed && t.remaining != Some(0))
}
