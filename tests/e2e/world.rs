//! The supply chain that the tests talk with: company-x -> factory-y -> technician-z, and a line, as processes on loopback.

use std::{
    io::PipeWriter,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use api::{
    RequestId,
    custody::v1::Tally,
    handoff::v1::handoff_service_client::HandoffServiceClient,
    issuance::v1::issuance_service_client::IssuanceServiceClient,
    lot::v1::lot_service_client::LotServiceClient,
    manufacturer::v1::manufacturer_service_client::ManufacturerServiceClient,
    order::v1::{Order, order_service_client::OrderServiceClient},
    program::v1::program_service_client::ProgramServiceClient,
    provisioning::v1::provisioning_service_client::ProvisioningServiceClient,
};
use issuance::SoftwareKey;
use service::identity::Role;
use simulator::{
    BRAND, Clients, Folder, HopEntry, Journey, Manifest, Narrator, Organisation, Plan, Program, Stop, World,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::transport::Channel;

/// The manufacturer of the first hop.
pub(crate) const FACTORY: &str = "factory-y";
/// The manufacturer of the second hop: it has the line.
pub(crate) const TECHNICIAN: &str = "technician-z";

/// The program that runs every service.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_countersign-under-test");

/// Somebody with a service certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Operator of the brand, an approver.
    Alice,
    /// Operator of the brand, an approver.
    Bob,
    /// Operator of factory-y.
    FactoryOperator,
    /// factory-y's intermediate-ca, as it dials the brand.
    FactoryCa,
    /// Operator of technician-z.
    TechnicianOperator,
    /// technician-z's intermediate-ca, as it dials factory-y.
    TechnicianCa,
    /// technician-z's provisioner, as it dials its signer.
    Provisioner,
    /// A station at technician-z's line.
    Station,
}

/// A running service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The brand's root-ca.
    RootCa,
    /// factory-y's intermediate-ca.
    FactoryCa,
    /// technician-z's intermediate-ca.
    TechnicianCa,
    /// technician-z's provisioner.
    Provisioner,
    /// The brand's hub.
    Hub,
}

/// A supply chain of running services; one device is made in the lots `b0032` and `t7`.
pub(crate) struct Chain {
    pub(crate) world: World,
    plan: Plan,
}

/// A chain with what ends it after the last test.
struct Shared {
    chain: Chain,
    /// Closed by the operating system with this process, however it ends; see [`end_with_us`].
    _alive: PipeWriter,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static QUIET: OnceCell<Shared> = OnceCell::const_new();
static WITH_DEVICES: OnceCell<Shared> = OnceCell::const_new();

impl Chain {
    /// The chain that all tests share; the first one starts it. A test that stops services makes its own instead.
    pub(crate) async fn shared() -> &'static Self {
        &SHARED.get_or_init(Self::kept).await.chain
    }

