//! The services of a supply chain as processes, and what must hold of them after a campaign.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use api::journal::v1::record::Fact;
use simulator::{BRAND, Folder, Journey, Manifest, Narrator, Plan, Stop, World};
use store::{EmbeddedStore, Options, Position, Store};
use tokio::sync::watch;

use crate::{
    book::{self, Entries},
    clients::{CLIENTS, Client, Signal},
    inject,
    story::Tellers,
};

pub(crate) const FACTORY: &str = "factory-y";
pub(crate) const TECHNICIAN: &str = "technician-z";
/// factory-y's lot of the journey.
pub(crate) const LOT: &str = "b0032";
pub(crate) const ROOT: &str = "root-ca";
pub(crate) const SIGNER: &str = "intermediate-ca";
pub(crate) const LINE: &str = "provisioner";
pub(crate) const HUB: &str = "hub";
/// A service is ready again within this; one that was built for debugging, beside other tests, takes longer.
pub(crate) const READY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 6 } else { 2 });

/// What a campaign has clients do, and what must hold afterwards.
pub(crate) trait Work {
    /// What is done, in a word.
    const NAME: &'static str;
    /// Manufacturers on the route.
    const HOPS: u32;
    /// Whether a hub runs as well.
    const HAS_HUB: bool;

    /// Makes ready what the stories build on, in a world that runs and made its journey.
    fn prepare(world: &World) -> impl Future<Output = Tellers>;

    /// What the services themselves say, while they run, is what was acknowledged.
    fn agree(ground: &Ground, books: &[Entries]) -> impl Future<Output = ()>;

    /// The same for what is on disk, when they have ended.
    fn agree_on_disk(ground: &Ground, books: &[Entries]);
}

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
    plan: Plan,
    has_hub: bool,
    pub(crate) world: World,
    pub(crate) clients: Vec<Client>,
    /// One more client, which asks while the others are at work.
    probe: Option<Client>,
    pub(crate) figures: Figures,
    signal: watch::Sender<Signal>,
    /// Whether the power is off: no client hears anything then.
    pub(crate) dark: Arc<AtomicBool>,
}

