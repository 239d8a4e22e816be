//! Profiles that do not start, each by its name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use issuance::profile::{DeviceProfileDocument, HandoffProfileDocument, OrderCaProfileDocument, RootProfileDocument};
use issuance::{OrderProfiles, ProfileRefusal, Stage};
use mfg::OidArc;
use mfg::terms::NameConstraintsProfile;
use world::*;

fn root(change: impl FnOnce(&mut RootProfileDocument)) -> Result<(), &'static str> {
    let mut document = root_document();
    change(&mut document);
    document.check().map(|_| ()).map_err(|refusal| refusal.reason())
}

fn order_ca(change: impl FnOnce(&mut OrderCaProfileDocument)) -> Result<(), &'static str> {
    let mut document = order_ca_document();
    change(&mut document);
    document.check(Stage::Development).map(|_| ()).map_err(|refusal| refusal.reason())
}

fn handoff_document() -> HandoffProfileDocument {
    HandoffProfileDocument::of_terms(&World::new(1).terms)
}

#[test]
fn profile_name_invalid() {
    for name in ["", " Company X", "Company\nX", "Company\0X", &"x".repeat(65)] {
        assert_eq!(root(|document| document.organization = name.to_owned()), Err("PROFILE_NAME_INVALID"));
        assert_eq!(root(|document| document.common_name = name.to_owned()), Err("PROFILE_NAME_INVALID"));
        assert_eq!(order_ca(|document| document.organization = name.to_owned()), Err("PROFILE_NAME_INVALID"));
        assert_eq!(order_ca(|document| document.common_name = name.to_owned()), Err("PROFILE_NAME_INVALID"));
    }
    assert_eq!(root(|document| document.organization = "Müller & Söhne, Zürich".to_owned()), Ok(()));
}

#[test]
fn period_not_ordered() {
    let backwards = period("2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    assert_eq!(root(|document| document.validity = backwards), Err("PERIOD_NOT_ORDERED"));
    assert_eq!(order_ca(|document| document.signing_window = backwards), Err("PERIOD_NOT_ORDERED"));
    let device = DeviceProfileDocument { validity: backwards, oid_arc: OidArc::documentation() };
    assert_eq!(device.check(Stage::Development).unwrap_err().reason(), "PERIOD_NOT_ORDERED");
}

#[test]
fn signing_window_not_nested() {
    let early = period("2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(order_ca(|document| document.signing_window = early), Err("SIGNING_WINDOW_NOT_NESTED"));
    let mut handoff = handoff_document();
    handoff.signing_window = early;
    assert_eq!(handoff.check(Stage::Development).unwrap_err().reason(), "SIGNING_WINDOW_NOT_NESTED");
}

#[test]
fn documentation_arc() {
    let refusal = |result: Result<(), ProfileRefusal>| result.unwrap_err().reason();
    assert_eq!(refusal(handoff_document().check(Stage::Production).map(|_| ())), "DOCUMENTATION_ARC");
    assert_eq!(refusal(order_ca_document().check(Stage::Production).map(|_| ())), "DOCUMENTATION_ARC");
    let terms = World::new(1).terms;
    assert_eq!(refusal(OrderProfiles::new(terms, Stage::Production).map(|_| ())), "DOCUMENTATION_ARC");
    let mut handoff = handoff_document();
    handoff.oid_arc = OidArc::parse("1.3.6.1.4.1.99999.7").unwrap();
    assert!(handoff.check(Stage::Production).is_ok());
}

#[test]
fn chain_too_deep() {
    assert_eq!(order_ca(|document| document.path_length = 6), Err("CHAIN_TOO_DEEP"));
    assert_eq!(order_ca(|document| document.path_length = 0), Ok(()));
}

#[test]
fn base_name_invalid() {
    for name in ["", "a..b", "Upper.example", "under_score.example"] {
        assert_eq!(order_ca(|document| document.base_name = name.to_owned()), Err("BASE_NAME_INVALID"), "{name}");
    }
}

#[test]
fn a_hash_follows_every_field() {
    let document = handoff_document();
    let hash = |document: HandoffProfileDocument| document.check(Stage::Development).unwrap().hash();
    let same = hash(document.clone());
    assert_eq!(same, hash(document.clone()));
    let mut compatible = document.clone();
    compatible.name_constraints = NameConstraintsProfile::Compatible;
    let mut arc = document.clone();
    arc.oid_arc = OidArc::parse("1.3.6.1.4.1.99999").unwrap();
    let mut window = document;
    window.signing_window = period("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    assert!([compatible, arc, window].into_iter().all(|changed| hash(changed) != same));
}

#[test]
fn times_on_both_sides_of_2050_are_proven_by_the_sample() {
    for (from, to) in
        [("1949-12-31T23:59:59Z", "1950-01-01T00:00:00Z"), ("2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z")]
    {
        assert_eq!(root(|document| document.validity = period(from, to)), Ok(()));
    }
}
