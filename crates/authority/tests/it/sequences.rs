//! Long sequences of everything that happens to a lot, with failures, ends and restarts in between, against the model.
//!
//! A share runs with every `cargo test`. More: `COUNTERSIGN_SEQUENCES=10000 cargo test -p authority --test it sequences`. What fails
//! is told with its seed (`COUNTERSIGN_SEED` repeats it) and in its shortest form, which is then kept below under a name.

mod kept;

use api::Refusal;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use service::Workers;
use store::Step;

use crate::{
    model::{Expected, Model, Op},
    shop::{Ask, End, Kind, LotKey, Shop, Told},
    signer::Breaks,
};

/// Sequences with every test run.
const SHARE: u32 = 150;
/// Steps of the longest sequence.
const STEPS: usize = 60;
/// So few units that they run out.
const UNITS: u64 = 12;
const DEVICES: u32 = 8;
const LOTS: u32 = 6;

/// What goes wrong while a step is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// The process ended before it.
    Ended(End),
    /// A step of the store fails after so many went well; then the process ends.
    Store { step: Step, after: usize, end: End },
    /// As before, and the lot key cannot be read at the next start.
    StoreAndKey { step: Step, after: usize },
    /// The lot key breaks.
    Key(Breaks),
}

/// One sequence on one engine.
struct Run {
    shop: Shop,
    model: Model,
    requests: u64,
    runtime: tokio::runtime::Runtime,
}

impl Run {
    fn new(kind: Kind) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { shop: Shop::new(kind, Workers::Inline, UNITS), model: Model::new(UNITS), requests: 0, runtime }
    }

    /// Makes one step, as a caller does who asks again until there is an answer, and compares.
    fn step(&mut self, op: &Op, trouble: Trouble) {
        self.requests += 1;
        if let Trouble::Ended(end) = trouble {
            self.shop.start_again(end, LotKey::There);
        }
        let Some(ask) = self.model.ask(op, self.requests) else {
            if matches!(op, Op::Wait) {
                self.shop.clock.advance(self.model.wait());
            }
            return;
        };
        let expected = self.model.expected(&ask);
        self.plan(trouble);
        let mut outcome = self.ask(&ask);
        if outcome.as_ref().is_err_and(is_failure) {
            self.recover(&ask, trouble, outcome.err().unwrap().reason());
            outcome = self.ask(&ask);
        }
        self.shop.faults.clear();
        self.shop.key.mend();
        let told = match (&outcome, &expected) {
            (Ok(told), Expected::Fresh) => Some(told),
            (Ok(told), Expected::Same(before)) => {
                assert_eq!(told, before, "another answer than before to {ask:?}");
                Some(told)
            }
            (Err(refusal), Expected::Refused(reason)) => {
                assert_eq!(refusal.reason(), *reason, "{ask:?}: {refusal}");
                None
            }
            (outcome, expected) => panic!("{ask:?} came to {outcome:?}, expected {expected:?}"),
        };
        self.model.note(&ask, told);
        self.model.assert_is(&self.shop.tally());
    }

    fn ask(&self, ask: &Ask) -> Result<Told, Refusal> {
        self.runtime.block_on(self.shop.ask(ask))
    }

    fn plan(&self, trouble: Trouble) {
        match trouble {
            Trouble::Store { step, after, .. } | Trouble::StoreAndKey { step, after } => {
                self.shop.faults.fail_after(step, after);
            }
            Trouble::Key(how) => self.shop.key.break_next(how),
            Trouble::None | Trouble::Ended(_) => {}
        }
    }

    /// What people do after a failure: start again where it stopped, else nothing.
    fn recover(&mut self, ask: &Ask, trouble: Trouble, reason: &str) {
        if reason != "STORE_STOPPED" {
            return;
        }
        let (end, lot_key) = match trouble {
            Trouble::Store { end, .. } => (end, LotKey::There),
            // A handoff that cannot be signed stays spent until people look at it: not for a sequence.
            Trouble::StoreAndKey { .. } if !matches!(ask, Ask::Accept { .. }) => (End::PowerCut, LotKey::Missing),
            Trouble::None | Trouble::Ended(_) | Trouble::StoreAndKey { .. } | Trouble::Key(_) => {
                (End::PowerCut, LotKey::There)
            }
        };
        self.shop.start_again(end, lot_key);
    }

    /// Everything that was ever acknowledged is answered again, octet by octet, also after one more end.
    fn finish(mut self) {
        for end in [None, Some(End::PowerCut)] {
            if let Some(end) = end {
                self.shop.start_again(end, LotKey::There);
            }
            for (ask, told) in &self.model.acknowledged {
                assert_eq!(self.ask(ask).as_ref(), Ok(told), "{ask:?}");
            }
            self.model.assert_is(&self.shop.tally());
        }
        self.shop.assert_every_signature_is_on_record();
    }
}