impl Ground {
    /// A world in a folder that made its journey, and clients whose books lie elsewhere. Everything runs.
    pub(crate) async fn new<W: Work>(folder: &Path, books: &Path) -> Self {
        let plan = Plan::new(1, W::HOPS).unwrap();
        let mut world = open(folder, &plan);
        Journey::new(&plan, &mut world).run(&mut Silent).await.unwrap();
        let tellers = W::prepare(&world).await;
        let dark = Arc::new(AtomicBool::new(false));
        Self {
            folder: folder.to_owned(),
            plan,
            has_hub: W::HAS_HUB,
            world,
            clients: (0..CLIENTS).map(|number| Client::new(books, number, &tellers, &dark)).collect(),
            probe: Some(Client::new(books, CLIENTS, &tellers, &dark)),
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

    /// Kills services and starts them again.
    pub(crate) async fn kill_and_start(&mut self, services: &[(&str, &str)]) {
        let mut killed = Vec::new();
        for (manufacturer, kind) in services {
            killed.push(self.world.kill_service(manufacturer, kind).await.unwrap());
        }
        // What is killed first was started first; the line needs its signer.
        for service in killed {
            let began = Instant::now();
            self.world.start_again(service).await.unwrap();
            self.figures.starts.push(began.elapsed());
            self.signal.send_replace(Signal::Up(u32::try_from(self.figures.starts.len()).unwrap()));
        }
    }

    /// The power goes: nothing is heard from here on, and `cut` takes from the processes what they stand on.
    pub(crate) async fn lose_power(&mut self, cut: impl FnOnce()) {
        // While it shuts down, ext4 may let an fdatasync succeed that wrote nothing. A machine without power answers nobody.
        self.dark.store(true, Ordering::SeqCst);
        cut();
        self.kill_all().await;
    }

    /// Kills everything, as far as it still runs.
    pub(crate) async fn kill_all(&mut self) {
        self.world.kill().await.unwrap();
    }

    /// Starts everything on what is on the disk. The clients' ways are new ones.
    pub(crate) async fn start_all(&mut self) -> anyhow::Result<()> {
        self.dark.store(false, Ordering::SeqCst);
        self.world = open(&self.folder, &self.plan);
        let starts = &mut self.figures.starts;
        let mut began = Instant::now();
        let mut started = || starts.push(std::mem::replace(&mut began, Instant::now()).elapsed());
        self.world.start_root_ca().await?;
        started();
        for index in 0..self.world.manufacturers.len() {
            self.world.start_intermediate_ca(index).await?;
            started();
        }
        if self.has_hub {
            self.world.start_hub().await?;
            started();
        }
        self.world.start_provisioner().await?;
        started();
        Ok(())
    }

    /// Begins a story that nobody told before; answers the reason if it is refused.
    pub(crate) async fn refusal_of_a_new_story(&mut self) -> Option<String> {
        let refused = self.probe.as_mut().unwrap().begin_another(&self.world).await?;
        Some(refused.split(':').next().unwrap_or_default().to_owned())
    }

    /// The folder of a service's store.
    pub(crate) fn store(&self, manufacturer: &str, kind: &str) -> PathBuf {
        self.folder.join(manufacturer).join(format!("{kind}-store"))
    }

    /// Every promise, looked at from outside and from inside.
    pub(crate) async fn settle<W: Work>(mut self, campaign: &str) {
        self.clients.extend(self.probe.take());
        for client in &mut self.clients {
            client.settle(&self.world).await;
            assert_eq!(client.lost, 0, "what was acknowledged came back different");
        }
        let books: Vec<_> = self.clients.iter().map(Client::read_book).collect();
        self.figures.acknowledged = book::count(&books);
        self.figures.failures = self.clients.iter().map(|client| client.failures).sum();
        W::agree(&self, &books).await;
        self.world.kill().await.unwrap();
        W::agree_on_disk(&self, &books);
        let slowest = self.figures.starts.iter().max().copied().unwrap_or_default();
        println!(
            "campaign {}, {campaign}: {} rounds, {} answers acknowledged, 0 lost, 0 serials twice, 0 units too many, {} calls failed \
             on the way, {} starts, the slowest ready in {} ms",
            W::NAME,
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
    /// A campaign that fails says what the services said last: its folder is about to go.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (manufacturer, kind) in
            [(BRAND, ROOT), (BRAND, HUB), (FACTORY, SIGNER), (TECHNICIAN, SIGNER), (FACTORY, LINE)]
        {
            let log = self.folder.join(manufacturer).join(format!("{kind}.log"));
            let Ok(log) = std::fs::read_to_string(log) else { continue };
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(12)..].join("\n");
            eprintln!("the last words of the {kind} of {manufacturer}:\n{last}");
        }
    }
}

/// Looks at a store as it is and once more with its index made anew: no intent is left open, and both say the same.
pub(crate) fn with_both_indexes<T: PartialEq + std::fmt::Debug>(dir: &Path, look: impl Fn(&dyn Store) -> T) {
    let mut seen = Vec::new();
    for anew in [false, true] {
        if anew {
            std::fs::remove_dir_all(dir.join("index")).unwrap();
        }
        let store = EmbeddedStore::open(dir, Options::default()).unwrap();
        assert_eq!(store.opened().rebuilt, anew);
        let open = store.open_intents().unwrap();
        assert_eq!(open.len(), 0, "everything was asked for again, so nothing is unsigned");
        seen.push(look(&store));
    }
    assert_eq!(seen[0], seen[1], "an index made anew says the same");
}

/// Every fact on record, in order.
pub(crate) fn facts(store: &dyn Store) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut from = Position::from_u64(0);
    loop {
        let page = store.history(from, store::MAX_LISTED).unwrap();
        facts.extend(page.records.iter().map(|record| records::read(record).unwrap().1));
        if page.next >= page.head.position {
            return facts;
        }
        from = page.next;
    }
}

fn open(folder: &Path, plan: &Plan) -> World {
    let program = inject::program(folder);
    World::open(Folder::create(folder).unwrap(), plan, program).unwrap()
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

/// How much is done: CI's share, or the whole when `COUNTERSIGN_CAMPAIGNS` is `long`.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) ci: u32,
    pub(crate) long: u32,
}

impl Share {
    pub(crate) fn asked_for(self) -> u32 {
        match std::env::var("COUNTERSIGN_CAMPAIGNS").as_deref() {
            Ok("long") => self.long,
            Ok(other) => panic!("COUNTERSIGN_CAMPAIGNS is {other:?} and not long"),
            Err(_) => self.ci,
        }
    }
}

/// A share of rounds, or as many as `COUNTERSIGN_ROUNDS` says, in campaigns of at most `most` each.
pub(crate) fn campaigns(share: Share, most: u32) -> Vec<u32> {
    let asked = std::env::var("COUNTERSIGN_ROUNDS").ok().map(|text| text.parse().expect("COUNTERSIGN_ROUNDS"));
    let all: u32 = asked.unwrap_or_else(|| share.asked_for());
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
