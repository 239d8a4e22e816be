//! One unit: the same for the same request, whatever breaks in between.

use api::{Refusal, provisioning::v1::UnitState};
use bytes::Bytes;
use store::{Step, Store as _};

use super::{Line, key, reason, with_csr};
use crate::desk::KeySource;

#[tokio::test]
async fn a_unit_has_its_certificate_first_and_the_lots_chain_above_it() {
    let line = Line::new(&[("t7", 3)]);
    let unit = line.provision(1, "SN1", &key()).await.unwrap();
    assert_eq!((unit.device_id.as_str(), unit.lot.as_str(), unit.generation), ("sn1", "t7", 1));
    assert_eq!((unit.state(), unit.chain.len(), unit.private_key), (UnitState::Issued, 3, None));
    assert!(unit.chain[0].starts_with(b"certificate of sn1 in t7") && unit.chain[1] == "ca of t7");
}

#[tokio::test]
async fn a_repetition_is_the_same_unit_and_the_signer_is_not_asked_again() {
    let mut line = Line::new(&[("t7", 3)]);
    let device = key();
    let unit = line.provision(1, "sn1", &device).await.unwrap();
    let head = line.store.head();
    assert_eq!(line.provision(1, "sn1", &device).await.unwrap(), unit);
    // Another request for the same device and key.
    assert_eq!(line.provision(2, "sn1", &device).await.unwrap(), unit);
    line.start_again();
    assert_eq!(line.provision(1, "sn1", &device).await.unwrap(), unit);
    assert_eq!((line.store.head(), line.signer.books().asked.len()), (head, 1));
}

