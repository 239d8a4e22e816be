//! Devices as the line meets them: an id and a key, what is asked for with them, and the two faces that are asked.

use std::collections::BTreeMap;

use api::{
    issuance::v1::{
        DeviceCertificate, DeviceRequest, IssueDeviceRequest, IssueDeviceResponse, IssueDevicesRequest,
        issuance_service_client::IssuanceServiceClient, issue_devices_response,
    },
    provisioning::v1::{
        ConfirmWrittenRequest, ConfirmWrittenResponse, GetUnitRequest, KeyAlgorithm, ProvisionRequest,
        ProvisionResponse, ProvisionStreamRequest, ServerMadeKey, Unit, UnitRequest, provision_stream_response,
        provisioning_service_client::ProvisioningServiceClient, unit_request::Key,
    },
};
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use pki::Sha256;
use tonic::{Response, Status, transport::Channel};

use crate::world::{Chain, fresh_id};

/// A device that makes its own key.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) key: SoftwareKey,
}

impl Device {
    /// A device with a fresh key.
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), key: SoftwareKey::generate(KeyKind::P256).unwrap() }
    }

    /// Its certification request: the same key each time, and another signature.
    pub(crate) fn csr(&self) -> Bytes {
        Bytes::from(make_csr(&self.key, &self.id).unwrap())
    }

    /// What a provisioner asks its signer for, under a fresh request id.
    pub(crate) fn at_signer(&self, lot: &str) -> DeviceRequest {
        device_request(lot, &self.id, self.csr())
    }

    /// What a station asks the line for, under a fresh request id.
    pub(crate) fn at_line(&self, lot: Option<&str>) -> UnitRequest {
        unit_request(lot, &self.id, Key::Csr(self.csr()))
    }
}

/// A request to the signer, under a fresh request id.
pub(crate) fn device_request(lot: &str, id: &str, csr: Bytes) -> DeviceRequest {
    DeviceRequest {
        request_id: fresh_id(),
        lot: lot.to_owned(),
        device_id: id.to_owned(),
        csr,
        ..DeviceRequest::default()
    }
}

/// A request to the line, under a fresh request id.
pub(crate) fn unit_request(lot: Option<&str>, id: &str, key: Key) -> UnitRequest {
    UnitRequest {
        request_id: fresh_id(),
        device_id: id.to_owned(),
        lot: lot.map(str::to_owned),
        key: Some(key),
        ..UnitRequest::default()
    }
}

/// A request to the line that has it make the key.
pub(crate) fn server_made(lot: Option<&str>, id: &str) -> UnitRequest {
    unit_request(lot, id, Key::ServerMadeKey(ServerMadeKey { algorithm: KeyAlgorithm::P256.into() }))
}

/// A confirmation that this certificate was read back from the device, under a fresh request id.
pub(crate) fn confirmation(id: &str, certificate: &[u8]) -> ConfirmWrittenRequest {
    ConfirmWrittenRequest {
        request_id: fresh_id(),
        device_id: id.to_owned(),
        certificate_sha256: Bytes::copy_from_slice(Sha256::of(certificate).as_bytes()),
    }
}

/// The signer's face, as the provisioner sees it.
#[derive(Clone)]
pub(crate) struct Signer(pub(crate) IssuanceServiceClient<Channel>);

impl Signer {
    pub(crate) fn of(chain: &Chain) -> Self {
        Self(chain.issuing())
    }

    pub(crate) async fn ask(&self, request: &DeviceRequest) -> Result<Response<IssueDeviceResponse>, Status> {
        self.0.clone().issue_device(IssueDeviceRequest { request: Some(request.clone()) }).await
    }

    /// Asks for what must be issued.
    pub(crate) async fn issue(&self, request: &DeviceRequest) -> DeviceCertificate {
        self.ask(request).await.unwrap().into_inner().certificate.unwrap()
    }

    /// All at once on one stream; the answers by request id.
    pub(crate) async fn stream(
        &self,
        requests: Vec<DeviceRequest>,
    ) -> BTreeMap<String, issue_devices_response::Result> {
        let asked = requests.len();
        let items = requests
            .into_iter()
            .map(|request| IssueDevicesRequest { request: Some(request), ..IssueDevicesRequest::default() });
        let mut answers = self.0.clone().issue_devices(tokio_stream::iter(items)).await.unwrap().into_inner();
        let mut by_request = BTreeMap::new();
        while let Some(answer) = answers.message().await.unwrap() {
            let twice = by_request.insert(answer.request_id, answer.result.unwrap());
            assert!(twice.is_none(), "every request is answered once");
        }
        assert_eq!(by_request.len(), asked, "every request is answered");
        by_request
    }
}

/// The line's face, as a station sees it.
#[derive(Clone)]
pub(crate) struct Line(pub(crate) ProvisioningServiceClient<Channel>);

impl Line {
    pub(crate) fn of(chain: &Chain) -> Self {
        Self(chain.line())
    }

    pub(crate) async fn ask(&self, request: &UnitRequest) -> Result<Response<ProvisionResponse>, Status> {
        self.0.clone().provision(ProvisionRequest { request: Some(request.clone()), validate_only: false }).await
    }

    /// Asks for what must be provisioned.
    pub(crate) async fn provision(&self, request: &UnitRequest) -> Unit {
        self.ask(request).await.unwrap().into_inner().unit.unwrap()
    }

    pub(crate) async fn confirm(
        &self,
        request: &ConfirmWrittenRequest,
    ) -> Result<Response<ConfirmWrittenResponse>, Status> {
        self.0.clone().confirm_written(request.clone()).await
    }

    /// The unit as anybody at the line reads it.
    pub(crate) async fn unit(&self, id: &str) -> Unit {
        let request = GetUnitRequest { device_id: id.to_owned() };
        self.0.clone().get_unit(request).await.unwrap().into_inner().unit.unwrap()
    }

    /// All at once on one stream; the answers by request id.
    pub(crate) async fn stream(
        &self,
        requests: Vec<UnitRequest>,
    ) -> BTreeMap<String, provision_stream_response::Result> {
        let asked = requests.len();
        let items = requests
            .into_iter()
            .map(|request| ProvisionStreamRequest { request: Some(request), ..ProvisionStreamRequest::default() });
        let mut answers = self.0.clone().provision_stream(tokio_stream::iter(items)).await.unwrap().into_inner();
        let mut by_request = BTreeMap::new();
        while let Some(answer) = answers.message().await.unwrap() {
            let twice = by_request.insert(answer.request_id, answer.result.unwrap());
            assert!(twice.is_none(), "every request is answered once");
        }
        assert_eq!(by_request.len(), asked, "every request is answered");
        by_request
    }
}
