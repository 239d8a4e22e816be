//! Replacement, rework, scrap: what spends, what does not, and what stands in whose way.

use std::sync::Arc;

use api::{Refusal, issuance::v1::device_event::What};
use mfg::Tally;
use pki::{Certificate, Sha256};
use service::Workers;
use store::{FaultPlan, Position, Step};

use super::{Line, LineLimits, world::World};
use crate::{
    authority::Authority,
    complete_open_intents,
    device::{DeviceOrder, IssuedDevice, Occasion, Written},
};

struct Bench {
    world: World,
    authority: Arc<Authority>,
    line: Line,
}

impl Bench {
    fn new() -> Self {
        Self::with(FaultPlan::default())
    }

    fn with(faults: FaultPlan) -> Self {
        let world = World::new();
        let authority = world.authority(Workers::Inline, faults);
        let (line, _) = Line::start(&authority, LineLimits::default()).unwrap();
        Self { world, authority, line }
    }

    async fn issue(&self, order: DeviceOrder) -> Result<IssuedDevice, Refusal> {
        self.line.issue(order).await
    }

    async fn first(&self, number: u32) -> IssuedDevice {
        self.issue(self.world.order(&self.authority, number)).await.unwrap()
    }

    fn again(&self, number: u32, occasion: Occasion, try_: u8) -> DeviceOrder {
        self.world.again(&self.authority, number, occasion, try_)
    }

    fn confirm(&self, number: u32, certificate: &[u8]) -> Result<(), Refusal> {
        let written = Written { device_id: self.world.device(number), certificate: Sha256::of(certificate) };
        let act = self.world.operator(&self.authority, 0);
        let act = records::Act { request: None, ..act };
        self.authority.confirm(&act, &[written]).unwrap().pop().unwrap()
    }

    fn allow_rework(&self, number: u32, try_: u8) -> Result<u32, Refusal> {
        self.authority.allow_rework(&self.world.operator(&self.authority, try_), &self.world.device(number))
    }

    fn scrap(&self, number: u32, try_: u8) -> Result<Tally, Refusal> {
        let act = self.world.operator(&self.authority, try_);
        self.authority.scrap_device(&act, &self.world.device(number), "solder bridge")
    }

    fn tally(&self) -> Tally {
        self.authority.store().tally(&self.world.tally).unwrap().unwrap()
    }
}

fn reason<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.unwrap_err().reason()
}

#[tokio::test]
async fn a_replacement_takes_the_place_of_an_unwritten_certificate_spends_nothing_and_is_capped() {
    let bench = Bench::new();
    let first = bench.first(0).await;
    let order = bench.again(0, Occasion::Replacement, 1);
    let second = bench.issue(order.clone()).await.unwrap();
    assert_ne!(second.certificate, first.certificate);
    assert_eq!(second.generation, 1);
    assert_eq!((bench.tally().provisioned(), bench.tally().in_doubt()), (1, 1));
    assert_eq!(bench.issue(order).await.unwrap(), second, "a retry gets the same bytes");
    assert_eq!(bench.first(0).await, first, "and so does a retry of what it replaced");
    let third = bench.issue(bench.again(0, Occasion::Replacement, 2)).await;
    assert_eq!(reason(third), "REPLACEMENT_CAP_SPENT");
    assert_eq!(reason(bench.confirm(0, &first.certificate)), "WRITTEN_CERTIFICATE_DIFFERS");
    bench.confirm(0, &second.certificate).unwrap();
    assert_eq!((bench.tally().written(), bench.tally().in_doubt()), (1, 0));
}

#[tokio::test]
async fn a_written_certificate_is_not_replaced_and_an_unwritten_one_not_reworked() {
    let bench = Bench::new();
    let first = bench.first(0).await;
    assert_eq!(reason(bench.issue(bench.again(0, Occasion::Rework, 1)).await), "NOT_WRITTEN");
    assert_eq!(reason(bench.allow_rework(0, 2)), "NOT_WRITTEN");
    bench.confirm(0, &first.certificate).unwrap();
    bench.confirm(0, &first.certificate).unwrap();
    assert_eq!(bench.tally().written(), 1, "a repeated confirmation counts once");
    assert_eq!(reason(bench.issue(bench.again(0, Occasion::Replacement, 3)).await), "ALREADY_WRITTEN");
    assert_eq!(reason(bench.issue(bench.again(7, Occasion::Replacement, 4)).await), "DEVICE_UNKNOWN");
}

