//! After an outage: how fast a line tells the hub of what it wrote meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use api::{
    Refusal,
    provisioning::v1::{
        ConfirmWrittenRequest, GetUnitRequest, Unit, UnitState, provisioning_service_client::ProvisioningServiceClient,
    },
};
use pki::Sha256;
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::Channel;

use super::{fleet, report::CatchingUp};
use crate::{bench::requests::fresh_request_id, plan::BRAND, world::World};

/// Stations that confirm at one time.
const STATIONS: usize = 64;
/// Between two looks at a unit.
const LOOK: Duration = Duration::from_millis(5);
/// Until a line must have noticed that the hub is back, and until it must have told everything.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends the hub, has the line write so many units, and brings the hub back.
pub(super) async fn measure(world: &mut World, units: u32) -> anyhow::Result<CatchingUp> {
    let hub = world.kill_service(BRAND, "hub").await?;
    let written = fleet::issued(world, "later", units).await?;
    let line = ProvisioningServiceClient::new(fleet::station(world)?);
    let (first, last) = confirm_all(&line, written).await?;
    world.start_again(hub).await?;
    let back = Instant::now();
    until_registered(&line, &first).await?;
    let noticed = back.elapsed();
    until_registered(&line, &last).await?;
    let seconds = (back.elapsed() - noticed).as_secs_f64();
    Ok(CatchingUp {
        devices: units,
        noticed_seconds: noticed.as_secs_f64(),
        seconds,
        per_s: f64::from(units) / seconds,
    })
}

/// Confirms that all are written; the ids of the first and of the last confirmed.
async fn confirm_all(line: &ProvisioningServiceClient<Channel>, units: Vec<Unit>) -> anyhow::Result<(String, String)> {
    let mut units = units.into_iter();
    let (first, last) = (units.next().context("no unit")?, units.next_back().context("one unit alone")?);
    let ids = (first.device_id.clone(), last.device_id.clone());
    confirm(line.clone(), first).await?;
    let mut confirming = JoinSet::new();
    for unit in units {
        if confirming.len() >= STATIONS {
            confirming.join_next().await.context("nobody confirms")???;
        }
        confirming.spawn(confirm(line.clone(), unit));
    }
    while let Some(confirmed) = confirming.join_next().await {
        confirmed??;
    }
    confirm(line.clone(), last).await?;
    Ok(ids)
}

async fn confirm(mut line: ProvisioningServiceClient<Channel>, unit: Unit) -> anyhow::Result<()> {
    let leaf = unit.chain.first().context("a unit without a chain")?;
    let request = ConfirmWrittenRequest {
        request_id: fresh_request_id()?.to_string(),
        certificate_sha256: Sha256::of(leaf).as_bytes().to_vec().into(),
        device_id: unit.device_id,
    };
    line.confirm_written(request).await.map_err(|status| Refusal::from_status(&status))?;
    Ok(())
}

async fn until_registered(line: &ProvisioningServiceClient<Channel>, device_id: &str) -> anyhow::Result<()> {
    let late = Instant::now() + PATIENCE;
    loop {
        let request = GetUnitRequest { device_id: device_id.to_owned() };
        let answer = line.clone().get_unit(request).await.map_err(|status| Refusal::from_status(&status))?;
        if answer.into_inner().unit.is_some_and(|unit| unit.state() == UnitState::Registered) {
            return Ok(());
        }
        ensure!(
            Instant::now() < late,
            "{device_id} is not registered {} s after the hub came back",
            PATIENCE.as_secs()
        );
        sleep(LOOK).await;
    }
}
