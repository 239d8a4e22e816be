//! A brand, a factory and its line as processes, and what must hold of them after a campaign.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use api::journal::v1::record::Fact;
use records::keys;
use simulator::{Folder, Journey, Manifest, Narrator, Plan, Program, Stop, World};
use store::{EmbeddedStore, Options, Position, Store as _};
use tokio::sync::watch;

use crate::{
    book,
    clients::{CLIENTS, Client, Signal},
    inject,
};

pub(crate) const FACTORY: &str = "factory-y";
pub(crate) const LOT: &str = "b0032";
pub(crate) const SIGNER: &str = "intermediate-ca";
pub(crate) const LINE: &str = "provisioner";
/// Devices that the journey itself makes.
const BEFORE: u64 = 1;
/// A service is ready again within this; one that was built for debugging, beside other tests, takes longer.
const READY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 6 } else { 2 });

/// What a campaign came to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) rounds: u32,
    pub(crate) acknowledged: usize,
    pub(crate) failures: usize,
    pub(crate) starts: Vec<Duration>,
}

pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    pub(crate) world: World,
    pub(crate) clients: Vec<Client>,
    /// One more client, which asks while the others are at work.
    probe: Option<Client>,
    pub(crate) figures: Figures,
    signal: watch::Sender<Signal>,
    /// Whether the power is off: no client hears anything then.
    pub(crate) dark: Arc<AtomicBool>,
}

fn plan() -> Plan {
    Plan::new(1, 1).unwrap()
}

impl Ground {
    /// A world in a folder that made its journey, and clients whose books lie elsewhere. Everything runs.
    pub(crate) async fn new(folder: &Path, books: &Path) -> Self {
        let program = inject::program(folder);
        let mut world = open(folder, program);
        Journey::new(&plan(), &mut world).run(&mut Silent).await.unwrap();
        let dark = Arc::new(AtomicBool::new(false));
        Self {
            folder: folder.to_owned(),
            world,
            clients: (0..CLIENTS).map(|number| Client::new(books, number, &dark)).collect(),
            probe: Some(Client::new(books, CLIENTS, &dark)),
            dark,
            figures: Figures::default(),
            signal: watch::Sender::new(Signal::Up(0)),
        }
    }

    /// Lets the clients loose, does what happens meanwhile, and calls them back.
    pub(crate) async fn round<F>(&mut self, happens: F)
    where
        F: AsyncFnOnce(&mut Self),
    {
        self.signal.send_replace(Signal::Up(u32::try_from(self.figures.starts.len()).unwrap()));
        let clients = std::mem::take(&mut self.clients);
        let rounds: Vec<_> =
            clients.into_iter().map(|c| tokio::spawn(c.round(&self.world, self.signal.subscribe()))).collect();
        happens(self).await;
        self.signal.send_replace(Signal::Stop);
        for round in rounds {
            self.clients.push(round.await.unwrap());
        }
        self.figures.rounds += 1;
    }

    /// Kills a service and starts it again.
    pub(crate) async fn kill_and_start(&mut self, kinds: &[&str]) {
        let mut killed = Vec::new();
        for kind in kinds {
            killed.push(self.world.kill_service(FACTORY, kind).await.unwrap());
        }
        // What is killed first was started first; the line needs its signer.
        for service in killed {
            let began = Instant::now();
            self.world.start_again(service).await.unwrap();
            self.figures.starts.push(began.elapsed());
            self.signal.send_replace(Signal::Up(u32::try_from(self.figures.starts.len()).unwrap()));
        }
    }

    /// Kills everything, as far as it still runs.
    pub(crate) async fn kill_all(&mut self) {
        self.world.kill().await.unwrap();
    }

    /// Starts everything on what is on the disk. The clients' ways are new ones.
    pub(crate) async fn start_all(&mut self) -> anyhow::Result<()> {
        self.world = open(&self.folder, inject::program(&self.folder));
        self.world.start_root_ca().await?;
        let began = Instant::now();
        self.world.start_intermediate_ca(0).await?;
        self.figures.starts.push(began.elapsed());
        self.world.start_provisioner().await?;
        Ok(())
    }

    /// Asks the signer for a device that nobody wanted before; answers the reason if it is refused.
    pub(crate) async fn refusal_of_a_new_device(&mut self) -> Option<String> {
        self.probe.as_mut().unwrap().ask_for_another(&self.world).await
    }

    pub(crate) fn store(&self, kind: &str) -> PathBuf {
        self.folder.join(FACTORY).join(format!("{kind}-store"))
    }

