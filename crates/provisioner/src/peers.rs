//! What the line saw of its signer's journal: the highest place of all signatures that it has.

use std::{collections::BTreeMap, sync::Arc};

use api::{Refusal, RequestId, journal::v1::record::Fact, store::v1::ReconcileStoreRequest};
use mfg::ManufacturerId;
use records::{Caller, Peers, clock_not_behind, not_suspended, read, refuse_store};
use store::{Position, Store};

/// The line, which issues nothing itself and is never suspended.
pub(crate) struct LinesPeers {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) manufacturer: ManufacturerId,
}

#[tonic::async_trait]
impl Peers for LinesPeers {
    /// Asked after a restore alone, so it reads the whole journal.
    fn seen(&self) -> Result<BTreeMap<String, u64>, Refusal> {
        let (mut highest, mut from) = (0, Position::from_u64(0));
        loop {
            let page = self.store.history(from, store::MAX_LISTED).map_err(|e| refuse_store(&e))?;
            for record in &page.records {
                if let Fact::UnitIssued(issued) = read(record)?.1 {
                    highest = issued.signer_position.max(highest);
                }
            }
            if page.next >= page.head.position {
                return Ok(BTreeMap::from([(self.manufacturer.to_string(), highest)]));
            }
            from = page.next;
        }
    }

    async fn reconcile(&self, _: Caller, _: ReconcileStoreRequest) -> Result<(), Refusal> {
        Err(not_suspended())
    }

    fn accept_clock(&self, _: Caller, _: RequestId) -> Result<(), Refusal> {
        Err(clock_not_behind())
    }
}
