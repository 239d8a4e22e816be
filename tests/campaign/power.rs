//! Power cuts: the world lies on an ext4 of its own, which is shut down under the running services. What was not synced is gone.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    clients::CLIENTS,
    custody::Custody,
    ground::{Ground, HUB, ROOT, SIGNER, Share, Work, below, campaigns},
    inject,
    issuing::Issuing,
    orders::Orders,
    registry::Registry,
    talk::Talk,
};

const MEGABYTES: u64 = 256;
/// `EXT4_IOC_SHUTDOWN` without flushing the file system's own journal: what a power cut leaves.
const SHUT_DOWN: &str = r#"open(my $d, "<", $ARGV[0]) or die "open: $!"; my $f = pack("L", 2); ioctl($d, 0x8004587d, $f) or die "ioctl: $!""#;

/// A disk in a file, mounted; unmounted at the end.
pub(crate) struct Disk {
    files: TempDir,
}

impl Disk {
    /// None where mounting is not allowed, which is said.
    fn new() -> Option<Self> {
        let disk = Self { files: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.path()).unwrap();
        std::fs::File::create(disk.image()).unwrap().set_len(MEGABYTES << 20).unwrap();
        run("mkfs.ext4", &["-q", text(&disk.image())]);
        if disk.mount() {
            return Some(disk);
        }
        println!("SKIPPED: this machine does not let us mount a loop device");
        None
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.files.path().join("disk")
    }

    /// Where files lie that survive.
    fn beside(&self) -> &Path {
        self.files.path()
    }

    fn image(&self) -> PathBuf {
        self.files.path().join("image")
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(self.image()).arg(self.path());
        silent(&mut mount).status().is_ok_and(|status| status.success())
    }

    /// Everything written so far is on the disk.
    fn sync(&self) {
        run("sync", &["-f", text(&self.path())]);
    }

    fn cut(&self) {
        run("perl", &["-e", SHUT_DOWN, text(&self.path())]);
    }

    /// The power comes back.
    fn mount_again(&self) {
        run("umount", &[text(&self.path())]);
        assert!(self.mount());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = silent(Command::new("umount").arg("-l").arg(self.path())).status();
    }
}

fn silent(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// One round that ends with the power, at a moment that is waited for; the services are started again, if they can be.
async fn cut_off(ground: &mut Ground, disk: &Disk, moment: impl Future<Output = ()>) -> anyhow::Result<()> {
    // What the tests themselves wrote, such as configurations, is not what is looked at.
    disk.sync();
    ground
        .round(async |ground| {
            moment.await;
            ground.lose_power(|| disk.cut()).await;
        })
        .await;
    disk.mount_again();
    ground.start_all().await
}

/// A random moment, which is what the campaign is about.
async fn at_random() {
    tokio::time::sleep(Duration::from_millis(u64::from(50 + below(950)))).await;
}

/// When every client was told so much that some of it came from each service.
async fn when_told_enough(books: &Path) {
    let told = |client| std::fs::read_to_string(books.join(format!("client-{client}"))).unwrap().lines().count();
    let enough = async {
        while (0..CLIENTS).any(|client| told(client) < 6) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), enough).await.expect("the clients are told nothing");
}

async fn cut_off_often<W: Work>(rounds: Share) {
    for rounds in campaigns(rounds, 20) {
        let Some(disk) = Disk::new() else { return };
        let mut ground = Ground::new::<W>(&disk.path().join("world"), disk.beside()).await;
        for _ in 0..rounds {
            cut_off(&mut ground, &disk, at_random()).await.unwrap();
        }
        ground.settle::<W>("power cut").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, and the right to mount"]
async fn issuing_cut_off_from_power_nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    cut_off_often::<Issuing>(Share { ci: 5, long: 50 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, and the right to mount"]
async fn orders_cut_off_from_power_no_approval_is_lost_and_none_counts_for_other_terms() {
    cut_off_often::<Orders>(Share { ci: 2, long: 20 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, and the right to mount"]
async fn custody_cut_off_from_power_no_lot_is_lost_and_no_unit_is_in_two_places() {
    cut_off_often::<Custody>(Share { ci: 2, long: 20 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, and the right to mount"]
async fn the_hub_cut_off_from_power_no_device_and_no_message_is_lost() {
    cut_off_often::<Registry>(Share { ci: 2, long: 20 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, and the right to mount"]
async fn the_hub_cut_off_from_power_no_change_of_a_twin_and_no_message_to_a_device_is_lost() {
    cut_off_often::<Talk>(Share { ci: 2, long: 20 }).await;
}

/// The same with the syncs of one kind of services left out: the harness sees what is lost, so that it would see it above.
async fn cut_off_without_syncs<W: Work>(kind: &str) {
    if !inject::is_possible() {
        return;
    }
    let Some(disk) = Disk::new() else { return };
    let world = disk.path().join("world");
    let mut ground = Ground::new::<W>(&world, disk.beside()).await;
    inject::next_start(&world, kind, "fdatasync,fsync,sync_file_range", "retval=0");
    ground.kill_all().await;
    ground.start_all().await.unwrap();
    inject::nothing(&world);
    let started = cut_off(&mut ground, &disk, when_told_enough(disk.beside())).await;
    let mut lost = 0;
    if started.is_ok() {
        for client in &mut ground.clients {
            lost += client.count_lost(&ground.world).await;
        }
    }
    let acknowledged: usize = ground.clients.iter().map(|client| client.read_book().names().count()).sum();
    println!(
        "campaign {}, power cut without the syncs of the {kind}: {acknowledged} answers acknowledged, {lost} found lost, started again: {}",
        W::NAME,
        started.is_ok()
    );
    assert!(acknowledged > 0);
    assert!(lost > 0 || started.is_err(), "nothing was lost: the harness sees nothing");
    ground.kill_all().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, strace, and the right to mount"]
async fn issuing_without_syncs_loses_what_was_acknowledged() {
    cut_off_without_syncs::<Issuing>(SIGNER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, strace, and the right to mount"]
async fn orders_without_syncs_loses_what_was_acknowledged() {
    cut_off_without_syncs::<Orders>(ROOT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, strace, and the right to mount"]
async fn custody_without_syncs_loses_what_was_acknowledged() {
    cut_off_without_syncs::<Custody>(SIGNER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, strace, and the right to mount"]
async fn the_hub_without_syncs_loses_what_was_acknowledged() {
    cut_off_without_syncs::<Registry>(HUB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mkfs.ext4, perl, strace, and the right to mount"]
async fn twins_and_messages_without_syncs_lose_what_was_acknowledged() {
    cut_off_without_syncs::<Talk>(HUB).await;
}
