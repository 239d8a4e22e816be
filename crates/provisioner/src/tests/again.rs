//! A unit that gets another certificate.

use api::{Refusal, issuance::v1::Occasion, provisioning::v1::UnitState};
use issuance::SoftwareKey;
use store::{Position, Store as _};

use super::{Line, key, reason, with_csr};
use crate::desk::{KeySource, UnitOrder};

async fn replace(line: &Line, request: u8, key: &SoftwareKey) -> Result<api::provisioning::v1::Unit, Refusal> {
    again(line, request, with_csr(key), Occasion::Replacement).await
}

async fn again(
    line: &Line,
    request: u8,
    key: KeySource,
    occasion: Occasion,
) -> Result<api::provisioning::v1::Unit, Refusal> {
    line.desk.provision(UnitOrder { occasion, ..line.order(request, "sn1", None, key) }).await
}

#[tokio::test]
async fn a_replacement_asks_the_signer_for_one_out_of_the_units_own_lot() {
    let mut line = Line::new(&[("t7", 3), ("t8", 3)]);
    let (old, new) = (key(), key());
    let first = line.provision(1, "sn1", &old).await.unwrap();
    let second = replace(&line, 2, &new).await.unwrap();
    assert_ne!(second.chain[0], first.chain[0]);
    assert_eq!((second.lot.as_str(), second.state()), ("t7", UnitState::Issued));
    assert_eq!(line.signer.books().asked[1].occasion(), Occasion::Replacement);
    line.start_again();
    assert_eq!(replace(&line, 2, &new).await.unwrap(), second, "a repetition");
    assert_eq!(replace(&line, 3, &new).await.unwrap(), second, "and by another request");
    assert_eq!(line.provision(1, "sn1", &old).await.unwrap(), first, "the first request is answered for ever");
    assert_eq!(line.signer.books().asked.len(), 2);
    assert_eq!(reason(line.confirm(9, "sn1", &first.chain[0]).await), "WRITTEN_CERTIFICATE_DIFFERS");
    line.confirm(9, "sn1", &second.chain[0]).await.unwrap();
}

#[tokio::test]
async fn what_is_out_of_order_is_refused_before_the_signer_is_asked() {
    let line = Line::new(&[("t7", 3)]);
    assert_eq!(reason(replace(&line, 1, &key()).await), "DEVICE_UNKNOWN");
    let unit = line.provision(1, "sn1", &key()).await.unwrap();
    let head = line.store.head();
    assert_eq!(reason(again(&line, 2, with_csr(&key()), Occasion::Rework).await), "NOT_WRITTEN");
    assert_eq!(reason(replace(&line, 1, &key()).await), "REQUEST_ID_REUSED");
    let elsewhere = line.order(3, "sn1", Some("t8"), with_csr(&key()));
    let elsewhere = UnitOrder { occasion: Occasion::Replacement, ..elsewhere };
    assert_eq!(reason(line.desk.provision(elsewhere).await), "DEVICE_ID_TAKEN");
    assert_eq!(line.store.head(), head);
    line.confirm(4, "sn1", &unit.chain[0]).await.unwrap();
    assert_eq!(reason(replace(&line, 5, &key()).await), "ALREADY_WRITTEN");
    assert_eq!(line.signer.books().asked.len(), 1);
}

#[tokio::test]
async fn a_replacement_that_the_signer_refuses_leaves_the_unit_as_it_was() {
    let mut line = Line::new(&[("t7", 3)]);
    let unit = line.provision(1, "sn1", &key()).await.unwrap();
    let new = key();
    line.signer.books().refuses = Some(Refusal::new("REPLACEMENT_CAP_SPENT", "no more"));
    assert_eq!(reason(replace(&line, 2, &new).await), "REPLACEMENT_CAP_SPENT");
    line.start_again();
    assert_eq!(reason(line.provision(3, "sn1", &key()).await), "DEVICE_ID_TAKEN", "the unit is not free");
    line.signer.books().refuses = None;
    let replaced = replace(&line, 2, &new).await.unwrap();
    assert_ne!(replaced.chain[0], unit.chain[0], "the same request may be made again");
    line.confirm(4, "sn1", &replaced.chain[0]).await.unwrap();
}

#[tokio::test]
async fn the_key_that_was_made_for_what_is_replaced_is_gone() {
    let line = Line::new(&[("t7", 3)]);
    line.make(1, "sn1").await.unwrap();
    let kept = line.kept_keys();
    let unit = again(&line, 2, KeySource::Server(issuance::KeyKind::P256), Occasion::Replacement).await.unwrap();
    assert!(unit.private_key.is_some());
    assert_eq!(line.kept_keys().len(), 1);
    assert_ne!(line.kept_keys(), kept);
}

#[tokio::test]
async fn units_in_doubt_are_listed_until_they_are_confirmed() {
    let line = Line::new(&[("t7", 9)]);
    let mut units = Vec::new();
    for (request, id) in [(1, "sn1"), (2, "sn2"), (3, "sn3")] {
        units.push(line.provision(request, id, &key()).await.unwrap());
    }
    line.confirm(9, "sn2", &units[1].chain[0]).await.unwrap();
    replace(&line, 4, &key()).await.unwrap();
    let (first, next) = line.desk.in_doubt(None, Position::from_u64(0), 1).await.unwrap();
    let (second, end) = line.desk.in_doubt(Some("t7".to_owned()), next.unwrap(), 5).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&second).map(|unit| unit.device_id.as_str()).collect();
    assert_eq!((ids.as_slice(), end), (["sn3", "sn1"].as_slice(), None));
    let elsewhere = line.desk.in_doubt(Some("t8".to_owned()), Position::from_u64(0), 5).await.unwrap();
    assert_eq!(elsewhere, (Vec::new(), None));
}
