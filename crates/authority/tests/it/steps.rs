//! Record before signature, and durable before answered: every certificate that is ever signed is stopped at every step of its making.

use store::Step;

use crate::{
    model::Op,
    sequences::{Trouble, run},
    shop::{End, Kind},
    signer::Breaks,
};

/// What a certificate is made of: two commits and a signature. A third commit would be one too many, and is waited for in vain.
const COMMITS: usize = 3;

/// Every way in which the making of one certificate can stop.
fn stops() -> Vec<Trouble> {
    let mut stops = vec![Trouble::Key(Breaks::BeforeSigning), Trouble::Key(Breaks::AfterSigning)];
    for step in Step::ALL {
        for after in 0..COMMITS {
            stops.extend([End::Killed, End::PowerCut].map(|end| Trouble::Store { step, after, end }));
            stops.push(Trouble::StoreAndKey { step, after });
        }
    }
    stops
}

/// Does what comes before, then makes the certificate and stops it, in every way; the run's end looks at every signature.
fn stop_everywhere(before: &[Op], making: &Op) {
    for kind in [Kind::Memory, Kind::Embedded] {
        for stop in stops().into_iter().filter(|stop| kind == Kind::Memory || !is_power_cut(*stop)) {
            let mut steps: Vec<_> = before.iter().map(|op| (op.clone(), Trouble::None)).collect();
            steps.push((making.clone(), stop));
            run(kind, &steps);
        }
    }
}

/// A directory cannot lose power in a test of one process: `tests/campaign` takes it away.
fn is_power_cut(stop: Trouble) -> bool {
    matches!(stop, Trouble::Store { end: End::PowerCut, .. })
}

const FIRST: Op = Op::First { device: 0, key: 0 };

#[test]
fn a_first_certificate_is_on_record_before_it_is_signed_and_found_again_wherever_it_stopped() {
    stop_everywhere(&[], &FIRST);
}

#[test]
fn a_replacement_is_on_record_before_it_is_signed_and_found_again_wherever_it_stopped() {
    stop_everywhere(&[FIRST], &Op::Replace { device: 0 });
}

#[test]
fn a_rework_is_on_record_before_it_is_signed_and_found_again_wherever_it_stopped() {
    let before = [FIRST, Op::Confirm { device: 0 }, Op::AllowRework { device: 0 }];
    stop_everywhere(&before, &Op::Rework { device: 0 });
}

#[test]
fn a_handoff_is_on_record_before_it_is_signed_and_found_again_wherever_it_stopped() {
    stop_everywhere(&[Op::Offer { lot: 0, units: 3 }], &Op::Accept { lot: 0 });
}
