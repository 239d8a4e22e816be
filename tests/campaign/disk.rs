//! A disk that is full, and a disk that fails.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    ground::{FACTORY, Ground, SIGNER, Share, below, campaigns},
    inject,
    issuing::Issuing,
    killed::ended,
};

/// A small file system in memory; unmounted at the end.
struct Small(TempDir);

impl Small {
    fn new() -> Option<Self> {
        let small = Self(tempfile::tempdir().unwrap());
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128m", "none"]).arg(small.0.path()).status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(small);
        }
        println!("SKIPPED: this machine does not let us mount");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Fills it to the last octet.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        let block = vec![0; 64 << 10];
        while ballast.write_all(&block).is_ok() {}
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the right to mount"]
async fn on_a_full_disk_issuing_stops_by_name_reads_go_on_and_it_recovers_with_the_space() {
    let Some(small) = Small::new() else { return };
    let books = tempfile::tempdir().unwrap();
    let mut ground = Ground::new::<Issuing>(&small.0.path().join("world"), books.path()).await;
    let full = async |ground: &mut Ground| {
        tokio::time::sleep(Duration::from_millis(u64::from(50 + below(300)))).await;
        small.fill();
        let before = inject::provisioned(&ground.world).await;
        let refused = ground.refusal_of_a_new_story().await;
        assert_eq!(refused.as_deref(), Some("STORE_FULL"));
        assert_eq!(inject::provisioned(&ground.world).await, before, "reads go on, and nothing was spent");
        fs::remove_file(small.ballast()).unwrap();
        assert_eq!(ground.refusal_of_a_new_story().await, None, "room again");
    };
    for _ in 0..3 {
        ground.round(full).await;
    }
    // The same process all the time: it neither stopped nor was started again.
    assert_eq!(ground.figures.starts.len(), 0);
    ground.settle::<Issuing>("disk full").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace"]
async fn a_failed_fsync_ends_the_process_and_what_it_serves_afterwards_is_what_is_on_the_disk() {
    if !inject::is_possible() {
        return;
    }
    for rounds in campaigns(Share { ci: 3, long: 12 }, 12) {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world");
        let mut ground = Ground::new::<Issuing>(&world, folder.path()).await;
        for _ in 0..rounds {
            // A start syncs a few times itself, for what peers showed of their journals; this is about a service that has started.
            inject::next_start(&world, SIGNER, "fdatasync", &format!("error=EIO:when={}", 6 + below(10)));
            ground.kill_and_start(&[(FACTORY, SIGNER)]).await;
            ground.figures.starts.pop();
            inject::nothing(&world);
            let log = world.join(FACTORY).join("intermediate-ca.log");
            let before = said(&log);
            ground
                .round(async |ground| {
                    ended(ground.world.service(FACTORY, SIGNER).unwrap().pid).await;
                    ground.kill_and_start(&[(FACTORY, SIGNER)]).await;
                })
                .await;
            let log = said(&log);
            let last_words = log.get(before.len()..).unwrap_or_default();
            assert!(last_words.contains("STORE_STOPPED") || last_words.contains("STORE_IO"), "{last_words}");
        }
        ground.settle::<Issuing>("EIO on fsync").await;
    }
}

fn said(log: &Path) -> String {
    fs::read_to_string(log).unwrap()
}
