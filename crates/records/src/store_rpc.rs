//! `countersign.store.v1.StoreService`: the same face at every service that has a store.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::{
    Refusal,
    store::v1::{
        self as proto,
        copy_store_response::Content,
        store_service_server::{StoreService, StoreServiceServer},
    },
};
use bytes::Bytes;
use service::Workers;
use store::{Copier, Head, Store, StoreCopy, StoreIdentity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, service::RoutesBuilder};
use tracing::info;

use crate::{OpenedStore, refuse_store, wire};

/// Copies that are read at the same time.
const COPIES: usize = 2;
/// Pieces of a copy that wait for its reader.
const AHEAD: usize = 4;
/// How long a reader may take to make room for one more piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service over one store.
#[derive(Clone)]
pub struct StoreRpc {
    store: Arc<dyn Store>,
    copier: Copier,
    copies: Arc<Semaphore>,
}

impl StoreRpc {
    /// Over an open store.
    #[must_use]
    pub fn new(opened: &OpenedStore) -> Self {
        let (store, copier) = (Arc::clone(&opened.store), opened.copier.clone());
        Self { store, copier, copies: Arc::new(Semaphore::new(COPIES)) }
    }

    /// Adds it to a service's routes.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(StoreServiceServer::new(self));
    }
}

#[tonic::async_trait]
impl StoreService for StoreRpc {
    async fn get_store(&self, _: Request<proto::GetStoreRequest>) -> Result<Response<proto::GetStoreResponse>, Status> {
        let store = store_to_wire(self.copier.identity(), self.store.head());
        Ok(Response::new(proto::GetStoreResponse { store: Some(store) }))
    }

    type CopyStoreStream = Pin<Box<dyn Stream<Item = Result<proto::CopyStoreResponse, Status>> + Send>>;

    async fn copy_store(&self, _: Request<proto::CopyStoreRequest>) -> Result<Response<Self::CopyStoreStream>, Status> {
        let turn = Arc::clone(&self.copies).try_acquire_owned().map_err(|_| {
            Refusal::new("STORE_COPIES_UNDER_WAY", format!("{COPIES} copies of the store are being read"))
                .retry_after(PATIENCE)
        })?;
        let copy = self.copier.copy().map_err(|e| refuse_store(&e))?;
        info!(position = copy.head.position.as_u64(), octets = copy.octets, "a copy of the store begins");
        let (pieces, reader) = mpsc::channel(AHEAD);
        tokio::spawn(send(copy, pieces, turn));
        Ok(Response::new(Box::pin(ReceiverStream::new(reader))))
    }
}

type Piece = Result<proto::CopyStoreResponse, Status>;

/// Sends a copy piece by piece, for as long as somebody reads it.
async fn send(copy: StoreCopy, pieces: mpsc::Sender<Piece>, turn: OwnedSemaphorePermit) {
    let store = store_to_wire(&copy.identity, copy.head);
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

fn store_to_wire(identity: &StoreIdentity, head: Head) -> proto::Store {
    proto::Store {
        service: identity.service().to_owned(),
        manufacturer: identity.manufacturer().to_owned(),
        store_id: Bytes::copy_from_slice(identity.store_id()),
        journal_position: head.position.as_u64(),
        journal_chain: wire::digest(&head.chain),
    }
}
