//! Any sequence of calls, reopenings, crashes and full disks agrees with a model of a few lines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use mfg::{Movement, Quantity};
use pki::Sha256;
use proptest::prelude::*;
use store::{
    Claim, EmbeddedStore, Entry, FaultPlan, MemoryStore, Options, Position, Rule, Step, Store, TallyMove, Unit,
};
use support::{Dir, identity, key, options};

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<Planned>),
    Full(Vec<Planned>),
    Reopen,
    Crash,
    Checkpoint,
}

#[derive(Clone, Debug)]
struct Planned {
    claims: Vec<(u8, PlannedRule)>,
    moves: Vec<(u8, Movement)>,
    intent: bool,
    /// Which of all positions so far.
    completes: Option<usize>,
    entry: Option<u8>,
    payload: u8,
}

#[derive(Clone, Copy, Debug)]
enum PlannedRule {
    Absent,
    AtLatest,
    AtSome(usize),
    Any,
    UnchangedLatest,
}

#[derive(Clone, Debug, Default)]
struct Model {
    keys: BTreeMap<u8, Position>,
    received: BTreeMap<u8, u32>,
    spent: BTreeMap<u8, u32>,
    open: Vec<Position>,
    entries: BTreeMap<u8, Position>,
    all: Vec<(Position, Vec<u8>)>,
}

impl Model {
    fn unit(&self, planned: &Planned) -> Unit {
        let latest = |name: &u8| self.keys.get(name).copied().unwrap_or(Position::from_u64(0));
        let some = |n: usize| self.all.get(n % self.all.len().max(1)).map_or(Position::from_u64(0), |(at, _)| *at);
        let claims = planned.claims.iter().map(|(name, rule)| Claim {
            key: key(&name.to_string()),
            rule: match rule {
                PlannedRule::Absent => Rule::Absent,
                PlannedRule::AtLatest => Rule::At(latest(name)),
                PlannedRule::AtSome(n) => Rule::At(some(*n)),
                PlannedRule::Any => Rule::Any,
                PlannedRule::UnchangedLatest => Rule::Unchanged(latest(name)),
            },
        });
        let moves = planned.moves.iter();
        Unit {
            kind: 3,
            payload: vec![planned.payload; usize::from(planned.payload) * 7],
            claims: claims.collect(),
            moves: moves
                .map(|(lot, movement)| TallyMove { lot: key(&format!("lot{lot}")), movement: *movement })
                .collect(),
            intent: planned.intent.then(|| Sha256::of(&[planned.payload])),
            completes: planned.completes.map(some),
            entry: planned.entry.map(|name| Entry::new("c", &name.to_string()).unwrap()),
        }
    }

    /// What the model says, given where the store put the unit.
    fn apply(&mut self, planned: &Planned, unit: &Unit, at: Option<Position>) {
        let holds = planned.claims.iter().zip(&unit.claims).all(|((name, _), claim)| match claim.rule {
            Rule::Absent => !self.keys.contains_key(name),
            Rule::At(expected) | Rule::Unchanged(expected) => self.keys.get(name) == Some(&expected),
            Rule::Any => true,
        });
        let holds = holds && unit.completes.is_none_or(|at| self.open.contains(&at));
        let mut next = self.clone();
        let fits = planned.moves.iter().all(|(lot, movement)| match movement {
            Movement::Open(quantity) => next.received.insert(*lot, quantity.units().unwrap()).is_none(),
            Movement::Provision => {
                *next.spent.entry(*lot).or_default() += 1;
                next.received.get(lot).is_some_and(|received| next.spent[lot] <= *received)
            }
            _ => unreachable!(),
        });
        assert_eq!(at.is_some(), holds && fits, "{unit:?}");
        let Some(at) = at else { return };
        assert!(self.all.last().is_none_or(|(last, _)| *last < at));
        for ((name, _), claim) in planned.claims.iter().zip(&unit.claims) {
            if !matches!(claim.rule, Rule::Unchanged(_)) {
                next.keys.insert(*name, at);
            }
        }
        next.open.retain(|open| Some(*open) != unit.completes);
        next.open.extend(planned.intent.then_some(at));
        if let Some(name) = planned.entry {
            next.entries.insert(name, at);
        }
        next.all.push((at, unit.payload.clone()));
        *self = next;
    }

    /// What was written at a position: octets of any value, which need not be text.
    fn payload(&self, position: Position) -> Vec<u8> {
        let (_, payload) = self.all.iter().find(|(at, _)| *at == position).expect("every pointer is to a unit");
        payload.clone()
    }

