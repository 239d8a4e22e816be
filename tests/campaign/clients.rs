//! Clients that carry out stories, step by step, whatever happens to the services.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use simulator::World;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    book::{Book, Entries},
    deed::{self, Deed, Desk},
    story::{Act, Heard, Story, Tellers},
};

pub(crate) const CLIENTS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);
/// Stories that are looked at after every start: a crash loses the latest. At the end it is all of them.
const LOOKED_AT: usize = 8;

/// Where the world stands, as clients hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// So many starts so far: who was refused may try again.
    Up(u32),
    /// The round is over.
    Stop,
}

/// A story with what was heard of it so far.
struct Tale {
    story: Box<dyn Story>,
    /// Asked for and not answered yet, to the octet.
    pending: Option<Act>,
    is_over: bool,
}

/// A deed that was acknowledged.
struct Told {
    name: String,
    deed: Deed,
    kept: Bytes,
}

pub(crate) struct Client {
    pub(crate) number: usize,
    tellers: Tellers,
    tales: Vec<Tale>,
    told: Vec<Told>,
    /// Calls that were acknowledged.
    acknowledged: usize,
    book: Book,
    /// Answers that differ from what was told before.
    pub(crate) lost: usize,
    /// Calls that ended without an answer.
    pub(crate) failures: usize,
    /// Whether the power is off: nobody hears anything then.
    dark: Arc<AtomicBool>,
}

/// The ways to the services, where they are in this round.
struct Ways(BTreeMap<Desk, Channel>);

impl Ways {
    fn new(world: &World, desks: &[Desk]) -> Self {
        Self(desks.iter().map(|desk| (*desk, desk.channel(world))).collect())
    }

    async fn ask(&self, deed: &Deed) -> Result<Bytes, Status> {
        let answer = timeout(PATIENCE, deed.ask(self.0[&deed.desk].clone())).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
    }
}

impl Client {
    pub(crate) fn new(books: &Path, number: usize, tellers: &Tellers, dark: &Arc<AtomicBool>) -> Self {
        Self {
            number,
            tellers: tellers.clone(),
            tales: Vec::new(),
            told: Vec::new(),
            acknowledged: 0,
            book: Book::open(books, number),
            lost: 0,
            failures: 0,
            dark: Arc::clone(dark),
        }
    }

    /// How many stories it has begun.
    pub(crate) fn begun(&self) -> usize {
        self.tales.len()
    }

    /// One round: what was not answered first, then new stories, then everything again, until told to stop.
    pub(crate) fn round(
        mut self,
        world: &World,
        mut signal: watch::Receiver<Signal>,
    ) -> impl Future<Output = Self> + use<> {
        let ways = Ways::new(world, self.tellers.desks);
        let doors = self.tellers.doors(world);
        async move {
            let mut fresh = self.tellers.fresh;
            let mut place = 0;
            let mut has_looked = false;
            loop {
                let Signal::Up(starts) = *signal.borrow_and_update() else { return self };
                if self.unfinished().is_none() && fresh > 0 {
                    fresh -= 1;
                    self.begin();
                }
                let asked = match self.unfinished() {
                    _ if !has_looked => self.look(self.tales.len().saturating_sub(LOOKED_AT), &ways).await,
                    Some(tale) => self.go_on(tale, &ways, &doors).await,
                    None if self.told.is_empty() => Ok(()),
                    None => {
                        place += 1;
                        self.repeat(place % self.told.len(), &ways).await
                    }
                };
                has_looked = asked.is_ok();
                if asked.is_err() {
                    // Nothing to do before the world changes.
                    let changed = signal.wait_for(|now| *now != Signal::Up(starts));
                    if timeout(PATIENCE, changed).await.is_err() {
                        return self;
                    }
                }
            }
        }
    }

    /// Begins one more story and tells as much of it as it can; answers why it got no further.
    pub(crate) async fn begin_another(&mut self, world: &World) -> Option<String> {
        let (ways, doors) = (Ways::new(world, self.tellers.desks), self.tellers.doors(world));
        self.begin();
        while let Some(tale) = self.unfinished() {
            if let Err(status) = self.go_on(tale, &ways, &doors).await {
                return Some(deed::reason(&status));
            }
        }
        None
    }

    /// Ends every story, asks for everything once more, and has devices find what is there for them.
    pub(crate) async fn settle(&mut self, world: &World) {
        let (ways, doors) = (Ways::new(world, self.tellers.desks), self.tellers.doors(world));
        self.stubbornly(async |client| client.look(0, &ways).await).await;
        while let Some(tale) = self.unfinished() {
            self.stubbornly(async |client| client.go_on(tale, &ways, &doors).await).await;
        }
        for place in 0..self.told.len() {
            self.stubbornly(async |client| client.repeat(place, &ways).await).await;
        }
        self.stubbornly(async |client| client.look(0, &ways).await).await;
        for errand in self.tales.iter().filter_map(|tale| tale.story.at_last()) {
            errand.run(&doors, &mut |_| {}).await.unwrap();
        }
    }

