//! What receivers and the brand know of each other's journals.

use std::{collections::BTreeMap, sync::Arc};

use api::{Refusal, RequestId, store::v1::ReconcileStoreRequest};
use authority::complete_open_intents;
use records::{Caller, Peers};
use tracing::info;

use crate::orders::{self, Orders};

/// Those who deal with the brand. It calls nobody, so what they saw is said by its operators.
pub(crate) struct BrandsPeers(pub(crate) Arc<Orders>);

#[tonic::async_trait]
impl Peers for BrandsPeers {
    fn seen(&self) -> Result<BTreeMap<String, u64>, Refusal> {
        self.0.authority.seen_journals()
    }

    async fn reconcile(&self, caller: Caller, request: ReconcileStoreRequest) -> Result<(), Refusal> {
        let orders = Arc::clone(&self.0);
        let work = move || {
            let authority = &orders.authority;
            authority.reconcile(caller, &request, &authority.acquaintances(std::iter::empty()), &[])?;
            authority.take_standing()?;
            let (orders, completed) = (orders::note_all(&orders)?, complete_open_intents(authority)?);
            info!(orders, completed, "orders noted again, open intents completed");
            Ok(())
        };
        self.0.authority.seams.workers.run(work).await
    }

    fn accept_clock(&self, caller: Caller, request: RequestId) -> Result<(), Refusal> {
        self.0.authority.accept_clock(caller, request)
    }
}