    /// Every promise, looked at from outside and from inside.
    pub(crate) async fn settle(mut self, campaign: &str) {
        let store = self.store(SIGNER);
        self.clients.extend(self.probe.take());
        for client in &mut self.clients {
            client.settle(&self.world).await;
            assert_eq!(client.lost, 0, "an acknowledged certificate came back different");
        }
        let books: Vec<_> = self.clients.iter().map(Client::read_book).collect();
        self.figures.acknowledged = book::count(&books);
        self.figures.failures = self.clients.iter().map(|client| client.failures).sum();
        let operator_sees = inject::provisioned(&self.world).await;
        assert_eq!(operator_sees, BEFORE + self.figures.acknowledged as u64, "the tally is what was acknowledged");
        self.world.kill().await.unwrap();
        assert_journal_agrees(&store, operator_sees);
        let slowest = self.figures.starts.iter().max().copied().unwrap_or_default();
        println!(
            "campaign {campaign}: {} rounds, {} certificates acknowledged, 0 lost, 0 serials twice, 0 units too many, {} calls failed \
             on the way, {} starts, the slowest ready in {} ms",
            self.figures.rounds,
            self.figures.acknowledged,
            self.figures.failures,
            self.figures.starts.len(),
            slowest.as_millis()
        );
        assert!(slowest <= READY, "a service was ready after {slowest:?}");
    }
}

impl Drop for Ground {
    /// A campaign that fails says what the signer said last: its folder is about to go.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log =
                std::fs::read_to_string(self.folder.join(FACTORY).join("intermediate-ca.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the signer's last words:\n{}", lines[lines.len().saturating_sub(12)..].join("\n"));
        }
    }
}

/// Every intent is signed or voided, no serial is there twice, and an index made anew says the same.
fn assert_journal_agrees(dir: &Path, provisioned: u64) {
    for anew in [false, true] {
        if anew {
            std::fs::remove_dir_all(dir.join("index")).unwrap();
        }
        let store = EmbeddedStore::open(dir, Options::default()).unwrap();
        assert_eq!(store.opened().rebuilt, anew);
        let open = store.open_intents().unwrap();
        assert_eq!(open.len(), 0, "everything was asked for again, so nothing is unsigned");
        let tally = store.tally(&keys::lot(LOT)).unwrap().unwrap();
        assert_eq!(tally.provisioned(), provisioned);
        let (mut intents, mut signed, mut voided) = (0_u64, 0_u64, 0_u64);
        let mut from = Position::from_u64(0);
        loop {
            let page = store.history(from, store::MAX_LISTED).unwrap();
            for record in &page.records {
                let fact = records::read(record).unwrap().1;
                intents += u64::from(matches!(fact, Fact::DeviceIntent(_)));
                signed += u64::from(matches!(fact, Fact::DeviceSigned(_)));
                voided += u64::from(matches!(fact, Fact::IntentVoided(_)));
            }
            if page.next >= page.head.position {
                break;
            }
            from = page.next;
        }
        assert_eq!((intents, signed), (provisioned + voided, provisioned));
    }
}

fn open(folder: &Path, program: Program) -> World {
    World::open(Folder::create(folder).unwrap(), &plan(), program).unwrap()
}

/// Hears nothing.
struct Silent;

impl Narrator for Silent {
    fn service_ready(&mut self, _name: &str, _grpc: &str) {}
    fn order_approved(&mut self, _order: &api::order::v1::Order, _operators: &[&str]) {}
    fn lot_received(&mut self, _stop: &Stop, _hop: &simulator::HopEntry) {}
    fn devices_provisioned(&mut self, _done: u32, _all: u32) {}
    fn finished(&mut self, _manifest: &Manifest, _tally: &api::custody::v1::Tally, _took: Duration) {}
}

/// So many rounds, unless `COUNTERSIGN_ROUNDS` says otherwise, in campaigns of at most `most` each.
pub(crate) fn campaigns(rounds: u32, most: u32) -> Vec<u32> {
    let asked = std::env::var("COUNTERSIGN_ROUNDS").ok().map(|text| text.parse().expect("COUNTERSIGN_ROUNDS"));
    let all: u32 = asked.unwrap_or(rounds);
    let mut left = all;
    let mut campaigns = Vec::new();
    while left > 0 {
        campaigns.push(left.min(most));
        left -= left.min(most);
    }
    campaigns
}

/// A number below `bound` that differs from run to run.
pub(crate) fn below(bound: u32) -> u32 {
    let mut octets = [0; 4];
    issuance::Entropy::fill(&issuance::SystemEntropy, &mut octets).unwrap();
    u32::from_le_bytes(octets) % bound
}
