//! A station that calls all the time: over a connection that it keeps, over new ones, and on one long stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use api::provisioning::v1::{
    GetUnitRequest, PreflightRequest, ProvisionStreamRequest, ProvisionStreamResponse,
    provision_stream_response::Result as Item, provisioning_service_client::ProvisioningServiceClient,
};
use service::{
    SystemClock,
    client::{self, PeerChannel},
    config::{ConfigDirectory, FilePath, IdentitySection, Limits, Peer},
    identity::Role,
    net::{Network, TcpNetwork},
    tls::{Credentials, ExpectedPeer},
};
use tokio::{
    sync::{Notify, mpsc},
    task::{JoinHandle, JoinSet},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    devices::Device,
    world::{At, Chain, TECHNICIAN},
};

/// The unit that every chain has, and the lot that it has more in.
const UNIT: &str = "sn0000001";
const LOT: &str = "t7";

/// A station that looks at its files when told.
#[derive(Clone)]
pub(crate) struct Station {
    credentials: Arc<Credentials>,
    network: Arc<dyn Network>,
    address: String,
}

impl Station {
    pub(crate) fn of(chain: &Chain) -> Self {
        let own = chain.organisation(TECHNICIAN);
        let of = |kind: &str| FilePath::new(own.folder().join(format!("station.{kind}")));
        let identity = IdentitySection::new(of("pem"), of("key"));
        let peer = Peer {
            manufacturer: own.id().parse().unwrap(),
            trust_domain: own.trust_domain().parse().unwrap(),
            bundle: FilePath::new(own.service_ca_path()),
            roles: vec![Role::Provisioner],
        };
        let directory = ConfigDirectory::new(own.folder().path());
        let credentials = Credentials::load(&identity, &[peer], &directory, Arc::new(SystemClock)).unwrap();
        Self { credentials, network: Arc::new(TcpNetwork), address: chain.address(At::Provisioner).to_owned() }
    }

    pub(crate) fn reload(&self) {
        self.credentials.reload().unwrap();
    }

    /// Over a connection of its own.
    fn line(&self) -> ProvisioningServiceClient<PeerChannel> {
        let expected = ExpectedPeer { manufacturer: TECHNICIAN.parse().unwrap(), role: Role::Provisioner };
        let limits = Limits::default();
        let channel = client::connect(&self.network, &self.address, expected, &self.credentials, &limits).unwrap();
        ProvisioningServiceClient::new(channel.into())
    }
}

/// What became of the calls.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) made: u32,
    pub(crate) failed: Vec<String>,
    took: Duration,
}

impl Told {
    pub(crate) fn made_in_a_second(&self) -> f64 {
        f64::from(self.made) / self.took.as_secs_f64()
    }
}

/// Calls at a rate that no answer slows down.
pub(crate) struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    one_more: Arc<Notify>,
    task: JoinHandle<Told>,
}

impl Load {
    pub(crate) fn start(station: &Station, a_second: u32) -> Self {
        let (ended, answered, one_more) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default(), Arc::default());
        let task = tokio::spawn(calls(
            station.clone(),
            Duration::from_secs(1) / a_second,
            Arc::clone(&ended),
            Arc::clone(&answered),
            Arc::clone(&one_more),
        ));
        Self { ended, answered, one_more, task }
    }

    /// Waits until so many more calls were answered.
    pub(crate) async fn more(&self, calls: u32) {
        let enough = self.answered.load(Ordering::Relaxed) + calls;
        while self.answered.load(Ordering::Relaxed) < enough {
            self.one_more.notified().await;
        }
    }

    /// Ends with every call answered.
    pub(crate) async fn stop(self) -> Told {
        self.ended.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

async fn calls(
    station: Station,
    every: Duration,
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    one_more: Arc<Notify>,
) -> Told {
    let (kept, begun) = (station.line(), Instant::now());
    let mut ticks = tokio::time::interval(every);
    let mut under_way = JoinSet::new();
    let mut made = 0;
    while !ended.load(Ordering::Relaxed) {
        ticks.tick().await;
        made += 1;
        let line = if made % 2 == 0 { kept.clone() } else { station.line() };
        let (answered, one_more) = (Arc::clone(&answered), Arc::clone(&one_more));
        under_way.spawn(async move {
            let outcome = call(line, made).await;
            answered.fetch_add(1, Ordering::Relaxed);
            one_more.notify_one();
            outcome.map_err(|status| format!("call {made}: {status:?}"))
        });
    }
    let took = begun.elapsed();
    let failed = under_way.join_all().await.into_iter().filter_map(Result::err).collect();
    Told { made, failed, took }
}

/// Half of the calls end at the provisioner, half go on to its signer.
async fn call(mut line: ProvisioningServiceClient<PeerChannel>, number: u32) -> Result<(), tonic::Status> {
    if number % 4 < 2 {
        line.get_unit(GetUnitRequest { device_id: UNIT.to_owned() }).await.map(drop)
    } else {
        let asked = PreflightRequest { lot: Some(LOT.to_owned()), station_time: Some(SystemTime::now().into()) };
        line.preflight(asked).await.map(drop)
    }
}

/// One stream of units that stays open.
pub(crate) struct LongStream {
    requests: mpsc::Sender<ProvisionStreamRequest>,
    answers: Streaming<ProvisionStreamResponse>,
}

impl LongStream {
    pub(crate) async fn open(station: &Station) -> Self {
        let (requests, queue) = mpsc::channel(1);
        let answers = station.line().provision_stream(ReceiverStream::new(queue)).await.unwrap().into_inner();
        Self { requests, answers }
    }

    /// Has one unit provisioned on it.
    pub(crate) async fn provision(&mut self, device: &Device) {
        let request =
            ProvisionStreamRequest { request: Some(device.at_line(Some(LOT))), ..ProvisionStreamRequest::default() };
        self.requests.send(request).await.unwrap();
        match self.answers.message().await.unwrap().expect("the stream lives on").result.unwrap() {
            Item::Unit(unit) => assert_eq!(unit.device_id, device.id),
            Item::Refusal(refusal) => panic!("refused: {refusal:?}"),
        }
    }
}
