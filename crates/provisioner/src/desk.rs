//! The desk: what a station asks for becomes a request on record, a certificate from the signer, a unit on record, an answer.

mod again;
mod answer;
mod confirm;
mod doubt;
mod request;
mod scrap;

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    issuance::v1::{DeviceCertificate, DeviceRequest, Occasion, issuance_service_client::IssuanceServiceClient},
    journal::v1::{UnitIssued, UnitRefused, record::Fact},
};
use pki::Sha256;
use records::{Act, Caller, CommitQueue, keys, refuse_store};
use service::{Clock, Workers, client::PeerChannel};
use store::{Claim, Key, Position, Rule, Store};
use tokio::sync::watch;
use tonic::Code;

use crate::{
    escrow::Escrow,
    lots::KnownLots,
    signer::Signer,
    unit::{Issued, Stage, UnitOnRecord},
};

pub(crate) use request::{KeySource, UnitOrder};

/// Most lots tried for one request that names none.
const MOST_ROLL_OVERS: usize = 16;

/// What the desk works with.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) commits: CommitQueue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workers: Workers,
    pub(crate) escrow: Arc<Escrow>,
    pub(crate) signer: Signer,
    pub(crate) calls: IssuanceServiceClient<PeerChannel>,
    pub(crate) lots: KnownLots,
    /// Told when something is on record that a destination waits for.
    pub(crate) outbox: watch::Sender<()>,
}

impl Desk {
    /// A caller's act, now.
    pub(crate) fn act(&self, caller: Caller, request: RequestId) -> Act {
        Act { at: self.clock.now(), caller, request: Some(request) }
    }

    /// Provisions one unit: the same unit for the same request, for ever.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `DEVICE_ID_TAKEN`, every refusal of the signer, `UPSTREAM_UNREACHABLE`, what the store says.
    pub(crate) async fn provision(&self, order: UnitOrder) -> Result<api::provisioning::v1::Unit, Refusal> {
        // Twice: the request, and what came of it.
        let _at_work = self.commits.at_work();
        match order.occasion {
            Occasion::Unspecified | Occasion::First => self.provision_first(order).await,
            // On the heap, so that the usual way's future stays small.
            Occasion::Replacement | Occasion::Rework => Box::pin(self.provision_again(order)).await,
        }
    }

