//! What lines tell: at least once, in order.

use api::{
    hub::v1::{LineEvent, Registration},
    journal::v1::{HubFeedReached, record::Fact},
};
use store::{Claim, Rule};

use super::*;
use crate::{
    forge::{generation, handoff_ca, new_ca, other_signature},
    registry::keys,
};

const FEED: &str = "2f1c6a52-9c4f-4c0e-8a39-51d6c1f0f5b2";

fn written(sequence: u64, id: &str, chain: Vec<Bytes>) -> Registration {
    Registration { sequence, device_id: id.to_owned(), event: LineEvent::Written.into(), chain, ..Default::default() }
}

fn event(sequence: u64, id: &str, event: LineEvent) -> Registration {
    Registration { sequence, device_id: id.to_owned(), event: event.into(), ..Default::default() }
}

impl World {
    fn tell(&self, events: &[Registration]) -> Vec<Option<&'static str>> {
        self.tell_as("technician-z", FEED, events)
    }

    fn tell_as(&self, who: &str, feed: &str, events: &[Registration]) -> Vec<Option<&'static str>> {
        let answer = self.books.register(&caller(who), feed, events).unwrap();
        let reason = |refusal| Refusal::from_wire(refusal).reason();
        answer.results.into_iter().map(|result| result.refusal.map(reason)).collect()
    }

    fn reached(&self) -> u64 {
        self.books.register(&caller("technician-z"), FEED, &[]).unwrap().reached
    }
}

#[tokio::test]
async fn a_written_device_is_registered_bound_and_may_connect() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    assert_eq!(world.tell(&[written(3, "SN0000001", forge.presented())]), [None]);
    let device = world.books.device("sn0000001").unwrap();
    assert!(device.binding.unwrap().registered_by_line);
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert_eq!(world.reached(), 3);
    let etag = world.books.device("sn0000001").unwrap().etag;
    assert_eq!(world.tell(&[written(3, "sn0000001", forge.presented())]), [None], "a repetition");
    assert_eq!(world.books.device("sn0000001").unwrap().etag, etag);
    let world = world.restarted();
    assert_eq!(world.reached(), 3);
    world.connect(forge.presented(), "sn0000001").await.unwrap();
}

#[tokio::test]
async fn a_rework_supersedes_the_older_certificate_and_ends_its_session() {
    let mut forge = Forge::new();
    let world = World::trusting(&forge);
    let old = forge.presented();
    world.tell(&[written(1, "sn0000001", old.clone())]);
    let admitted = world.connect(old.clone(), "sn0000001").await.unwrap();
    let mut revocations = world.registry.revocations();
    revocations.borrow_and_update();
    forge.name_leaf("sn0000001");
    forge.leaf.extensions = vec![generation(2)];
    assert_eq!(world.tell(&[written(2, "sn0000001", forge.presented())]), [None]);
    assert!(revocations.has_changed().unwrap());
    assert_eq!(world.registry.still_admitted(&admitted).await.unwrap_err().reason(), "CERTIFICATE_SUPERSEDED");
    assert_eq!(world.refused(old.clone(), "sn0000001").await, "CERTIFICATE_SUPERSEDED");
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    // The older event comes once more, from a store that was put back.
    let other_feed = fresh_id();
    assert_eq!(world.tell_as("technician-z", &other_feed, &[written(1, "sn0000001", old.clone())]), [None]);
    assert_eq!(world.refused(old, "sn0000001").await, "CERTIFICATE_SUPERSEDED");
}

#[tokio::test]
async fn a_superseded_certificate_is_refused_before_the_next_one_is_written() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    let certificate_sha256 = records::wire::digest(&pki::Sha256::of(&forge.presented()[0]));
    let superseded = |sequence| Registration {
        certificate_sha256: certificate_sha256.clone(),
        ..event(sequence, "sn0000001", LineEvent::Superseded)
    };
    assert_eq!(world.tell(&[written(1, "sn0000001", forge.presented()), superseded(2)]), [None, None]);
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "CERTIFICATE_SUPERSEDED");
    assert_eq!(
        world.tell(&[superseded(3), event(4, "sn0000001", LineEvent::Superseded)]),
        [None, Some("REQUEST_MALFORMED")]
    );
}

