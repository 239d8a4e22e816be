//! kill -9, at random moments and at chosen system calls.

use std::time::Duration;

use simulator::BRAND;

use crate::{
    custody::Custody,
    ground::{FACTORY, Ground, HUB, LINE, ROOT, SIGNER, Share, TECHNICIAN, Work, below, campaigns},
    inject,
    issuing::Issuing,
    orders::Orders,
    registry::Registry,
    talk::Talk,
};

/// Rounds in one world: a lot has room for the devices of so many.
const MOST: u32 = 20;
/// The same for orders: a root-ca that starts checks all that it ever approved.
const MOST_ORDERS: u32 = 10;
/// More calls of one kind than a start makes on one thread: at most one for each client's open intent.
const STARTED: u32 = 18;

/// A service, by whose it is.
type Service = (&'static str, &'static str);

/// So many rounds in each of which these services, one list after the other, are killed at a random moment.
async fn killed<W: Work>(rounds: Share, most: u32, victims: &[&[Service]]) {
    for rounds in campaigns(rounds, most) {
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Ground::new::<W>(&folder.path().join("world"), folder.path()).await;
        for round in 0..rounds {
            let services = victims[round as usize % victims.len()];
            ground
                .round(async |ground| {
                    // The moment is what the campaign is about.
                    tokio::time::sleep(Duration::from_millis(u64::from(10 + below(1490)))).await;
                    ground.kill_and_start(services).await;
                })
                .await;
        }
        ground.settle::<W>("kill -9 at a random moment").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuing_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let (signer, line) = ((FACTORY, SIGNER), (FACTORY, LINE));
    killed::<Issuing>(Share { ci: 20, long: 200 }, MOST, &[&[signer], &[signer, line], &[line]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_killed_at_any_moment_no_approval_is_lost_and_none_counts_for_other_terms() {
    killed::<Orders>(Share { ci: 6, long: 60 }, MOST_ORDERS, &[&[(BRAND, ROOT)]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custody_killed_at_any_moment_no_lot_is_lost_and_no_unit_is_in_two_places() {
    let (root, sender, receiver) = ((BRAND, ROOT), (FACTORY, SIGNER), (TECHNICIAN, SIGNER));
    killed::<Custody>(
        Share { ci: 8, long: 60 },
        MOST,
        &[&[root], &[sender], &[receiver], &[root, sender], &[sender, receiver]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_killed_at_any_moment_no_device_and_no_message_is_lost() {
    let (hub, line) = ((BRAND, HUB), (FACTORY, LINE));
    killed::<Registry>(Share { ci: 6, long: 60 }, MOST, &[&[hub], &[hub], &[hub, line], &[line]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_killed_at_any_moment_no_change_of_a_twin_and_no_message_to_a_device_is_lost() {
    killed::<Talk>(Share { ci: 4, long: 60 }, MOST, &[&[(BRAND, HUB)]]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace"]
async fn killed_at_a_system_call_nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    if !inject::is_possible() {
        return;
    }
    // Before the journal is written, written and not synced, synced and not answered.
    let calls = ["pwrite64", "fdatasync", "sendto,sendmsg,writev"];
    for rounds in campaigns(Share { ci: 9, long: 36 }, 18) {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world");
        let mut ground = Ground::new::<Issuing>(&world, folder.path()).await;
        for round in 0..rounds {
            let call = calls[round as usize % calls.len()];
            inject::next_start(&world, SIGNER, call, &format!("signal=KILL:when={}", STARTED + below(15)));
            ground.kill_and_start(&[(FACTORY, SIGNER)]).await;
            // Its start was slowed down by strace.
            ground.figures.starts.pop();
            inject::nothing(&world);
            ground
                .round(async |ground| {
                    let pid = ground.world.service(FACTORY, SIGNER).unwrap().pid;
                    ended(pid).await;
                    ground.kill_and_start(&[(FACTORY, SIGNER)]).await;
                })
                .await;
        }
        ground.settle::<Issuing>("kill -9 at a system call").await;
    }
}

/// Waits until a process has ended; nobody has taken its exit code yet.
pub(crate) async fn ended(pid: u32) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = status.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        if matches!(state, None | Some(Some('Z' | 'X'))) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "process {pid} did not end");
        tokio::task::yield_now().await;
    }
}
