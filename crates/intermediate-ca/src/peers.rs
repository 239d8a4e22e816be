//! What senders, receivers and this signer know of each other's journals.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    Refusal, RequestId,
    custody::v1::{Handoff, HandoffState},
    handoff::v1::CompareJournalsRequest,
    store::v1::ReconcileStoreRequest,
};
use authority::{Heard, complete_open_intents};
use mfg::ManufacturerId;
use records::{Caller, Peers, keys, named, refuse_store};
use tracing::{info, warn};

use crate::{
    lots::{self, LotOnRecord},
    receive::Receiver,
};

/// Those who deal with one receiver.
pub(crate) struct ReceiversPeers(pub(crate) Arc<Receiver>);

#[tonic::async_trait]
impl Peers for ReceiversPeers {
    fn seen(&self) -> Result<BTreeMap<String, u64>, Refusal> {
        let authority = &self.0.authority;
        let mut seen = authority.seen_journals()?;
        records::every(authority.store(), "lots", |_, record| {
            let lot = LotOnRecord::from_record(authority.store(), record)?;
            if let (Some(received), Some(facts)) = (lot.received(), lot.facts()) {
                let known = seen.entry(facts.from.clone()).or_default();
                *known = received.sender_position.max(*known);
            }
            Ok(())
        })?;
        Ok(seen)
    }

    async fn reconcile(&self, caller: Caller, request: ReconcileStoreRequest) -> Result<(), Refusal> {
        let mut heard = Vec::new();
        for sender in self.0.upstreams.all() {
            match self.0.upstreams.handoffs(sender).await {
                Ok(handoffs) => heard.push(self.judge(sender, &handoffs).await?),
                Err(refusal) => warn!(%sender, %refusal, "a sender was not heard"),
            }
        }
        let receiver = Arc::clone(&self.0);
        let work = move || {
            let mut senders: BTreeSet<ManufacturerId> = receiver.upstreams.all().cloned().collect();
            let authority = &receiver.authority;
            records::every(authority.store(), "lots", |_, record| {
                let lot = LotOnRecord::from_record(authority.store(), record)?;
                let from = lot.facts().map(|facts| facts.from.clone()).unwrap_or_default();
                senders.insert(ManufacturerId::parse(&from).map_err(named(mfg::IdRefusal::reason))?);
                Ok(())
            })?;
            let acquaintances = authority.acquaintances(senders.into_iter());
            authority.reconcile(caller, &request, &acquaintances, &heard)?;
            authority.take_standing()?;
            let (found, completed) = (lots::note_all(&receiver)?, complete_open_intents(authority)?);
            info!(lots = found.lots, completed, "lots noted again, open intents completed");
            Ok(())
        };
        self.0.authority.seams.workers.run(work).await
    }

    fn accept_clock(&self, caller: Caller, request: RequestId) -> Result<(), Refusal> {
        self.0.authority.accept_clock(caller, request)
    }
}

impl ReceiversPeers {
    /// What a sender saw of our journal, and what its list of handoffs to us says about it.
    async fn judge(&self, sender: &ManufacturerId, handoffs: &[Handoff]) -> Result<Heard, Refusal> {
        let store = self.0.authority.store();
        let mut heard = Heard { manufacturer: sender.clone(), position: 0, beyond: None };
        if let Some(seen) = self.0.upstreams.compare(sender, CompareJournalsRequest::default()).await?.seen {
            heard = self.0.authority.heard(heard, &seen)?;
        }
        for handoff in handoffs {
            if let Some(report) = &handoff.report {
                heard.position = report.journal_position.max(heard.position);
            }
            let lot = handoff.facts.as_ref().map(|facts| facts.lot.clone()).unwrap_or_default();
            let ours = match handoff.state() {
                HandoffState::Accepted | HandoffState::Signed | HandoffState::Voided => true,
                HandoffState::Unspecified | HandoffState::Offered | HandoffState::Cancelled | HandoffState::Expired => {
                    false
                }
            };
            if ours && store.get(&keys::lot(&lot)).map_err(|e| refuse_store(&e))?.is_none() {
                heard.beyond = Some(format!("handed over lot {lot}, which is not on record here"));
            }
        }
        Ok(heard)
    }
}
