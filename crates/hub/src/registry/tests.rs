//! The registry over a store in memory: what operators, lines and devices can do, and what each is refused by name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cas;
mod connect;
mod devices;
mod forged;
mod lines;
mod repetition;
mod scripts;

use std::{net::SocketAddr, sync::Arc};

use api::{
    Refusal, RequestId,
    hub::v1::{CaCertificate, ChainRules, Device, DeviceStatus, FirstConnect, Judgement, NewDevice},
};
use bytes::Bytes;
use mfg::Bundle;
use pki::Certificate;
use records::{Caller, CommitQueue};
use service::{Clock as _, ManualClock, Workers, shell::Stop};
use store::{FaultPlan, MemoryStore, Store, StoreIdentity};

use super::*;
use crate::{
    admission::{Admission as _, Admitted, PresentedChain, Protocol},
    forge::{Forge, NOW, new_ca},
    mailbox::Mailboxes,
    ring::Bounds,
    telemetry::{Telemetry, TelemetryBounds},
    why::JudgementLog,
};

const BOUNDS: Bounds = Bounds { segment_octets: 1024 * 1024, segments: 4 };

/// A hub without doors.
pub(crate) struct World {
    pub(crate) registry: Arc<Registry>,
    pub(crate) books: Arc<Books>,
    pub(crate) clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    directory: tempfile::TempDir,
    bundle: Option<Bundle>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Stage::Development, None)
    }

    pub(crate) fn with(stage: Stage, bundle: Option<Bundle>) -> Self {
        let identity = StoreIdentity::new("hub", "company-x", [7; 16]).unwrap();
        let store = Arc::new(MemoryStore::new(&identity, FaultPlan::default()));
        let directory = tempfile::tempdir().unwrap();
        Self::over(stage, bundle, store, directory, Arc::new(ManualClock::new(NOW)))
    }

    fn over(
        stage: Stage,
        bundle: Option<Bundle>,
        store: Arc<MemoryStore>,
        directory: tempfile::TempDir,
        clock: Arc<ManualClock>,
    ) -> Self {
        let policy = Policy { stage, verified_on_upload: VerifiedOnUpload::Allowed };
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let books = Arc::new(Books::open(Arc::clone(&shared), Arc::<ManualClock>::clone(&clock), policy).unwrap());
        if let Some(bundle) = &bundle {
            books.know(bundle.clone()).unwrap();
        }
        let presence = Arc::new(Presence::default());
        let path = directory.path();
        let log =
            JudgementLog::open(&path.join("judgements"), BOUNDS, Stop::default(), |j| presence.recall(j)).unwrap();
        let bounds = TelemetryBounds { log: BOUNDS, per_device: 100, per_device_second: 1000 };
        let telemetry = Telemetry::open(&path.join("telemetry"), bounds, Stop::default()).unwrap();
        let parts = Parts {
            books: Arc::clone(&books),
            commits: CommitQueue::start(shared).unwrap().0,
            log: Arc::new(log),
            telemetry: Arc::new(telemetry),
            mailboxes: Arc::new(Mailboxes::open(path.join("mailboxes")).unwrap()),
            presence,
            clock: Arc::<ManualClock>::clone(&clock),
            workers: Workers::Threads,
            manufacturer: "company-x".to_owned(),
            message_hours: 48,
        };
        Self { registry: Arc::new(Registry::new(parts, 2)), books, clock, store, directory, bundle }
    }

    /// The process died and came back over what is durable.
    pub(super) fn restarted(self) -> Self {
        self.restarted_as(Stage::Development)
    }

    /// The same, in this stage.
    pub(super) fn restarted_as(self, stage: Stage) -> Self {
        let Self { store, directory, clock, bundle, .. } = self;
        store.restart();
        Self::over(stage, bundle, store, directory, clock)
    }

    /// A hub that trusts the forge's root.
    pub(super) fn trusting(forge: &Forge) -> Self {
        let world = Self::new();
        world.trust("root", &forge.root(), ChainRules::Countersign);
        world
    }

    pub(crate) fn trust(&self, name: &str, certificate: &Certificate, rules: ChainRules) -> CaCertificate {
        self.books.register_ca(&change(), &new_ca(name, certificate, rules)).unwrap()
    }

    pub(crate) fn create(&self, id: &str) -> Device {
        self.books.create_device(&change(), &ca_signed(id)).unwrap()
    }

    pub(crate) async fn connect(&self, chain: Vec<Bytes>, claimed: &str) -> Result<Admitted, Refusal> {
        let presented = PresentedChain::new(chain).unwrap();
        self.registry.admit(&presented, claimed, Protocol::Mqtt, from()).await
    }

    pub(super) async fn refused(&self, chain: Vec<Bytes>, claimed: &str) -> &'static str {
        match self.connect(chain, claimed).await {
            Err(refusal) => refusal.reason(),
            Ok(admitted) => panic!("{} was let in", admitted.device()),
        }
    }

    /// The newest judgement that is a refusal.
    pub(crate) async fn last_refusal(&self, claimed: &str) -> Judgement {
        let all = self.registry.judgements(claimed.to_owned(), 10).await.unwrap();
        let mut refusals = all.into_iter().filter_map(|explained| explained.judgement);
        refusals.find(|judgement| !judgement.reason.is_empty()).unwrap()
    }
}

pub(super) fn from() -> SocketAddr {
    "192.0.2.1:50000".parse().unwrap()
}

/// A change by an operator of the hub's own organisation, with its own request id.
pub(crate) fn change() -> Change {
    change_by("company-x", &fresh_id())
}

pub(super) fn change_by(manufacturer: &str, request_id: &str) -> Change {
    Change::of(caller(manufacturer), request_id, &NewDevice::default()).unwrap()
}

pub(crate) fn caller(manufacturer: &str) -> Caller {
    Caller {
        manufacturer: manufacturer.to_owned(),
        by: format!("spiffe://{manufacturer}.example/{manufacturer}/provisioner/line-1"),
    }
}

pub(crate) fn fresh_id() -> String {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    RequestId::from_octets(octets).to_string()
}

pub(super) fn ca_signed(id: &str) -> NewDevice {
    NewDevice { device_id: id.to_owned(), ..NewDevice::default() }
}
