//! A development chain for somebody to start by hand: on disk, nothing running. Ready to work with, or as its organisations begin.

use anyhow::Context as _;

use crate::{
    folder::Folder,
    journey::Journey,
    plan::Plan,
    process::{Program, Service},
    world::World,
};

/// What [`prepare`] or [`prepare_bare`] made.
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
    let prepared = write_all(&world)?;
    for service in &prepared.services {
        world.init_store(service).await?;
    }
    Ok(prepared)
}

/// Makes what each organisation brings along: service PKIs, identity keys, configurations, profiles, and the input of the root's
/// ceremony. The ceremony, the stores and everything that is registered are left to the people.
///
/// # Errors
/// What the file system says.
pub fn prepare_bare(folder: Folder, plan: &Plan, program: Program) -> anyhow::Result<Prepared> {
    write_all(&World::without_root(folder, plan, program)?)
}

fn write_all(world: &World) -> anyhow::Result<Prepared> {
    let services = world.write_services()?;
    world.write_profiles_ahead()?;
    let manufacturers = world.manufacturers.iter().map(|(_, own)| own.id().to_owned()).collect();
    Ok(Prepared { services, manufacturers })
}
