//! `countersign.issuance.v1.IssuanceService` over a line: unary and stream go the same way.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    issuance::v1::{self as wire, issuance_service_server::IssuanceService},
};
use mfg::DeviceId;
use records::{Act, Caller, named, page, wire as convert};
use service::{
    answers::{Answers, Place, answers},
    trace,
};
use store::Position;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    authority::Authority,
    device::{DeviceOrder, IssuedDevice, Occasion, Written},
    line::Line,
};

/// Most requests of one stream that are worked on at once; the stream is read no further until one is answered.
const STREAM_WINDOW: usize = 256;

/// What the spans of a stream's requests are called.
const ISSUE_DEVICES: &str = "/countersign.issuance.v1.IssuanceService/IssueDevices";

/// Most confirmations in one call.
const MOST_CONFIRMED: usize = 1000;

/// An answer on a stream.
type Item = Result<wire::IssueDevicesResponse, Status>;

/// The service over one authority and its line.
#[derive(Clone)]
pub struct IssuanceRpc {
    authority: Arc<Authority>,
    line: Line,
}

impl IssuanceRpc {
    /// The service over `authority`, issuing through `line`.
    #[must_use]
    pub fn new(authority: Arc<Authority>, line: Line) -> Self {
        Self { authority, line }
    }

    async fn run<T, F>(&self, work: F) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Authority) -> Result<T, Refusal> + Send + 'static,
    {
        let authority = Arc::clone(&self.authority);
        let workers = authority.seams.workers;
        Ok(Response::new(workers.run(move || work(&authority)).await?))
    }

    fn order(&self, caller: Caller, request: Option<wire::DeviceRequest>) -> Result<DeviceOrder, Refusal> {
        let request = request.ok_or_else(|| Refusal::malformed("request", "is missing"))?;
        let id = RequestId::parse(&request.request_id)?;
        Ok(DeviceOrder {
            act: self.authority.act(caller, id),
            lot: request.lot,
            device_id: DeviceId::parse(&request.device_id).map_err(named(mfg::IdRefusal::reason))?,
            csr: request.csr,
            occasion: Occasion::read(request.occasion)?,
        })
    }

    /// Has one request of a stream issued. Its result takes the place that was kept for it, from whichever thread finds it.
    async fn answer_into(&self, place: Place<Item>, caller: Caller, item: wire::IssueDevicesRequest) {
        let request_id = item.request.as_ref().map(|r| r.request_id.clone()).unwrap_or_default();
        let span = trace::serving(ISSUE_DEVICES, &item.traceparent);
        let answer = move |outcome: Result<IssuedDevice, Refusal>| {
            span.end(outcome.as_ref().err().map(Refusal::reason));
            let result = match outcome {
                Ok(issued) => wire::issue_devices_response::Result::Certificate(issued.into()),
                Err(refusal) => wire::issue_devices_response::Result::Refusal(refusal.to_wire()),
            };
            place.fill(Ok(wire::IssueDevicesResponse { request_id, result: Some(result) }))
        };
        match self.order(caller, item.request) {
            Ok(order) => self.line.hand_in(order, Box::new(answer)).await,
            Err(refusal) => drop(answer(Err(refusal))),
        }
    }
}

