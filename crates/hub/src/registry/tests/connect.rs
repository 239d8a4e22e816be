//! Devices at the door: bound, counted, refused; and every refusal kept.

use api::hub::v1::Outcome;
use mfg::Quantity;

use super::*;
use crate::{
    admission::Message,
    forge::{generation, handoff_ca},
};

/// A factory with a lot of three, of which it may hand on some.
fn small_lot() -> Forge {
    let mut forge = Forge::new();
    forge.cas = vec![handoff_ca(1, "company-x", "factory-y", "b1", Quantity::of(3).unwrap(), crate::forge::BASE)];
    forge.name_leaf("sn1");
    forge
}

#[tokio::test]
async fn a_device_is_bound_to_the_first_certificate_that_it_connects_with() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    let admitted = world.connect(forge.presented(), "SN0000001").await.unwrap();
    assert_eq!((&**admitted.device(), admitted.claimed()), ("sn0000001", "SN0000001"));
    let bound = world.books.device("sn0000001").unwrap().binding.unwrap();
    assert_eq!((bound.lot.as_str(), bound.manufacturer.as_str(), bound.order.as_str()), ("t7", "technician-z", "po-7"));
    assert_eq!((bound.chain.len(), bound.hops.len(), bound.generation), (3, 2, 1));
    assert!(!bound.registered_by_line);
    let again = world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert!(again.session() > admitted.session());
    assert_eq!(world.books.device("sn0000001").unwrap().binding.unwrap(), bound, "nothing is recorded again");
}

#[tokio::test]
async fn an_older_generation_is_superseded_by_the_first_connection_of_a_newer_one() {
    let mut forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    let first = forge.presented();
    world.connect(first.clone(), "sn0000001").await.unwrap();
    forge.name_leaf("sn0000001");
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "CERTIFICATE_SUPERSEDED", "the same generation");
    forge.leaf.extensions = vec![generation(2)];
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    assert_eq!(world.refused(first, "sn0000001").await, "CERTIFICATE_SUPERSEDED");
}

#[tokio::test]
async fn an_unknown_device_is_refused_unless_its_ca_registers_on_first_connect() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    assert_eq!(world.refused(forge.presented(), "sn0000001").await, "DEVICE_NOT_REGISTERED");
    let etag = world.books.ca("root").unwrap().etag;
    let register = FirstConnect::Register;
    world.books.update_ca(&change(), "root", &etag, ChainRules::Unspecified, register).unwrap();
    world.connect(forge.presented(), "sn0000001").await.unwrap();
    let device = world.books.device("sn0000001").unwrap();
    assert_eq!(device.origin(), api::hub::v1::DeviceOrigin::FirstConnect);
    assert_eq!(world.refused(forge.presented()[..1].to_vec(), "sn0000001").await, "UNKNOWN_ISSUER");
}

#[tokio::test]
async fn under_one_lot_key_as_many_devices_are_let_in_as_it_has_units() {
    let mut forge = small_lot();
    let world = World::trusting(&forge);
    for n in 0..5 {
        world.create(&format!("sn{n}"));
    }
    let mut chains = Vec::new();
    for n in 0..5 {
        forge.name_leaf(&format!("sn{n}"));
        chains.push(forge.presented());
    }
    for (n, chain) in chains.iter().enumerate().take(3) {
        world.connect(chain.clone(), &format!("sn{n}")).await.unwrap();
        world.connect(chain.clone(), &format!("sn{n}")).await.unwrap();
    }
    assert_eq!(world.refused(chains[3].clone(), "sn3").await, "LOT_OVERDRAWN");
    let world = world.restarted();
    assert_eq!(world.refused(chains[4].clone(), "sn4").await, "LOT_OVERDRAWN");
    world.connect(chains[1].clone(), "sn1").await.unwrap();
    let kept = world.last_refusal("sn4").await;
    assert_eq!(kept.metadata.get("lot").map(String::as_str), Some("b1"));
    let unknown = world.books.lot_admissions(&pki::Sha256::of(b"another key"), None, 10);
    assert_eq!(unknown.map(drop).unwrap_err().reason(), "LOT_UNKNOWN");
    let list = world.books.lot_admissions(&forge.cas[0].key_sha256(), None, 10).unwrap();
    assert_eq!(list.device_ids, ["sn0", "sn1", "sn2"]);
    assert_eq!((list.tally.provisioned, list.tally.remaining), (3, Some(0)));
}

