//! A closing that stops at every step: never a closed lot with a live key, never an open one without.

use api::lot::v1::LotState;
use mfg::Phase;
use store::Step;

use super::*;
use crate::close::close;

const LOT: &str = "b0032";
/// That the tally is final, and that it is signed.
const COMMITS: usize = 2;
const STEPS: [Step; 6] =
    [Step::BeforeAppend, Step::TornAppend, Step::DiskFull, Step::BeforeSync, Step::Sync, Step::AfterSync];

/// How the lot stands, after looking that its key, its tally and its record agree.
fn standing(factory: &Factory) -> LotState {
    let state = factory.lot(LOT).unwrap().state();
    let phase = factory.store.tally(&keys::lot(LOT)).unwrap().unwrap().phase();
    let can_sign = factory.receiver.authority.lots.get(LOT).unwrap().issuer().is_ok();
    let key_files = factory.key_files().len();
    let expected = match state {
        LotState::Open => (Phase::Open, true, 1),
        LotState::Closed => (Phase::Closed, false, 0),
        LotState::Unspecified | LotState::Accepting => panic!("{state:?}"),
    };
    assert_eq!((phase, can_sign, key_files), expected, "{state:?}");
    state
}

#[tokio::test]
async fn a_closing_that_stopped_anywhere_is_finished_or_never_began() {
    for (commit, step) in (0..COMMITS).flat_map(|commit| STEPS.map(|step| (commit, step))) {
        let mut factory = Factory::new();
        factory.receive(1, LOT).await.unwrap();
        assert_eq!(standing(&factory), LotState::Open);
        factory.faults.fail_after(step, commit);
        assert!(close(&factory.receiver, &factory.act(2), &lot(LOT)).is_err(), "{step:?} in {commit}");
        assert_eq!(factory.key_files().len(), 1, "{step:?} in {commit}: the key goes last");
        factory.start_again();
        let began = commit > 0 || step == Step::AfterSync;
        let expected = if began { LotState::Closed } else { LotState::Open };
        assert_eq!(standing(&factory), expected, "{step:?} in {commit}");
        let report = close(&factory.receiver, &factory.act(2), &lot(LOT)).unwrap();
        assert_eq!(standing(&factory), LotState::Closed);
        assert_eq!(close(&factory.receiver, &factory.act(2), &lot(LOT)).unwrap(), report, "{step:?} in {commit}");
    }
}

#[tokio::test]
async fn a_key_that_survived_the_closing_of_its_lot_is_destroyed_at_the_next_start() {
    let mut factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let file = factory.key_files().remove(0);
    let key = std::fs::read(&file).unwrap();
    close(&factory.receiver, &factory.act(2), &lot(LOT)).unwrap();
    std::fs::write(&file, key).unwrap();
    factory.start_again();
    assert_eq!(standing(&factory), LotState::Closed);
}

/// What cannot be removed stays until it can; meanwhile nothing signs with it, and nobody is told that the lot is closed.
#[tokio::test]
async fn a_key_that_cannot_be_destroyed_signs_nothing_and_is_destroyed_later() {
    let mut factory = Factory::new();
    factory.receive(1, LOT).await.unwrap();
    let file = factory.key_files().remove(0);
    let key = std::fs::read(&file).unwrap();
    // A folder with something in it takes the file's place.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    std::fs::write(file.join("in-the-way"), "").unwrap();
    assert!(close(&factory.receiver, &factory.act(2), &lot(LOT)).is_err());
    assert!(factory.receiver.authority.lots.get(LOT).unwrap().issuer().is_err());
    assert_eq!(factory.store.tally(&keys::lot(LOT)).unwrap().unwrap().phase(), Phase::Closed);
    factory.faults.clear();
    factory.store.power_cut();
    let again = receiver(&factory.store, &factory.clock, &factory.folder, &factory.sender);
    assert!(lots::note_all(&again).is_err(), "a service does not start beside the live key of a closed lot");

    std::fs::remove_dir_all(&file).unwrap();
    std::fs::write(&file, key).unwrap();
    factory.start_again();
    assert_eq!(standing(&factory), LotState::Closed);
    close(&factory.receiver, &factory.act(2), &lot(LOT)).unwrap();
}
