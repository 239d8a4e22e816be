//! The index of a store of many records is gone: it is made anew while the service starts, which shows how far it is, and says the same.

use std::{fs, path::Path, process::Command, time::Duration};

use api::journal::v1::record::Fact;
use mfg::Tally;
use records::keys;
use store::{EmbeddedStore, Head, Options, Position, Store as _};

use crate::{
    ground::{SIGNER, Share, TECHNICIAN},
    inject::BINARY,
    started::Started,
};

/// Devices of which each leaves two records: just enough for one line of progress, which comes with every 50,000 records, or a million.
const DEVICES: Share = Share { ci: 26_000, long: 500_000 };
/// The lot that a measurement issues from.
const LOT: &str = "t7";
/// Until a service with a million records is ready.
const READY: Duration = Duration::from_secs(60);

#[test]
fn a_lost_index_is_made_anew_with_progress_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    issue(DEVICES.asked_for(), folder.path());
    let place = folder.path().join("world").join(TECHNICIAN);
    let store = place.join(format!("{SIGNER}-store"));
    let before = Seen::of(&store);
    fs::remove_dir_all(store.join("index")).unwrap();
    let started = Started::new(SIGNER, &place);
    let (took, progress) = (started.took, started.told("reading the journal"));
    started.end();
    progress.iter().for_each(|line| println!("{line}"));
    println!(
        "an index of {} records made anew: ready in {} ms, {} lines of progress",
        before.records,
        took.as_millis(),
        progress.len()
    );
    let steps = usize::try_from(before.records / 50_000).unwrap();
    assert!(steps > 0 && progress.len() == steps, "{} lines of progress", progress.len());
    assert!(took <= READY, "ready after {took:?}");
    let after = Seen::of(&store);
    assert!(before == after, "{before:?} is now {after:?}");
}

/// Has a signer of a world in this folder issue certificates for so many devices, and ends it in good order.
fn issue(devices: u32, folder: &Path) {
    let bench = ["bench", "--local", "--target", "signer", "--mode", "stream", "--duration", "1s", "--warmup", "0s"];
    let mut command = Command::new(BINARY);
    command.args(bench).args(["--prefill", &devices.to_string()]).arg("--out").arg(folder.join("world"));
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// What a store answers, each device looked up.
#[derive(Debug, PartialEq)]
struct Seen {
    records: u64,
    head: Head,
    tally: Option<Tally>,
    devices: Looked,
}

/// Where every device's first record is, and the one that is found by its id.
#[derive(PartialEq)]
struct Looked(Vec<(Position, Option<Position>)>);

impl std::fmt::Debug for Looked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} devices, {} found", self.0.len(), self.0.iter().filter(|(_, found)| found.is_some()).count())
    }
}

impl Seen {
    fn of(dir: &Path) -> Self {
        let store = EmbeddedStore::open(dir, Options::default()).unwrap();
        assert!(!store.opened().rebuilt);
        let (mut records, mut devices, mut from) = (0, Vec::new(), Position::from_u64(0));
        loop {
            let page = store.history(from, store::MAX_LISTED).unwrap();
            for record in &page.records {
                records += 1;
                if let Fact::DeviceIntent(intent) = records::read(record).unwrap().1 {
                    let found = store.get(&keys::device(&intent.device_id)).unwrap();
                    devices.push((record.position, found.map(|found| found.position)));
                }
            }
            if page.next >= page.head.position {
                break;
            }
            from = page.next;
        }
        assert!(devices.iter().all(|(at, found)| found.is_some_and(|found| found >= *at)), "every device is found");
        let tally = store.tally(&keys::lot(LOT)).unwrap();
        Self { records, head: store.head(), tally, devices: Looked(devices) }
    }
}