    fn check(&self, store: &dyn Store) {
        for name in 0..6_u8 {
            let found = store.get(&key(&name.to_string())).unwrap();
            let found = found.map(|record| (record.position, record.payload));
            assert_eq!(found, self.keys.get(&name).map(|at| (*at, self.payload(*at))));
        }
        for lot in 0..3_u8 {
            let tally = store.tally(&key(&format!("lot{lot}"))).unwrap();
            assert_eq!(tally.map(|tally| tally.received().units().unwrap()), self.received.get(&lot).copied());
            let spent = self.spent.get(&lot).copied().unwrap_or_default();
            assert_eq!(tally.map_or(0, |tally| tally.provisioned()), u64::from(spent));
        }
        assert_eq!(store.open_intents().unwrap(), self.open);
        let listed = store.list("c", None, 100).unwrap();
        let listed: Vec<_> = listed.into_iter().map(|(name, record)| (name, record.position, record.payload)).collect();
        let mut expected: Vec<_> =
            self.entries.iter().map(|(name, at)| (name.to_string(), *at, self.payload(*at))).collect();
        expected.sort();
        assert_eq!(listed, expected);
        let history = store.history(Position::from_u64(0), 1000).unwrap();
        let history: Vec<_> = history.records.into_iter().map(|record| (record.position, record.payload)).collect();
        assert_eq!(history, self.all);
    }
}

fn planned() -> impl Strategy<Value = Planned> {
    let rule = prop_oneof![
        3 => Just(PlannedRule::Absent),
        3 => Just(PlannedRule::AtLatest),
        1 => any::<usize>().prop_map(PlannedRule::AtSome),
        2 => Just(PlannedRule::Any),
        1 => Just(PlannedRule::UnchangedLatest),
    ];
    // One claim per key: the model judges claims one by one.
    let claims = prop::collection::btree_map(0..6_u8, rule, 0..3);
    let movement = prop_oneof![
        1 => (1..5_u64).prop_map(|units| Movement::Open(Quantity::of(units).unwrap())),
        3 => Just(Movement::Provision),
    ];
    let moves = prop::collection::vec((0..3_u8, movement), 0..3);
    let entry = prop::option::weighted(0.3, 0..5_u8);
    let completes = prop::option::weighted(0.2, any::<usize>());
    (claims, moves, prop::bool::weighted(0.3), completes, entry, any::<u8>()).prop_map(
        |(claims, moves, intent, completes, entry, payload)| {
            let claims = claims.into_iter().collect();
            Planned { claims, moves, intent, completes, entry, payload }
        },
    )
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let units = || prop::collection::vec(planned(), 1..4);
    let op = prop_oneof![
        12 => units().prop_map(Op::Commit),
        1 => units().prop_map(Op::Full),
        1 => Just(Op::Reopen),
        1 => Just(Op::Crash),
        1 => Just(Op::Checkpoint),
    ];
    prop::collection::vec(op, 1..40)
}

fn commit(store: &dyn Store, model: &mut Model, units: &[Planned]) {
    // All units of a call are planned on what was before the call.
    let before = model.clone();
    let planned: Vec<_> = units.iter().map(|planned| before.unit(planned)).collect();
    let answers = store.commit(planned.clone()).unwrap();
    for ((planned, unit), answer) in units.iter().zip(&planned).zip(answers) {
        model.apply(planned, unit, answer.ok().map(|committed| committed.position));
    }
}

fn full(store: &dyn Store, faults: &FaultPlan, model: &Model, units: &[Planned]) {
    faults.fail_next(Step::DiskFull);
    let planned = units.iter().map(|planned| model.unit(planned)).collect();
    match store.commit(planned) {
        // Every unit was refused, so nothing was written.
        Ok(answers) => assert!(answers.iter().all(Result::is_err)),
        Err(error) => assert_eq!(error.reason(), "STORE_FULL"),
    }
    faults.clear();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn embedded_agrees(ops in ops(), narrow in any::<bool>()) {
        let (dir, faults) = (Dir::new(), FaultPlan::default());
        let mut options = Options { faults: faults.clone(), ..options() };
        if narrow {
            options.segment_bytes = 500;
            options.index_batch = 3;
            options.overlay_limit = 9;
            options.index_interval = Duration::from_millis(1);
        }
        let open = || EmbeddedStore::open(&dir.store(), options.clone()).unwrap();
        let (mut store, mut model) = (Some(open()), Model::default());
        for op in &ops {
            let current = store.as_ref().unwrap();
            match op {
                Op::Commit(units) => commit(current, &mut model, units),
                Op::Full(units) => full(current, &faults, &model, units),
                Op::Checkpoint => current.checkpoint().unwrap(),
                Op::Reopen | Op::Crash => {
                    if matches!(op, Op::Crash) {
                        faults.fail_next(Step::IndexApply);
                    }
                    drop(store.take());
                    faults.clear();
                    store = Some(open());
                    model.check(store.as_ref().unwrap());
                }
            }
        }
        model.check(store.as_ref().unwrap());
    }

    #[test]
    fn memory_agrees(ops in ops()) {
        let faults = FaultPlan::default();
        let (store, mut model) = (MemoryStore::new(&identity(), faults.clone()), Model::default());
        for op in &ops {
            match op {
                Op::Commit(units) => commit(&store, &mut model, units),
                Op::Full(units) => full(&store, &faults, &model, units),
                Op::Reopen => store.restart(),
                Op::Crash | Op::Checkpoint => store.power_cut(),
            }
            model.check(&store);
        }
    }
}
