//! `countersign.provisioning.v1.ProvisioningService` over the desk: unary and stream go the same way.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    issuance::v1::{DeviceRequest, Occasion, ValidateDeviceRequest},
    provisioning::v1::{self as wire, provisioning_service_server::ProvisioningService},
};
use issuance::{KeyKind, SoftwareKey, make_csr};
use mfg::{DeviceId, LotId};
use records::{Caller, named, page, wire as convert};
use service::{
    PeerIdentity,
    answers::{Answers, Gathered, answers},
    trace,
};
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming, codegen::BoxFuture};

use crate::{
    desk::{Desk, KeySource, UnitOrder},
    metrics::UnitCounts,
};

/// Most requests of one station that are worked on at once; the stream is read no further until one is answered.
const STREAM_WINDOW: usize = 256;
/// What the spans of a stream's requests are called.
const PROVISION_STREAM: &str = "/countersign.provisioning.v1.ProvisioningService/ProvisionStream";
const SECONDS_A_DAY: i64 = 86_400;

/// The service over one desk.
#[derive(Clone)]
pub(crate) struct ProvisioningRpc {
    pub(crate) desk: Arc<Desk>,
    pub(crate) counts: UnitCounts,
}

impl ProvisioningRpc {
    /// Provisions one unit, and counts it. In a task that is not the caller's: a station that goes away cannot stop halfway what is on
    /// record. On the heap, because a task's future is moved several times on its way, and this one is large.
    fn unit(self, caller: Caller, request: Option<wire::UnitRequest>) -> BoxFuture<wire::Unit, Refusal> {
        Box::pin(async move {
            let outcome = match self.order(caller, request) {
                Ok(order) => self.desk.provision(order).await,
                Err(refusal) => Err(refusal),
            };
            self.counts.count(&outcome);
            outcome
        })
    }

    fn order(&self, caller: Caller, request: Option<wire::UnitRequest>) -> Result<UnitOrder, Refusal> {
        let request = request.ok_or_else(|| Refusal::malformed("request", "is missing"))?;
        let id = RequestId::parse(&request.request_id)?;
        let occasion = occasion(request.occasion)?;
        let lot = request.lot.map(|lot| LotId::parse(&lot).map_err(named(mfg::IdRefusal::reason))).transpose()?;
        Ok(UnitOrder {
            act: self.desk.act(caller, id),
            device_id: DeviceId::parse(&request.device_id).map_err(named(mfg::IdRefusal::reason))?,
            lot: lot.map(|lot| lot.to_string()),
            key: key_source(request.key)?,
            occasion,
        })
    }
}

impl ProvisioningRpc {
    /// Judges a request here and at the signer; nothing is made, recorded or spent.
    async fn validate(&self, caller: Caller, request: Option<wire::UnitRequest>) -> Result<wire::Unit, Refusal> {
        let order = self.order(caller, request)?;
        // A repetition is answered as before, whatever would stand against a new request.
        if let Some(unit) = self.desk.answered_before(&order).await? {
            return Ok(judged(&order, unit.requested.lot));
        }
        let csr = match &order.key {
            KeySource::Device(csr) => csr.clone(),
            // A key that is thrown away stands for the one that would be made.
            KeySource::Server(kind) => {
                let key = SoftwareKey::generate(*kind).map_err(named(issuance::KeyError::reason))?;
                make_csr(&key, order.device_id.as_str()).map_err(named(issuance::KeyError::reason))?.into()
            }
        };
        let lot = match (&order.lot, order.occasion) {
            (Some(lot), _) => lot.clone(),
            (None, Occasion::Unspecified | Occasion::First) => self.desk.lots.current().await?,
            (None, Occasion::Replacement | Occasion::Rework) => self.desk.unit(&order.device_id).await?.requested.lot,
        };
        let request = DeviceRequest {
            request_id: order.act.request.map(|id| id.to_string()).unwrap_or_default(),
            lot: lot.clone(),
            device_id: order.device_id.to_string(),
            csr,
            occasion: order.occasion.into(),
        };
        let asked = ValidateDeviceRequest { request: Some(request) };
        self.desk.calls.clone().validate_device(asked).await.map_err(|s| Refusal::from_status(&s))?;
        Ok(judged(&order, lot))
    }
}

