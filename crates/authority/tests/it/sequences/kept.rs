//! Sequences that once failed, in their shortest form.

use store::Step;

use super::{Trouble, run};
use crate::{
    model::Op,
    shop::{End, Kind},
};

const BOTH: [Kind; 2] = [Kind::Memory, Kind::Embedded];

#[test]
fn a_scrap_that_is_repeated_after_the_unit_came_back_scraps_nothing() {
    for kind in BOTH {
        let steps = [
            Op::First { device: 0, key: 0 },
            Op::ScrapDevice { device: 0 },
            Op::ReinstateDevice { device: 0 },
            Op::Repeat { which: 1 },
        ];
        run(kind, &steps.map(|op| (op, Trouble::None)));
    }
}

#[test]
fn a_second_request_to_scrap_is_done_once_and_for_all_too() {
    for kind in BOTH {
        let steps = [
            Op::First { device: 0, key: 0 },
            Op::ScrapDevice { device: 0 },
            Op::ScrapDevice { device: 0 },
            Op::ReinstateDevice { device: 0 },
            Op::Repeat { which: 2 },
        ];
        run(kind, &steps.map(|op| (op, Trouble::None)));
    }
}

#[test]
fn a_second_permission_to_rework_is_answered_the_same_after_the_device_was_scrapped() {
    for kind in BOTH {
        let steps = [
            Op::First { device: 0, key: 0 },
            Op::Confirm { device: 0 },
            Op::AllowRework { device: 0 },
            Op::AllowRework { device: 0 },
            Op::ScrapDevice { device: 0 },
        ];
        run(kind, &steps.map(|op| (op, Trouble::None)));
    }
}

#[test]
fn a_replacement_that_a_lost_key_voided_is_made_by_its_repetition() {
    for kind in BOTH {
        let lost = Trouble::StoreAndKey { step: Step::BeforeAppend, after: 1 };
        let steps = [(Op::First { device: 0, key: 0 }, Trouble::None), (Op::Replace { device: 0 }, lost)];
        run(kind, &steps);
    }
}

#[test]
fn an_acceptance_whose_answer_was_lost_is_answered_and_spent_once() {
    for kind in BOTH {
        let lost = Trouble::Store { step: Step::AfterSync, after: 1, end: End::Killed };
        run(kind, &[(Op::Offer { lot: 0, units: 4 }, Trouble::None), (Op::Accept { lot: 0 }, lost)]);
    }
}

#[test]
fn a_scrapped_device_comes_back_as_no_blank() {
    for kind in BOTH {
        let steps = [
            Op::First { device: 0, key: 0 },
            Op::ScrapDevice { device: 0 },
            Op::ReinstateBlanks { units: 1 },
            Op::ScrapBlanks { units: 2 },
            Op::ReinstateBlanks { units: 3 },
            Op::ReinstateBlanks { units: 2 },
            Op::ReinstateDevice { device: 0 },
        ];
        run(kind, &steps.map(|op| (op, Trouble::None)));
    }
}
