//! Any sequence of proposals, approvals, failures and restarts agrees with a model of a few lines.

use std::collections::BTreeMap;

use api::order::v1::{Order, OrderState};
use proptest::prelude::*;
use store::Step;

use super::{Brand, OPERATORS, REQUIRED, draft};

#[derive(Clone, Debug)]
enum Op {
    Propose {
        order: u8,
        hops: u8,
    },
    Approve {
        order: u8,
        operator: usize,
    },
    /// The next commit breaks here.
    Break(Step),
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let order = 0..3_u8;
    let step = prop::sample::select(vec![Step::BeforeAppend, Step::DiskFull, Step::Sync, Step::AfterSync]);
    let op = prop_oneof![
        3 => (order.clone(), 1..4_u8).prop_map(|(order, hops)| Op::Propose { order, hops }),
        8 => (order, 0..OPERATORS.len()).prop_map(|(order, operator)| Op::Approve { order, operator }),
        2 => step.prop_map(Op::Break),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..40)
}

/// Per order: how many hops it was proposed with, and who approved, in order.
type Model = BTreeMap<u8, (u8, Vec<usize>)>;

fn id(order: u8) -> String {
    format!("po-{order}")
}

/// One request id per intention, so that a repetition is the same request.
fn request(order: u8, operator: Option<usize>) -> u8 {
    1 + order * 8 + operator.map_or(0, |at| 1 + u8::try_from(at).unwrap())
}

fn check(brand: &Brand, model: &Model) {
    for order in 0..3 {
        let Some((hops, approvers)) = model.get(&order) else {
            assert_eq!(super::reason(brand.orders.get(&id(order))), "ORDER_UNKNOWN");
            continue;
        };
        let found: Order = brand.orders.get(&id(order)).unwrap();
        let names: Vec<&str> = found.approvals.iter().map(|approval| approval.operator.as_str()).collect();
        let expected: Vec<&str> = approvers.iter().map(|at| OPERATORS[*at]).collect();
        assert_eq!(names, expected);
        let open = approvers.len() >= REQUIRED;
        assert_eq!(found.state() == OrderState::Approved, open);
        assert_eq!((found.brand_signature.is_some(), brand.is_open(&id(order))), (open, open));
        assert_eq!(mfg::Terms::parse(&found.terms).unwrap().document().graph.len(), usize::from(*hops));
    }
}

/// What an operation would do, were nothing to break.
fn apply(model: &mut Model, op: &Op) {
    match op {
        Op::Propose { order, hops } => {
            model.entry(*order).or_insert((*hops, Vec::new()));
        }
        Op::Approve { order, operator } => {
            if let Some((_, approvers)) = model.get_mut(order)
                && approvers.len() < REQUIRED
                && !approvers.contains(operator)
            {
                approvers.push(*operator);
            }
        }
        Op::Break(_) | Op::Restart => {}
    }
}

/// Carries an operation out; the reason when it is refused.
fn run(brand: &mut Brand, op: &Op) -> Option<&'static str> {
    match op {
        Op::Propose { order, hops } => {
            let draft = draft(&id(*order), *hops);
            brand.create(request(*order, None), &draft).err().map(|refusal| refusal.reason())
        }
        Op::Approve { order, operator } => match brand.orders.get(&id(*order)) {
            Err(refusal) => Some(refusal.reason()),
            Ok(found) => {
                let outcome = brand.approve(OPERATORS[*operator], request(*order, Some(*operator)), &found);
                outcome.err().map(|refusal| refusal.reason())
            }
        },
        Op::Break(step) => {
            brand.faults.fail_next(*step);
            None
        }
        Op::Restart => {
            brand.start_again();
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn orders_agree_with_the_model(ops in ops()) {
        let (mut brand, mut model) = (Brand::new(), Model::new());
        for op in &ops {
            let mut after = model.clone();
            apply(&mut after, op);
            match run(&mut brand, op) {
                Some("STORE_STOPPED") => {
                    // Durable or not: the store tells when it is opened again, and either is whole.
                    brand.start_again();
                    let changed = model != after && {
                        let order = match op {
                            Op::Propose { order, .. } | Op::Approve { order, .. } => *order,
                            Op::Break(_) | Op::Restart => unreachable!("neither commits"),
                        };
                        let found = brand.orders.get(&id(order)).ok().map(|found| found.approvals.len());
                        found == after.get(&order).map(|(_, approvers)| approvers.len())
                    };
                    if changed {
                        model = after;
                    }
                }
                Some("STORE_FULL") => {}
                Some("REQUEST_ID_REUSED" | "ORDER_EXISTS" | "ORDER_ALREADY_APPROVED" | "ORDER_UNKNOWN") => {
                    prop_assert_eq!(&model, &after, "{:?} was refused and would have changed something", op);
                }
                Some(other) => prop_assert!(false, "{op:?} was refused by {other}"),
                None => model = after,
            }
            check(&brand, &model);
        }
    }
}