    /// A chain for the one test that compares everything in it, journals included: nobody else may touch it.
    pub(crate) async fn quiet() -> &'static Self {
        &QUIET.get_or_init(Self::kept).await.chain
    }

    /// A chain for tests whose devices connect to the hub: there the line is told that its devices are registered.
    pub(crate) async fn with_devices() -> &'static Self {
        &WITH_DEVICES.get_or_init(Self::kept).await.chain
    }

    async fn kept() -> Shared {
        let folder = tempfile::tempdir().unwrap().keep();
        let chain = Self::start(&folder).await;
        let alive = end_with_us(&folder, chain.world.services().iter().map(|s| s.pid));
        Shared { chain, _alive: alive }
    }

    /// A chain of this test alone, in a folder that must outlive it.
    pub(crate) async fn alone() -> (Self, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Self::start(folder.path()).await, folder)
    }

    async fn start(folder: &Path) -> Self {
        let plan = Plan::new(1, 2).unwrap();
        let program = Program::countersign(BINARY.into());
        let mut world = World::open(Folder::create(folder).unwrap(), &plan, program).unwrap();
        Journey::new(&plan, &mut world).run(&mut Silent).await.unwrap();
        Self { world, plan }
    }

    /// Kills every service, as a power cut would, and starts them again at other addresses: channels have to be made anew.
    pub(crate) async fn restart(&mut self) {
        self.world.kill().await.unwrap();
        self.world.start_root_ca().await.unwrap();
        for index in 0..self.plan.stops().len() {
            self.world.start_intermediate_ca(index).await.unwrap();
        }
        self.world.start_hub().await.unwrap();
        self.world.start_provisioner().await.unwrap();
    }

    /// A manufacturer, or the brand.
    pub(crate) fn organisation(&self, id: &str) -> &Organisation {
        let organisations = self.world.manufacturers.iter().map(|(_, o)| o).chain([&self.world.brand]);
        organisations.into_iter().find(|o| o.id() == id).unwrap()
    }

    /// `host:port` of a service's gRPC.
    pub(crate) fn address(&self, at: At) -> &str {
        let (manufacturer, role) = at.identity();
        &self.world.service(manufacturer, role.as_str()).unwrap().grpc
    }

    /// `host:port` of a service's probes.
    pub(crate) fn health(&self, at: At) -> &str {
        let (manufacturer, role) = at.identity();
        &self.world.service(manufacturer, role.as_str()).unwrap().health
    }

    /// A fresh channel: it connects with the first call, in the runtime of the test that makes it.
    pub(crate) fn channel(&self, who: Who, at: At) -> Channel {
        let (own, file) = who.identity();
        self.channel_with(self.organisation(own), file, at)
    }

    /// A fresh channel with the service certificate in `<file>.pem` of any organisation.
    pub(crate) fn channel_with(&self, own: &Organisation, file: &str, at: At) -> Channel {
        let (manufacturer, role) = at.identity();
        let clients = Clients::load(own, file, &[self.organisation(manufacturer)]).unwrap();
        clients.channel(self.address(at), manufacturer, role).unwrap()
    }

    pub(crate) fn programs(&self, who: Who) -> ProgramServiceClient<Channel> {
        ProgramServiceClient::new(self.channel(who, At::RootCa))
    }

    pub(crate) fn manufacturers(&self, who: Who) -> ManufacturerServiceClient<Channel> {
        ManufacturerServiceClient::new(self.channel(who, At::RootCa))
    }

    pub(crate) fn orders(&self, who: Who) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel(who, At::RootCa))
    }

    pub(crate) fn handoffs(&self, who: Who, at: At) -> HandoffServiceClient<Channel> {
        HandoffServiceClient::new(self.channel(who, at))
    }

    pub(crate) fn lots(&self, who: Who, at: At) -> LotServiceClient<Channel> {
        LotServiceClient::new(self.channel(who, at))
    }

    /// technician-z's issuing service, as its provisioner calls it.
    pub(crate) fn issuing(&self) -> IssuanceServiceClient<Channel> {
        IssuanceServiceClient::new(self.channel(Who::Provisioner, At::TechnicianCa))
    }

    /// technician-z's line, as a station calls it.
    pub(crate) fn line(&self) -> ProvisioningServiceClient<Channel> {
        ProvisioningServiceClient::new(self.channel(Who::Station, At::Provisioner))
    }

    /// The identity key that countersigns for a manufacturer.
    pub(crate) fn identity_key(&self, manufacturer: &str) -> SoftwareKey {
        SoftwareKey::from_file(&self.organisation(manufacturer).folder().read("identity.key").unwrap()).unwrap()
    }
}

impl Who {
    /// Whose, and the certificate's file.
    fn identity(self) -> (&'static str, &'static str) {
        match self {
            Self::Alice => (BRAND, "alice"),
            Self::Bob => (BRAND, "bob"),
            Self::FactoryOperator => (FACTORY, "operator"),
            Self::FactoryCa => (FACTORY, "intermediate-ca"),
            Self::TechnicianOperator => (TECHNICIAN, "operator"),
            Self::TechnicianCa => (TECHNICIAN, "intermediate-ca"),
            Self::Provisioner => (TECHNICIAN, "provisioner"),
            Self::Station => (TECHNICIAN, "station"),
        }
    }
}

impl At {
    pub(crate) const ALL: [Self; 5] = [Self::RootCa, Self::FactoryCa, Self::TechnicianCa, Self::Provisioner, Self::Hub];

    pub(crate) fn identity(self) -> (&'static str, Role) {
        match self {
            Self::RootCa => (BRAND, Role::RootCa),
            Self::FactoryCa => (FACTORY, Role::IntermediateCa),
            Self::TechnicianCa => (TECHNICIAN, Role::IntermediateCa),
            Self::Provisioner => (TECHNICIAN, Role::Provisioner),
            Self::Hub => (BRAND, Role::Hub),
        }
    }
}

/// A request id that nobody used before.
pub(crate) fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut octets = [0; 16];
    octets[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::from_octets(octets).to_string()
}

/// Has the services killed and their folder removed when this process is gone: a static is never dropped, and a test that is
/// interrupted drops nothing at all.
#[expect(clippy::zombie_processes, reason = "it ends after us")]
fn end_with_us(folder: &Path, pids: impl Iterator<Item = u32>) -> PipeWriter {
    let (end, alive) = std::io::pipe().unwrap();
    Command::new("sh")
        .args(["-c", r#"trap '' INT TERM; read -r _; folder=$1; shift; kill -9 "$@"; rm -rf "$folder""#, "sh"])
        .arg(folder)
        .args(pids.map(|pid| pid.to_string()))
        .stdin(end)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    alive
}

/// Hears nothing.
struct Silent;

impl Narrator for Silent {
    fn service_ready(&mut self, _name: &str, _grpc: &str) {}
    fn order_approved(&mut self, _order: &Order, _operators: &[&str]) {}
    fn lot_received(&mut self, _stop: &Stop, _hop: &HopEntry) {}
    fn devices_provisioned(&mut self, _done: u32, _all: u32) {}
    fn finished(&mut self, _manifest: &Manifest, _tally: &Tally, _took: Duration) {}
}
