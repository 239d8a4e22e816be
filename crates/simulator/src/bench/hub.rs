//! What a hub can bear: devices that connect with chains of three intermediates, all at once after an outage, and what they send.
//!
//! One run in a world of its own: every device connects for the first time, and memory is looked at; all connections break, and all
//! devices come back as fast as they can; some come one after the other, so that judging is measured with nothing beside it; some
//! send telemetry that is acknowledged when it is durable. At last the hub ends, the line writes devices that it cannot tell the hub of, and
//! the hub comes back. In turns with the storms, the same clients make the same handshakes with
//! a bare rustls server that verifies the chain and does nothing else: what the cryptography alone allows.

mod bare;
mod catching_up;
mod crowd;
mod fleet;
mod judging;
mod report;
mod session;
mod telemetry;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use api::hub::v1::{
    ChainRules, FirstConnect, RegisterCaCertificateRequest, ca_certificate_service_client::CaCertificateServiceClient,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::identity::Role;
use tokio::time::{Instant, sleep};

use super::{BenchError, place::Silent, usage};
use crate::{
    clients::Clients, folder::Folder, journey::Journey, plan::BRAND, plan::Plan, process::Program, world::World,
};
use crowd::Crowd;
use fleet::Fleet;
use judging::Judged;
use report::Crowds;

pub use report::{CatchingUp, Connections, HubReport, JudgingMicros, Telemetry};

/// Intermediates of each device's chain.
const HOPS: u32 = 3;
/// Most devices that connect one after the other, for the time that judging takes.
const ONE_BY_ONE: usize = 500;
/// How often everybody comes back at once. The bare handshakes take turns with that, so that both have the same neighbours.
const STORMS: u32 = 3;
/// Devices that the line writes while the hub is away.
const WRITTEN_IN_AN_OUTAGE: u32 = 3000;
/// How long a hub may take to notice that connections are gone.
const TO_NOTICE: Duration = Duration::from_secs(60);
/// Between two looks at a hub's metrics.
const LOOK: Duration = Duration::from_millis(100);

/// What is measured at a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubBench {
    /// Devices that are connected at one time.
    pub devices: u32,
    /// Connections that are being opened at one time, and messages that wait for their acknowledgement at one time.
    pub in_flight: u32,
    /// Devices that send telemetry.
    pub clients: u32,
    /// How long telemetry is measured.
    pub duration: Duration,
    /// How long devices send before that.
    pub warmup: Duration,
}

impl HubBench {
    /// Starts a world of its own in `folder`, which is empty, measures its hub, and ends it.
    ///
    /// # Errors
    /// A [`BenchError`]; what keeps a service from starting; devices that cannot be issued. A device that is refused is no error but
    /// part of the report.
    pub async fn local(&self, folder: Folder, program: Program) -> anyhow::Result<HubReport> {
        if self.duration.is_zero() {
            return Err(BenchError::NoTime.into());
        }
        let plan = Plan::new(self.devices + WRITTEN_IN_AN_OUTAGE, HOPS)?;
        let mut world = World::open(folder, &plan, program)?;
        let report = self.in_world(&plan, &mut world).await;
        let stopped = world.stop().await;
        let report = report?;
        stopped?;
        Ok(report)
    }

    async fn in_world(&self, plan: &Plan, world: &mut World) -> anyhow::Result<HubReport> {
        room_for(self.devices)?;
        Journey::new(plan, world).hand_down(&mut Silent).await?;
        world.start_hub_for_measuring().await?;
        register_root(world).await?;
        world.start_provisioner().await?;
        let fleet = Arc::new(Fleet::provision(world, self.devices).await?);
        self.measure(world, &fleet).await
    }

    async fn measure(&self, world: &mut World, fleet: &Arc<Fleet>) -> anyhow::Result<HubReport> {
        let hub = world.service(BRAND, "hub")?;
        let door = hub.further.get("mqtt").context("the hub is not open for mqtt")?;
        let (crowd, at_one_time) = (Crowd::new(door, fleet), usize::try_from(self.in_flight)?);
        let rss_before_bytes = usage::resident(hub.pid)?;

        let came = crowd.connect(at_one_time, hub.pid).await?;
        ensure!(came.refused.is_empty(), "not every device came in: {:?}", came.refused);
        let rss_bytes = usage::resident(hub.pid)?;
        let mut first = Crowds::none();
        first.add(&came);
        drop(came);
        nobody_left(&hub.health).await?;

        let (mut bare, mut storm) = (Crowds::none(), Crowds::none());
        for _ in 0..STORMS {
            bare.add(&bare::handshakes(world, fleet, at_one_time).await?);
            storm.add(&crowd.connect(at_one_time, hub.pid).await?);
            nobody_left(&hub.health).await?;
        }
        let (bare, storm) = (bare.told(), storm.told());

        let judged = Judged::so_far(&hub.health).await?;
        crowd.one_by_one(ONE_BY_ONE.min(fleet.devices().len())).await?;
        let judged = Judged::so_far(&hub.health).await?.since(&judged);
        nobody_left(&hub.health).await?;
        let telemetry = telemetry::measure(self, &crowd, hub.pid).await?;
        let kept = usage::metric(&usage::metrics(&hub.health).await?, "countersign_hub_messages_total")?;
        ensure!(kept >= telemetry.messages, "{} messages were acknowledged and {kept} kept", telemetry.messages);
        let catching_up = catching_up::measure(world, WRITTEN_IN_AN_OUTAGE).await?;
        let storm_share = storm.per_s / bare.per_s;
        Ok(HubReport {
            target: "hub",
            devices: self.devices,
            intermediates: HOPS,
            rss_before_bytes,
            rss_bytes,
            first: first.told(),
            bare,
            storm,
            storm_share,
            judging_us: judged,
            telemetry,
            catching_up,
        })
    }
}

/// Lets this process have a connection for each device.
fn room_for(devices: u32) -> anyhow::Result<()> {
    let wanted = u64::from(devices) + 512;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(wanted), maximum };
    setrlimit(Resource::Nofile, raised).with_context(|| format!("{devices} devices need {wanted} open files"))
}

/// Has the hub believe the world's root, and take its devices as they come.
async fn register_root(world: &World) -> anyhow::Result<()> {
    let address = &world.service(BRAND, "hub")?.grpc;
    let channel = Clients::load(&world.brand, "alice", &[&world.brand])?.channel(address, BRAND, Role::Hub)?;
    let request = RegisterCaCertificateRequest {
        request_id: super::requests::fresh_request_id()?.to_string(),
        name: "root".to_owned(),
        certificate: world.trust().read("root.pem")?.into(),
        rules: ChainRules::Countersign.into(),
        first_connect: FirstConnect::Register.into(),
        verified: true,
    };
    let answer = CaCertificateServiceClient::new(channel).register_ca_certificate(request).await;
    answer.map(drop).map_err(|status| api::Refusal::from_status(&status).into())
}

/// Waits until the hub has noticed that every connection is gone.
async fn nobody_left(health: &str) -> anyhow::Result<()> {
    let late = Instant::now() + TO_NOTICE;
    while usage::metric(&usage::metrics(health).await?, "countersign_hub_sessions")? > 0 {
        ensure!(Instant::now() < late, "the hub still has sessions {} s after they ended", TO_NOTICE.as_secs());
        sleep(LOOK).await;
    }
    Ok(())
}
