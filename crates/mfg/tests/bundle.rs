//! What bundle.json says about manufacturers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use mfg::{
    Bundle, ManufacturerId,
    bundle::{BundleManufacturer, MAX_RETIRED_KEYS, RetiredKey, Retirement, ServiceIdentity, State},
};
use pki::{Sha256, UnixTime};

fn id(text: &str) -> ManufacturerId {
    ManufacturerId::parse(text).unwrap()
}

fn retired(seed: &str, why: Retirement) -> RetiredKey {
    let retired_at = UnixTime::parse("2026-06-01T00:00:00Z").unwrap();
    RetiredKey { sha256: Sha256::of(seed.as_bytes()), retired_at, why }
}

fn sample() -> Bundle {
    let services = ServiceIdentity {
        trust_domain: "factory.example".to_owned(),
        cas: Vec::new(),
        roles: vec!["intermediate-ca".to_owned()],
    };
    let factory = BundleManufacturer {
        id: id("factory-y"),
        state: State::Suspended,
        services: Some(services),
        retired_keys: vec![retired("first", Retirement::Rotated), retired("second", Retirement::Lost)],
    };
    let plain =
        BundleManufacturer { id: id("technician-z"), state: State::Active, services: None, retired_keys: Vec::new() };
    Bundle { manufacturers: vec![factory, plain], ..Bundle::default() }
}

/// `sample` with one text replaced in its JSON.
fn changed(old: &str, new: &str) -> Result<Bundle, &'static str> {
    let json = sample().to_json().unwrap();
    assert!(json.contains(old), "{json}");
    Bundle::parse(json.replacen(old, new, 1).as_bytes()).map_err(|refusal| refusal.reason())
}

#[test]
fn what_is_said_about_manufacturers_survives_the_file() {
    let read = Bundle::parse(sample().to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(read.manufacturers, sample().manufacturers);
    assert!(read.is_suspended(&id("factory-y")));
    assert!(!read.is_suspended(&id("technician-z")) && !read.is_suspended(&id("unknown")));
    let second = Sha256::of(b"second");
    assert_eq!(read.retirement(&id("factory-y"), &second).unwrap().why, Retirement::Lost);
    assert_eq!(read.retirement(&id("technician-z"), &second), None);
    assert_eq!(read.retirement(&id("factory-y"), &Sha256::of(b"third")), None);
}

#[test]
fn a_bundle_that_says_nothing_about_manufacturers_is_one_too() {
    let text = r#"{"version":1,"anchors":[],"identity_keys":[],"programs":[]}"#;
    assert!(Bundle::parse(text.as_bytes()).unwrap().manufacturers.is_empty());
    assert!(!Bundle::default().to_json().unwrap().contains("manufacturers"));
}

#[test]
fn an_entry_that_does_not_read_is_refused() {
    let digest = Sha256::of(b"first").to_string();
    let cases = [
        ("suspended", "paused"),
        ("\"state\"", "\"status\""),
        ("factory-y", "Factory"),
        ("rotated", "sold"),
        ("2026-06-01T00:00:00Z", "yesterday"),
        (digest.as_str(), "00"),
        ("\"cas\": []", "\"cas\": [\"no pem\"]"),
    ];
    for (old, new) in cases {
        assert_eq!(changed(old, new).map(|_| ()), Err("BUNDLE_MALFORMED"), "{new}");
    }
    let key = retired("x", Retirement::Rotated);
    let mut crowded = sample();
    crowded.manufacturers[0].retired_keys = vec![key; MAX_RETIRED_KEYS + 1];
    let refused = Bundle::parse(crowded.to_json().unwrap().as_bytes()).map_err(|refusal| refusal.reason());
    assert_eq!(refused.map(|_| ()), Err("BUNDLE_MALFORMED"));
    let mut many = sample();
    many.manufacturers = vec![many.manufacturers[1].clone(); mfg::bundle::MAX_ENTRIES + 1];
    let refused = Bundle::parse(many.to_json().unwrap().as_bytes()).map_err(|refusal| refusal.reason());
    assert_eq!(refused.map(|_| ()), Err("BUNDLE_TOO_LONG"));
}

#[test]
fn a_suspension_in_one_of_two_merged_bundles_is_a_suspension() {
    let mut active = sample();
    active.manufacturers[0].state = State::Active;
    let merged = active.merge(sample()).unwrap();
    assert!(merged.is_suspended(&id("factory-y")));
    assert_eq!(merged.manufacturers.iter().filter(|m| m.id == id("technician-z")).count(), 1);
}
