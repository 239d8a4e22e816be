//! What is registered once.

use api::{manufacturer::v1::Manufacturer, program::v1::Program};
use bytes::Bytes;
use store::Store as _;

use super::{Brand, maker, program, reason};
use crate::{
    registry::{Registered as _, find},
    rpc,
};

#[test]
fn the_same_registration_again_is_the_same_registration() {
    let brand = Brand::empty();
    let program = program("smart-widget");
    assert_eq!(brand.register(1, program.clone()).unwrap(), program);
    let head = brand.store.head();
    assert_eq!(brand.register(1, program.clone()).unwrap(), program);
    assert_eq!(brand.register(2, program.clone()).unwrap(), program);
    assert_eq!(brand.store.head(), head);
    // The second request was answered and recorded nothing, so its id is free.
    brand.register(2, maker(1)).unwrap();
}

#[test]
fn other_content_under_a_taken_id_is_refused_and_changes_nothing() {
    let brand = Brand::new();
    let other = Program { max_device_id_length: 25, ..program("smart-widget") };
    assert_eq!(reason(brand.register(1, other)), "PROGRAM_EXISTS");
    let other = Manufacturer { display_name: "Maker One".to_owned(), ..maker(1) };
    assert_eq!(reason(brand.register(1, other)), "MANUFACTURER_EXISTS");
    assert_eq!(find::<Program>(brand.store.as_ref(), "smart-widget").unwrap(), program("smart-widget"));
    assert_eq!(find::<Manufacturer>(brand.store.as_ref(), "maker-1").unwrap().as_asked(), maker(1));
}

#[test]
fn a_request_id_stands_for_one_registration() {
    let brand = Brand::empty();
    brand.register(1, program("one")).unwrap();
    let head = brand.store.head();
    assert_eq!(reason(brand.register(1, program("two"))), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.register(1, maker(1))), "REQUEST_ID_REUSED");
    assert_eq!(brand.store.head(), head);
    brand.register(2, program("two")).unwrap();
}

#[test]
fn a_program_that_could_not_name_a_device_is_refused_by_name() {
    let brand = Brand::empty();
    let head = brand.store.head();
    type Change = fn(&mut Program);
    let cases: [(Change, &str); 12] = [
        (|p| p.program = String::new(), "LABEL_INVALID"),
        (|p| p.program = "Smart".to_owned(), "LABEL_INVALID"),
        (|p| p.program = "p".repeat(33), "LABEL_INVALID"),
        (|p| p.base_name = String::new(), "PROGRAM_INVALID"),
        (|p| p.base_name = "*.example".to_owned(), "PROGRAM_INVALID"),
        (|p| p.base_name = "a.".repeat(200), "PROGRAM_INVALID"),
        (|p| p.oid_arc = "1.3.6.1.4.1.2147483648".to_owned(), "PROGRAM_INVALID"),
        (|p| p.oid_arc = "x".repeat(100_000), "PROGRAM_INVALID"),
        (|p| p.max_device_id_length = 0, "PROGRAM_INVALID"),
        (|p| p.max_device_id_length = 64, "PROGRAM_INVALID"),
        (|p| p.max_lot_id_length = 25, "PROGRAM_INVALID"),
        (|p| p.max_lot_id_length = u32::MAX, "PROGRAM_INVALID"),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut program = program("smart-widget");
        change(&mut program);
        assert_eq!(reason(brand.register(1, program)), expected, "case {number}");
    }
    assert_eq!(brand.store.head(), head);
    brand.register(1, program("smart-widget")).unwrap();
}

#[test]
fn a_manufacturer_that_could_not_be_named_or_believed_is_refused_by_name() {
    let brand = Brand::empty();
    let head = brand.store.head();
    type Change = fn(&mut Manufacturer);
    let cases: [(Change, &str); 8] = [
        (|m| m.manufacturer = "a.b".to_owned(), "LABEL_INVALID"),
        (|m| m.manufacturer = "m".repeat(25), "LABEL_INVALID"),
        (|m| m.display_name = String::new(), "MANUFACTURER_INVALID"),
        (|m| m.display_name = "ä".repeat(65), "MANUFACTURER_INVALID"),
        (|m| m.display_name = "Maker\u{1b}[2J".to_owned(), "MANUFACTURER_INVALID"),
        (|m| m.identity_key = Bytes::new(), "MANUFACTURER_INVALID"),
        (|m| m.identity_key = Bytes::from_static(b"\x30\x00"), "MANUFACTURER_INVALID"),
        (|m| m.identity_key = m.identity_key.slice(..m.identity_key.len() - 1), "MANUFACTURER_INVALID"),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut asked = maker(1);
        change(&mut asked);
        assert_eq!(reason(brand.register(1, asked)), expected, "case {number}");
    }
    assert_eq!(brand.store.head(), head);
    brand.register(1, Manufacturer { display_name: "ä".repeat(64), ..maker(1) }).unwrap();
}

#[test]
fn what_was_never_registered_is_unknown() {
    let brand = Brand::new();
    for id in ["", "maker-1", "Smart-Widget", "smart-widget\0"] {
        assert_eq!(reason(find::<Program>(brand.store.as_ref(), id)), "PROGRAM_UNKNOWN", "{id:?}");
    }
    assert_eq!(reason(find::<Manufacturer>(brand.store.as_ref(), "smart-widget")), "MANUFACTURER_UNKNOWN");
}

#[test]
fn the_bundle_has_the_anchor_every_identity_key_and_every_program() {
    let brand = Brand::new();
    let bundle = rpc::bundle(&brand.orders).unwrap();
    let owners: Vec<&str> = bundle.identity_keys.iter().map(|key| key.manufacturer.as_str()).collect();
    let all = ["company-x", "maker-1", "maker-2", "maker-3", "maker-4", "maker-5", "maker-6", "maker-7"];
    assert_eq!(owners, all);
    assert_eq!((bundle.anchors.len(), bundle.programs.len()), (1, 1));
    assert!(mfg::Bundle::parse(bundle.to_json().unwrap().as_ref()).is_ok());
}
