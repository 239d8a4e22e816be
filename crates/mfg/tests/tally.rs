//! The law of conservation, against arbitrary movements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use mfg::{Movement, Phase, Quantity, Remaining, Tally, TallyFields};
use proptest::prelude::*;

fn movement() -> impl Strategy<Value = Movement> {
    prop_oneof![
        (1u64..50).prop_map(|count| Movement::Open(Quantity::of(count).unwrap())),
        (0u32..20).prop_map(Movement::Reserve),
        (0u32..20).prop_map(Movement::Release),
        (0u32..20).prop_map(Movement::HandOver),
        Just(Movement::Reserve(u32::MAX)),
        Just(Movement::Provision),
        Just(Movement::UnProvision),
        (0u32..20).prop_map(Movement::ScrapBlank),
        Just(Movement::Write),
        Just(Movement::Rework),
        Just(Movement::ScrapProvisioned),
        Just(Movement::ScrapWritten),
        (0u32..20).prop_map(Movement::ReinstateBlank),
        Just(Movement::ReinstateProvisioned),
        Just(Movement::Close),
    ]
}

fn counted(tally: &Tally) -> u64 {
    tally.provisioned() + tally.handed_over() + tally.reserved() + tally.scrapped()
}

fn units(remaining: Remaining) -> u64 {
    match remaining {
        Remaining::Units(units) => units,
        Remaining::Unlimited => panic!("a lot with a quantity is never unlimited"),
    }
}

proptest! {
    #[test]
    fn received_is_always_accounted_for(received in 1u64..100, movements in prop::collection::vec(movement(), 0..200)) {
        let mut tally = Tally::open(Quantity::of(received).unwrap());
        for movement in movements {
            let closed = tally.phase() == Phase::Closed;
            match tally.apply(movement) {
                Ok(next) => {
                    if closed {
                        prop_assert!(counted(&next) <= counted(&tally), "{:?} spent from a closed lot", movement);
                        prop_assert_eq!(next.phase(), Phase::Closed);
                        prop_assert_eq!(next.handed_over(), tally.handed_over());
                    }
                    tally = next;
                }
                Err(refusal) => prop_assert_eq!(refusal.tally, tally),
            }
            prop_assert_eq!(counted(&tally) + units(tally.remaining()) + units(tally.void()), received);
            prop_assert_eq!(tally.written() + tally.in_doubt(), tally.provisioned());
            prop_assert_eq!(tally.scrapped_blanks() + tally.scrapped_devices(), tally.scrapped());
            prop_assert_eq!(Tally::try_from(TallyFields::from(tally)).unwrap(), tally);
        }
    }

    #[test]
    fn an_unlimited_lot_counts_too(movements in prop::collection::vec(movement(), 0..100)) {
        let mut tally = Tally::open(Quantity::Unlimited);
        for movement in movements {
            if let Ok(next) = tally.apply(movement) {
                tally = next;
            }
            let open = tally.phase() == Phase::Open;
            prop_assert_eq!(tally.remaining(), if open { Remaining::Unlimited } else { Remaining::Units(0) });
            prop_assert_eq!(Tally::try_from(TallyFields::from(tally)).unwrap(), tally);
        }
    }

    #[test]
    fn numbers_that_break_the_law_are_no_tally(
        received in 0u64..20, provisioned in 0u64..30, written in 0u64..30, handed_over in 0u64..10, reserved in 0u64..10,
        scrapped in 0u64..10, scrapped_devices in 0u64..10, closed in 0u64..3,
    ) {
        let fields =
            TallyFields { received, provisioned, written, handed_over, reserved, scrapped, closed, scrapped_devices };
        if let Ok(tally) = Tally::try_from(fields) {
            prop_assert_eq!(TallyFields::from(tally), fields);
            prop_assert!(received == 0 || counted(&tally) <= received);
            prop_assert!(written <= provisioned);
            prop_assert!(scrapped_devices <= scrapped);
        }
    }
}

