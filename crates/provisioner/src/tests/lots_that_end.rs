//! Stations that name no lot roll over to the next; those that do are told.

use api::Refusal;
use records::{keys, read};
use store::Store as _;

use super::{Line, fits, key, reason, with_csr};

#[tokio::test]
async fn a_station_rolls_over_when_a_lot_is_spent() {
    let line = Line::new(&[("t7", 2), ("t8", 1)]);
    let mut lots = Vec::new();
    for number in 1..=3 {
        lots.push(line.provision(number, &format!("sn{number}"), &key()).await.unwrap().lot);
    }
    assert_eq!(lots, ["t7", "t7", "t8"]);
    let device = key();
    assert_eq!(reason(line.provision(4, "sn4", &device).await), "QUANTITY_SPENT");
    // A new lot arrives, and the same request goes on.
    line.signer.books().lots.insert("t9".to_owned(), 1);
    assert_eq!(line.provision(4, "sn4", &device).await.unwrap().lot, "t9");
}

#[tokio::test]
async fn a_request_that_names_its_lot_is_told_that_it_is_spent() {
    let line = Line::new(&[("t7", 0), ("t8", 5)]);
    let device = key();
    let order = line.order(1, "sn1", Some("t7"), with_csr(&device));
    assert_eq!(reason(line.desk.provision(order).await), "QUANTITY_SPENT");
    assert_eq!(line.signer.books().lots["t8"], 5);
    let order = line.order(2, "sn1", Some("t9"), with_csr(&device));
    assert_eq!(reason(line.desk.provision(order).await), "LOT_UNKNOWN");
    let order = line.order(3, "sn1", Some("t8"), with_csr(&device));
    assert_eq!(line.desk.provision(order).await.unwrap().lot, "t8");
}

#[tokio::test]
async fn a_server_made_key_rolls_over_with_its_unit_and_leaves_none_behind() {
    let line = Line::new(&[("t7", 1), ("t8", 1)]);
    line.make(1, "sn1").await.unwrap();
    let unit = line.make(2, "sn2").await.unwrap();
    assert_eq!(unit.lot, "t8");
    assert!(fits(&unit.private_key.clone().unwrap(), &unit.chain[0]));
    assert_eq!(line.kept_keys().len(), 2);
    assert_eq!(line.make(2, "sn2").await.unwrap(), unit);
}

#[tokio::test]
async fn many_units_at_once_over_the_end_of_a_lot_are_each_one_unit() {
    let line = Line::new(&[("t7", 5), ("t8", 7)]);
    let attempts: Vec<_> = (1..=16_u8)
        .map(|number| {
            let (desk, order) = (line.desk.clone(), line.order(number, &format!("sn{number}"), None, with_csr(&key())));
            tokio::spawn(async move { desk.provision(order).await })
        })
        .collect();
    let (mut issued, mut spent) = (0, 0);
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => issued += 1,
            Err(refusal) => {
                assert_eq!(refusal.reason(), "QUANTITY_SPENT");
                spent += 1;
            }
        }
    }
    assert_eq!((issued, spent), (12, 4));
    assert!(line.signer.books().lots.values().all(|units| *units == 0));
}

#[tokio::test]
async fn a_lot_that_cannot_sign_any_more_is_rolled_over_too() {
    for end in ["LOT_CLOSED", "LOT_NOT_OPEN", "SIGNING_WINDOW_CLOSED"] {
        let line = Line::new(&[("t7", 5)]);
        let device = key();
        line.signer.books().refuses = Some(Refusal::new(end, "over"));
        // The only lot that there is ends each time, so the desk gives up after some.
        assert_eq!(reason(line.provision(1, "sn1", &device).await), "QUANTITY_SPENT", "{end}");
        assert!(line.signer.books().asked.len() > 1, "{end}");
        line.signer.books().refuses = None;
        line.provision(1, "sn1", &device).await.unwrap();
    }
}

#[tokio::test]
async fn a_lots_chain_is_recorded_once_and_found_without_the_signer() {
    let mut line = Line::new(&[("t7", 5)]);
    let device = key();
    let unit = line.provision(1, "sn1", &device).await.unwrap();
    let learned = line.store.get(&keys::lot_chain("t7")).unwrap().unwrap().position;
    line.provision(2, "sn2", &key()).await.unwrap();
    line.start_again();
    line.signer.books().refuses = Some(Refusal::new("UPSTREAM_UNREACHABLE", "gone"));
    assert_eq!(line.provision(1, "sn1", &device).await.unwrap(), unit);
    let record = line.store.get(&keys::lot_chain("t7")).unwrap().unwrap();
    assert_eq!(record.position, learned);
    assert!(read(&record).is_ok());
    assert_eq!(reason(line.desk.lots.chain("t9")), "JOURNAL_DAMAGED");
}

#[tokio::test]
async fn a_lines_queue_decides_which_lot_follows_which() {
    let line = Line::new(&[("t1", 5), ("t2", 1), ("t3", 1)]).queued(&["t3", "t9", "t2"]);
    let mut lots = Vec::new();
    for number in 1..3 {
        lots.push(line.provision(number, &format!("sn{number}"), &key()).await.unwrap().lot);
    }
    assert_eq!(lots, ["t3", "t2"], "t9 is not received yet");
    let spent = line.provision(3, "sn3", &key()).await;
    assert_eq!(reason(spent), "QUANTITY_SPENT", "t1 is another line's");
}