/// The unit that there would be.
fn judged(order: &UnitOrder, lot: String) -> wire::Unit {
    wire::Unit { device_id: order.device_id.to_string(), lot, ..wire::Unit::default() }
}

fn ended(before: &str) -> Refusal {
    Refusal::new("SHUTTING_DOWN", format!("the service ended before the unit was {before}"))
}

/// A first certificate is the unmarked case.
fn occasion(number: i32) -> Result<Occasion, Refusal> {
    match Occasion::try_from(number) {
        Ok(Occasion::Unspecified) => Ok(Occasion::First),
        Ok(occasion) => Ok(occasion),
        Err(_) => Err(Refusal::malformed("occasion", format!("{number} is no occasion"))),
    }
}

fn key_source(key: Option<wire::unit_request::Key>) -> Result<KeySource, Refusal> {
    match key {
        None => Err(Refusal::malformed("key", "neither csr nor server_made_key is set")),
        Some(wire::unit_request::Key::Csr(csr)) => Ok(KeySource::Device(csr)),
        // A number that this version does not know is another key than it would make.
        Some(wire::unit_request::Key::ServerMadeKey(asked)) => match wire::KeyAlgorithm::try_from(asked.algorithm) {
            Ok(wire::KeyAlgorithm::Unspecified | wire::KeyAlgorithm::P256) => Ok(KeySource::Server(KeyKind::P256)),
            Ok(wire::KeyAlgorithm::P384) => Ok(KeySource::Server(KeyKind::P384)),
            Ok(wire::KeyAlgorithm::Ed25519) => Ok(KeySource::Server(KeyKind::Ed25519)),
            Err(_) => {
                let what = format!("{} is no kind of key that is made here", asked.algorithm);
                Err(Refusal::malformed("key.server_made_key.algorithm", what))
            }
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
        let now = self.desk.clock.now().as_secs();
        let lot = match message.lot {
            Some(lot) => lot,
            None => self.desk.lots.current().await?,
        };
        let seen = self.desk.lots.lot(&lot).await?;
        let station_ms = message
            .station_time
            .map(|t| t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos) / 1_000_000))
            .ok_or_else(|| Refusal::malformed("station_time", "is missing"))?;
        Ok(Response::new(wire::PreflightResponse {
            identity: caller.by,
            lot,
            tally: seen.tally,
            clock_difference_ms: station_ms.saturating_sub(self.desk.clock.now_millis()),
            certificate_days_left: ends.saturating_sub(now) / SECONDS_A_DAY,
        }))
    }

    async fn provision(
        &self,
        request: Request<wire::ProvisionRequest>,
    ) -> Result<Response<wire::ProvisionResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let unit = match message.validate_only {
            true => self.validate(caller, message.request).await?,
            false => tokio::spawn(trace::carried(self.clone().unit(caller, message.request)))
                .await
                .unwrap_or_else(|_| Err(ended("provisioned")))?,
        };
        Ok(Response::new(wire::ProvisionResponse { unit: Some(unit) }))
    }

    type ProvisionStreamStream = Gathered<Answers<Result<wire::ProvisionStreamResponse, Status>>>;

    async fn provision_stream(
        &self,
        request: Request<Streaming<wire::ProvisionStreamRequest>>,
    ) -> Result<Response<Self::ProvisionStreamStream>, Status> {
        let caller = Caller::of(&request)?;
        let mut requests = request.into_inner();
        let (places, answers) = answers(STREAM_WINDOW);
        let service = self.clone();
        tokio::spawn(trace::carried(async move {
            while let Some(Ok(item)) = requests.next().await {
                // A place for the answer first: who does not read answers is not read either.
                let Some(place) = places.take().await else { break };
                let (service, caller) = (service.clone(), caller.clone());
                let span = trace::serving(PROVISION_STREAM, &item.traceparent);
                tokio::spawn(async move {
                    let request_id = item.request.as_ref().map(|r| r.request_id.clone()).unwrap_or_default();
                    let outcome = span.around(service.unit(caller, item.request)).await;
                    span.end(outcome.as_ref().err().map(Refusal::reason));
                    let result = match outcome {
                        Ok(unit) => wire::provision_stream_response::Result::Unit(unit),
                        Err(refusal) => wire::provision_stream_response::Result::Refusal(refusal.to_wire()),
                    };
                    drop(place.fill(Ok(wire::ProvisionStreamResponse { request_id, result: Some(result) })));
                });
            }
        }));
        Ok(Response::new(Gathered::new(answers)))
    }

    async fn confirm_written(
        &self,
        request: Request<wire::ConfirmWrittenRequest>,
    ) -> Result<Response<wire::ConfirmWrittenResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.desk.act(caller, RequestId::parse(&message.request_id)?);
        let device_id = DeviceId::parse(&message.device_id).map_err(named(mfg::IdRefusal::reason))?;
        let certificate = convert::read_digest("certificate_sha256", &message.certificate_sha256)?;
        let desk = Arc::clone(&self.desk);
        let unit = tokio::spawn(async move { desk.confirm(act, &device_id, certificate).await })
            .await
            .unwrap_or_else(|_| Err(ended("confirmed")))?;
        Ok(Response::new(wire::ConfirmWrittenResponse { unit: Some(unit) }))
    }

    async fn get_unit(
        &self,
        request: Request<wire::GetUnitRequest>,
    ) -> Result<Response<wire::GetUnitResponse>, Status> {
        let device_id = DeviceId::parse(&request.into_inner().device_id).map_err(named(mfg::IdRefusal::reason))?;
        let unit = self.desk.unit(&device_id).await?;
        Ok(Response::new(wire::GetUnitResponse { unit: Some(self.desk.without_key(&unit)?) }))
    }

    async fn scrap_unit(
        &self,
        request: Request<wire::ScrapUnitRequest>,
    ) -> Result<Response<wire::ScrapUnitResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let act = self.desk.act(caller, RequestId::parse(&message.request_id)?);
        let device_id = DeviceId::parse(&message.device_id).map_err(named(mfg::IdRefusal::reason))?;
        let desk = Arc::clone(&self.desk);
        let unit = tokio::spawn(trace::carried(async move { desk.scrap(act, &device_id, &message.why).await }))
            .await
            .unwrap_or_else(|_| Err(ended("scrapped")))?;
        Ok(Response::new(wire::ScrapUnitResponse { unit: Some(unit) }))
    }

    async fn list_in_doubt(
        &self,
        request: Request<wire::ListInDoubtRequest>,
    ) -> Result<Response<wire::ListInDoubtResponse>, Status> {
        let message = request.into_inner();
        let list = format!("in-doubt/{}", message.lot);
        let page = page::Page::read(&list, message.page_size, &message.page_token)?;
        let lot = Some(message.lot).filter(|lot| !lot.is_empty());
        let (units, next) = self.desk.in_doubt(lot, page.position()?, page.limit()).await?;
        Ok(Response::new(wire::ListInDoubtResponse { units, next_page_token: page::token_at(&list, next) }))
    }

    async fn list_quarantine(
        &self,
        request: Request<wire::ListQuarantineRequest>,
    ) -> Result<Response<wire::ListQuarantineResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read("quarantine", message.page_size, &message.page_token)?;
        let (deliveries, next) = self.desk.quarantine(page.after().map(str::to_owned), page.limit()).await?;
        let next_page_token = page::token("quarantine", next);
        Ok(Response::new(wire::ListQuarantineResponse { deliveries, next_page_token }))
    }

    async fn send_again(
        &self,
        request: Request<wire::SendAgainRequest>,
    ) -> Result<Response<wire::SendAgainResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::SendAgainRequest { request_id, destination } = request.into_inner();
        let act = self.desk.act(caller, RequestId::parse(&request_id)?);
        self.desk.send_again(act, destination.clone()).await?;
        Ok(Response::new(wire::SendAgainResponse { destination }))
    }
}