#[test]
fn more_than_was_received_is_no_tally() {
    let mut fields = TallyFields::from(Tally::open(Quantity::of(2).unwrap()));
    fields.provisioned = 3;
    assert_eq!(Tally::try_from(fields).unwrap_err().reason(), "TALLY_INVALID");
}

#[test]
fn every_refusal_is_named() {
    let two = Tally::open(Quantity::of(2).unwrap());
    let full = two.apply(Movement::Reserve(2)).unwrap();
    let in_doubt = two.apply(Movement::Provision).unwrap();
    let written = in_doubt.apply(Movement::Write).unwrap();
    let closed = written.apply(Movement::Close).unwrap();
    let endless = TallyFields {
        received: 0,
        provisioned: u64::MAX,
        written: 0,
        handed_over: 0,
        reserved: 0,
        scrapped: 0,
        closed: 0,
        scrapped_devices: 0,
    };
    let endless = Tally::try_from(endless).unwrap();
    let table = [
        (two, Movement::Reserve(3), "QUANTITY_SPENT"),
        (full, Movement::Provision, "QUANTITY_SPENT"),
        (full, Movement::ScrapBlank(1), "QUANTITY_SPENT"),
        (two, Movement::Release(1), "NOT_RESERVED"),
        (full, Movement::HandOver(3), "NOT_RESERVED"),
        (two, Movement::UnProvision, "NOT_PROVISIONED"),
        (two, Movement::ScrapProvisioned, "NOT_PROVISIONED"),
        (two, Movement::Write, "NOT_PROVISIONED"),
        (written, Movement::Write, "NOT_PROVISIONED"),
        (written, Movement::UnProvision, "NOT_PROVISIONED"),
        (written, Movement::ScrapProvisioned, "NOT_PROVISIONED"),
        (in_doubt, Movement::ScrapWritten, "NOT_WRITTEN"),
        (in_doubt, Movement::Rework, "NOT_WRITTEN"),
        (in_doubt, Movement::Close, "UNITS_IN_DOUBT"),
        (closed, Movement::Rework, "LOT_CLOSED"),
        (two, Movement::ReinstateBlank(1), "NOT_SCRAPPED"),
        (two, Movement::ReinstateProvisioned, "NOT_SCRAPPED"),
        (two, Movement::Open(Quantity::Unlimited), "LOT_ALREADY_OPEN"),
        (two, Movement::Reserve(0), "NO_UNITS"),
        (two, Movement::ScrapBlank(0), "NO_UNITS"),
        (two, Movement::ScrapBlank(3), "QUANTITY_SPENT"),
        (two, Movement::Release(0), "NO_UNITS"),
        (full, Movement::HandOver(0), "NO_UNITS"),
        (full, Movement::Close, "OFFERS_OUTSTANDING"),
        (closed, Movement::Provision, "LOT_CLOSED"),
        (closed, Movement::Reserve(1), "LOT_CLOSED"),
        (closed, Movement::HandOver(1), "LOT_CLOSED"),
        (closed, Movement::ScrapBlank(1), "LOT_CLOSED"),
        (closed, Movement::ReinstateBlank(1), "LOT_CLOSED"),
        (closed, Movement::ReinstateProvisioned, "LOT_CLOSED"),
        (closed, Movement::Close, "LOT_CLOSED"),
        (endless, Movement::Provision, "COUNT_OVERFLOW"),
    ];
    for (tally, movement, reason) in table {
        assert_eq!(tally.apply(movement).unwrap_err().reason(), reason, "{movement:?} on {tally}");
    }
}

#[test]
fn what_remains_at_close_is_void_and_a_written_unit_can_still_be_scrapped() {
    let tally = Tally::open(Quantity::of(5).unwrap()).apply(Movement::Provision).unwrap();
    let closed = tally.apply(Movement::Write).unwrap().apply(Movement::Close).unwrap();
    assert_eq!((closed.remaining(), closed.void()), (Remaining::Units(0), Remaining::Units(4)));
    let scrapped = closed.apply(Movement::ScrapWritten).unwrap();
    assert_eq!((scrapped.scrapped(), scrapped.provisioned(), scrapped.written()), (1, 0, 0));
}

