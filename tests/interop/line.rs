//! A supply chain of running services with a station at its line.

use std::path::Path;

use api::{
    Refusal,
    custody::v1::Tally,
    order::v1::Order,
    provisioning::v1::{
        PreflightRequest, ProvisionRequest, Unit, UnitRequest, provisioning_service_client::ProvisioningServiceClient,
        unit_request::Key,
    },
};
use service::identity::Role;
use simulator::{Clients, Folder, HopEntry, Journey, Manifest, Narrator, Plan, Program, Stop, World};
use tempfile::TempDir;
use tonic::transport::Channel;

/// Processes that have made their journey: the last manufacturer's line is ready, one device is made.
pub(crate) struct Line {
    pub(crate) world: World,
    pub(crate) folder: TempDir,
}

impl Line {
    pub(crate) async fn start(plan: &Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::countersign(env!("CARGO_BIN_EXE_countersign-under-test").into());
        let mut world = World::open(Folder::create(folder.path()).unwrap(), plan, program).unwrap();
        Journey::new(plan, &mut world).run(&mut Silent).await.unwrap();
        Self { world, folder }
    }

    /// The manufacturer that the line belongs to.
    pub(crate) fn manufacturer(&self) -> &str {
        self.world.last().unwrap().1.id()
    }

    /// `host:port` of the line.
    pub(crate) fn address(&self) -> &str {
        &self.world.service(self.manufacturer(), "provisioner").unwrap().grpc
    }

    /// A file of the line's manufacturer.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.world.last().unwrap().1.folder().join(name)
    }

    /// The line as its station calls it.
    pub(crate) fn station(&self) -> Station {
        let (_, own) = self.world.last().unwrap();
        let clients = Clients::load(own, "station", &[own]).unwrap();
        Station(ProvisioningServiceClient::new(clients.channel(self.address(), own.id(), Role::Provisioner).unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A station at a line.
#[derive(Clone)]
pub(crate) struct Station(ProvisioningServiceClient<Channel>);

impl Station {
    /// Asks for a unit, or is told why not. The request id follows from the device id.
    pub(crate) async fn ask(&self, device_id: &str, key: Key) -> Result<Unit, Refusal> {
        let digest = pki::Sha256::of(device_id.as_bytes());
        let octets: [u8; 16] = digest.as_bytes()[..16].try_into().unwrap();
        let request = UnitRequest {
            request_id: api::RequestId::from_octets(octets).to_string(),
            device_id: device_id.to_owned(),
            key: Some(key),
            ..UnitRequest::default()
        };
        let request = ProvisionRequest { request: Some(request), validate_only: false };
        let answer = self.0.clone().provision(request).await.map_err(|status| Refusal::from_status(&status))?;
        Ok(answer.into_inner().unit.unwrap())
    }

    /// Where the current lot's units are.
    pub(crate) async fn tally(&self) -> Tally {
        let request = PreflightRequest { station_time: Some(std::time::SystemTime::now().into()), lot: None };
        self.0.clone().preflight(request).await.unwrap().into_inner().tally.unwrap()
    }
}

/// Hears nothing.
struct Silent;

impl Narrator for Silent {
    fn service_ready(&mut self, _name: &str, _grpc: &str) {}
    fn order_approved(&mut self, _order: &Order, _operators: &[&str]) {}
    fn lot_received(&mut self, _stop: &Stop, _hop: &HopEntry) {}
    fn devices_provisioned(&mut self, _done: u32, _all: u32) {}
    fn finished(&mut self, _manifest: &Manifest, _tally: &Tally, _took: std::time::Duration) {}
}
