//! Callers that only want to be in the way: whatever they do, good calls are answered, and the service's memory stays within a bound.
//!
//! The attacks are in [`attack`], made of the raw frames in [`frames`]. They run against real services over TCP, with the limits that
//! are in force when nothing is configured.

mod attack;
mod frames;

use std::{sync::Arc, time::Duration};

use api::{
    custody::v1::Tally,
    hub::v1::{ListDevicesRequest, device_service_client::DeviceServiceClient},
    lot::v1::GetLotRequest,
    order::v1::GetOrderRequest,
    provisioning::v1::GetUnitRequest,
};
use simulator::{BRAND, ORDER};
use tokio::time::{Instant, timeout};

use crate::{
    devices::{Device, Line},
    operated::{self, metrics, value},
    world::{At, Chain, Who},
};
use attack::{Attack, Attackers, Target};

/// The services that are attacked; factory-y's signer is the same program as technician-z's.
const ATTACKED: [At; 4] = [At::RootCa, At::TechnicianCa, At::Provisioner, At::Hub];
/// Good calls of each kind while one attack runs against one service.
const GOOD: usize = 6;
/// How much more memory than before a service may ever have held, in KiB. The attackers have at most 500 connections at one time.
const MEMORY_KIB: u64 = 64 << 10;
/// Until attackers are where they want to be, or are thrown out of there.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_in_the_way_good_calls_are_answered_and_memory_is_bounded() {
    // Alone, because everybody else would be attacked too.
    let (chain, _folder) = Chain::alone().await;
    let line = Line::of(&chain);
    line.provision(&Device::new("flood-first").at_line(Some("t7"))).await;
    let mut calls: u32 = 0;
    for at in ATTACKED {
        let before = memory(&chain, at, "VmRSS:");
        for attack in Attack::ALL {
            let began = Instant::now();
            let target = Arc::new(target(&chain, at));
            let attackers = Attackers::start(attack, &target);
            timeout(PATIENCE, attackers.in_place())
                .await
                .unwrap_or_else(|_| panic!("{attack:?} at {at:?} never began"));
            for _ in 0..GOOD {
                good(&chain, at, &format!("flood-{calls}")).await;
                calls += 3;
            }
            let thrown_out = timeout(PATIENCE, attackers.thrown_out()).await;
            thrown_out.unwrap_or_else(|_| panic!("{attack:?} at {at:?} was let be"));
            println!("{at:?}: {attack:?}, {} connections, {} ms", attack.connections(), began.elapsed().as_millis());
        }
        let most = memory(&chain, at, "VmHWM:");
        println!("{at:?}: {before} KiB of memory before, {most} KiB at most");
        assert!(most <= before + MEMORY_KIB, "{at:?} held {most} KiB of memory, {before} KiB before");
        let told = metrics(&chain, at).await;
        let crowded_out = value(&told, r#"countersign_connections_refused_total{reason="CONNECTION_LIMIT_REACHED"}"#);
        assert!(crowded_out.is_some_and(|count| count > 0.0), "who is thrown out is counted by a name: {told}");
    }
    println!("{calls} good calls during {} attacks, 0 failed", ATTACKED.len() * Attack::ALL.len());
}

/// One good call of each kind, all of which must succeed: a newcomer's at the attacked service, a probe's, and a station's through the line
/// and its signer.
async fn good(chain: &Chain, at: At, device: &str) {
    read(chain, at).await;
    operated::get(chain, at, "/readyz").await;
    Line::of(chain).provision(&Device::new(device).at_line(Some("t7"))).await;
}

/// Reads what was there before, over a new connection.
async fn read(chain: &Chain, at: At) {
    match at {
        At::RootCa => {
            let request = GetOrderRequest { order: ORDER.to_owned(), ..GetOrderRequest::default() };
            assert!(chain.orders(Who::Alice).get_order(request).await.unwrap().into_inner().order.is_some());
        }
        At::FactoryCa | At::TechnicianCa => {
            let request = GetLotRequest { lot: "t7".to_owned() };
            let answer = chain.lots(Who::TechnicianOperator, at).get_lot(request).await.unwrap().into_inner();
            assert!(answer.lot.unwrap().tally.is_some_and(|tally: Tally| tally.provisioned > 0));
        }
        At::Provisioner => {
            let request = GetUnitRequest { device_id: "flood-first".to_owned() };
            assert!(chain.line().get_unit(request).await.unwrap().into_inner().unit.is_some());
        }
        At::Hub => {
            let channel = chain.channel_with(chain.organisation(BRAND), "alice", at);
            DeviceServiceClient::new(channel).list_devices(ListDevicesRequest::default()).await.unwrap();
        }
    }
}

fn target(chain: &Chain, at: At) -> Target {
    let (who, call) = match at {
        At::RootCa => ((BRAND, "alice"), "/countersign.order.v1.OrderService/ListOrders"),
        At::FactoryCa | At::TechnicianCa => (("technician-z", "operator"), "/countersign.lot.v1.LotService/ListLots"),
        At::Provisioner => {
            (("technician-z", "station"), "/countersign.provisioning.v1.ProvisioningService/ProvisionStream")
        }
        At::Hub => ((BRAND, "alice"), "/countersign.hub.v1.DeviceService/ListDevices"),
    };
    Target::new(chain.address(at), chain.health(at), call, chain.organisation(who.0), who.1)
}

/// A line of /proc/<pid>/status, in KiB.
fn memory(chain: &Chain, at: At, name: &str) -> u64 {
    let (manufacturer, role) = at.identity();
    let pid = chain.world.service(manufacturer, role.as_str()).unwrap().pid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
