//! Comparing journals with the senders: at start, before every report, and before a lot is received.

use std::{sync::Arc, time::Duration};

use api::{Refusal, handoff::v1::CompareJournalsRequest};
use mfg::ManufacturerId;
use tokio::task::JoinSet;
use tracing::warn;

use crate::receive::Receiver;

/// Calls until what is shown is kept: the first one may answer what is to be accounted for.
const CALLS: usize = 2;

impl Receiver {
    /// Compares with every sender that answers in time.
    ///
    /// # Errors
    /// What the store says, when the record that is looked for shows that it is not what it should be.
    pub(crate) async fn compare_all(self: &Arc<Self>, patience: Duration) -> Result<(), Refusal> {
        let mut comparing = JoinSet::new();
        for sender in self.upstreams.all() {
            let (this, sender) = (Arc::clone(self), sender.clone());
            comparing.spawn(async move {
                let Err(refusal) = this.compare(&sender).await else { return Ok(()) };
                warn!(%sender, %refusal, "the journals could not be compared");
                // A store that has stopped answers nobody.
                if this.authority.store().last().is_err() { Err(refusal) } else { Ok(()) }
            });
        }
        let compared = async {
            while let Some(ended) = comparing.join_next().await {
                ended.unwrap_or(Ok(()))?;
            }
            Ok(())
        };
        // Who takes longer is left alone: everything is asked again the next time.
        tokio::time::timeout(patience, compared).await.unwrap_or(Ok(()))
    }

    /// Compares with the sender that something is about to be received from.
    ///
    /// # Errors
    /// `STORE_SUSPENDED` when this journal does not hold what was seen of it. Why the sender was not heard, its next answer says too.
    pub(crate) async fn compare_before(self: &Arc<Self>, sender: &ManufacturerId) -> Result<(), Refusal> {
        if let Err(refusal) = self.compare(sender).await {
            warn!(%sender, %refusal, "the journals could not be compared");
        }
        self.authority.check_may_issue().map(drop)
    }

    /// Shows a sender this journal and what was seen of the sender's, and judges and keeps what it shows.
    async fn compare(self: &Arc<Self>, sender: &ManufacturerId) -> Result<(), Refusal> {
        let service = self.upstreams.service_of(sender)?;
        let mut accounted = None;
        for _ in 0..CALLS {
            let (this, id, known) = (Arc::clone(self), sender.clone(), accounted.clone());
            let ask = move || {
                let seen = this.authority.seen_journal(id.as_str(), service)?;
                Ok(CompareJournalsRequest { shown: this.authority.shown_journal()?, accounted: known, seen })
            };
            let request = self.blocking(ask).await?;
            let answer = self.upstreams.compare(sender, request).await?;
            let is_kept = answer.seen == accounted;
            accounted.clone_from(&answer.seen);
            let (this, id) = (Arc::clone(self), sender.clone());
            let judge = move || {
                let authority = &this.authority;
                let judged = answer.seen.as_ref().map_or(Ok(()), |seen| authority.judge_seen(id.as_str(), seen));
                if let Some(shown) = &answer.shown {
                    authority.keep_seen(&authority.own_act(), id.as_str(), service, shown)?;
                }
                judged
            };
            self.blocking(judge).await?;
            if is_kept {
                break;
            }
        }
        Ok(())
    }
}
