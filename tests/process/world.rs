//! A world of services that has made its journey: the order is approved, the lots are handed over, the plan's devices are provisioned.

use std::{path::Path, time::Duration};

use api::{custody::v1::Tally, order::v1::Order};
use simulator::{Folder, HopEntry, Journey, Manifest, Narrator, Plan, Program, Stop, World};

use crate::command::BINARY;

/// Keeps the last lot's tally.
#[derive(Default)]
pub(crate) struct Listener(Option<Tally>);

impl Narrator for Listener {
    fn service_ready(&mut self, _name: &str, _grpc: &str) {}
    fn order_approved(&mut self, _order: &Order, _operators: &[&str]) {}
    fn lot_received(&mut self, _stop: &Stop, _hop: &HopEntry) {}
    fn devices_provisioned(&mut self, _done: u32, _all: u32) {}
    fn finished(&mut self, _manifest: &Manifest, tally: &Tally, _took: Duration) {
        self.0 = Some(*tally);
    }
}

/// Starts the services of a plan in a folder and makes the journey.
pub(crate) async fn journey(folder: &Path, plan: &Plan) -> (World, Manifest, Tally) {
    let program = Program::countersign(BINARY.into());
    let mut world = World::open(Folder::create(folder).unwrap(), plan, program).unwrap();
    let mut listener = Listener::default();
    let manifest = Journey::new(plan, &mut world).run(&mut listener).await.unwrap();
    (world, manifest, listener.0.unwrap())
}

/// Starts the CAs of a plan in a folder, and hands the lots over. No device is provisioned.
pub(crate) async fn handed_down(folder: &Path, plan: &Plan, program: Program) -> World {
    let mut world = World::open(Folder::create(folder).unwrap(), plan, program).unwrap();
    Journey::new(plan, &mut world).hand_down(&mut Listener::default()).await.unwrap();
    world
}