/// Whether a caller asks again: nobody can say what came of it.
fn is_failure(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), "STORE_STOPPED" | "STORE_FULL" | "KEY_UNAVAILABLE")
}

/// Makes the steps of a sequence, then looks at everything.
pub(crate) fn run(kind: Kind, steps: &[(Op, Trouble)]) {
    let mut run = Run::new(kind);
    for (op, trouble) in steps {
        run.step(op, *trouble);
    }
    run.finish();
}

fn ops() -> impl Strategy<Value = Op> {
    let device = || 0..DEVICES;
    let (lot, units) = (|| 0..LOTS, || 1..5_u32);
    prop_oneof![
        8 => (device(), 0..2_u32).prop_map(|(device, key)| Op::First { device, key: key * (device % 2) }),
        1 => device().prop_map(|device| Op::First { device, key: 1 }),
        3 => device().prop_map(|device| Op::Replace { device }),
        3 => device().prop_map(|device| Op::AllowRework { device }),
        3 => device().prop_map(|device| Op::Rework { device }),
        5 => device().prop_map(|device| Op::Confirm { device }),
        1 => device().prop_map(|device| Op::ConfirmEarlier { device }),
        2 => device().prop_map(|device| Op::ScrapDevice { device }),
        2 => device().prop_map(|device| Op::ReinstateDevice { device }),
        1 => units().prop_map(|units| Op::ScrapBlanks { units }),
        1 => units().prop_map(|units| Op::ReinstateBlanks { units }),
        4 => (lot(), units()).prop_map(|(lot, units)| Op::Offer { lot, units }),
        2 => lot().prop_map(|lot| Op::Cancel { lot }),
        3 => lot().prop_map(|lot| Op::Accept { lot }),
        2 => Just(Op::Wait),
        1 => Just(Op::Close),
        5 => any::<usize>().prop_map(|which| Op::Repeat { which }),
    ]
}

fn troubles() -> impl Strategy<Value = Trouble> {
    let end = || prop_oneof![Just(End::Killed), Just(End::PowerCut)];
    let step = || proptest::sample::select(&Step::ALL[..]);
    prop_oneof![
        8 => Just(Trouble::None),
        1 => end().prop_map(Trouble::Ended),
        3 => (step(), 0..3_usize, end()).prop_map(|(step, after, end)| Trouble::Store { step, after, end }),
        1 => (step(), 0..3_usize).prop_map(|(step, after)| Trouble::StoreAndKey { step, after }),
        1 => prop_oneof![Just(Breaks::BeforeSigning), Just(Breaks::AfterSigning)].prop_map(Trouble::Key),
    ]
}

fn sequences() -> impl Strategy<Value = (Kind, Vec<(Op, Trouble)>)> {
    let kind = prop_oneof![9 => Just(Kind::Memory), 1 => Just(Kind::Embedded)];
    (kind, proptest::collection::vec((ops(), troubles()), 1..STEPS))
}

#[test]
fn a_lot_does_what_the_model_says_through_every_failure() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let cases = number("COUNTERSIGN_SEQUENCES").map_or(SHARE, |cases| u32::try_from(cases).unwrap());
    let seed = number("COUNTERSIGN_SEED").unwrap_or_else(drawn_seed);
    println!("{cases} sequences of up to {STEPS} steps; COUNTERSIGN_SEED={seed} repeats them");
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &octets));
    let outcome = runner.run(&sequences(), |(kind, steps)| {
        run(kind, &steps);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("COUNTERSIGN_SEED={seed}: {failure}");
    }
}

/// A seed that differs from run to run.
fn drawn_seed() -> u64 {
    let mut seed = [0; 8];
    issuance::Entropy::fill(&issuance::SystemEntropy, &mut seed).unwrap();
    u64::from_le_bytes(seed)
}
