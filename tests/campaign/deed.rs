//! Something that somebody asks of a service, to the octet: asked again, the same is answered.

use api::{
    Octets, Refusal,
    provisioning::v1::{ProvisionRequest, ProvisionResponse, UnitRequest, unit_request::Key},
};
use bytes::Bytes;
use prost::Message as _;
use service::identity::Role;
use simulator::{BRAND, Clients, World};
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::ground::{FACTORY, LINE, LOT, SIGNER, TECHNICIAN};

/// Somebody at a service of their own organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Desk {
    /// The first approver of the brand's orders, at the root-ca.
    Alice,
    /// The second one.
    Bob,
    /// The first one again, at the hub.
    AliceAtHub,
    /// factory-y's operator, at its signer.
    FactoryOperator,
    /// technician-z's operator, at its signer.
    TechnicianOperator,
    /// factory-y's line, at its signer.
    Provisioner,
    /// A station, at factory-y's line.
    Station,
}

impl Desk {
    /// Whose, the service certificate's file, and the service.
    fn place(self) -> (&'static str, &'static str, &'static str, Role) {
        match self {
            Self::Alice => (BRAND, "alice", "root-ca", Role::RootCa),
            Self::Bob => (BRAND, "bob", "root-ca", Role::RootCa),
            Self::AliceAtHub => (BRAND, "alice", "hub", Role::Hub),
            Self::FactoryOperator => (FACTORY, "operator", SIGNER, Role::IntermediateCa),
            Self::TechnicianOperator => (TECHNICIAN, "operator", SIGNER, Role::IntermediateCa),
            Self::Provisioner => (FACTORY, "provisioner", SIGNER, Role::IntermediateCa),
            Self::Station => (FACTORY, "station", LINE, Role::Provisioner),
        }
    }

    /// A new way to the service, where it is now.
    pub(crate) fn channel(self, world: &World) -> Channel {
        let (organisation, file, kind, role) = self.place();
        let of_manufacturers = world.manufacturers.iter().map(|(_, own)| own);
        let own = of_manufacturers.chain([&world.brand]).find(|own| own.id() == organisation).unwrap();
        let address = &world.service(organisation, kind).unwrap().grpc;
        Clients::load(own, file, &[own]).unwrap().channel(address, organisation, role).unwrap()
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) desk: Desk,
    rpc: &'static str,
    request: Bytes,
    /// What of the answer is to be the same for ever.
    pub(crate) kept: fn(&Bytes) -> Bytes,
}

impl Deed {
    /// A call whose whole answer is to be the same for ever.
    pub(crate) fn new(desk: Desk, rpc: &'static str, request: &impl prost::Message) -> Self {
        Self { desk, rpc, request: request.encode_to_vec().into(), kept: Bytes::clone }
    }

    /// A station asks the line for a unit of the lot; the same certificate is to be answered for ever.
    pub(crate) fn provision(request_id: String, device_id: String, csr: Bytes) -> Self {
        let (lot, key) = (Some(LOT.to_owned()), Some(Key::Csr(csr)));
        let request = UnitRequest { request_id, device_id, lot, key, ..UnitRequest::default() };
        let request = ProvisionRequest { request: Some(request), ..ProvisionRequest::default() };
        Self::new(Desk::Station, "/countersign.provisioning.v1.ProvisioningService/Provision", &request)
            .keeping(|answer| ProvisionResponse::decode(answer.clone()).unwrap().unit.unwrap().chain[0].clone())
    }

    /// The same call, of whose answer only a part is.
    pub(crate) fn keeping(self, kept: fn(&Bytes) -> Bytes) -> Self {
        Self { kept, ..self }
    }

    /// The last part of the RPC's name.
    pub(crate) fn name(&self) -> &'static str {
        self.rpc.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) async fn ask(&self, channel: Channel) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(channel);
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(self.rpc);
        Ok(grpc.unary(Request::new(self.request.clone()), path, Octets).await?.into_inner())
    }
}

/// The reason of a refusal, or what else went wrong.
pub(crate) fn reason(status: &Status) -> String {
    let refusal = Refusal::from_status(status);
    format!("{}: {}", refusal.reason(), refusal.message())
}
