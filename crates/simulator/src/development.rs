//! A development chain for somebody to start by hand: everything on disk, registered at the brand, nothing running.

use anyhow::Context as _;

use crate::{
    folder::Folder,
    journey::Journey,
    plan::Plan,
    process::{Program, Service},
    world::World,
};

/// What [`prepare`] made.
#[derive(Debug)]
pub struct Prepared {
    /// The services in the order of starting: each is started with its configuration and listens on a fixed port of loopback.
    pub services: Vec<Service>,
    /// The manufacturers in the order of the route.
    pub manufacturers: Vec<String>,
}

/// Makes service PKIs, identity keys, the development root, configurations, profiles and stores of a plan in a folder, and has its
/// program and manufacturers registered, so that the bundle is there. The root-ca runs for that long, on free ports.
///
/// # Errors
/// What the file system says, or the first refusal.
pub async fn prepare(folder: Folder, plan: &Plan, program: Program) -> anyhow::Result<Prepared> {
    let mut world = World::open(folder, plan, program)?;
    world.start_root_ca().await?;
    let registered = Journey::new(plan, &mut world).register_all().await.context("the brand's part");
    world.stop().await?;
    registered?;
    let services = world.prepare_services().await?;
    world.write_profiles()?;
    let manufacturers = world.manufacturers.iter().map(|(_, own)| own.id().to_owned()).collect();
    Ok(Prepared { services, manufacturers })
}
