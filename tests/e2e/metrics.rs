//! What the services tell at `/metrics` is true, and docs/metrics.md says what all of it means.

use std::collections::{BTreeMap, BTreeSet};

use api::{order::v1::GetOrderRequest, reason::v1::Reason};
use service::identity::Role;
use tonic::Code;

use crate::{
    answers::refused,
    custody::Custody,
    devices::{Device, Line},
    operated::{metrics, until, value},
    world::{At, Chain, TECHNICIAN, Who},
};

/// The names that a service tells, as they are asked for.
fn told(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect()
}

/// The names in docs/metrics.md, each with the services that it says tell it.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `countersign_")?.split(" | ");
        let name = format!("countersign_{}", cells.next()?.trim_end_matches('`'));
        let services = cells.nth(1)?.split(", ").map(str::to_owned).collect();
        Some((name, services))
    });
    rows.collect()
}

#[tokio::test]
async fn every_name_that_is_told_is_documented_and_every_documented_one_is_told() {
    let chain = Chain::shared().await;
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    for at in At::ALL {
        let service = at.identity().1;
        let tells = |services: &BTreeSet<String>| services.contains("all") || services.contains(service.as_str());
        let wanted: BTreeSet<_> = documented.iter().filter(|(_, by)| tells(by)).map(|(name, _)| name.clone()).collect();
        assert_eq!(told(&metrics(chain, at).await), wanted, "{service}");
    }
    let services = [Role::RootCa, Role::IntermediateCa, Role::Provisioner, Role::Hub].map(Role::as_str);
    let unknown = documented.values().flatten().find(|name| *name != "all" && !services.contains(&name.as_str()));
    assert_eq!(unknown, None, "a service that is none");
}

#[test]
fn the_dashboard_asks_for_documented_names_alone() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dashboards/countersign.json");
    let dashboard = std::fs::read_to_string(file).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: BTreeSet<_> =
        dashboard.split(|c: char| !is_part(c)).filter(|word| word.starts_with("countersign_")).collect();
    assert!(names.len() > 10, "{names:?}");
    let documented = documented();
    for name in names {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        assert!(documented.contains_key(base), "{name}");
    }
}

#[tokio::test]
async fn every_sample_has_a_type_and_labels_are_few() {
    let chain = Chain::shared().await;
    for at in At::ALL {
        let text = metrics(chain, at).await;
        let families: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(families.len(), text.matches("# TYPE ").count(), "each name has one type: {text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let parts = ["", "_total", "_bucket", "_sum", "_count"];
            let known = parts.iter().any(|part| name.strip_suffix(part).is_some_and(|name| families.contains(name)));
            assert!(known && line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
        }
        assert!(text.lines().count() < 2000, "{} lines", text.lines().count());
    }
}

#[tokio::test]
async fn units_are_told_where_they_are() {
    let lot = "m-units";
    let custody = Custody::at_technician("metrics-units", lot, 3).await;
    let line = Line::of(custody.chain);
    let before = metrics(custody.chain, At::Provisioner).await;
    for number in [1, 2] {
        line.provision(&Device::new(&format!("m-units-sn{number}")).at_line(Some(lot))).await;
    }
    let text = metrics(custody.chain, At::TechnicianCa).await;
    let of = |state: &str| value(&text, &format!("countersign_lot_units{{lot=\"{lot}\",state=\"{state}\"}}"));
    let states = ["in_doubt", "written", "handed_over", "reserved", "scrapped"].map(of);
    assert_eq!(states, [Some(2.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0)], "{text}");
    assert_eq!(value(&text, &format!("countersign_lot_remaining{{lot=\"{lot}\"}}")), Some(1.0));
    assert_eq!(custody.tally(TECHNICIAN, lot).await.provisioned, 2);
    assert!(value(&text, "countersign_line_issued_total") >= Some(2.0), "{text}");
    assert!(value(&text, "countersign_line_batch_requests_count") >= Some(1.0), "{text}");

    let text = metrics(custody.chain, At::Provisioner).await;
    let answered = "countersign_units_answered_total";
    assert!(value(&text, answered).unwrap() >= value(&before, answered).unwrap() + 2.0, "{text}");
    let signer = "countersign_upstream_reachable{upstream=\"technician-z/intermediate-ca\"}";
    assert_eq!(value(&text, signer), Some(1.0), "{text}");
    assert!(value(&text, "countersign_store_sync_seconds_count") >= Some(2.0), "{text}");
    // Nobody confirmed anything in this lot; what other tests confirm arrives as well.
    until(custody.chain, At::Provisioner, "countersign_outbox_lag_octets{destination=\"signer\"}", |lag| lag == 0.0)
        .await;
}

#[tokio::test]
async fn refusals_are_counted_by_their_published_reason_alone() {
    let chain = Chain::shared().await;
    let sample = "countersign_requests_refused_total{reason=\"ORDER_UNKNOWN\"}";
    let before = value(&metrics(chain, At::RootCa).await, sample).unwrap_or_default();
    for number in 0..3 {
        let asked = GetOrderRequest { order: format!("nobody-knows-{number}"), ..GetOrderRequest::default() };
        refused(chain.orders(Who::Alice).get_order(asked).await, Reason::OrderUnknown, Code::NotFound);
    }
    let text = metrics(chain, At::RootCa).await;
    assert!(value(&text, sample).unwrap() >= before + 3.0, "{text}");
    assert!(!text.contains("nobody-knows"), "what callers send is no label");
    let rpc = "countersign_request_seconds_count{rpc=\"/countersign.order.v1.OrderService/GetOrder\"}";
    assert!(value(&text, rpc) >= Some(3.0), "{text}");
    let days = value(&text, "countersign_certificate_days_left").unwrap();
    assert!((3000.0..4000.0).contains(&days), "{days} days of a certificate for ten years");
}
