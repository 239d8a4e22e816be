//! Group commit: many tasks, one sync, and what each is told when it fails.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use api::Refusal;
use mfg::Tally;
use records::CommitQueue;
use store::{
    Committed, Conflict, FaultPlan, Head, Key, MemoryStore, Page, Position, Receipt, Record, Step, Store, StoreError,
    Submitted, Unit,
};
use tokio::{sync::mpsc as tasks, task::JoinHandle};

use super::{act, lot_key, lot_unit, memory};

/// A store whose commits say how many units they have, and wait until the test lets them pass.
struct Gated {
    store: MemoryStore,
    entered: tasks::UnboundedSender<usize>,
    passes: Mutex<mpsc::Receiver<()>>,
}

impl Store for Gated {
    fn submit(&self, units: Vec<Unit>) -> Result<Submitted, StoreError> {
        self.entered.send(units.len()).unwrap();
        // A test that has ended lets everything pass.
        let _ = self.passes.lock().unwrap().recv();
        self.store.submit(units)
    }

    fn write_behind(&self) {
        self.store.write_behind();
    }

    fn wait(&self, submitted: Submitted) -> Result<Vec<Result<Committed, Conflict>>, StoreError> {
        self.store.wait(submitted)
    }

    fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.store.get(key)
    }

    fn read(&self, at: Position) -> Result<Record, StoreError> {
        self.store.read(at)
    }

    fn list(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError> {
        self.store.list(collection, after, limit)
    }

    fn tally(&self, lot: &Key) -> Result<Option<Tally>, StoreError> {
        self.store.tally(lot)
    }

    fn open_intents(&self) -> Result<Vec<Position>, StoreError> {
        self.store.open_intents()
    }

    fn receipt(&self, at: Position) -> Result<Receipt, StoreError> {
        self.store.receipt(at)
    }

    fn head(&self) -> Head {
        self.store.head()
    }

    fn last(&self) -> Result<Option<Position>, StoreError> {
        self.store.last()
    }

    fn history(&self, from: Position, limit: usize) -> Result<Page, StoreError> {
        self.store.history(from, limit)
    }

    fn syncs(&self) -> u64 {
        self.store.syncs()
    }
}

type Outcome = Result<Result<Committed, Conflict>, Refusal>;

struct Bench {
    store: Arc<Gated>,
    queue: CommitQueue,
    worker: thread::JoinHandle<()>,
    entered: tasks::UnboundedReceiver<usize>,
    pass: mpsc::Sender<()>,
}

impl Bench {
    fn new(faults: &FaultPlan) -> Self {
        let ((entering, entered), (pass, passes)) = (tasks::unbounded_channel(), mpsc::channel());
        let store = Arc::new(Gated { store: memory(faults), entered: entering, passes: Mutex::new(passes) });
        let (queue, worker) = CommitQueue::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
        Self { store, queue, worker, entered, pass }
    }

    /// A task that commits this lot.
    fn commit(&self, request: u8, lot: &str) -> JoinHandle<Outcome> {
        let (queue, unit) = (self.queue.clone(), lot_unit(&act(request), lot));
        tokio::spawn(async move { queue.commit(unit).await })
    }

    /// Lots `b1` and on, of which the first is in the store's hands and the others wait together.
    async fn one_ahead_of(&mut self, waiting: u8) -> (JoinHandle<Outcome>, Vec<JoinHandle<Outcome>>) {
        let first = self.commit(0, "b0");
        assert_eq!(self.entered.recv().await, Some(1));
        let waiting = (1..=waiting).map(|n| self.commit(n, &format!("b{n}"))).collect();
        // On one thread every task that was spawned before runs before this one runs again.
        tokio::task::yield_now().await;
        (first, waiting)
    }

    /// Lets one commit pass.
    fn pass(&self) {
        self.pass.send(()).unwrap();
    }

    fn has(&self, lot: &str) -> bool {
        self.store.get(&lot_key(lot)).unwrap().is_some()
    }
}

fn reason(outcome: &Outcome) -> &'static str {
    outcome.as_ref().err().map_or("none", Refusal::reason)
}

#[tokio::test]
async fn whoever_waits_while_the_disk_works_shares_the_next_sync() {
    let mut bench = Bench::new(&FaultPlan::default());
    let (first, waiting) = bench.one_ahead_of(20).await;
    bench.pass();
    assert_eq!(bench.entered.recv().await, Some(20));
    bench.pass();
    let mut positions = vec![first.await.unwrap().unwrap().unwrap().position];
    for task in waiting {
        positions.push(task.await.unwrap().unwrap().unwrap().position);
    }
    assert!(positions.is_sorted() && positions.windows(2).all(|pair| pair[0] != pair[1]));
}

