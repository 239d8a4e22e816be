//! Twins and queues: durable, bounded, merged as RFC 7396 says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::admission::Settlement;

const NOW: UnixTime = UnixTime::new(1_800_000_000);
const LONG_AGO: UnixTime = UnixTime::new(0);

fn boxes(directory: &tempfile::TempDir) -> Mailboxes {
    Mailboxes::open(directory.path().to_owned()).unwrap()
}

fn message(request: &str, octets: usize) -> NewMessage {
    NewMessage {
        request_id: request.to_owned(),
        system: Vec::new(),
        properties: Vec::new(),
        body: Bytes::from(vec![b'x'; octets]),
    }
}

#[test]
fn a_twin_is_merged_versioned_and_durable() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = boxes(&directory).of("Sensor/../1");
    assert_eq!(mailbox.patch_reported(br#"{"a":{"b":1,"c":[1]},"d":"x"}"#).unwrap(), 2);
    assert_eq!(mailbox.patch_reported(br#"{"a":{"b":null,"e":true},"d":{"f":1}}"#).unwrap(), 3);
    mailbox.patch_desired(br#"{"interval":5}"#, Some(1)).unwrap();
    let stale = mailbox.patch_desired(br#"{"interval":6}"#, Some(1)).unwrap_err();
    assert_eq!(stale.reason(), "ETAG_STALE");
    let twin = boxes(&directory).of("Sensor/../1").twin().unwrap();
    assert_eq!(Value::from(twin.reported), json!({"a":{"c":[1],"e":true},"d":{"f":1}}));
    assert_eq!((twin.reported_version, twin.desired_version), (3, 2));
    assert_eq!(Value::from(twin.desired), json!({"interval":5}));
    assert_eq!(boxes(&directory).of("other").twin().unwrap().reported_version, 1);
}

#[test]
fn subscriptions_are_kept_until_they_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    for kept in [None, Some(0), Some(0b10), None] {
        boxes(&directory).of("d").keep_subscriptions(kept).unwrap();
        assert_eq!(boxes(&directory).of("d").subscriptions().unwrap(), kept);
    }
}

#[test]
fn patches_that_a_twin_cannot_hold_are_refused_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = boxes(&directory).of("d");
    let deep = format!("{}1{}", "{\"a\":".repeat(11), "}".repeat(11));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
    let bad = ["", "[]", "1", "{\"$version\":1}", "{\"\":1}", "{\"a\\u0000\":1}", &deep, &long];
    for patch in bad {
        assert_eq!(mailbox.patch_reported(patch.as_bytes()).unwrap_err().reason(), "TWIN_PATCH_INVALID", "{patch}");
    }
    let chunk = "x".repeat(4000);
    let mut outcomes = (0..9).map(|n| mailbox.patch_reported(format!("{{\"p{n}\":\"{chunk}\"}}").as_bytes()));
    assert_eq!(outcomes.find_map(Result::err).unwrap().reason(), "TWIN_TOO_LARGE");
    assert_eq!(mailbox.twin().unwrap().reported.len(), 8);
}

#[test]
fn changes_of_desired_properties_are_told_one_by_one_or_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = boxes(&directory).of("d");
    let followed = mailbox.follow();
    for n in 0..3 {
        mailbox.patch_desired(format!("{{\"n\":{n}}}").as_bytes(), None).unwrap();
    }
    assert!(followed.has_changed().unwrap());
    let after = mailbox.desired_after(2).unwrap();
    assert_eq!(after.iter().map(|change| change.version).collect::<Vec<_>>(), [3, 4]);
    assert!(mailbox.desired_after(4).unwrap().is_empty());
    let reopened = boxes(&directory).of("d");
    let whole = reopened.desired_after(2).unwrap();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole.first().map(|change| change.version), Some(4));
}

#[test]
fn a_message_is_held_by_one_session_until_it_is_settled_or_the_session_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = boxes(&directory).of("d");
    assert_eq!(mailbox.queue(message("r1", 10), NOW, LONG_AGO).unwrap(), 1);
    assert_eq!(mailbox.queue(message("r1", 10), NOW, LONG_AGO).unwrap(), 1, "a repetition");
    assert_eq!(mailbox.queue(message("r2", 10), NOW, LONG_AGO).unwrap(), 2);
    let first = mailbox.take(7, LONG_AGO).unwrap().unwrap();
    assert_eq!((first.sequence, first.delivered), (1, 0));
    assert_eq!(mailbox.take(7, LONG_AGO).unwrap().unwrap().sequence, 2);
    assert!(mailbox.take(7, LONG_AGO).unwrap().is_none());
    assert_eq!(mailbox.settle(8, 1, Settlement::Complete).unwrap_err().reason(), "MESSAGE_NOT_HELD");
    mailbox.settle(7, 1, Settlement::Complete).unwrap();
    assert_eq!(mailbox.settle(7, 1, Settlement::Complete).unwrap_err().reason(), "MESSAGE_NOT_HELD");
    mailbox.release(7);
    let again = mailbox.take(8, LONG_AGO).unwrap().unwrap();
    assert_eq!((again.sequence, again.delivered), (2, 1));
    mailbox.settle(8, 2, Settlement::Abandon).unwrap();
    assert_eq!(boxes(&directory).of("d").take(1, LONG_AGO).unwrap().unwrap().sequence, 2);
    mailbox.take(9, LONG_AGO).unwrap();
    mailbox.settle(9, 2, Settlement::Reject).unwrap();
    assert_eq!(boxes(&directory).of("d").waiting().unwrap(), 0);
}

