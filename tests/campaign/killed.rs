//! kill -9, at random moments and at chosen system calls.

use std::time::Duration;

use crate::{
    ground::{FACTORY, Ground, LINE, SIGNER, below, campaigns},
    inject,
};

const ROUNDS: u32 = 20;
/// A lot has room for the devices of so many rounds.
const MOST: u32 = 20;
/// More calls of one kind than a start makes on one thread: at most one for each client's open intent.
const STARTED: u32 = 18;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    for rounds in campaigns(ROUNDS, MOST) {
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Ground::new(&folder.path().join("world"), folder.path()).await;
        for round in 0..rounds {
            let kinds: &[&str] = match round % 3 {
                0 => &[SIGNER],
                1 => &[SIGNER, LINE],
                _ => &[LINE],
            };
            ground
                .round(async |ground| {
                    // The moment is what the campaign is about.
                    tokio::time::sleep(Duration::from_millis(u64::from(10 + below(1490)))).await;
                    ground.kill_and_start(kinds).await;
                })
                .await;
        }
        ground.settle("kill -9 at a random moment").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace"]
async fn killed_at_a_system_call_nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    // Before the journal is written, written and not synced, synced and not answered.
    let calls = ["pwrite64", "fdatasync", "sendto,sendmsg,writev"];
    for rounds in campaigns(9, 18) {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world");
        let mut ground = Ground::new(&world, folder.path()).await;
        for round in 0..rounds {
            let call = calls[round as usize % calls.len()];
            inject::next_start(&world, call, &format!("signal=KILL:when={}", STARTED + below(15)));
            ground.kill_and_start(&[SIGNER]).await;
            // Its start was slowed down by strace.
            ground.figures.starts.pop();
            inject::nothing(&world);
            ground
                .round(async |ground| {
                    let pid = ground.world.service(FACTORY, SIGNER).unwrap().pid;
                    ended(pid).await;
                    ground.kill_and_start(&[SIGNER]).await;
                })
                .await;
        }
        ground.settle("kill -9 at a system call").await;
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
