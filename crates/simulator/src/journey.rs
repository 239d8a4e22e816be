//! What the people of a supply chain do, from the empty brand to the last device, over gRPC.
//!
//! Every step has a request id that follows from the plan, so that a journey can be repeated at any time, after any interruption:
//! what was done is answered again, what was not is done.

mod brand;
mod custody;
mod line;

use std::time::Duration;

use anyhow::Context as _;
use api::{custody::v1::Tally, order::v1::Order};
use pki::Certificate;

use crate::{
    manifest::{DeviceEntry, HopEntry, Manifest},
    organisation::read_certificate,
    plan::{Plan, Stop},
    world::World,
};

/// Hears what happens.
pub trait Narrator {
    /// A service became ready.
    fn service_ready(&mut self, name: &str, grpc: &str);
    /// Manufacturers, program and order are registered; the order is approved.
    fn order_approved(&mut self, order: &Order, operators: &[&str]);
    /// A lot was offered, accepted and signed.
    fn lot_received(&mut self, stop: &Stop, hop: &HopEntry);
    /// Some devices are provisioned; `done` of `all`.
    fn devices_provisioned(&mut self, done: u32, all: u32);
    /// All is done: the last lot's tally, and how long provisioning took.
    fn finished(&mut self, manifest: &Manifest, tally: &Tally, took: Duration);
}

/// One run through a plan in a world.
pub struct Journey<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) world: &'a mut World,
}

impl<'a> Journey<'a> {
    /// A journey of a plan through its world.
    pub fn new(plan: &'a Plan, world: &'a mut World) -> Self {
        Self { plan, world }
    }

    /// The world as it stands.
    #[must_use]
    pub fn world(&self) -> &World {
        self.world
    }

    /// Starts the services one after the other and does everything.
    ///
    /// # Errors
    /// The first refusal, or what the file system says. Repeating the journey goes on from there.
    pub async fn run(mut self, narrator: &mut dyn Narrator) -> anyhow::Result<Manifest> {
        let hops = self.hand_down(narrator).await?;
        self.open_hub(narrator).await?;
        self.build(&hops, narrator).await
    }

    /// Starts the hub. The CAs must run.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn open_hub(&mut self, narrator: &mut dyn Narrator) -> anyhow::Result<()> {
        let hub = self.world.start_hub().await?;
        narrator.service_ready(&hub.service.name, &hub.grpc);
        Ok(())
    }

    /// Starts the line and provisions the devices, from the lots that were handed down.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn build(&mut self, hops: &[HopEntry], narrator: &mut dyn Narrator) -> anyhow::Result<Manifest> {
        let provisioner = self.world.start_provisioner().await?;
        narrator.service_ready(&provisioner.service.name, &provisioner.grpc);
        let root = read_certificate(self.world.trust(), "root.pem")?;
        let line = self.line().await?;
        let made = line.provision(self.plan, self.world.folder(), &root, narrator).await.context("the line's part")?;
        let tally = line.tally().await?;
        let manifest = manifest(&made.devices, hops);
        let json = serde_json::to_string_pretty(&manifest)?;
        self.world.folder().write("manifest.json", format!("{json}\n").as_bytes())?;
        narrator.finished(&manifest, &tally, made.took);
        Ok(manifest)
    }

    /// Starts the CAs one after the other, has the order approved and the lot handed over down to the last manufacturer. No device
    /// is provisioned yet.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn hand_down(&mut self, narrator: &mut dyn Narrator) -> anyhow::Result<Vec<HopEntry>> {
        let root_ca = self.world.start_root_ca().await?;
        narrator.service_ready(&root_ca.service.name, &root_ca.grpc);
        let order = self.brand().await.context("the brand's part")?;
        narrator.order_approved(&order, &crate::configs::APPROVERS);
        let mut hops = Vec::new();
        for (index, stop) in self.plan.stops().into_iter().enumerate() {
            let ready = self.world.start_intermediate_ca(index).await?;
            narrator.service_ready(&ready.service.name, &ready.grpc);
            let hop = self.hand_over(index, &stop).await.with_context(|| format!("the handoff of lot {}", stop.lot))?;
            narrator.lot_received(&stop, &hop);
            hops.push(hop);
        }
        Ok(hops)
    }
}

fn manifest(devices: &[(String, Certificate)], hops: &[HopEntry]) -> Manifest {
    let lot = hops.last().map(|hop| hop.lot.clone()).unwrap_or_default();
    let entry = |(device_id, certificate): &(String, Certificate)| DeviceEntry {
        device_id: device_id.clone(),
        certificate_serial: certificate.serial().to_string(),
        chain: format!("devices/{device_id}/chain.pem"),
        lot: lot.clone(),
        hops: hops.to_vec(),
    };
    Manifest { devices: devices.iter().map(entry).collect() }
}
