//! `countersign.handoff.v1.HandoffService` over an authority: the same face at the root-ca and at every intermediate-ca.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    custody::v1::SignedTerms as WireTerms,
    handoff::v1::{self as wire_handoff, handoff_service_server::HandoffService},
};
use bytes::Bytes;
use mfg::{LotId, ManufacturerId, SignedTerms};
use records::{Act, Caller, named, page, wire};
use tonic::{Request, Response, Status};

use crate::{
    authority::Authority,
    handoff::{AcceptOrder, OfferOrder},
};

/// The service over one authority.
#[derive(Clone)]
pub struct HandoffRpc(pub Arc<Authority>);

impl HandoffRpc {
    async fn run<T, F>(&self, work: F) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Authority) -> Result<T, Refusal> + Send + 'static,
    {
        let authority = Arc::clone(&self.0);
        let workers = authority.seams.workers;
        Ok(Response::new(workers.run(move || work(&authority)).await?))
    }
}

#[tonic::async_trait]
impl HandoffService for HandoffRpc {
    async fn offer_handoff(
        &self,
        request: Request<wire_handoff::OfferHandoffRequest>,
    ) -> Result<Response<wire_handoff::OfferHandoffResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let order = OfferOrder {
            source: message.source,
            to: ManufacturerId::parse(&message.to).map_err(named(mfg::IdRefusal::reason))?,
            lot: LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?,
            quantity: wire::read_quantity("quantity", message.quantity.as_ref())?,
            ttl_seconds: message.ttl_seconds,
        };
        self.run(move |authority| {
            let handoff = authority.offer(&authority.act(caller, id), &order)?;
            Ok(wire_handoff::OfferHandoffResponse { handoff: Some(handoff) })
        })
        .await
    }

    async fn cancel_handoff(
        &self,
        request: Request<wire_handoff::CancelHandoffRequest>,
    ) -> Result<Response<wire_handoff::CancelHandoffResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        self.run(move |authority| {
            let handoff = authority.cancel(&authority.act(caller, id), &lot)?;
            Ok(wire_handoff::CancelHandoffResponse { handoff: Some(handoff) })
        })
        .await
    }

    async fn get_handoff(
        &self,
        request: Request<wire_handoff::GetHandoffRequest>,
    ) -> Result<Response<wire_handoff::GetHandoffResponse>, Status> {
        let caller = Caller::of(&request)?;
        let lot = request.into_inner().lot;
        self.run(move |authority| {
            let handoff = authority.handoff(&caller.manufacturer, &lot)?;
            Ok(wire_handoff::GetHandoffResponse { handoff: Some(handoff) })
        })
        .await
    }

    async fn list_handoffs(
        &self,
        request: Request<wire_handoff::ListHandoffsRequest>,
    ) -> Result<Response<wire_handoff::ListHandoffsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        // Two readers' lists differ, so their pages end at different lots.
        let list = format!("handoffs\0{}", caller.manufacturer);
        let page = page::Page::read(&list, message.page_size, &message.page_token)?;
        self.run(move |authority| {
            let (handoffs, next) = authority.handoffs(&caller.manufacturer, page.after(), page.limit())?;
            Ok(wire_handoff::ListHandoffsResponse { handoffs, next_page_token: page::token(&list, next) })
        })
        .await
    }

    async fn get_offer(
        &self,
        request: Request<wire_handoff::GetOfferRequest>,
    ) -> Result<Response<wire_handoff::GetOfferResponse>, Status> {
        let caller = Caller::of(&request)?;
        let lot = request.into_inner().lot;
        self.run(move |authority| {
            let papers = authority.offer_papers(&caller.manufacturer, &lot)?;
            Ok(wire_handoff::GetOfferResponse {
                handoff: Some(papers.handoff),
                terms: Some(terms_to_wire(&papers.terms)),
                issuer_chain: papers.issuer_chain,
                identity_key_digest: wire::digest(&papers.signer),
                signature: papers.signature,
            })
        })
        .await
    }

    async fn accept_handoff(
        &self,
        request: Request<wire_handoff::AcceptHandoffRequest>,
    ) -> Result<Response<wire_handoff::AcceptHandoffResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let order = AcceptOrder {
            lot: LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?,
            csr: message.csr,
            acceptance: wire::read_acceptance("acceptance", message.acceptance.as_ref())?,
        };
        self.run(move |authority| {
            let accepted = authority.accept(&authority.act(caller, id), &order)?;
            Ok(wire_handoff::AcceptHandoffResponse {
                chain: accepted.chain,
                terms: Some(terms_to_wire(&accepted.terms)),
                journal_position: accepted.recorded_at.as_u64(),
            })
        })
        .await
    }

    async fn report_tally(
        &self,
        request: Request<wire_handoff::ReportTallyRequest>,
    ) -> Result<Response<wire_handoff::ReportTallyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let report = request.into_inner().report.ok_or_else(|| Refusal::malformed("report", "is missing"))?;
        self.run(move |authority| {
            // It has no request_id: a report is the same at every repetition.
            let act = Act { request: None, at: authority.now(), caller };
            authority.take_report(&act, &report)?;
            Ok(wire_handoff::ReportTallyResponse {})
        })
        .await
    }

    async fn compare_journals(
        &self,
        request: Request<wire_handoff::CompareJournalsRequest>,
    ) -> Result<Response<wire_handoff::CompareJournalsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        // It has no request_id: what was shown is shown once.
        self.run(move |authority| authority.compare(&Act { request: None, at: authority.now(), caller }, &message))
            .await
    }

    async fn approve_reinstatement(
        &self,
        request: Request<wire_handoff::ApproveReinstatementRequest>,
    ) -> Result<Response<wire_handoff::ApproveReinstatementResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let lot = LotId::parse(&message.lot).map_err(named(mfg::IdRefusal::reason))?;
        self.run(move |authority| {
            let permission = authority.approve_reinstatement(&authority.act(caller, id), &lot, message.units)?;
            Ok(wire_handoff::ApproveReinstatementResponse { reinstatement: Some(permission) })
        })
        .await
    }
}

fn terms_to_wire(terms: &SignedTerms) -> WireTerms {
    WireTerms { terms: Bytes::copy_from_slice(terms.bytes()), signature: Bytes::copy_from_slice(terms.signature()) }
}
