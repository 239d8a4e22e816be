//! The two faces that are driven: the signer's as a provisioner sees it, and the line's as a station sees it.

use std::future::Future;

use api::{
    Refusal,
    issuance::v1::{
        DeviceRequest, IssueDeviceRequest, IssueDevicesRequest, IssueDevicesResponse, Occasion,
        issuance_service_client::IssuanceServiceClient, issue_devices_response,
    },
    provisioning::v1::{
        KeyAlgorithm, ProvisionRequest, ProvisionStreamRequest, ProvisionStreamResponse, ServerMadeKey, UnitRequest,
        provision_stream_response, provisioning_service_client::ProvisioningServiceClient, unit_request::Key,
    },
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::requests::Asked;

/// What became of one request: certified, or refused by name.
pub(super) type Verdict = Result<(), Refusal>;

/// A way to ask for certificates, by stream and by call.
pub(super) trait Face: Clone + Send + Sync + 'static {
    /// A request on the stream.
    type Ask: Send + 'static;
    /// An answer on the stream.
    type Answer: Send + 'static;

    /// The request as it travels on the stream.
    fn ask(&self, asked: Asked) -> Self::Ask;

    /// Opens the stream.
    fn open(
        &self,
        asks: ReceiverStream<Self::Ask>,
    ) -> impl Future<Output = Result<Streaming<Self::Answer>, Status>> + Send;

    /// Which request an answer belongs to, and what it says.
    fn read(answer: Self::Answer) -> (String, Verdict);

    /// One call.
    fn call(&self, asked: Asked) -> impl Future<Output = Verdict> + Send;
}

/// The intermediate-ca.
#[derive(Clone)]
pub(super) struct SignerFace {
    client: IssuanceServiceClient<Channel>,
    lot: String,
}

impl SignerFace {
    pub(super) fn new(channel: Channel, lot: &str) -> Self {
        Self { client: IssuanceServiceClient::new(channel), lot: lot.to_owned() }
    }

    fn request(&self, asked: Asked) -> DeviceRequest {
        let Asked { request_id, device_id, csr } = asked;
        let (lot, occasion) = (self.lot.clone(), Occasion::First.into());
        DeviceRequest { request_id, lot, device_id, csr: csr.unwrap_or_default(), occasion }
    }
}

impl Face for SignerFace {
    type Ask = IssueDevicesRequest;
    type Answer = IssueDevicesResponse;

    fn ask(&self, asked: Asked) -> IssueDevicesRequest {
        IssueDevicesRequest { request: Some(self.request(asked)), ..IssueDevicesRequest::default() }
    }

    async fn open(&self, asks: ReceiverStream<Self::Ask>) -> Result<Streaming<Self::Answer>, Status> {
        Ok(self.client.clone().issue_devices(asks).await?.into_inner())
    }

    fn read(answer: IssueDevicesResponse) -> (String, Verdict) {
        let verdict = match answer.result {
            Some(issue_devices_response::Result::Certificate(issued)) => told(!issued.certificate.is_empty()),
            Some(issue_devices_response::Result::Refusal(refusal)) => Err(Refusal::from_wire(refusal)),
            None => told(false),
        };
        (answer.request_id, verdict)
    }

    async fn call(&self, asked: Asked) -> Verdict {
        let request = IssueDeviceRequest { request: Some(self.request(asked)) };
        let answer = self.client.clone().issue_device(request).await.map_err(|s| Refusal::from_status(&s))?;
        told(answer.into_inner().certificate.is_some_and(|issued| !issued.certificate.is_empty()))
    }
}

/// The provisioner.
#[derive(Clone)]
pub(super) struct LineFace {
    client: ProvisioningServiceClient<Channel>,
    lot: String,
}

impl LineFace {
    pub(super) fn new(channel: Channel, lot: &str) -> Self {
        Self { client: ProvisioningServiceClient::new(channel), lot: lot.to_owned() }
    }

    fn request(&self, asked: Asked) -> UnitRequest {
        let Asked { request_id, device_id, csr } = asked;
        let key = match csr {
            Some(csr) => Key::Csr(csr),
            None => Key::ServerMadeKey(ServerMadeKey { algorithm: KeyAlgorithm::P256.into() }),
        };
        UnitRequest { request_id, device_id, lot: Some(self.lot.clone()), key: Some(key), ..UnitRequest::default() }
    }
}

impl Face for LineFace {
    type Ask = ProvisionStreamRequest;
    type Answer = ProvisionStreamResponse;

    fn ask(&self, asked: Asked) -> ProvisionStreamRequest {
        ProvisionStreamRequest { request: Some(self.request(asked)), ..ProvisionStreamRequest::default() }
    }

    async fn open(&self, asks: ReceiverStream<Self::Ask>) -> Result<Streaming<Self::Answer>, Status> {
        Ok(self.client.clone().provision_stream(asks).await?.into_inner())
    }

    fn read(answer: ProvisionStreamResponse) -> (String, Verdict) {
        let verdict = match answer.result {
            Some(provision_stream_response::Result::Unit(unit)) => told(unit.chain.len() > 1),
            Some(provision_stream_response::Result::Refusal(refusal)) => Err(Refusal::from_wire(refusal)),
            None => told(false),
        };
        (answer.request_id, verdict)
    }

    async fn call(&self, asked: Asked) -> Verdict {
        let request = ProvisionRequest { request: Some(self.request(asked)), ..ProvisionRequest::default() };
        let answer = self.client.clone().provision(request).await.map_err(|s| Refusal::from_status(&s))?;
        told(answer.into_inner().unit.is_some_and(|unit| unit.chain.len() > 1))
    }
}

/// A service that answers without a certificate says nothing.
fn told(certificate: bool) -> Verdict {
    if certificate { Ok(()) } else { Err(Refusal::new("INTERNAL", "an answer carries no certificate")) }
}
