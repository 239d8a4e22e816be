//! `countersign.issuance.v1.IssuanceService` over a line: unary and stream go the same way.

use std::{pin::Pin, sync::Arc};

use api::{
    Refusal, RequestId,
    issuance::v1::{self as wire, issuance_service_server::IssuanceService},
};
use mfg::DeviceId;
use records::{Caller, named};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    authority::Authority,
    device::{DeviceOrder, IssuedDevice},
    line::Line,
};

/// Most requests of one stream that are worked on at once; the stream is read no further until one is answered.
const STREAM_WINDOW: usize = 256;

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

    fn order(&self, caller: Caller, request: Option<wire::DeviceRequest>) -> Result<DeviceOrder, Refusal> {
        let request = request.ok_or_else(|| Refusal::malformed("request", "is missing"))?;
        let id = RequestId::parse(&request.request_id)?;
        Ok(DeviceOrder {
            act: self.authority.act(caller, id),
            lot: request.lot,
            device_id: DeviceId::parse(&request.device_id).map_err(named(mfg::IdRefusal::reason))?,
            csr: request.csr,
        })
    }

    async fn answer(&self, caller: Caller, request: Option<wire::DeviceRequest>) -> Result<IssuedDevice, Refusal> {
        self.line.issue(self.order(caller, request)?).await
    }
}

#[tonic::async_trait]
impl IssuanceService for IssuanceRpc {
    async fn issue_device(
        &self,
        request: Request<wire::IssueDeviceRequest>,
    ) -> Result<Response<wire::IssueDeviceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let issued = self.answer(caller, request.into_inner().request).await?;
        Ok(Response::new(wire::IssueDeviceResponse { certificate: Some(to_wire(issued)) }))
    }

    type IssueDevicesStream = Pin<Box<dyn Stream<Item = Result<wire::IssueDevicesResponse, Status>> + Send>>;

    async fn issue_devices(
        &self,
        request: Request<Streaming<wire::IssueDevicesRequest>>,
    ) -> Result<Response<Self::IssueDevicesStream>, Status> {
        let caller = Caller::of(&request)?;
        let mut requests = request.into_inner();
        let (results, answers) = mpsc::channel(STREAM_WINDOW);
        let service = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(item)) = requests.next().await {
                // Room for the answer first: who does not read answers is not read either.
                let Ok(room) = results.clone().reserve_owned().await else { break };
                let (service, caller) = (service.clone(), caller.clone());
                tokio::spawn(async move {
                    let request_id = item.request.as_ref().map(|r| r.request_id.clone()).unwrap_or_default();
                    let result = match service.answer(caller, item.request).await {
                        Ok(issued) => wire::issue_devices_response::Result::Certificate(to_wire(issued)),
                        Err(refusal) => wire::issue_devices_response::Result::Refusal(refusal.to_wire()),
                    };
                    room.send(Ok(wire::IssueDevicesResponse { request_id, result: Some(result) }));
                });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_device(
        &self,
        request: Request<wire::GetDeviceRequest>,
    ) -> Result<Response<wire::GetDeviceResponse>, Status> {
        let device_id = DeviceId::parse(&request.into_inner().device_id).map_err(named(mfg::IdRefusal::reason))?;
        let authority = Arc::clone(&self.authority);
        let issued = authority.seams.workers.run(move || authority.device(&device_id)).await?;
        Ok(Response::new(wire::GetDeviceResponse { certificate: Some(to_wire(issued)) }))
    }
}

fn to_wire(issued: IssuedDevice) -> wire::DeviceCertificate {
    wire::DeviceCertificate {
        device_id: issued.device_id,
        lot: issued.lot,
        certificate: issued.certificate,
        issuer_chain: issued.issuer_chain,
        generation: issued.generation,
    }
}
