//! Lots by their ids, with or without the key that may sign for them.

use super::world::{House, LOT, key, reason};

#[test]
fn a_lot_is_found_by_its_id_alone() {
    let factory = House::factory();
    assert_eq!(factory.authority.lots.get(LOT).unwrap().id, LOT);
    for id in ["", "B0032", "b0033", "b0032\0"] {
        let refusal = factory.authority.lots.get(id).map(|_| ()).unwrap_err();
        assert_eq!((refusal.reason(), refusal.metadata()["lot"].as_str()), ("LOT_UNKNOWN", id));
    }
}

#[tokio::test]
async fn a_lot_without_its_key_refuses_to_sign_and_says_why() {
    let factory = House::factory();
    factory.put_lot(false);
    let lot = factory.authority.lots.get(LOT).unwrap();
    let refusal = lot.issuer().map(|_| ()).unwrap_err();
    assert_eq!(refusal.reason(), "LOT_NOT_OPEN");
    assert!(refusal.message().contains("its key file is not there"), "{refusal}");
    assert_eq!(reason(factory.issue(1, "sn1", &key()).await), "LOT_NOT_OPEN");
    assert_eq!(factory.tally().provisioned(), 0);
    factory.put_lot(true);
    factory.issue(1, "sn1", &key()).await.unwrap();
}
