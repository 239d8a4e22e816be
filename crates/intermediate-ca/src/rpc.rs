//! `countersign.lot.v1.LotService`: what operators and the line ask about lots.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    lot::v1::{self as wire, lot_service_server::LotService},
};
use mfg::{DeviceId, LotId, ManufacturerId};
use records::{Caller, named, page, refuse_store};
use tonic::{Request, Response, Status};

use crate::{
    close,
    lots::{self, LotOnRecord},
    receive::Receiver,
    reports, units,
};

/// The service over one receiver.
#[derive(Clone)]
pub(crate) struct LotRpc(pub(crate) Arc<Receiver>);

impl LotRpc {
    /// Runs blocking work to its end, also when the caller goes away.
    async fn run<T, F>(&self, work: F) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Receiver) -> Result<T, Refusal> + Send + 'static,
    {
        let receiver = Arc::clone(&self.0);
        let workers = receiver.authority.seams.workers;
        Ok(Response::new(workers.run(move || work(&receiver)).await?))
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
        self.run(move |receiver| Ok(wire::ReceiveLotResponse { lot: Some(on_record(receiver, &message.lot)?) })).await
    }

    async fn get_lot(&self, request: Request<wire::GetLotRequest>) -> Result<Response<wire::GetLotResponse>, Status> {
        let lot = request.into_inner().lot;
        self.run(move |receiver| Ok(wire::GetLotResponse { lot: Some(on_record(receiver, &lot)?) })).await
    }

    async fn list_lots(
        &self,
        request: Request<wire::ListLotsRequest>,
    ) -> Result<Response<wire::ListLotsResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read("lots", message.page_size, &message.page_token)?;
        self.run(move |receiver| {
            let authority = &receiver.authority;
            let listed = authority.store().list("lots", page.after(), page.limit()).map_err(|e| refuse_store(&e))?;
            let next = page::end(&listed, page.limit());
            let lots = listed
                .iter()
                .map(|(_, record)| lots::to_wire(authority, &LotOnRecord::from_record(authority.store(), record)?))
                .collect::<Result<_, _>>()?;
            Ok(wire::ListLotsResponse { lots, next_page_token: page::token("lots", next) })
        })
        .await
    }

    async fn accept_offer(
        &self,
        request: Request<wire::AcceptOfferRequest>,
    ) -> Result<Response<wire::AcceptOfferResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.authority.act(caller, RequestId::parse(&message.request_id)?);
        let offer = message.offer.ok_or_else(|| Refusal::malformed("offer", "is missing"))?;
        self.run(move |receiver| {
            let acceptance = receiver.accept_file(&act, offer)?;
            Ok(wire::AcceptOfferResponse { acceptance: Some(acceptance) })
        })
        .await
    }

    async fn open_lot(
        &self,
        request: Request<wire::OpenLotRequest>,
    ) -> Result<Response<wire::OpenLotResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.authority.act(caller, RequestId::parse(&message.request_id)?);
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        let answer = message.answer.ok_or_else(|| Refusal::malformed("answer", "is missing"))?;
        self.run(move |receiver| {
            receiver.open_file(&act, &lot, answer)?;
            Ok(wire::OpenLotResponse { lot: Some(on_record(receiver, lot.as_str())?) })
        })
        .await
    }

    async fn scrap_blanks(
        &self,
        request: Request<wire::ScrapBlanksRequest>,
    ) -> Result<Response<wire::ScrapBlanksResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.authority.act(caller, RequestId::parse(&message.request_id)?);
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        self.run(move |receiver| {
            units::scrap_blanks(receiver, &act, &lot, message.units, &message.why)?;
            Ok(wire::ScrapBlanksResponse { lot: Some(on_record(receiver, lot.as_str())?) })
        })
        .await
    }

    async fn reinstate_units(
        &self,
        request: Request<wire::ReinstateUnitsRequest>,
    ) -> Result<Response<wire::ReinstateUnitsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.authority.act(caller, RequestId::parse(&message.request_id)?);
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        let permission = message.permission.ok_or_else(|| Refusal::malformed("permission", "is missing"))?;
        if message.device_ids.len() > units::MOST_DEVICES {
            let many = format!("has {} entries, at most {} are taken", message.device_ids.len(), units::MOST_DEVICES);
            return Err(Refusal::malformed("device_ids", many).into());
        }
        let devices = message.device_ids.iter().map(|id| DeviceId::parse(id).map_err(named(mfg::IdRefusal::reason)));
        let devices = devices.collect::<Result<Vec<_>, _>>()?;
        self.run(move |receiver| {
            units::reinstate(receiver, &act, &lot, &permission, message.blanks, &devices)?;
            Ok(wire::ReinstateUnitsResponse { lot: Some(on_record(receiver, lot.as_str())?) })
        })
        .await
    }

    async fn close_lot(
        &self,
        request: Request<wire::CloseLotRequest>,
    ) -> Result<Response<wire::CloseLotResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.authority.act(caller, RequestId::parse(&message.request_id)?);
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        self.run(move |receiver| {
            let report = close::close(receiver, &act, &lot)?;
            receiver.reports.ask();
            Ok(wire::CloseLotResponse { lot: Some(on_record(receiver, lot.as_str())?), report: Some(report) })
        })
        .await
    }

    async fn get_tally_report(
        &self,
        request: Request<wire::GetTallyReportRequest>,
    ) -> Result<Response<wire::GetTallyReportResponse>, Status> {
        let lot = request.into_inner().lot;
        self.run(move |receiver| Ok(wire::GetTallyReportResponse { report: Some(reports::report(receiver, &lot)?) }))
            .await
    }
}

fn on_record(receiver: &Receiver, id: &str) -> Result<wire::Lot, Refusal> {
    let authority = &receiver.authority;
    lots::to_wire(authority, &LotOnRecord::of(authority.store(), id)?)
}