#[tokio::test]
async fn what_a_lot_handed_on_is_taken_from_what_it_may_name_itself() {
    let mut forge = small_lot();
    let world = World::trusting(&forge);
    for id in ["own-1", "own-2", "handed-1", "twice-1"] {
        world.create(id);
    }
    let parent = forge.cas[0].permitted.clone().unwrap();
    forge.cas.push(handoff_ca(2, "factory-y", "technician-z", "t1", Quantity::of(2).unwrap(), &parent));
    forge.name_leaf("handed-1");
    world.connect(forge.presented(), "handed-1").await.unwrap();
    // The same two units to another receiver.
    forge.cas[1] = handoff_ca(2, "factory-y", "technician-q", "t2", Quantity::of(2).unwrap(), &parent);
    forge.name_leaf("twice-1");
    let refusal = world.connect(forge.presented(), "twice-1").await.unwrap_err();
    assert_eq!((refusal.reason(), refusal.message().contains("lot b1")), ("LOT_OVERDRAWN", true));
    forge.cas.truncate(1);
    forge.name_leaf("own-1");
    world.connect(forge.presented(), "own-1").await.unwrap();
    forge.name_leaf("own-2");
    assert_eq!(world.refused(forge.presented(), "own-2").await, "LOT_OVERDRAWN");
}

#[tokio::test]
async fn many_at_once_under_one_lot_are_never_one_too_many() {
    let mut forge = small_lot();
    let world = Arc::new(World::trusting(&forge));
    let mut tasks = Vec::new();
    for n in 0..12 {
        let id = format!("sn{n}");
        world.create(&id);
        forge.name_leaf(&id);
        let (world, chain) = (Arc::clone(&world), forge.presented());
        tasks.push(tokio::spawn(async move { world.connect(chain, &id).await.map_err(|refusal| refusal.reason()) }));
    }
    let mut let_in = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => let_in += 1,
            Err(reason) => assert_eq!(reason, "LOT_OVERDRAWN"),
        }
    }
    assert_eq!(let_in, 3);
}

#[tokio::test]
async fn another_makers_chain_connects_under_a_plain_ca_and_may_be_renewed() {
    let mut forge = Forge::plain("Widget_1");
    let world = World::new();
    world.trust("maker", &forge.root(), ChainRules::Plain);
    world.create("Widget_1");
    world.connect(forge.presented(), "Widget_1").await.unwrap();
    forge.leaf.key = crate::forge::key();
    world.connect(forge.presented(), "Widget_1").await.unwrap();
    assert_eq!(world.refused(forge.presented(), "widget_1").await, "DEVICE_ID_MISMATCH");
}

#[tokio::test]
async fn every_refusal_is_kept_with_its_chain_and_told_in_words() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    let alone = forge.presented()[..1].to_vec();
    world.refused(alone.clone(), "sn0000001").await;
    let told = world.registry.judgements("sn0000001".to_owned(), 10).await.unwrap();
    let [explained] = told.as_slice() else { panic!("{told:?}") };
    let judgement = explained.judgement.clone().unwrap();
    assert_eq!((judgement.outcome(), judgement.reason.as_str()), (Outcome::Refused, "UNKNOWN_ISSUER"));
    assert_eq!((judgement.chain, judgement.from.as_str()), (alone, "192.0.2.1:50000"));
    assert!(explained.advice.contains("sent its own certificate alone"), "{}", explained.advice);
    assert!(!explained.meaning.is_empty() && !explained.remedy.is_empty());
    assert!(explained.chain[0].contains("sn0000001.t7.technician-z"), "{:?}", explained.chain);
    world.refused(forge.presented(), "sn0000001").await;
    let told = world.registry.judgements("sn0000001".to_owned(), 10).await.unwrap();
    assert!(
        told[0].chain[1].contains("hop 2: factory-y handed lot t7 (4980 units) to technician-z"),
        "{:?}",
        told[0].chain
    );
    let world = world.restarted();
    assert_eq!(world.registry.judgements("sn0000001".to_owned(), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn telemetry_is_kept_under_the_devices_id_and_presence_follows_the_latest_session() {
    let forge = Forge::new();
    let world = World::trusting(&forge);
    world.create("sn0000001");
    let first = world.connect(forge.presented(), "sn0000001").await.unwrap();
    world.registry.connected(&first).await;
    let second = world.connect(forge.presented(), "sn0000001").await.unwrap();
    world.registry.connected(&second).await;
    world.registry.disconnected(&first, "taken over").await;
    assert!(world.registry.connection("sn0000001").await.unwrap().connected);
    let properties = vec![("temperatureAlert".to_owned(), "true".to_owned())];
    let message = Message { properties, body: Bytes::from_static(b"{}"), ..Message::default() };
    world.clock.advance(10);
    world.registry.telemetry(&second, message).await.unwrap();
    let page = world.registry.telemetry_page(crate::ring::Position::START, Default::default(), 10).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    assert_eq!((page.messages[0].device_id.as_str(), page.messages[0].protocol.as_str()), ("sn0000001", "mqtt"));
    world.registry.disconnected(&second, "said goodbye").await;
    let connection = world.registry.connection("sn0000001").await.unwrap();
    assert!(!connection.connected);
    assert_eq!(connection.last_seen_at.unwrap().seconds, world.clock.now().as_secs());
    let metrics = service::metrics::Metrics::new();
    world.registry.tell(&metrics);
    let told = metrics.encode().unwrap();
    assert!(
        told.contains("countersign_hub_messages_total 1\n") && told.contains("countersign_hub_sessions 0\n"),
        "{told}"
    );
}