    /// Until it is answered. Right after a start, one service may not have found another again.
    async fn stubbornly(&mut self, mut ask: impl AsyncFnMut(&mut Self) -> Result<(), Status>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask(self).await {
                Ok(()) => return,
                Err(status) if status.code() == Code::Unavailable && Instant::now() < deadline => {
                    tokio::task::yield_now().await;
                }
                Err(status) => panic!("client {}: {}", self.number, deed::reason(&status)),
            }
        }
    }

    /// Asks whether everything that was acknowledged is still answered, and as before; answers how much is not.
    pub(crate) async fn count_lost(&mut self, world: &World) -> usize {
        let ways = Ways::new(world, self.tellers.desks);
        let _ = self.look(0, &ways).await;
        for place in 0..self.told.len() {
            if self.repeat(place, &ways).await.is_err() {
                self.lost += 1;
            }
        }
        self.lost
    }

    /// Asks for everything that was acknowledged and counts, in `lost`, the answers that differ; refusals are none.
    pub(crate) async fn count_different(&mut self, world: &World) {
        let ways = Ways::new(world, self.tellers.desks);
        for place in 0..self.told.len() {
            let _ = self.repeat(place, &ways).await;
        }
    }

    /// What the book says, which is what this client remembers.
    pub(crate) fn read_book(&self) -> Entries {
        let entries = self.book.read();
        for told in &self.told {
            assert!(entries.has(&told.name, &told.kept), "{} is not in the book as it was told", told.name);
        }
        entries
    }

    fn begin(&mut self) {
        let story = (self.tellers.begin)(self.number, self.tales.len());
        self.tales.push(Tale { story, pending: None, is_over: false });
    }

    fn unfinished(&self) -> Option<usize> {
        self.tales.iter().position(|tale| !tale.is_over)
    }

    /// Looks at the stories from one on: what was acknowledged must be seen.
    async fn look(&mut self, from: usize, ways: &Ways) -> Result<(), Status> {
        let looks: Vec<_> = self.tales[from..].iter().flat_map(|tale| tale.story.looks()).collect();
        for look in looks {
            let seen = ways.ask(&look.deed).await;
            if self.dark.load(Ordering::SeqCst) {
                return Err(power_off());
            }
            match seen {
                Ok(answer) if (look.is_so)(&answer) => continue,
                Ok(_) => eprintln!("client {}: {} shows less than was acknowledged", self.number, look.deed.name()),
                Err(status) if is_away(&status) => return Err(status),
                Err(status) => eprintln!("client {}: {}: {}", self.number, look.deed.name(), deed::reason(&status)),
            }
            self.lost += 1;
        }
        Ok(())
    }

    /// The next step of a story.
    async fn go_on(&mut self, place: usize, ways: &Ways, doors: &BTreeMap<String, String>) -> Result<(), Status> {
        let (number, tale) = (self.number, &mut self.tales[place]);
        let Some(act) = tale.pending.take().or_else(|| tale.story.next()) else {
            tale.is_over = true;
            return Ok(());
        };
        let outcome = match &act {
            Act::Ask(deed) => match ways.ask(deed).await {
                Ok(_) if self.dark.load(Ordering::SeqCst) => Err(power_off()),
                Ok(answer) => {
                    let heard = tale.story.heard(&answer);
                    if heard == Heard::Again {
                        return Ok(());
                    }
                    let (name, kept) =
                        (format!("{number}.{place}.{}.{}", self.acknowledged, deed.name()), (deed.kept)(&answer));
                    self.acknowledged += 1;
                    self.book.note(&name, &kept);
                    if heard == Heard::Done {
                        self.told.push(Told { name, deed: deed.clone(), kept });
                    }
                    return Ok(());
                }
                Err(status) => Err(status),
            },
            Act::Go(errand) => {
                // Sent again after a failure, a message is another one, which nothing but its try tells from the first.
                let (book, dark, tries) = (&mut self.book, &self.dark, self.failures);
                errand
                    .run(doors, &mut |message| {
                        if !dark.load(Ordering::SeqCst) {
                            book.note(&format!("{message}.{tries}"), b"");
                        }
                    })
                    .await
            }
        };
        match outcome {
            Ok(()) if self.dark.load(Ordering::SeqCst) => {
                tale.pending = Some(act);
                return Err(power_off());
            }
            Ok(()) => tale.story.sent(),
            Err(status) => {
                tale.pending = Some(act);
                self.failures += 1;
                return Err(status);
            }
        }
        Ok(())
    }

    /// Asks for something that was acknowledged before.
    async fn repeat(&mut self, place: usize, ways: &Ways) -> Result<(), Status> {
        let told = &self.told[place];
        match ways.ask(&told.deed).await {
            Ok(_) if self.dark.load(Ordering::SeqCst) => Err(power_off()),
            Ok(answer) => {
                if (told.deed.kept)(&answer) != told.kept {
                    eprintln!("{} was answered differently", told.name);
                    self.lost += 1;
                }
                Ok(())
            }
            Err(status) => {
                self.failures += 1;
                Err(status)
            }
        }
    }
}

/// Nobody is there to ask, or not for long enough.
fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}

fn power_off() -> Status {
    Status::unavailable("the power is off")
}