#[test]
fn a_rework_puts_a_written_unit_back_in_doubt_and_a_reinstated_one_too() {
    let tally = Tally::open(Quantity::of(2).unwrap()).apply(Movement::Provision).unwrap();
    let written = tally.apply(Movement::Write).unwrap();
    assert_eq!((written.written(), written.in_doubt()), (1, 0));
    let reworked = written.apply(Movement::Rework).unwrap();
    assert_eq!((reworked.written(), reworked.in_doubt(), reworked.provisioned()), (0, 1, 1));
    let back = reworked.apply(Movement::ScrapProvisioned).unwrap().apply(Movement::ReinstateProvisioned).unwrap();
    assert_eq!((back.in_doubt(), back.scrapped(), back.remaining()), (1, 0, Remaining::Units(1)));
}

#[test]
fn a_scrapped_unit_comes_back_as_what_it_was() {
    let lot = Tally::open(Quantity::of(3).unwrap());
    let device = lot.apply(Movement::Provision).unwrap().apply(Movement::ScrapProvisioned).unwrap();
    let written = lot.apply(Movement::Provision).unwrap().apply(Movement::Write).unwrap();
    let written = written.apply(Movement::ScrapWritten).unwrap();
    let blank = lot.apply(Movement::ScrapBlank(2)).unwrap();
    for scrapped in [device, written] {
        assert_eq!((scrapped.scrapped_devices(), scrapped.scrapped_blanks()), (1, 0));
        assert_eq!(scrapped.apply(Movement::ReinstateBlank(1)).unwrap_err().reason(), "NOT_SCRAPPED");
        assert_eq!(scrapped.apply(Movement::ReinstateProvisioned).unwrap().scrapped(), 0);
    }
    assert_eq!(blank.apply(Movement::ReinstateProvisioned).unwrap_err().reason(), "NOT_SCRAPPED");
    assert_eq!(blank.apply(Movement::ReinstateBlank(3)).unwrap_err().reason(), "NOT_SCRAPPED");
    assert_eq!(blank.apply(Movement::ReinstateBlank(2)).unwrap(), lot);
}

#[test]
fn the_two_halves_of_a_handoff() {
    let tally = Tally::open(Quantity::of(10).unwrap());
    let tally = tally.apply(Movement::Reserve(7)).unwrap().apply(Movement::Release(2)).unwrap();
    let tally = tally.apply(Movement::HandOver(5)).unwrap();
    assert_eq!((tally.reserved(), tally.handed_over(), tally.remaining()), (0, 5, Remaining::Units(5)));
}

#[test]
fn a_restated_lot_covers_what_is_said_anew_and_never_less_than_was_spent() {
    let of = |count| Quantity::of(count).unwrap();
    let tally = Tally::open(of(10)).apply(Movement::Reserve(7)).unwrap().apply(Movement::HandOver(5)).unwrap();
    for (received, remaining) in [(7, 0), (8, 1), (100, 93)] {
        let restated = tally.apply(Movement::Restate(of(received))).unwrap();
        assert_eq!((restated.received(), restated.remaining()), (of(received), Remaining::Units(remaining)));
        assert_eq!((restated.handed_over(), restated.reserved()), (5, 2));
    }
    let refused = tally.apply(Movement::Restate(of(6))).unwrap_err();
    assert_eq!((refused.reason(), refused.tally), ("ORDER_BELOW_HANDED_OVER", tally));
    let unlimited = tally.apply(Movement::Restate(Quantity::Unlimited)).unwrap();
    assert_eq!(unlimited.remaining(), Remaining::Unlimited);
    assert_eq!(unlimited.apply(Movement::Restate(of(6))).unwrap_err().reason(), "ORDER_BELOW_HANDED_OVER");
    let closed = tally.apply(Movement::Release(2)).unwrap().apply(Movement::Close).unwrap();
    assert_eq!(closed.apply(Movement::Restate(of(100))).unwrap_err().reason(), "LOT_CLOSED");
}