#[tokio::test]
async fn a_scrapped_device_is_refused_until_it_is_reinstated() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    let events = [written(1, "sn0000001", forge.presented()), event(2, "sn0000001", LineEvent::Scrapped)];
    assert_eq!(world.tell(&events), [None, None]);
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_SCRAPPED");
    let enable = StatusChange {
        device_id: "sn0000001".to_owned(),
        status: DeviceStatus::Enabled,
        why: String::new(),
        etag: None,
    };
    assert_eq!(world.books.set_status(&change(), &enable).unwrap_err().reason(), "DEVICE_SCRAPPED");
    assert_eq!(world.tell(&[event(3, "sn0000001", LineEvent::Reinstated)]), [None]);
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert_eq!(world.tell(&[event(4, "never-seen", LineEvent::Scrapped)]), [None]);
}

/// A hub that lets in whoever comes with a chain in order, known or not.
fn welcoming(forge: &Forge) -> World {
    let world = World::new();
    let ca = NewCa {
        first_connect: api::hub::v1::FirstConnect::Register,
        ..new_ca("root", &forge.root(), ChainRules::Countersign)
    };
    world.books.register_ca(&change(), &ca).unwrap();
    world
}

#[tokio::test]
async fn what_was_scrapped_before_the_hub_heard_of_it_does_not_come_in_as_new() {
    let forge = Forge::new();
    let world = welcoming(&forge);
    let scrapped = Registration { chain: forge.presented(), ..event(1, "sn0000001", LineEvent::Scrapped) };
    assert_eq!(world.tell_as("factory-y", FEED, std::slice::from_ref(&scrapped)), [Some("NOT_YOURS")]);
    assert_eq!(world.tell(&[scrapped]), [None]);
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_SCRAPPED");
    let world = world.restarted();
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_SCRAPPED");
    assert_eq!(world.tell(&[event(2, "sn0000001", LineEvent::Reinstated)]), [None]);
    world.connect(forge.presented(), "sn0000001").await.unwrap();
}

#[tokio::test]
async fn what_was_replaced_before_the_hub_heard_of_it_does_not_come_in_however_its_signature_is_written() {
    let mut forge = Forge::new();
    forge.cas[1].key = crate::forge::p256();
    let world = welcoming(&forge);
    let replaced = forge.presented();
    let certificate_sha256 = records::wire::digest(&pki::Sha256::of(&replaced[0]));
    let superseded =
        Registration { certificate_sha256, chain: replaced.clone(), ..event(1, "sn0000001", LineEvent::Superseded) };
    assert_eq!(world.tell(&[superseded]), [None]);
    // An ECDSA signature can be written in two ways, and the digest of the certificate is another then.
    let mut otherwise = replaced.clone();
    otherwise[0] = other_signature(&otherwise[0]);
    assert_ne!(otherwise[0], replaced[0]);
    for chain in [&replaced, &otherwise] {
        assert_eq!(world.refused(chain.clone(), "sn0000001").await, "CERTIFICATE_SUPERSEDED");
    }
    forge.leaf.key = crate::forge::p256();
    let replacement = forge.presented();
    assert_eq!(world.tell(&[written(2, "sn0000001", replacement.clone())]), [None]);
    world.connect(replacement, "sn0000001").await.unwrap();
    for chain in [replaced, otherwise] {
        assert_eq!(world.refused(chain, "sn0000001").await, "CERTIFICATE_SUPERSEDED");
    }
}