#[tokio::test]
async fn other_content_is_a_named_conflict_and_changes_nothing() {
    let line = Line::new(&[("t7", 9), ("t8", 9)]);
    let device = key();
    line.provision(1, "sn1", &device).await.unwrap();
    let head = line.store.head();
    let order =
        |request, id: &str, lot: Option<&str>, key: KeySource| line.desk.provision(line.order(request, id, lot, key));
    assert_eq!(reason(order(1, "sn2", None, with_csr(&device)).await), "REQUEST_ID_REUSED");
    assert_eq!(reason(order(1, "sn1", None, with_csr(&key())).await), "REQUEST_ID_REUSED");
    assert_eq!(reason(order(1, "sn1", Some("t8"), with_csr(&device)).await), "REQUEST_ID_REUSED");
    assert_eq!(reason(order(1, "sn1", None, KeySource::Server(issuance::KeyKind::P256)).await), "REQUEST_ID_REUSED");
    assert_eq!(reason(order(2, "sn1", None, with_csr(&key())).await), "DEVICE_ID_TAKEN");
    assert_eq!(reason(order(2, "sn1", Some("t8"), with_csr(&device)).await), "DEVICE_ID_TAKEN");
    assert_eq!(reason(line.make(2, "sn1").await), "DEVICE_ID_TAKEN");
    assert_eq!(reason(order(2, "sn2", None, KeySource::Device(Bytes::from_static(b"none"))).await), "CSR_MALFORMED");
    assert_eq!((line.store.head(), line.signer.books().asked.len()), (head, 1));
    // The refused request's id is free.
    line.provision(2, "sn2", &key()).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_breaks_after_the_work_is_no_second_unit() {
    let line = Line::new(&[("t7", 3)]);
    line.signer.books().breaks = 1;
    let device = key();
    let refusal = line.provision(1, "sn1", &device).await.unwrap_err();
    assert_eq!(refusal.reason(), "UPSTREAM_UNREACHABLE");
    let unit = line.desk.unit(&super::device_id("sn1")).await.unwrap();
    assert_eq!(line.desk.without_key(&unit).unwrap().state(), UnitState::Requested);
    let unit = line.provision(1, "sn1", &device).await.unwrap();
    assert_eq!(line.provision(1, "sn1", &device).await.unwrap(), unit);
    let books = line.signer.books();
    assert_eq!((books.asked.len(), books.lots["t7"]), (2, 2));
    assert_eq!(books.asked[0].request_id, books.asked[1].request_id);
}

#[tokio::test]
async fn whatever_breaks_while_a_unit_is_recorded_its_retry_gets_one_certificate() {
    // Three commits make a unit: the request, the lot's chain, the certificate.
    for commit in 0..3 {
        for step in
            [Step::BeforeAppend, Step::TornAppend, Step::DiskFull, Step::BeforeSync, Step::Sync, Step::AfterSync]
        {
            let mut line = Line::new(&[("t7", 3)]);
            line.faults.fail_after(step, commit);
            let device = key();
            let expected = if step == Step::DiskFull { "STORE_FULL" } else { "STORE_STOPPED" };
            assert_eq!(reason(line.provision(1, "sn1", &device).await), expected, "{step:?} in commit {commit}");
            if step != Step::DiskFull {
                line.start_again();
            }
            let unit = line.provision(1, "sn1", &device).await.unwrap();
            assert_eq!(unit.state(), UnitState::Issued, "{step:?} in commit {commit}");
            assert_eq!(line.provision(1, "sn1", &device).await.unwrap(), unit);
            assert_eq!(line.signer.books().lots["t7"], 2, "{step:?} in commit {commit}");
        }
    }
}

#[tokio::test]
async fn a_refused_unit_can_be_asked_for_again() {
    let line = Line::new(&[("t7", 3)]);
    let device = key();
    line.signer.books().refuses = Some(Refusal::new("CSR_KEY_NOT_ALLOWED", "not this kind of key"));
    assert_eq!(reason(line.provision(1, "sn1", &device).await), "CSR_KEY_NOT_ALLOWED");
    assert_eq!(reason(line.provision(1, "sn1", &device).await), "CSR_KEY_NOT_ALLOWED");
    line.signer.books().refuses = None;
    let unit = line.provision(1, "sn1", &device).await.unwrap();
    assert_eq!(line.provision(1, "sn1", &device).await.unwrap(), unit);

    // Also by another request, with another key.
    line.signer.books().refuses = Some(Refusal::new("CSR_KEY_NOT_ALLOWED", "not this kind of key"));
    assert_eq!(reason(line.provision(2, "sn2", &key()).await), "CSR_KEY_NOT_ALLOWED");
    line.signer.books().refuses = None;
    line.provision(3, "sn2", &key()).await.unwrap();
}

#[tokio::test]
async fn one_request_that_comes_several_times_at_once_is_one_unit() {
    let line = Line::new(&[("t7", 3)]);
    let device = key();
    let attempts = || line.provision(1, "sn1", &device);
    let (a, b, c) = tokio::join!(attempts(), attempts(), attempts());
    let unit = a.unwrap();
    assert_eq!((&b.unwrap(), &c.unwrap()), (&unit, &unit));
    assert_eq!(line.signer.books().lots["t7"], 2);
}

#[tokio::test]
async fn a_unit_is_confirmed_by_what_the_device_carries() {
    let line = Line::new(&[("t7", 3)]);
    let unit = line.provision(1, "sn1", &key()).await.unwrap();
    let head = line.store.head();
    assert_eq!(reason(line.confirm(2, "sn9", &unit.chain[0]).await), "DEVICE_UNKNOWN");
    assert_eq!(reason(line.confirm(2, "sn1", b"another").await), "WRITTEN_CERTIFICATE_DIFFERS");
    assert_eq!(reason(line.confirm(1, "sn1", &unit.chain[0]).await), "REQUEST_ID_REUSED");
    assert_eq!(line.store.head(), head);

    let written = line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    assert_eq!((written.state(), &written.chain), (UnitState::Written, &unit.chain));
    let head = line.store.head();
    assert_eq!(line.confirm(2, "sn1", &unit.chain[0]).await.unwrap(), written);
    assert_eq!(line.confirm(3, "sn1", &unit.chain[0]).await.unwrap(), written);
    assert_eq!(reason(line.confirm(2, "sn1", b"another").await), "REQUEST_ID_REUSED");
    assert_eq!(line.store.head(), head);
}

#[tokio::test]
async fn a_unit_without_a_certificate_cannot_be_confirmed() {
    let line = Line::new(&[("t7", 3)]);
    line.signer.books().breaks = 1;
    assert_eq!(reason(line.provision(1, "sn1", &key()).await), "UPSTREAM_UNREACHABLE");
    assert_eq!(reason(line.confirm(2, "sn1", b"anything").await), "UNIT_NOT_ISSUED");
}

#[tokio::test]
async fn a_confirmed_unit_is_told_as_written_to_who_asks_for_it_again() {
    let line = Line::new(&[("t7", 3)]);
    let device = key();
    let unit = line.provision(1, "sn1", &device).await.unwrap();
    line.confirm(2, "sn1", &unit.chain[0]).await.unwrap();
    let again = line.provision(1, "sn1", &device).await.unwrap();
    assert_eq!((again.state(), again.chain), (UnitState::Written, unit.chain));
}
