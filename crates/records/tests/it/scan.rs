//! Pages of what is found by reading the journal.

use api::{Refusal, journal::v1::record::Fact};
use records::{read, scan};
use store::{FaultPlan, MemoryStore, Position, Record, Store as _};

use super::{act, lot_unit, memory};

/// Lots `l0` to `l<count - 1>`, in this order.
fn lots(count: usize) -> MemoryStore {
    let store = memory(&FaultPlan::default());
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(1000) {
        let units = numbers.iter().map(|number| lot_unit(&act(1), &format!("l{number}"))).collect();
        store.commit(units).unwrap();
    }
    store
}

/// The lot of a record, if its number is a multiple of `step`.
fn every(step: usize) -> impl Fn(&Record) -> Result<Option<usize>, Refusal> {
    move |record| {
        let Fact::LotAccepting(accepting) = read(record)?.1 else { return Ok(None) };
        let number: usize = accepting.facts.unwrap().lot[1..].parse().unwrap();
        Ok(number.is_multiple_of(step).then_some(number))
    }
}

fn pages(store: &MemoryStore, limit: usize, step: usize) -> Vec<Vec<usize>> {
    let mut pages = Vec::new();
    let mut from = Some(Position::from_u64(0));
    while let Some(at) = from {
        let (page, next) = scan(store, at, limit, every(step)).unwrap();
        pages.push(page);
        from = next;
    }
    pages
}

#[test]
fn pages_go_on_where_the_one_before_ended() {
    let store = lots(7);
    assert_eq!(pages(&store, 2, 2), [vec![0, 2], vec![4, 6]]);
    assert_eq!(pages(&store, 9, 3), [vec![0, 3, 6]]);
    assert_eq!(pages(&lots(0), 9, 1), [Vec::<usize>::new()]);
}

#[test]
fn a_page_reads_a_bounded_part_of_the_journal_even_when_it_finds_nothing() {
    let pages = pages(&lots(25_000), 100, 20_000);
    assert_eq!(pages, [vec![0], vec![], vec![20_000]]);
}

#[test]
fn what_refuses_a_record_ends_the_scan() {
    let refusal =
        scan::<()>(&lots(3), Position::from_u64(0), 9, |_| Err(Refusal::new("JOURNAL_DAMAGED", "no"))).unwrap_err();
    assert_eq!(refusal.reason(), "JOURNAL_DAMAGED");
}
