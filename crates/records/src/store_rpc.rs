//! `countersign.store.v1.StoreService`: the same face at every service that has a store.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use api::{
    Refusal, RequestId,
    store::v1::{
        self as proto,
        copy_store_response::Content,
        store_service_server::{StoreService, StoreServiceServer},
    },
};
use bytes::Bytes;
use service::Workers;
use store::{Copier, Head, Position, Store, StoreCopy, StoreIdentity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, service::RoutesBuilder};
use tracing::info;

use crate::{Caller, OpenedStore, Standing, Suspended, refuse_store, wire};

/// Copies that are read at the same time.
const COPIES: usize = 2;
/// Pieces of a copy that wait for its reader.
const AHEAD: usize = 4;
/// How long a reader may take to make room for one more piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a service knows of others, and they of it. As it stands here, of a service whose store is never suspended.
#[tonic::async_trait]
pub trait Peers: Send + Sync + 'static {
    /// What this service last saw of the journals of others, by manufacturer. Blocks.
    ///
    /// # Errors
    /// What the store says.
    fn seen(&self) -> Result<BTreeMap<String, u64>, Refusal> {
        Ok(BTreeMap::new())
    }

    /// Ends the suspension of a restored store.
    ///
    /// # Errors
    /// `STORE_NOT_SUSPENDED`, `RECONCILIATION_INCOMPLETE`, `JOURNAL_ROLLED_BACK`, `REQUEST_ID_REUSED`.
    async fn reconcile(&self, _: Caller, _: proto::ReconcileStoreRequest) -> Result<(), Refusal> {
        Err(not_suspended())
    }

    /// Takes the clock as right. Blocks.
    ///
    /// # Errors
    /// `CLOCK_NOT_BEHIND`, `REQUEST_ID_REUSED`.
    fn accept_clock(&self, _: Caller, _: RequestId) -> Result<(), Refusal> {
        Err(clock_not_behind())
    }
}

/// Of a service that saw nobody's journal.
struct NoPeers;

impl Peers for NoPeers {}

/// There is nothing to accept.
#[must_use]
pub fn clock_not_behind() -> Refusal {
    Refusal::new("CLOCK_NOT_BEHIND", "the clock of this service is not behind its journal")
}

/// There is nothing to reconcile.
#[must_use]
pub fn not_suspended() -> Refusal {
    Refusal::new("STORE_NOT_SUSPENDED", "this store is not suspended")
}

/// The service over one store.
#[derive(Clone)]
pub struct StoreRpc {
    peers: Arc<dyn Peers>,
    store: Arc<dyn Store>,
    copier: Copier,
    copies: Arc<Semaphore>,
}

impl StoreRpc {
    /// Over an open store.
    #[must_use]
    pub fn new(opened: &OpenedStore) -> Self {
        let (store, copier) = (Arc::clone(&opened.store), opened.copier.clone());
        Self { peers: Arc::new(NoPeers), store, copier, copies: Arc::new(Semaphore::new(COPIES)) }
    }

    /// With those who know of it.
    #[must_use]
    pub fn with(self, peers: Arc<dyn Peers>) -> Self {
        Self { peers, ..self }
    }

    async fn now(&self) -> Result<proto::Store, Refusal> {
        let (store, identity) = (Arc::clone(&self.store), self.copier.identity().clone());
        Workers::Threads
            .run(move || {
                let standing = Standing::of(store.as_ref())?;
                Ok(store_to_wire(&identity, store.head(), &standing))
            })
            .await
    }

    /// Adds it to a service's routes.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(StoreServiceServer::new(self));
    }
}

#[tonic::async_trait]
impl StoreService for StoreRpc {
    async fn get_store(&self, _: Request<proto::GetStoreRequest>) -> Result<Response<proto::GetStoreResponse>, Status> {
        Ok(Response::new(proto::GetStoreResponse { store: Some(self.now().await?) }))
    }

    async fn get_seen_journals(
        &self,
        _: Request<proto::GetSeenJournalsRequest>,
    ) -> Result<Response<proto::GetSeenJournalsResponse>, Status> {
        let peers = Arc::clone(&self.peers);
        let seen = Workers::Threads.run(move || peers.seen()).await?.into_iter();
        let seen = seen.map(|(manufacturer, journal_position)| proto::SeenJournal { manufacturer, journal_position });
        Ok(Response::new(proto::GetSeenJournalsResponse { seen: seen.collect() }))
    }

