//! The hub is away, and killed again when it is back; the line is killed as well. Everything that was written is registered in the end, once.
//!
//! How fast the line catches up is printed: docs/performance-hub.md has the command.

use std::time::{Duration, Instant};

use api::{
    hub::v1::{ListDevicesRequest, device_service_client::DeviceServiceClient},
    provisioning::v1::{
        ConfirmWrittenRequest, GetUnitRequest, Unit, UnitState, provisioning_service_client::ProvisioningServiceClient,
    },
};
use pki::Sha256;
use service::identity::Role;
use simulator::{BRAND, Clients, Plan, World};
use tonic::transport::Channel;

use crate::{
    command::{countersign, text},
    people::{Answer, Stream, request_id, station, unit_requests},
    world::journey,
};

const LINE: &str = "factory-y";
const LOT: &str = "b0032";
/// Units written while the hub is away.
const UNITS: u32 = 1000;
/// The journey provisions one device itself.
const BEFORE: usize = 1;
/// Until everything must be registered.
const PATIENCE: Duration = Duration::from_secs(120);

type Station = ProvisioningServiceClient<Channel>;

/// Provisions units and confirms that they are written; their ids in the order of confirming.
async fn write(station: &Station, first: u32, count: u32) -> Vec<String> {
    let mut stream = Stream::open(station.clone()).await;
    stream.ask(&unit_requests(LOT, first, count)).await;
    stream.close();
    let (mut written, mut number) = (Vec::new(), UNITS + first);
    loop {
        match stream.next().await {
            Answer::Unit(unit) => {
                confirm(station, &unit, number).await;
                number += 1;
                written.push(unit.device_id);
            }
            Answer::Refused { request_id, refusal } => panic!("{request_id}: {refusal:?}"),
            Answer::End(end) => {
                assert_eq!((end.is_ok(), written.len()), (true, usize::try_from(count).unwrap()));
                return written;
            }
        }
    }
}

async fn confirm(station: &Station, unit: &Unit, request: u32) {
    let written = ConfirmWrittenRequest {
        request_id: request_id(request),
        device_id: unit.device_id.clone(),
        certificate_sha256: Sha256::of(&unit.chain[0]).as_bytes().to_vec().into(),
    };
    station.clone().confirm_written(written).await.unwrap();
}

async fn state(station: &Station, device_id: &str) -> UnitState {
    let request = GetUnitRequest { device_id: device_id.to_owned() };
    station.clone().get_unit(request).await.unwrap().into_inner().unit.unwrap().state()
}

async fn until_registered(station: &Station, device_id: &str) {
    let registered = async {
        while state(station, device_id).await != UnitState::Registered {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, registered).await.expect("the hub never acknowledged a unit");
}

async fn count_registered(station: &Station, units: &[String]) -> usize {
    let mut registered = 0;
    for unit in units {
        registered += usize::from(state(station, unit).await == UnitState::Registered);
    }
    registered
}

/// Every device that the hub has, page by page.
async fn at_the_hub(world: &World) -> Vec<String> {
    let address = &world.service(BRAND, "hub").unwrap().grpc;
    let channel = Clients::load(&world.brand, "alice", &[&world.brand]).unwrap().channel(address, BRAND, Role::Hub);
    let mut client = DeviceServiceClient::new(channel.unwrap());
    let (mut devices, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListDevicesRequest { page_size: 300, page_token };
        let page = client.list_devices(request).await.unwrap().into_inner();
        devices.extend(page.devices.into_iter().map(|device| device.device_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return devices;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_in_an_outage_is_registered_after_it_although_line_and_hub_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, _, _) = journey(folder.path(), &Plan::new(1, 1).unwrap()).await;
    world.write_profiles().unwrap();
    let profile = world.brand.folder().join("as-alice.toml");
    let proven = countersign(&["hub", "ca", "prove", "root", "--as", profile.to_str().unwrap()]);
    assert_eq!(proven.status.code(), Some(0), "{}", text(&proven.stderr));

    let hub = world.kill_service(BRAND, "hub").await.unwrap();
    let mut all = write(&station(&world), 0, UNITS / 2).await;
    let line = world.kill_service(LINE, "provisioner").await.unwrap();
    world.start_again(line).await.unwrap();
    let station = station(&world);
    all.extend(write(&station, UNITS / 2, UNITS / 2).await);
    assert_eq!(state(&station, &all[0]).await, UnitState::Written);

    world.start_again(hub).await.unwrap();
    until_registered(&station, &all[0]).await;
    let hub = world.kill_service(BRAND, "hub").await.unwrap();
    let (before, began) = (count_registered(&station, &all).await, Instant::now());
    world.start_again(hub).await.unwrap();
    until_registered(&station, &all[all.len() - 1]).await;
    let took = began.elapsed().as_secs_f64();

    assert_eq!(count_registered(&station, &all).await, all.len(), "in order: with the last, all are there");
    let mut known = at_the_hub(&world).await;
    assert_eq!(known.len(), all.len() + BEFORE);
    known.dedup();
    assert_eq!(known.len(), all.len() + BEFORE, "in the order of their ids, each once");
    let caught_up = all.len() - before;
    println!("{caught_up} units in {took:.2} s from the hub's start: {:.0} a second", caught_up as f64 / took);
    world.stop().await.unwrap();
}
