//! A service whose only RPCs are those of `grpc.health.v1`, on the mutual-TLS port.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use service::PeerIdentity;
use service::authorization::{From, Row, Table};
use service::config::{
    ConfigDirectory, FilePath, IdentitySection, Limits, ListenSection, LogSection, Peer, StoreSection, TraceSection,
};
use service::identity::Role;
use service::metrics::Counter;
use service::net::{MemoryNetwork, Network, TcpNetwork};
use service::shell::{self, Built, Context, Running, Service, StartError, Stop, World};
use service::{Clock, SystemClock};
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Ca, Home, expected, peers_of};

pub const TABLE: Table = &[Row {
    rpc: "/grpc.health.v1.Health/Check",
    roles: &[Role::Provisioner, Role::IntermediateCa],
    from: From::OwnManufacturer,
}];

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    pub identity: IdentitySection,
    #[serde(default)]
    pub peers: Vec<Peer>,
    pub listen: ListenSection,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub log: LogSection,
    #[serde(default)]
    pub trace: TraceSection,
    pub store: StoreSection,
}
service::shared_sections!(ProbeConfig);

/// Lets a test hold a call: `slow` enters, then waits for its release.
#[derive(Clone)]
pub struct Probe {
    pub entered: Arc<Semaphore>,
    pub release: Arc<Semaphore>,
    pub closed: Arc<AtomicBool>,
}

impl Default for Probe {
    fn default() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { entered: none(), release: none(), closed: Arc::default() }
    }
}

impl Probe {
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until a `slow` call is in its handler.
    pub async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }
}

impl Service for Probe {
    type Config = ProbeConfig;
    const NAME: &'static str = "probe";

    fn check(&self, config: &ProbeConfig, directory: &ConfigDirectory) -> Result<(), StartError> {
        match directory.path(&config.store.directory).ends_with("refused") {
            true => Err(StartError::unusable("CONFIG_INVALID", "this store is refused")),
            false => Ok(()),
        }
    }

    fn init_store(&self, config: &ProbeConfig, directory: &ConfigDirectory) -> Result<(), StartError> {
        std::fs::create_dir(directory.path(&config.store.directory))
            .map_err(|error| StartError::refused("STORE_DIR_NOT_EMPTY", error))
    }

    async fn build(&self, _: ProbeConfig, context: Context) -> Result<Built, StartError> {
        let calls = Calls { probe: self.clone(), stop: context.stop().clone() };
        let closed = Arc::clone(&self.closed);
        context.metrics().register("probe_lines", "Lines of the probe", Counter::<u64>::default());
        Ok(Built {
            routes: Routes::new(HealthServer::new(calls)),
            authorization: TABLE,
            bound: Vec::new(),
            close: Box::new(move || {
                Box::pin(async move {
                    closed.store(true, Ordering::SeqCst);
                    Ok(())
                })
            }),
        })
    }
}

struct Calls {
    probe: Probe,
    stop: Stop,
}

#[tonic::async_trait]
impl Health for Calls {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        PeerIdentity::of(&request).ok_or_else(|| Status::data_loss("no identity in the request"))?;
        match request.get_ref().service.as_str() {
            "slow" => {
                tracing::info!("a slow call begins");
                self.probe.entered.add_permits(1);
                self.probe.release.acquire().await.unwrap().forget();
            }
            "fatal" => self.stop.fatal("STORE_STOPPED", "the disk went away"),
            "panic" => panic!("asked to"),
            _ => {}
        }
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}

/// A running probe of factory-y, with the CA that vouches for everyone in its trust domain.
pub struct Site {
    pub ca: Ca,
    pub home: Home,
    pub probe: Probe,
    pub world: World,
    pub running: Running,
}

pub const OWN: &str = "spiffe://factory.example/factory-y/intermediate-ca";
pub const LINE: &str = "spiffe://factory.example/factory-y/provisioner/line-1";

impl Site {
    pub async fn over_tcp(limits: Limits) -> Self {
        Self::start(limits, Arc::new(TcpNetwork), Arc::new(SystemClock)).await
    }

    pub async fn in_memory(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self::start(limits, Arc::new(MemoryNetwork::new()), clock).await
    }

    pub async fn start(limits: Limits, network: Arc<dyn Network>, clock: Arc<dyn Clock>) -> Self {
        let ca = Ca::new("factory");
        let peers = [("factory-y", "factory.example", &ca)];
        let home = Home::new(&ca.issue(&[OWN]), &peers);
        let (probe, world) = (Probe::default(), World { network, clock });
        let config = config(&peers_of(&peers), limits);
        let running = shell::start(&probe, config, home.directory(), world.clone()).await.unwrap();
        Self { ca, home, probe, world, running }
    }

    /// A new connection of a client with this id.
    pub fn client(&self, id: &str) -> HealthClient<Channel> {
        self.client_of(&self.ca, id, Role::IntermediateCa)
    }

    pub fn client_of(&self, ca: &Ca, id: &str, role: Role) -> HealthClient<Channel> {
        let peers = [("factory-y", "factory.example", &self.ca)];
        let home = Home::new(&ca.issue(&[id]), &peers);
        let credentials = home.try_credentials(&peers, Arc::clone(&self.world.clock)).unwrap();
        let address = self.running.grpc_address();
        let limits = Limits::default();
        let expected = expected("factory-y", role);
        HealthClient::new(
            service::client::connect(&self.world.network, address, expected, &credentials, &limits).unwrap(),
        )
    }
}

pub fn config(peers: &[Peer], limits: Limits) -> ProbeConfig {
    ProbeConfig {
        identity: Home::identity(),
        peers: peers.to_vec(),
        listen: ListenSection { grpc: "127.0.0.1:0".to_owned(), health: "127.0.0.1:0".to_owned() },
        limits,
        log: LogSection::default(),
        trace: TraceSection::default(),
        store: StoreSection { directory: FilePath::new("store") },
    }
}

pub fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}