    async fn provision_first(&self, order: UnitOrder) -> Result<api::provisioning::v1::Unit, Refusal> {
        for _ in 0..MOST_ROLL_OVERS {
            let unit = self.requested(&order).await?;
            match &unit.stage {
                Stage::Issued(_) => return self.answer(&unit).await,
                Stage::Requested | Stage::Refused => {}
            }
            let lot = unit.requested.lot.clone();
            match self.certified(&order, unit).await {
                Ok(unit) => return self.answer(&unit).await,
                // The order names no lot, so the next open one will do.
                Err(refusal) if order.lot.is_none() && is_lot_at_its_end(&refusal) => self.lots.roll_over(&lot),
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new("QUANTITY_SPENT", format!("{MOST_ROLL_OVERS} lots in a row had no units left")))
    }

    /// Has the signer issue the certificate of a requested unit, and puts it on record.
    async fn certified(&self, order: &UnitOrder, unit: UnitOnRecord) -> Result<UnitOnRecord, Refusal> {
        let csr = self.csr_of(order, &unit).await?;
        let request = DeviceRequest {
            request_id: order.act.request.map(|r| r.to_string()).unwrap_or_default(),
            lot: unit.requested.lot.clone(),
            device_id: unit.requested.device_id.clone(),
            csr,
            occasion: unit.requested.occasion.cast_signed(),
        };
        match self.signer.issue(request).await {
            Ok(certificate) => {
                if !self.lots.knows(&certificate.lot) {
                    Box::pin(self.lots.learn(&order.act, &certificate.lot, &certificate.issuer_chain)).await?;
                }
                self.record_issued(order, &unit, certificate).await
            }
            Err(refusal) if may_pass(&refusal) => Err(refusal),
            Err(refusal) => {
                Box::pin(self.record_refused(order, &unit, &refusal)).await?;
                Err(refusal)
            }
        }
    }

    async fn record_issued(
        &self,
        order: &UnitOrder,
        unit: &UnitOnRecord,
        certificate: DeviceCertificate,
    ) -> Result<UnitOnRecord, Refusal> {
        let issued = UnitIssued {
            requested_at: unit.requested_at,
            device_id: unit.requested.device_id.clone(),
            lot: unit.requested.lot.clone(),
            certificate: certificate.certificate,
            generation: certificate.generation,
            server_made_key: unit.requested.server_made_key,
            signer_position: certificate.journal_position,
        };
        let fact = Fact::UnitIssued(issued.clone());
        self.advance(order, unit, fact, |at| Stage::Issued(Box::new(Issued::new(at.as_u64(), issued)))).await
    }

    async fn record_refused(&self, order: &UnitOrder, unit: &UnitOnRecord, why: &Refusal) -> Result<(), Refusal> {
        let refused = UnitRefused { requested_at: unit.requested_at, reason: why.reason().to_owned() };
        self.advance(order, unit, Fact::UnitRefused(refused), |_| Stage::Refused).await?;
        if unit.requested.server_made_key {
            self.destroy_key(&unit.requested.key_digest).await?;
        }
        Ok(())
    }

    /// Records the unit's next fact against the one that it was made from; somebody else's in between is read instead.
    async fn advance(
        &self,
        order: &UnitOrder,
        unit: &UnitOnRecord,
        fact: Fact,
        stage: impl FnOnce(Position) -> Stage,
    ) -> Result<UnitOnRecord, Refusal> {
        let mut record = order.act.unit(fact);
        record.claims = vec![Claim { key: keys::unit(&unit.requested.device_id), rule: Rule::At(unit.at) }];
        record.claims.extend(request_key(&order.act).map(|key| Claim { key, rule: Rule::Any }));
        if let Ok(committed) = self.commits.commit(record).await? {
            return Ok(UnitOnRecord { at: committed.position, stage: stage(committed.position), ..unit.clone() });
        }
        // Outrun: the newest record tells.
        Box::pin(self.newest(&unit.requested.device_id)).await?.ok_or_else(|| lost(&unit.requested.device_id))
    }

    /// The unit that a key finds.
    pub(crate) async fn on_record(&self, key: Key) -> Result<Option<UnitOnRecord>, Refusal> {
        let store = Arc::clone(&self.store);
        self.workers
            .run(move || match store.get(&key).map_err(|e| refuse_store(&e))? {
                Some(record) => UnitOnRecord::from_record(store.as_ref(), &record),
                None => Ok(None),
            })
            .await
    }

    /// The unit as an act's request left it, if that is on record.
    async fn before(&self, act: &Act) -> Result<Option<UnitOnRecord>, Refusal> {
        match request_key(act) {
            Some(key) => self.on_record(key).await,
            None => Ok(None),
        }
    }

    /// A unit as it stands.
    pub(crate) async fn newest(&self, device_id: &str) -> Result<Option<UnitOnRecord>, Refusal> {
        let (store, device_id) = (Arc::clone(&self.store), device_id.to_owned());
        self.workers.run(move || UnitOnRecord::newest(store.as_ref(), &device_id)).await
    }

    /// Whether something came of a unit since it was read.
    async fn has_moved_on(&self, unit: &UnitOnRecord) -> Result<bool, Refusal> {
        let now = self.newest(&unit.requested.device_id).await?;
        Ok(now.is_some_and(|now| now.at != unit.at))
    }

    pub(crate) async fn destroy_key(&self, key_digest: &[u8]) -> Result<(), Refusal> {
        let Some(digest) = Sha256::from_slice(key_digest) else { return Ok(()) };
        let escrow = Arc::clone(&self.escrow);
        self.workers.run(move || escrow.destroy(&digest)).await
    }
}

/// The key of an act's request.
pub(crate) fn request_key(act: &Act) -> Option<Key> {
    act.request.map(|r| keys::request(&act.caller.manufacturer, r))
}

fn lost(device_id: &str) -> Refusal {
    Refusal::new("JOURNAL_DAMAGED", format!("unit {device_id} was recorded and is not found"))
}

fn is_lot_at_its_end(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), "QUANTITY_SPENT" | "LOT_CLOSED" | "LOT_NOT_OPEN" | "SIGNING_WINDOW_CLOSED")
}

/// Whether the same request may succeed by itself: then it stays on record as requested.
fn may_pass(refusal: &Refusal) -> bool {
    refusal.retry_delay().is_some()
        || matches!(
            refusal.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Cancelled | Code::Unknown
        )
        || refusal.reason() == "STORE_FULL"
}