#[tokio::test]
async fn an_operators_disabling_outlives_scrap_and_reinstatement() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.tell(&[written(1, "sn0000001", forge.presented())]);
    let disable = StatusChange {
        device_id: "sn0000001".to_owned(),
        status: DeviceStatus::Disabled,
        why: "recalled".to_owned(),
        etag: None,
    };
    world.books.set_status(&change(), &disable).unwrap();
    world.tell(&[event(2, "sn0000001", LineEvent::Scrapped), event(3, "sn0000001", LineEvent::Reinstated)]);
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_DISABLED");
}

#[test]
fn a_line_registers_what_its_own_company_made_and_nothing_else() {
    let mut forge = Forge::new();
    let world = World::trusting(&forge);
    let chain = forge.presented();
    assert_eq!(world.tell_as("factory-y", FEED, &[written(1, "sn0000001", chain.clone())]), [Some("NOT_YOURS")]);
    assert_eq!(world.tell(&[written(1, "sn0000001", chain)]), [None]);
    for other in [LineEvent::Scrapped, LineEvent::Reinstated] {
        let fresh = fresh_id();
        assert_eq!(world.tell_as("factory-y", &fresh, &[event(1, "sn0000001", other)]), [Some("NOT_YOURS")]);
    }
    // A device that an operator created is nobody's until it has a certificate.
    world.create("by-hand");
    assert_eq!(
        world.tell_as("technician-z", &fresh_id(), &[event(1, "by-hand", LineEvent::Scrapped)]),
        [Some("NOT_BOUND_TO_CERTIFICATE")]
    );
    // Another company's valid lot, the same device id.
    forge.cas = vec![handoff_ca(1, "company-x", "factory-q", "q1", mfg::Quantity::of(9).unwrap(), crate::forge::BASE)];
    forge.name_leaf("sn0000001");
    let stolen_name = world.tell_as("factory-q", FEED, &[written(1, "sn0000001", forge.presented())]);
    assert_eq!(stolen_name, [Some("WRONG_LOT")]);
}

#[test]
fn a_poisoned_event_is_refused_for_good_and_the_rest_goes_on() {
    let mut forge = Forge::new();
    let world = World::trusting(&forge);
    let good = forge.presented();
    let stranger = Forge::new().presented();
    forge.name_leaf("sn0000002");
    let events = [
        written(1, "sn0000001", good),
        written(2, "sn0000009", stranger),
        written(3, "sn0000009", vec![Bytes::from_static(b"junk")]),
        written(4, "sn0000003", forge.presented()),
        event(5, "x", LineEvent::Unspecified),
        written(6, "sn0000002", forge.presented()),
    ];
    let refusals = [
        None,
        Some("UNKNOWN_ISSUER"),
        Some("MALFORMED_CERTIFICATE"),
        Some("DEVICE_ID_MISMATCH"),
        Some("REQUEST_MALFORMED"),
        None,
    ];
    assert_eq!(world.tell(&events), refusals);
    assert_eq!(world.reached(), 6);
    assert!(world.books.device("sn0000002").is_ok());
}

#[test]
fn an_event_that_waits_for_an_operator_holds_the_feed() {
    let mut forge = Forge::new();
    let world = World::new();
    let first = written(1, "sn0000001", forge.presented());
    forge.name_leaf("sn0000002");
    let second = written(2, "sn0000002", forge.presented());
    let answer = world.books.register(&caller("technician-z"), FEED, &[first.clone(), second.clone()]).unwrap();
    assert_eq!((answer.results.len(), answer.reached), (1, 0));
    let refusal = Refusal::from_wire(answer.results[0].refusal.clone().unwrap());
    assert!(refusal.retry_delay().is_some(), "{refusal}");
    world.trust("root", &forge.root(), ChainRules::Countersign);
    assert_eq!(world.tell(&[first, second]), [None, None]);
    assert_eq!(world.reached(), 2);
}