#[test]
fn a_message_that_is_never_settled_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = boxes(&directory).of("d");
    mailbox.queue(message("r", 1), NOW, LONG_AGO).unwrap();
    for session in 0..10 {
        assert!(mailbox.take(session, LONG_AGO).unwrap().is_some(), "{session}");
        mailbox.release(session);
    }
    assert!(mailbox.take(10, LONG_AGO).unwrap().is_none());
    mailbox.queue(message("r2", 1), NOW, LONG_AGO).unwrap();
    assert!(mailbox.take(11, UnixTime::new(NOW.as_secs() + 1)).unwrap().is_none(), "too old");
}

#[test]
fn a_queue_is_bounded_in_messages_and_octets() {
    let directory = tempfile::tempdir().unwrap();
    let boxes = boxes(&directory);
    let mailbox = boxes.of("many");
    let many = (0..60).find_map(|n| mailbox.queue(message(&n.to_string(), 1), NOW, LONG_AGO).err()).unwrap();
    assert_eq!((many.reason(), mailbox.waiting().unwrap()), ("DEVICE_QUEUE_FULL", 50));
    let mailbox = boxes.of("large");
    assert_eq!(mailbox.queue(message("r", 70_000), NOW, LONG_AGO).unwrap_err().reason(), "MESSAGE_TOO_LARGE");
    let large = (0..60).find_map(|n| mailbox.queue(message(&n.to_string(), 60_000), NOW, LONG_AGO).err()).unwrap();
    assert_eq!((large.reason(), mailbox.waiting().unwrap()), ("DEVICE_QUEUE_FULL", 8));
}

#[test]
fn a_queue_that_is_full_of_small_properties_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let property = wire::Property { name: "p".to_owned(), value: String::new() };
    let many = |request: usize, properties: usize| NewMessage {
        properties: vec![property.clone(); properties],
        ..message(&request.to_string(), 0)
    };
    let mailbox = boxes(&directory).of("d");
    assert_eq!(mailbox.queue(many(0, 60_000), NOW, LONG_AGO).unwrap_err().reason(), "MESSAGE_TOO_LARGE");
    let full = (0..60).find_map(|n| mailbox.queue(many(n, 12_000), NOW, LONG_AGO).err()).unwrap();
    assert_eq!(full.reason(), "DEVICE_QUEUE_FULL");
    assert_eq!(boxes(&directory).of("d").waiting().unwrap(), mailbox.waiting().unwrap());
}

#[test]
fn a_request_sends_its_message_once_also_when_the_message_was_settled_and_means_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = boxes(&directory).of("d");
    let other = |request: &str| mailbox.queue(message(request, 11), NOW, LONG_AGO).unwrap_err().reason();
    mailbox.queue(message("r1", 10), NOW, LONG_AGO).unwrap();
    assert_eq!(other("r1"), "REQUEST_ID_REUSED");
    mailbox.take(1, LONG_AGO).unwrap();
    mailbox.settle(1, 1, Settlement::Complete).unwrap();
    let again = boxes(&directory).of("d");
    assert_eq!(again.queue(message("r1", 10), NOW, LONG_AGO).unwrap(), 1, "the answer was lost");
    assert_eq!((other("r1"), again.waiting().unwrap()), ("REQUEST_ID_REUSED", 0));
    for n in 0..50 {
        let sequence = again.queue(message(&format!("more {n}"), 1), NOW, LONG_AGO).unwrap();
        again.take(1, LONG_AGO).unwrap();
        again.settle(1, sequence, Settlement::Complete).unwrap();
    }
    assert_eq!(again.queue(message("more 0", 1), NOW, LONG_AGO).unwrap(), 2, "the fiftieth before");
    assert_eq!(again.queue(message("r1", 10), NOW, LONG_AGO).unwrap(), 52, "what is forgotten is new");
}

#[test]
fn a_damaged_file_is_refused_and_touches_no_other_device() {
    let directory = tempfile::tempdir().unwrap();
    boxes(&directory).of("a").patch_reported(b"{\"x\":1}").unwrap();
    boxes(&directory).of("b").patch_reported(b"{\"x\":1}").unwrap();
    let folder = |id: &str| directory.path().join(pki::hex::encode(&pki::Sha256::of(id.as_bytes()).as_bytes()[..1]));
    let file = std::fs::read_dir(folder("a")).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&file).unwrap();
    let other = std::fs::read(std::fs::read_dir(folder("b")).unwrap().next().unwrap().unwrap().path()).unwrap();
    for bad in [&good[..good.len() - 1], &[][..], &other] {
        std::fs::write(&file, bad).unwrap();
        assert_eq!(boxes(&directory).of("a").twin().unwrap_err().reason(), "MAILBOX_DAMAGED");
    }
    assert!(boxes(&directory).of("b").twin().is_ok());
    boxes(&directory).delete("a").unwrap();
    assert_eq!(boxes(&directory).of("a").twin().unwrap().reported_version, 1);
}