#[tonic::async_trait]
impl IssuanceService for IssuanceRpc {
    async fn issue_device(
        &self,
        request: Request<wire::IssueDeviceRequest>,
    ) -> Result<Response<wire::IssueDeviceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let issued = self.line.issue(self.order(caller, request.into_inner().request)?).await?;
        Ok(Response::new(wire::IssueDeviceResponse { certificate: Some(issued.into()) }))
    }

    type IssueDevicesStream = Answers<Item>;

    async fn issue_devices(
        &self,
        request: Request<Streaming<wire::IssueDevicesRequest>>,
    ) -> Result<Response<Self::IssueDevicesStream>, Status> {
        let caller = Caller::of(&request)?;
        let mut requests = request.into_inner();
        let (places, answers) = answers(STREAM_WINDOW);
        let service = self.clone();
        tokio::spawn(trace::carried(async move {
            while let Some(Ok(item)) = requests.next().await {
                // A place for the answer first: who does not read answers is not read either.
                let Some(place) = places.take().await else { break };
                service.answer_into(place, caller.clone(), item).await;
            }
        }));
        Ok(Response::new(answers))
    }

    async fn validate_device(
        &self,
        request: Request<wire::ValidateDeviceRequest>,
    ) -> Result<Response<wire::ValidateDeviceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let order = self.order(caller, request.into_inner().request)?;
        self.run(move |authority| {
            let tally = authority.validate(&order)?;
            Ok(wire::ValidateDeviceResponse { tally: Some(convert::tally(&tally)) })
        })
        .await
    }

    async fn get_device(
        &self,
        request: Request<wire::GetDeviceRequest>,
    ) -> Result<Response<wire::GetDeviceResponse>, Status> {
        let device_id = read_id(&request.into_inner().device_id)?;
        self.run(move |authority| authority.device_story(&device_id)).await
    }

    async fn confirm_devices(
        &self,
        request: Request<wire::ConfirmDevicesRequest>,
    ) -> Result<Response<wire::ConfirmDevicesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let devices = request.into_inner().devices;
        if devices.len() > MOST_CONFIRMED {
            let many = format!("has {} entries, at most {MOST_CONFIRMED} are taken", devices.len());
            return Err(Refusal::malformed("devices", many).into());
        }
        self.run(move |authority| {
            // It has no request_id: which certificate is on which device is the same at every repetition.
            let act = Act { request: None, at: authority.now(), caller };
            let read = |device: &wire::WrittenDevice| {
                let certificate = convert::read_digest("certificate_sha256", &device.certificate_sha256)?;
                Ok(Written { device_id: read_id(&device.device_id)?, certificate })
            };
            let written = devices.iter().map(read).collect::<Result<Vec<_>, Refusal>>()?;
            let outcomes = authority.confirm(&act, &written)?;
            let devices = written.into_iter().zip(outcomes).map(|(device, outcome)| wire::ConfirmedDevice {
                device_id: device.device_id.to_string(),
                refusal: outcome.err().map(|refusal| refusal.to_wire()),
            });
            let restored_at = authority.standing().restored_at.map(Position::as_u64).unwrap_or_default();
            Ok(wire::ConfirmDevicesResponse { devices: devices.collect(), restored_at })
        })
        .await
    }

    async fn allow_rework(
        &self,
        request: Request<wire::AllowReworkRequest>,
    ) -> Result<Response<wire::AllowReworkResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (id, device_id) = (RequestId::parse(&message.request_id)?, read_id(&message.device_id)?);
        self.run(move |authority| {
            let next_generation = authority.allow_rework(&authority.act(caller, id), &device_id)?;
            Ok(wire::AllowReworkResponse { next_generation })
        })
        .await
    }

    async fn scrap_device(
        &self,
        request: Request<wire::ScrapDeviceRequest>,
    ) -> Result<Response<wire::ScrapDeviceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let (id, device_id) = (RequestId::parse(&message.request_id)?, read_id(&message.device_id)?);
        self.run(move |authority| {
            let tally = authority.scrap_device(&authority.act(caller, id), &device_id, &message.why)?;
            Ok(wire::ScrapDeviceResponse { tally: Some(convert::tally(&tally)) })
        })
        .await
    }

    async fn list_in_doubt(
        &self,
        request: Request<wire::ListInDoubtRequest>,
    ) -> Result<Response<wire::ListInDoubtResponse>, Status> {
        let message = request.into_inner();
        let list = format!("in-doubt/{}", message.lot);
        let page = page::Page::read(&list, message.page_size, &message.page_token)?;
        let from = page.position()?;
        self.run(move |authority| {
            let lot = Some(message.lot.as_str()).filter(|lot| !lot.is_empty());
            let (devices, next) = authority.in_doubt(lot, from, page.limit())?;
            Ok(wire::ListInDoubtResponse { devices, next_page_token: page::token_at(&list, next) })
        })
        .await
    }
}

fn read_id(id: &str) -> Result<DeviceId, Refusal> {
    DeviceId::parse(id).map_err(named(mfg::IdRefusal::reason))
}

impl From<IssuedDevice> for wire::DeviceCertificate {
    fn from(issued: IssuedDevice) -> Self {
        Self {
            device_id: issued.device_id,
            lot: issued.lot,
            certificate: issued.certificate,
            issuer_chain: issued.issuer_chain,
            generation: issued.generation,
            journal_position: issued.recorded_at.as_u64(),
        }
    }
}
