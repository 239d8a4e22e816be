//! Who calls the services in these tests, and a station's requests that can be repeated to the octet.

use std::time::SystemTime;

use api::{
    RequestId,
    lot::v1::lot_service_client::LotServiceClient,
    provisioning::v1::{
        KeyAlgorithm, PreflightRequest, ProvisionStreamRequest, ServerMadeKey, Unit, UnitRequest,
        provision_stream_response::Result as Item, provisioning_service_client::ProvisioningServiceClient,
        unit_request::Key,
    },
    reason::v1::Refusal,
};
use issuance::{KeyKind, SoftwareKey, make_csr};
use service::identity::Role;
use simulator::{Clients, World};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

/// Every so many units one gets a key that the provisioner makes.
const SERVER_MADE_EVERY: usize = 5;

/// A channel to a service of the manufacturer at `index` on the route, as one of its own.
pub(crate) fn channel(world: &World, index: usize, who: &str, kind: &str, role: Role) -> Channel {
    let (_, own) = &world.manufacturers[index];
    let address = &world.service(own.id(), kind).unwrap().grpc;
    Clients::load(own, who, &[own]).unwrap().channel(address, own.id(), role).unwrap()
}

/// The operator of a manufacturer, at its intermediate-ca.
pub(crate) fn operator(world: &World, index: usize) -> LotServiceClient<Channel> {
    LotServiceClient::new(channel(world, index, "operator", "intermediate-ca", Role::IntermediateCa))
}

/// A station of the last manufacturer, at its provisioner.
pub(crate) fn station(world: &World) -> ProvisioningServiceClient<Channel> {
    let last = world.manufacturers.len() - 1;
    ProvisioningServiceClient::new(channel(world, last, "station", "provisioner", Role::Provisioner))
}

/// The request id with this number.
pub(crate) fn request_id(number: u32) -> String {
    let mut octets = [0x42; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    RequestId::from_octets(octets).to_string()
}

/// Requests for units of a lot, `first` and the `count - 1` numbers after it. The keys are made once: a repetition sends the same octets.
pub(crate) fn unit_requests(lot: &str, first: u32, count: u32) -> Vec<UnitRequest> {
    (first..first + count).map(|number| unit_request(lot, number)).collect()
}

fn unit_request(lot: &str, number: u32) -> UnitRequest {
    let device_id = format!("unit-{number}");
    let server_made = usize::try_from(number).unwrap().is_multiple_of(SERVER_MADE_EVERY);
    let key = if server_made {
        Key::ServerMadeKey(ServerMadeKey { algorithm: KeyAlgorithm::P256.into() })
    } else {
        let key = SoftwareKey::generate(KeyKind::P256).unwrap();
        Key::Csr(make_csr(&key, &device_id).unwrap().into())
    };
    UnitRequest {
        request_id: request_id(number),
        device_id,
        lot: Some(lot.to_owned()),
        key: Some(key),
        ..UnitRequest::default()
    }
}

/// A stream of a station: requests go in one by one, answers come as they come.
pub(crate) struct Stream {
    requests: Option<mpsc::Sender<ProvisionStreamRequest>>,
    answers: Streaming<api::provisioning::v1::ProvisionStreamResponse>,
}

/// One answer on a stream.
pub(crate) enum Answer {
    Unit(Box<Unit>),
    Refused {
        request_id: String,
        refusal: Refusal,
    },
    /// The stream ended, in order or not.
    End(Result<(), tonic::Status>),
}

impl Stream {
    pub(crate) async fn open(mut client: ProvisioningServiceClient<Channel>) -> Self {
        let (requests, receiver) = mpsc::channel(1024);
        let answers = client.provision_stream(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        Self { requests: Some(requests), answers }
    }

    pub(crate) async fn ask(&self, requests: &[UnitRequest]) {
        for request in requests {
            // A stream that broke is noticed where its answers are read.
            let request =
                ProvisionStreamRequest { request: Some(request.clone()), ..ProvisionStreamRequest::default() };
            let _ = self.requests.as_ref().unwrap().send(request).await;
        }
    }

    /// No more requests come.
    pub(crate) fn close(&mut self) {
        self.requests = None;
    }

    pub(crate) async fn next(&mut self) -> Answer {
        match self.answers.message().await {
            Ok(Some(answer)) => match answer.result.unwrap() {
                Item::Unit(unit) => Answer::Unit(Box::new(unit)),
                Item::Refusal(refusal) => Answer::Refused { request_id: answer.request_id, refusal },
            },
            Ok(None) => Answer::End(Ok(())),
            Err(status) => Answer::End(Err(status)),
        }
    }
}

/// A station's question whether all is well.
pub(crate) fn preflight(lot: Option<&str>) -> PreflightRequest {
    PreflightRequest { station_time: Some(SystemTime::now().into()), lot: lot.map(str::to_owned) }
}

/// How many units of a lot are provisioned, as its station is told.
pub(crate) async fn provisioned(world: &World, lot: &str) -> u64 {
    let request = preflight(Some(lot));
    let answer = station(world).preflight(request).await.unwrap().into_inner();
    answer.tally.unwrap().provisioned
}
