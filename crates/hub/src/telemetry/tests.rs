//! Telemetry is kept, bounded for each device and in total, filtered, and followed.
#![allow(clippy::unwrap_used)]

use api::hub::v1::{Property, TelemetryFilter};

use super::*;

fn bounds(per_device: usize) -> TelemetryBounds {
    TelemetryBounds { log: Bounds { segment_octets: 2048, segments: 4 }, per_device, per_device_second: 1000 }
}

fn open(directory: &Path, per_device: usize) -> Telemetry {
    Telemetry::open(directory, bounds(per_device), Stop::default()).unwrap()
}

fn message(device: &str, n: u32, alert: &str) -> TelemetryMessage {
    let property = Property { name: "temperatureAlert".into(), value: alert.into() };
    TelemetryMessage {
        device_id: device.to_owned(),
        enqueued_at: Some(prost_types::Timestamp { seconds: i64::from(n), nanos: 0 }),
        properties: vec![property],
        body: Bytes::from(n.to_string()),
        ..TelemetryMessage::default()
    }
}

fn bodies(page: &Page) -> Vec<String> {
    page.messages.iter().map(|m| String::from_utf8(m.body.to_vec()).unwrap()).collect()
}

fn filter(device: &str, alert: Option<&str>) -> Filter {
    let properties = alert.map(|value| Property { name: "temperatureAlert".into(), value: value.into() });
    let filter = TelemetryFilter {
        device_id: device.to_owned(),
        properties: properties.into_iter().collect(),
        ..TelemetryFilter::default()
    };
    Filter::read(Some(filter)).unwrap()
}

const NOW: UnixTime = UnixTime::new(1_800_000_000);

#[tokio::test]
async fn messages_are_filtered_by_device_and_property_and_paged_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let kept = open(directory.path(), 100);
    for nothing in [Filter::default(), filter("a", None)] {
        let page = kept.page(Position::START, &nothing, 100).unwrap();
        assert!(page.messages.is_empty() && page.at_end);
    }
    for n in 0..10 {
        let alert = if n % 2 == 0 { "true" } else { "false" };
        kept.keep(message(if n < 5 { "a" } else { "b" }, n, alert), NOW).await.unwrap();
    }
    let all = kept.page(Position::START, &Filter::default(), 100).unwrap();
    assert_eq!(bodies(&all).len(), 10);
    assert!(all.at_end);
    let alerts = kept.page(Position::START, &filter("a", Some("true")), 100).unwrap();
    assert_eq!(bodies(&alerts), ["0", "2", "4"]);
    let first = kept.page(Position::START, &filter("b", None), 2).unwrap();
    assert_eq!(bodies(&first), ["5", "6"]);
    assert!(!first.at_end);
    let rest = kept.page(first.next, &filter("b", None), 100).unwrap();
    assert_eq!(bodies(&rest), ["7", "8", "9"]);
    assert!(rest.at_end);
    assert!(bodies(&kept.page(rest.next, &filter("b", None), 100).unwrap()).is_empty());
    kept.keep(message("b", 10, "true"), NOW).await.unwrap();
    assert_eq!(bodies(&kept.page(rest.next, &filter("b", None), 100).unwrap()), ["10"]);
    let since = TelemetryFilter { since: Some(prost_types::Timestamp { seconds: 9, nanos: 0 }), ..Default::default() };
    assert_eq!(bodies(&kept.page(Position::START, &Filter::read(Some(since)).unwrap(), 100).unwrap()), ["9", "10"]);
}

#[tokio::test]
async fn of_each_device_the_newest_are_kept_also_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let kept = open(directory.path(), 3);
    kept.keep(message("quiet", 100, "false"), NOW).await.unwrap();
    for n in 0..6 {
        kept.keep(message("loud", n, "false"), NOW).await.unwrap();
    }
    assert_eq!(bodies(&kept.page(Position::START, &filter("loud", None), 100).unwrap()), ["3", "4", "5"]);
    assert_eq!(bodies(&kept.page(Position::START, &Filter::default(), 100).unwrap()), ["100", "3", "4", "5"]);
    drop(kept);
    let kept = open(directory.path(), 3);
    assert_eq!(bodies(&kept.page(Position::START, &Filter::default(), 100).unwrap()), ["100", "3", "4", "5"]);
}

#[tokio::test]
async fn the_total_is_bounded_and_the_oldest_goes_first() {
    let directory = tempfile::tempdir().unwrap();
    let kept = open(directory.path(), 10_000);
    for n in 0..500 {
        kept.keep(message("a", n, "false"), NOW).await.unwrap();
    }
    let page = kept.page(Position::START, &Filter::default(), 1000).unwrap();
    assert!((50..300).contains(&page.messages.len()), "{}", page.messages.len());
    assert_eq!(bodies(&page).last().unwrap(), "499");
    let places = kept.state.devices().get("a").unwrap().places.len();
    assert_eq!(places, page.messages.len());
}

#[tokio::test]
async fn a_flood_of_one_device_is_refused_and_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let few = TelemetryBounds { per_device_second: 3, ..bounds(100) };
    let kept = Telemetry::open(directory.path(), few, Stop::default()).unwrap();
    let mut refused = 0;
    for n in 0..10 {
        refused += usize::from(kept.keep(message("loud", n, "x"), NOW).await.is_err());
    }
    assert_eq!(refused, 7, "a new device's first messages count too");
    kept.keep(message("quiet", 0, "x"), NOW).await.unwrap();
    kept.keep(message("loud", 11, "x"), UnixTime::new(NOW.as_secs() + 1)).await.unwrap();
}