#[tokio::test]
async fn others_at_work_are_not_waited_for_for_ever() {
    let mut bench = Bench::new(&FaultPlan::default());
    let at_work: Vec<_> = (0..100).map(|_| bench.queue.at_work()).collect();
    let alone = bench.commit(1, "b1");
    assert_eq!(bench.entered.recv().await, Some(1));
    bench.pass();
    alone.await.unwrap().unwrap().unwrap();
    drop(at_work);
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit_returns() {
    let mut bench = Bench::new(&FaultPlan::default());
    let (first, waiting) = bench.one_ahead_of(3).await;
    assert!(!first.is_finished() && !bench.has("b0"));
    bench.pass();
    first.await.unwrap().unwrap().unwrap();
    assert_eq!(bench.entered.recv().await, Some(3));
    assert!(waiting.iter().all(|task| !task.is_finished()));
    bench.pass();
    for task in waiting {
        task.await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_unit_that_is_refused_does_not_touch_its_neighbours() {
    let mut bench = Bench::new(&FaultPlan::default());
    let (first, waiting) = bench.one_ahead_of(2).await;
    let again = bench.commit(9, "b0");
    tokio::task::yield_now().await;
    bench.pass();
    assert_eq!(bench.entered.recv().await, Some(3));
    bench.pass();
    first.await.unwrap().unwrap().unwrap();
    for task in waiting {
        task.await.unwrap().unwrap().unwrap();
    }
    assert!(matches!(again.await.unwrap(), Ok(Err(Conflict::KeyTaken { key, .. })) if key == lot_key("b0")));
}

#[tokio::test]
async fn a_task_that_goes_away_abandons_the_answer_and_not_the_unit() {
    let mut bench = Bench::new(&FaultPlan::default());
    let (first, waiting) = bench.one_ahead_of(1).await;
    first.abort();
    waiting[0].abort();
    let after = bench.commit(9, "b9");
    tokio::task::yield_now().await;
    bench.pass();
    bench.pass();
    after.await.unwrap().unwrap().unwrap();
    assert!(bench.has("b0") && bench.has("b1"));
}

#[tokio::test]
async fn a_full_disk_refuses_those_that_wait_and_the_queue_goes_on() {
    let faults = FaultPlan::default();
    let mut bench = Bench::new(&faults);
    let (first, waiting) = bench.one_ahead_of(5).await;
    faults.fail_after(Step::DiskFull, 1);
    bench.pass();
    bench.pass();
    first.await.unwrap().unwrap().unwrap();
    for task in waiting {
        assert_eq!(reason(&task.await.unwrap()), "STORE_FULL");
    }
    assert!((1..=5).all(|n| !bench.has(&format!("b{n}"))));
    bench.pass();
    bench.commit(1, "b1").await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn after_a_failed_sync_nobody_is_told_success_and_nothing_is_tried_again() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync] {
        let faults = FaultPlan::default();
        let mut bench = Bench::new(&faults);
        let (first, waiting) = bench.one_ahead_of(4).await;
        faults.fail_after(step, 1);
        bench.pass();
        bench.pass();
        first.await.unwrap().unwrap().unwrap();
        for task in waiting {
            assert_eq!(reason(&task.await.unwrap()), "STORE_STOPPED", "{step:?}");
        }
        bench.pass();
        assert_eq!(reason(&bench.commit(9, "b9").await.unwrap()), "STORE_STOPPED", "{step:?}");
        bench.store.store.power_cut();
        assert!(bench.has("b0"), "{step:?}: what was answered is there");
        let kept = (1..=4).filter(|n| bench.has(&format!("b{n}"))).count();
        assert_eq!(kept, if step == Step::AfterSync { 4 } else { 0 }, "{step:?}");
    }
}

#[tokio::test]
async fn the_committing_thread_ends_with_the_last_handle_and_finishes_what_was_handed_in() {
    let mut bench = Bench::new(&FaultPlan::default());
    let (first, waiting) = bench.one_ahead_of(2).await;
    let Bench { store, queue, worker, pass, .. } = bench;
    drop(queue);
    drop(pass);
    for task in std::iter::once(first).chain(waiting) {
        task.await.unwrap().unwrap().unwrap();
    }
    tokio::task::spawn_blocking(move || worker.join().unwrap()).await.unwrap();
    assert!(store.get(&lot_key("b2")).unwrap().is_some());
}
