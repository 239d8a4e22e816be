//! Where the load goes: the services of a world of its own, or those of a demo that stays.

use anyhow::Context as _;
use api::custody::v1::Tally;
use api::order::v1::Order;
use serde::Deserialize;
use service::{Clock as _, SystemClock, identity::Role};
use tonic::transport::Channel;

use super::{Target, usage::Watched};
use crate::{
    clients::Clients,
    folder::Folder,
    journey::{Journey, Narrator},
    manifest::{HopEntry, Manifest},
    organisation::Organisation,
    plan::{Plan, Stop},
    process::{Program, ServiceProcess},
    world::World,
};

/// As many manufacturers as in the demo.
const HOPS: u32 = 2;
/// More units than any run issues.
const UNITS: u32 = 2_000_000_000;

/// The face that is driven, and the services behind it.
pub(super) struct Place {
    clients: Clients,
    address: String,
    manufacturer: String,
    role: Role,
    /// Where the units come from.
    pub(super) lot: String,
    pub(super) services: Vec<Watched>,
}

/// How a service of a world or a demo is told.
struct Seen {
    kind: String,
    manufacturer: String,
    grpc: String,
    watched: Watched,
}

impl Target {
    fn role(self) -> Role {
        match self {
            Self::Signer => Role::IntermediateCa,
            Self::Line => Role::Provisioner,
        }
    }

    /// Who calls it: the file of the identity.
    fn caller(self) -> &'static str {
        match self {
            Self::Signer => "provisioner",
            Self::Line => "station",
        }
    }

    /// The services that one request passes, the driven one first.
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Signer => &["intermediate-ca"],
            Self::Line => &["provisioner", "intermediate-ca"],
        }
    }
}

impl Place {
    /// The services of the demo that stays in `folder`.
    pub(super) fn of_demo(folder: &Folder, target: Target) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Demo {
            services: Vec<DemoService>,
        }
        #[derive(Deserialize)]
        struct DemoService {
            role: String,
            manufacturer: String,
            grpc: String,
            health: String,
            pid: u32,
        }
        let demo: Demo = serde_json::from_slice(&folder.read("demo.json").context("no demo stays here")?)?;
        let manifest: Manifest = serde_json::from_slice(&folder.read("manifest.json")?)?;
        let lot = manifest.devices.first().context("the demo provisioned nothing")?.lot.clone();
        let seen = |s: DemoService| Seen {
            kind: s.role,
            manufacturer: s.manufacturer,
            grpc: s.grpc,
            watched: Watched { pid: s.pid, health: s.health },
        };
        let services: Vec<Seen> = demo.services.into_iter().map(seen).collect();
        let line = services.iter().find(|s| s.kind == "provisioner").context("the demo has no provisioner")?;
        let own = Organisation::open(folder, &line.manufacturer, &line.manufacturer, SystemClock.now())?;
        Self::new(&own, &services, target, lot)
    }

    fn new(own: &Organisation, services: &[Seen], target: Target, lot: String) -> anyhow::Result<Self> {
        let find = |kind: &&str| {
            let found = services.iter().find(|s| s.kind == **kind && s.manufacturer == own.id());
            found.with_context(|| format!("the {kind} of {} does not run", own.id()))
        };
        let way = target.kinds().iter().map(find).collect::<anyhow::Result<Vec<&Seen>>>()?;
        let driven = way.first().context("a way has a service")?;
        Ok(Self {
            clients: Clients::load(own, target.caller(), &[own])?,
            address: driven.grpc.clone(),
            manufacturer: own.id().to_owned(),
            role: target.role(),
            lot,
            services: way.iter().map(|s| s.watched.clone()).collect(),
        })
    }

    /// One more connection to the driven service.
    pub(super) fn channel(&self) -> anyhow::Result<Channel> {
        self.clients.channel(&self.address, &self.manufacturer, self.role)
    }
}

/// A world that was started for one measurement.
pub(super) struct Local {
    world: World,
    target: Target,
}

impl Local {
    /// Starts the services, and hands a lot over down to the last manufacturer.
    pub(super) async fn start(folder: Folder, program: Program, target: Target) -> anyhow::Result<Self> {
        let plan = Plan::new(UNITS, HOPS)?;
        let mut world = World::open(folder, &plan, program)?;
        let started = async {
            Journey::new(&plan, &mut world).hand_down(&mut Silent).await?;
            match target {
                Target::Signer => {}
                Target::Line => drop(world.start_provisioner().await?),
            }
            anyhow::Ok(())
        };
        if let Err(error) = started.await {
            // What runs already is ended; why the rest does not is what counts.
            let _ = world.stop().await;
            return Err(error);
        }
        Ok(Self { world, target })
    }

    pub(super) fn place(&self) -> anyhow::Result<Place> {
        let (stop, own) = self.world.last()?;
        let seen = |s: &ServiceProcess| Seen {
            kind: s.service.kind.to_owned(),
            manufacturer: s.service.manufacturer.clone(),
            grpc: s.grpc.clone(),
            watched: Watched { pid: s.pid, health: s.health.clone() },
        };
        let services: Vec<Seen> = self.world.services().iter().map(seen).collect();
        Place::new(own, &services, self.target, stop.lot.clone())
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.world.stop().await
    }
}

/// Nobody listens.
pub(super) struct Silent;

impl Narrator for Silent {
    fn service_ready(&mut self, _name: &str, _grpc: &str) {}
    fn order_approved(&mut self, _order: &Order, _operators: &[&str]) {}
    fn lot_received(&mut self, _stop: &Stop, _hop: &HopEntry) {}
    fn devices_provisioned(&mut self, _done: u32, _all: u32) {}
    fn finished(&mut self, _manifest: &Manifest, _tally: &Tally, _took: std::time::Duration) {}
}