#[test]
fn a_disabled_lot_is_registered_all_the_same() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.books.disable_ca_key(&change(), &forge.cas[1].key_sha256(), "for now").unwrap();
    assert_eq!(world.tell(&[written(1, "sn0000001", forge.presented())]), [None]);
}

#[test]
fn calls_are_bounded_and_ordered() {
    let world = World::new();
    let refused = |feed: &str, events: &[Registration]| {
        world.books.register(&caller("technician-z"), feed, events).unwrap_err().reason()
    };
    let scrap = |sequence| event(sequence, "x", LineEvent::Scrapped);
    assert_eq!(refused("line-1", &[]), "REQUEST_MALFORMED");
    assert_eq!(refused(FEED, &[scrap(2), scrap(2)]), "REQUEST_MALFORMED");
    assert_eq!(refused(FEED, &[scrap(2), scrap(1)]), "REQUEST_MALFORMED");
    assert_eq!(refused(FEED, &(1..=101).map(scrap).collect::<Vec<_>>()), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn a_line_binds_a_device_that_an_operator_created_and_overrules_a_first_connection() {
    let mut forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    let first = forge.presented();
    forge.name_leaf("sn0000001");
    assert_eq!(world.tell(&[written(1, "sn0000001", forge.presented())]), [None]);
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert_eq!(world.refused(first, "sn0000001").await, "CERTIFICATE_SUPERSEDED");
}

#[test]
fn an_answer_that_was_lost_is_given_again_with_its_refusals() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    let events = [written(1, "sn0000001", forge.presented()), written(2, "sn0000009", Forge::new().presented())];
    let answer = [None, Some("UNKNOWN_ISSUER")];
    assert_eq!(world.tell(&events), answer);
    let world = world.restarted();
    assert_eq!(world.tell(&events), answer, "a line that missed it must not take the second for registered");
    let next = event(3, "never-seen", LineEvent::Scrapped);
    assert_eq!(world.tell(&[&events[..], &[next]].concat()), [None, Some("UNKNOWN_ISSUER"), None]);
    assert_eq!(world.tell(&events), answer, "with more of the feed behind it, too");
}

#[tokio::test]
async fn a_feed_that_is_told_anew_brings_back_no_certificate_that_went_out_of_use() {
    let mut forge = Forge::new();
    let world = World::trusting(&forge);
    let first = forge.presented();
    let certificate_sha256 = records::wire::digest(&pki::Sha256::of(&first[0]));
    // Written, and then replaced all the same: it was scrapped, came back in doubt, and nobody found the board.
    let superseded = Registration { certificate_sha256, ..event(2, "sn0000001", LineEvent::Superseded) };
    forge.leaf.key = crate::forge::p256();
    let second = forge.presented();
    let story = [written(1, "sn0000001", first.clone()), superseded, written(3, "sn0000001", second.clone())];
    for feed in [FEED.to_owned(), fresh_id()] {
        assert_eq!(world.tell_as("technician-z", &feed, &story), [None, None, None]);
        world.connect(second.clone(), "sn0000001").await.unwrap();
        assert_eq!(world.refused(first.clone(), "sn0000001").await, "CERTIFICATE_SUPERSEDED");
    }
}

#[test]
fn what_the_hub_itself_fails_at_is_no_verdict_on_an_event() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    let act = records::Act { at: NOW, caller: caller("company-x"), request: None };
    let mut damaged = act.unit(Fact::HubFeedReached(HubFeedReached::default()));
    damaged.claims = vec![Claim { key: keys::device("sn0000001"), rule: Rule::Absent }];
    records::commit_one(world.store.as_ref(), damaged).unwrap().unwrap();
    let event = [written(1, "sn0000001", forge.presented())];
    let refused = world.books.register(&caller("technician-z"), FEED, &event).unwrap_err();
    assert_eq!((refused.reason(), world.reached()), ("JOURNAL_DAMAGED", 0), "it is not passed over");
}