    async fn reconcile_store(
        &self,
        request: Request<proto::ReconcileStoreRequest>,
    ) -> Result<Response<proto::ReconcileStoreResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        RequestId::parse(&request.request_id)?;
        self.peers.reconcile(caller, request).await?;
        Ok(Response::new(proto::ReconcileStoreResponse { store: Some(self.now().await?) }))
    }

    async fn accept_clock(
        &self,
        request: Request<proto::AcceptClockRequest>,
    ) -> Result<Response<proto::AcceptClockResponse>, Status> {
        let caller = Caller::of(&request)?;
        let id = RequestId::parse(&request.into_inner().request_id)?;
        let peers = Arc::clone(&self.peers);
        Workers::Threads.run(move || peers.accept_clock(caller, id)).await?;
        Ok(Response::new(proto::AcceptClockResponse { store: Some(self.now().await?) }))
    }

    type CopyStoreStream = Pin<Box<dyn Stream<Item = Result<proto::CopyStoreResponse, Status>> + Send>>;

    async fn copy_store(&self, _: Request<proto::CopyStoreRequest>) -> Result<Response<Self::CopyStoreStream>, Status> {
        let turn = Arc::clone(&self.copies).try_acquire_owned().map_err(|_| {
            Refusal::new("STORE_COPIES_UNDER_WAY", format!("{COPIES} copies of the store are being read"))
                .retry_after(PATIENCE)
        })?;
        let copy = self.copier.copy().map_err(|e| refuse_store(&e))?;
        info!(position = copy.head.position.as_u64(), octets = copy.octets, "a copy of the store begins");
        let now = self.now().await?;
        let store = proto::Store {
            journal_position: copy.head.position.as_u64(),
            journal_chain: wire::digest(&copy.head.chain),
            ..now
        };
        let (pieces, reader) = mpsc::channel(AHEAD);
        tokio::spawn(send(store, copy, pieces, turn));
        Ok(Response::new(Box::pin(ReceiverStream::new(reader))))
    }
}

type Piece = Result<proto::CopyStoreResponse, Status>;

/// Sends a copy piece by piece, for as long as somebody reads it.
async fn send(store: proto::Store, copy: StoreCopy, pieces: mpsc::Sender<Piece>, turn: OwnedSemaphorePermit) {
    let head = Content::Head(proto::CopyHead { store: Some(store), octets: copy.octets });
    let mut next = Some((Ok(proto::CopyStoreResponse { content: Some(head) }), copy));
    while let Some((piece, copy)) = next {
        let failed = piece.is_err();
        if pieces.send_timeout(piece, PATIENCE).await.is_err() || failed {
            break;
        }
        next = Workers::Threads.run(move || Ok(read_on(copy))).await.unwrap_or_default();
    }
    drop(turn);
}

fn read_on(mut copy: StoreCopy) -> Option<(Piece, StoreCopy)> {
    let piece = match copy.next()? {
        Ok(part) => {
            let store::Part { segment, offset, octets } = part;
            let part = proto::CopyPart { segment, offset, octets: Bytes::from(octets) };
            Ok(proto::CopyStoreResponse { content: Some(Content::Part(part)) })
        }
        Err(error) => Err(refuse_store(&error).into()),
    };
    Some((piece, copy))
}

fn store_to_wire(identity: &StoreIdentity, head: Head, standing: &Standing) -> proto::Store {
    let state = match (standing.suspended, standing.clock_behind) {
        (Some(Suspended::Restored), _) => proto::StoreState::Suspended,
        (Some(Suspended::RolledBack), _) => proto::StoreState::RolledBack,
        (None, Some(_)) => proto::StoreState::ClockBehind,
        (None, None) => proto::StoreState::Serving,
    };
    proto::Store {
        state: state.into(),
        restored_at: standing.restored_at.map(Position::as_u64),
        retired_before: standing.retired_before.map(Position::as_u64),
        service: identity.service().to_owned(),
        manufacturer: identity.manufacturer().to_owned(),
        store_id: Bytes::copy_from_slice(identity.store_id()),
        journal_position: head.position.as_u64(),
        journal_chain: wire::digest(&head.chain),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use service::{metrics::Metrics, shell::Stop};

    use super::*;

    #[tokio::test]
    async fn no_more_copies_are_read_at_once_than_the_disk_can_bear() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("store");
        crate::init_store(&directory, "root-ca", "company-x").unwrap();
        let opened = crate::open_store(&directory, "root-ca", "company-x", &Stop::default(), &Metrics::new()).unwrap();
        let rpc = StoreRpc::new(&opened);
        let ask = async || rpc.copy_store(Request::new(proto::CopyStoreRequest {})).await.map(drop);
        let read_by_others = Arc::clone(&rpc.copies).acquire_many_owned(2).await.unwrap();
        let refusal = Refusal::from_status(&ask().await.unwrap_err());
        assert_eq!((refusal.reason(), refusal.retry_delay()), ("STORE_COPIES_UNDER_WAY", Some(PATIENCE)));
        drop(read_by_others);
        ask().await.unwrap();
    }
}
