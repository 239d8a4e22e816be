//! `countersign.lot.v1.LotService`: what operators and the line ask about lots.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    lot::v1::{self as wire, lot_service_server::LotService},
};
use mfg::{LotId, ManufacturerId};
use records::{Caller, keys, named, page, refuse_store};
use tonic::{Request, Response, Status};

use crate::{lots, receive::Receiver};

/// The service over one receiver.
#[derive(Clone)]
pub(crate) struct LotRpc(pub(crate) Arc<Receiver>);

impl LotRpc {
    async fn lot(&self, id: String) -> Result<wire::Lot, Refusal> {
        let authority = Arc::clone(&self.0.authority);
        let workers = authority.seams.workers;
        workers
            .run(move || {
                let record =
                    authority.store().get(&keys::lot(&id)).map_err(|e| refuse_store(&e))?.ok_or_else(|| {
                        Refusal::new("LOT_UNKNOWN", format!("lot {id:?} is not known here")).with("lot", &id)
                    })?;
                lots::to_wire(&authority, &record)
            })
            .await
    }
}

#[tonic::async_trait]
impl LotService for LotRpc {
    async fn receive_lot(
        &self,
        request: Request<wire::ReceiveLotRequest>,
    ) -> Result<Response<wire::ReceiveLotResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.authority.act(caller, RequestId::parse(&message.request_id)?);
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        let from = ManufacturerId::parse(&message.from).map_err(named(mfg::IdRefusal::reason))?;
        // In a task of its own: an operator who goes away cannot stop it halfway.
        let receiver = Arc::clone(&self.0);
        tokio::spawn(async move { receiver.receive(act, from, lot).await })
            .await
            .unwrap_or_else(|_| Err(Refusal::new("SHUTTING_DOWN", "the service ended before the lot was received")))?;
        Ok(Response::new(wire::ReceiveLotResponse { lot: Some(self.lot(message.lot).await?) }))
    }

    async fn get_lot(&self, request: Request<wire::GetLotRequest>) -> Result<Response<wire::GetLotResponse>, Status> {
        let lot = self.lot(request.into_inner().lot).await?;
        Ok(Response::new(wire::GetLotResponse { lot: Some(lot) }))
    }

    async fn list_lots(
        &self,
        request: Request<wire::ListLotsRequest>,
    ) -> Result<Response<wire::ListLotsResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(message.page_size, &message.page_token)?;
        let authority = Arc::clone(&self.0.authority);
        let workers = authority.seams.workers;
        let response = workers
            .run(move || {
                let listed =
                    authority.store().list("lots", page.after(), page.limit()).map_err(|e| refuse_store(&e))?;
                let next =
                    (listed.len() == page.limit()).then(|| listed.last().map(|(name, _)| name.clone())).flatten();
                let lots =
                    listed.iter().map(|(_, record)| lots::to_wire(&authority, record)).collect::<Result<_, _>>()?;
                Ok(wire::ListLotsResponse { lots, next_page_token: page::token(next) })
            })
            .await?;
        Ok(Response::new(response))
    }
}
