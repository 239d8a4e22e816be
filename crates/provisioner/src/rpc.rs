//! `countersign.provisioning.v1.ProvisioningService` over the desk: unary and stream go the same way.

use std::{pin::Pin, sync::Arc};

use api::{
    Refusal, RequestId,
    provisioning::v1::{self as wire, provisioning_service_server::ProvisioningService},
};
use issuance::KeyKind;
use mfg::DeviceId;
use records::{Caller, named, wire as convert};
use service::PeerIdentity;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::desk::{Desk, KeySource, UnitOrder};

/// Most requests of one station that are worked on at once; the stream is read no further until one is answered.
const STREAM_WINDOW: usize = 256;
const SECONDS_A_DAY: i64 = 86_400;

/// The service over one desk.
#[derive(Clone)]
pub(crate) struct ProvisioningRpc(pub(crate) Arc<Desk>);

impl ProvisioningRpc {
    async fn unit(&self, caller: Caller, request: Option<wire::UnitRequest>) -> Result<wire::Unit, Refusal> {
        let request = request.ok_or_else(|| Refusal::malformed("request", "is missing"))?;
        let id = RequestId::parse(&request.request_id)?;
        let order = UnitOrder {
            act: self.0.act(caller, id),
            device_id: DeviceId::parse(&request.device_id).map_err(named(mfg::IdRefusal::reason))?,
            lot: request.lot,
            key: key_source(request.key)?,
        };
        // In a task of its own: a station that goes away cannot stop halfway what is on record.
        let desk = Arc::clone(&self.0);
        tokio::spawn(async move { desk.provision(order).await })
            .await
            .unwrap_or_else(|_| Err(Refusal::new("SHUTTING_DOWN", "the service ended before the unit was provisioned")))
    }
}

fn key_source(key: Option<wire::unit_request::Key>) -> Result<KeySource, Refusal> {
    match key {
        None => Err(Refusal::malformed("key", "neither csr nor server_made_key is set")),
        Some(wire::unit_request::Key::Csr(csr)) => Ok(KeySource::Device(csr)),
        Some(wire::unit_request::Key::ServerMadeKey(asked)) => match asked.algorithm() {
            wire::KeyAlgorithm::Unspecified | wire::KeyAlgorithm::P256 => Ok(KeySource::Server(KeyKind::P256)),
            wire::KeyAlgorithm::P384 => Ok(KeySource::Server(KeyKind::P384)),
            wire::KeyAlgorithm::Ed25519 => Ok(KeySource::Server(KeyKind::Ed25519)),
        },
    }
}

#[tonic::async_trait]
impl ProvisioningService for ProvisioningRpc {
    async fn preflight(
        &self,
        request: Request<wire::PreflightRequest>,
    ) -> Result<Response<wire::PreflightResponse>, Status> {
        let caller = Caller::of(&request)?;
        let ends = PeerIdentity::of(&request).map(|peer| peer.not_after().as_secs()).unwrap_or_default();
        let message = request.into_inner();
        let now = self.0.clock.now().as_secs();
        let lot = match message.lot {
            Some(lot) => lot,
            None => self.0.lots.current().await?,
        };
        let seen = self.0.lots.lot(&lot).await?;
        let station_ms = message
            .station_time
            .map(|t| t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos) / 1_000_000))
            .ok_or_else(|| Refusal::malformed("station_time", "is missing"))?;
        Ok(Response::new(wire::PreflightResponse {
            identity: caller.by,
            lot,
            tally: seen.tally,
            clock_difference_ms: station_ms.saturating_sub(now.saturating_mul(1000)),
            certificate_days_left: ends.saturating_sub(now) / SECONDS_A_DAY,
        }))
    }

    async fn provision(
        &self,
        request: Request<wire::ProvisionRequest>,
    ) -> Result<Response<wire::ProvisionResponse>, Status> {
        let caller = Caller::of(&request)?;
        let unit = self.unit(caller, request.into_inner().request).await?;
        Ok(Response::new(wire::ProvisionResponse { unit: Some(unit) }))
    }

    type ProvisionStreamStream = Pin<Box<dyn Stream<Item = Result<wire::ProvisionStreamResponse, Status>> + Send>>;

    async fn provision_stream(
        &self,
        request: Request<Streaming<wire::ProvisionStreamRequest>>,
    ) -> Result<Response<Self::ProvisionStreamStream>, Status> {
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
                    let result = match service.unit(caller, item.request).await {
                        Ok(unit) => wire::provision_stream_response::Result::Unit(unit),
                        Err(refusal) => wire::provision_stream_response::Result::Refusal(refusal.to_wire()),
                    };
                    room.send(Ok(wire::ProvisionStreamResponse { request_id, result: Some(result) }));
                });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn confirm_written(
        &self,
        request: Request<wire::ConfirmWrittenRequest>,
    ) -> Result<Response<wire::ConfirmWrittenResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.0.act(caller, RequestId::parse(&message.request_id)?);
        let device_id = DeviceId::parse(&message.device_id).map_err(named(mfg::IdRefusal::reason))?;
        let certificate = convert::read_digest("certificate_sha256", &message.certificate_sha256)?;
        let desk = Arc::clone(&self.0);
        let unit = tokio::spawn(async move { desk.confirm(act, &device_id, certificate).await }).await.unwrap_or_else(
            |_| Err(Refusal::new("SHUTTING_DOWN", "the service ended before the unit was confirmed")),
        )?;
        Ok(Response::new(wire::ConfirmWrittenResponse { unit: Some(unit) }))
    }

    async fn get_unit(
        &self,
        request: Request<wire::GetUnitRequest>,
    ) -> Result<Response<wire::GetUnitResponse>, Status> {
        let device_id = DeviceId::parse(&request.into_inner().device_id).map_err(named(mfg::IdRefusal::reason))?;
        let unit = self.0.unit(&device_id).await?;
        Ok(Response::new(wire::GetUnitResponse { unit: Some(self.0.without_key(&unit)?) }))
    }
}