#[tokio::test]
async fn a_rework_needs_an_operator_each_time_and_goes_on_to_the_next_generation() {
    let bench = Bench::new();
    let first = bench.first(0).await;
    bench.confirm(0, &first.certificate).unwrap();
    let order = bench.again(0, Occasion::Rework, 1);
    assert_eq!(reason(bench.issue(order.clone()).await), "REWORK_NOT_ALLOWED");
    assert_eq!(bench.allow_rework(0, 2).unwrap(), 2);
    assert_eq!(bench.allow_rework(0, 2).unwrap(), 2, "a repetition answers the same");
    let reworked = bench.issue(order.clone()).await.unwrap();
    assert_eq!(reworked.generation, 2);
    assert_eq!((bench.tally().provisioned(), bench.tally().in_doubt()), (1, 1), "it is in doubt again");
    assert_eq!(bench.issue(order).await.unwrap(), reworked);
    assert_eq!(bench.first(0).await, first, "the first request is answered for ever");
    bench.confirm(0, &reworked.certificate).unwrap();
    assert_eq!(reason(bench.allow_rework(0, 3)), "REWORK_CAP_SPENT");
    assert_eq!(bench.allow_rework(0, 2).unwrap(), 2, "also later");
}

#[tokio::test]
async fn scrap_counts_once_and_ends_everything_but_the_answers() {
    let bench = Bench::new();
    let (issued, written) = (bench.first(0).await, bench.first(1).await);
    bench.confirm(1, &written.certificate).unwrap();
    bench.scrap(0, 1).unwrap();
    bench.scrap(1, 2).unwrap();
    let tally = bench.scrap(1, 2).unwrap();
    assert_eq!((tally.scrapped(), tally.provisioned(), tally.written()), (2, 0, 0));
    assert_eq!(reason(bench.confirm(0, &issued.certificate)), "DEVICE_SCRAPPED");
    assert_eq!(reason(bench.issue(bench.again(0, Occasion::Replacement, 3)).await), "DEVICE_SCRAPPED");
    assert_eq!(reason(bench.allow_rework(1, 4)), "DEVICE_SCRAPPED");
    assert_eq!(reason(bench.scrap(0, 2)), "REQUEST_ID_REUSED");
    assert_eq!(bench.first(0).await, issued);
    assert_eq!(bench.tally(), tally, "nothing of that changed anything");
}

#[tokio::test]
async fn the_story_of_a_device_names_everything_that_happened_newest_first() {
    let bench = Bench::new();
    bench.first(0).await;
    let second = bench.issue(bench.again(0, Occasion::Replacement, 1)).await.unwrap();
    bench.confirm(0, &second.certificate).unwrap();
    bench.allow_rework(0, 2).unwrap();
    bench.issue(bench.again(0, Occasion::Rework, 3)).await.unwrap();
    bench.scrap(0, 4).unwrap();
    let story = bench.authority.device_story(&bench.world.device(0)).unwrap().history;
    let told: Vec<_> = story.iter().map(|event| (event.what.clone().unwrap(), event.generation)).collect();
    let serial = Certificate::parse(&second.certificate).unwrap().serial().as_bytes().to_vec();
    let written = What::Written(bytes::Bytes::copy_from_slice(Sha256::of(&second.certificate).as_bytes()));
    assert_eq!(
        told,
        [
            (What::Scrapped("solder bridge".to_owned()), 2),
            (What::Issued(3), 2),
            (What::ReworkAllowed(true), 1),
            (written, 1),
            (What::Issued(2), 1),
            (What::Issued(1), 1),
        ]
    );
    assert_eq!(story[3].certificate_serial, serial);
}

#[tokio::test]
async fn devices_in_doubt_are_listed_page_by_page_until_confirmed() {
    let bench = Bench::new();
    let mut issued = Vec::new();
    for number in 0..5 {
        issued.push(bench.first(number).await);
    }
    bench.confirm(1, &issued[1].certificate).unwrap();
    bench.scrap(3, 1).unwrap();
    let replaced = bench.issue(bench.again(0, Occasion::Replacement, 2)).await.unwrap();
    let listed = |lot: Option<&str>| {
        let mut listed = Vec::new();
        let mut from = Some(Position::from_u64(0));
        while let Some(at) = from {
            let (devices, next) = bench.authority.in_doubt(lot, at, 2).unwrap();
            assert!(devices.len() <= 2);
            assert!(devices.iter().all(|device| device.lot == "b0032"));
            listed.extend(devices.into_iter().map(|d| (d.device_id, d.certificate_sha256.unwrap())));
            from = next;
        }
        listed
    };
    let digest = |device: &IssuedDevice| bytes::Bytes::copy_from_slice(Sha256::of(&device.certificate).as_bytes());
    let expected =
        [(&issued[2], 2), (&issued[4], 4), (&replaced, 0)].map(|(d, n)| (bench.world.device(n).to_string(), digest(d)));
    assert_eq!(listed(Some("b0032")), expected);
    assert_eq!(listed(None), expected, "without a lot, those of every lot");
    assert_eq!(bench.authority.in_doubt(Some("b0032"), Position::from_u64(0), 0).unwrap().0, []);
    assert_eq!(reason(bench.authority.in_doubt(Some("b9"), Position::from_u64(0), 9)), "LOT_UNKNOWN");
}

#[tokio::test]
async fn validating_tells_what_an_issuance_would_and_changes_nothing() {
    let bench = Bench::new();
    let first = bench.first(0).await;
    let head = bench.authority.store().head();
    let validate = |order: &DeviceOrder| bench.authority.validate(order);
    validate(&bench.world.order(&bench.authority, 1)).unwrap();
    validate(&bench.world.order(&bench.authority, 0)).unwrap();
    assert_eq!(reason(validate(&bench.again(0, Occasion::First, 1))), "DEVICE_ID_TAKEN");
    validate(&bench.again(0, Occasion::Replacement, 1)).unwrap();
    assert_eq!(reason(validate(&bench.again(0, Occasion::Rework, 1))), "NOT_WRITTEN");
    let other =
        DeviceOrder { act: bench.world.order(&bench.authority, 0).act, ..bench.world.order(&bench.authority, 9) };
    assert_eq!(reason(validate(&other)), "REQUEST_ID_REUSED");
    assert_eq!(bench.authority.store().head(), head);
    assert_eq!(bench.first(0).await, first);
}

#[tokio::test]
async fn a_lot_that_can_sign_no_more_still_answers_what_it_issued() {
    let bench = Bench::new();
    let first = bench.first(0).await;
    bench.world.lose_the_key(&bench.authority);
    assert_eq!(bench.first(0).await, first);
    let other_id =
        DeviceOrder { act: bench.world.order(&bench.authority, 9).act, ..bench.world.order(&bench.authority, 0) };
    assert_eq!(bench.issue(other_id).await.unwrap(), first, "also under another request id");
    assert_eq!(reason(bench.issue(bench.world.order(&bench.authority, 1)).await), "LOT_NOT_OPEN");
}

/// Leaves the intent of an order open, as a crash between intent and result does; then the lot's key is lost at the next start.
async fn crash_and_lose_the_key(bench: &Bench, faults: &FaultPlan, order: DeviceOrder) {
    faults.fail_after(Step::DiskFull, 1);
    assert_eq!(reason(bench.issue(order).await), "STORE_FULL");
    bench.world.lose_the_key(&bench.authority);
    assert_eq!(complete_open_intents(&bench.authority).unwrap(), 1);
    assert!(bench.authority.store().open_intents().unwrap().is_empty());
    bench.world.find_the_key(&bench.authority);
}

#[tokio::test]
async fn a_voided_intent_gives_back_the_unit_the_device_id_and_the_key() {
    let faults = FaultPlan::default();
    let bench = Bench::with(faults.clone());
    let order = bench.world.order(&bench.authority, 0);
    crash_and_lose_the_key(&bench, &faults, order.clone()).await;
    assert_eq!(bench.tally().provisioned(), 0);
    assert_eq!(reason(bench.authority.device(&bench.world.device(0))), "DEVICE_UNKNOWN");
    let issued = bench.issue(order.clone()).await.unwrap();
    assert_eq!(bench.issue(order).await.unwrap(), issued);
    assert_eq!(bench.tally().provisioned(), 1);
}

#[tokio::test]
async fn a_voided_rework_leaves_the_device_written_and_the_rework_allowed() {
    let faults = FaultPlan::default();
    let bench = Bench::with(faults.clone());
    let first = bench.first(0).await;
    bench.confirm(0, &first.certificate).unwrap();
    bench.allow_rework(0, 1).unwrap();
    let order = bench.again(0, Occasion::Rework, 2);
    crash_and_lose_the_key(&bench, &faults, order.clone()).await;
    assert_eq!((bench.tally().provisioned(), bench.tally().written()), (1, 1));
    assert_eq!(bench.authority.device(&bench.world.device(0)).unwrap(), first);
    let reworked = bench.issue(order.clone()).await.unwrap();
    assert_eq!(reworked.generation, 2);
    assert_eq!(bench.issue(order).await.unwrap(), reworked);
    assert_eq!(bench.tally().in_doubt(), 1);
}
