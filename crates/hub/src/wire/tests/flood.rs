//! A device that sends too much, or too much at once, beside one that behaves. The registry is the real one, and its clock stands still,
//! so that the bound on messages within a second is met exactly.

use api::hub::v1::ChainRules;
use bytes::BytesMut;
use device_wire::{
    amqp::{DeliveryState, Disposition, Performative, Role, message::Message},
    mqtt::{self, Clean, ConnectCode, Delivery, Packet, PacketId, Publish, Retain},
};

use super::{
    client::{Amqp, Mqtt, connect},
    house::House,
};
use crate::{forge::Forge, registry::tests::World};

/// What the registry of these tests lets one device send within a second.
const WITHIN_A_SECOND: u16 = 1000;

/// A hub that knows a device of each of these names.
async fn house(devices: &[&str]) -> (House, Vec<Forge>) {
    let world = World::with(crate::registry::Stage::Development, None);
    let mut forges = Vec::new();
    for id in devices {
        let mut forge = Forge::new();
        forge.root_name = format!("{id} root");
        forge.name_leaf(id);
        world.trust(id, &forge.root(), ChainRules::Countersign);
        world.create(id);
        forges.push(forge);
    }
    (House::at_free_ports(world).await, forges)
}

async fn mqtt(house: &House, id: &str, forge: &Forge) -> Mqtt {
    let dialled = house.dial(house.doors.bound.mqtt.as_ref(), forge);
    let mut device = Mqtt(dialled.await);
    assert_eq!(device.greet(connect(id, Clean::Start)).await.unwrap().code, ConnectCode::Accepted);
    device
}

fn publish(device: &str, id: u16, payload: Vec<u8>) -> Packet {
    Packet::Publish(Publish {
        topic: format!("devices/{device}/messages/events/"),
        delivery: Delivery::First(PacketId::new(id).unwrap()),
        retain: Retain::No,
        payload: payload.into(),
    })
}

async fn behaves(device: &mut Mqtt, id: &str, from: u16) {
    for number in from..from + 20 {
        device.send(publish(id, number, b"{}".to_vec())).await;
        assert_eq!(device.next().await, Some(Packet::PubAck(PacketId::new(number).unwrap())));
    }
}

#[tokio::test]
async fn a_flood_over_mqtt_ends_its_own_session_and_no_other() {
    let (house, forges) = house(&["flooding", "good"]).await;
    let mut good = mqtt(&house, "good", &forges[1]).await;
    behaves(&mut good, "good", 1).await;
    let mut flooding = mqtt(&house, "flooding", &forges[0]).await;
    let mut flood = BytesMut::new();
    for number in 1..=WITHIN_A_SECOND + 500 {
        mqtt::encode(&publish("flooding", number, vec![b'x'; 100]), &mut flood);
    }
    flooding.0.write_and_close(&flood).await;
    behaves(&mut good, "good", 100).await;
    // Whatever was acknowledged came before the bound, and in order.
    let mut acknowledged = 0;
    while let Some(packet) = flooding.next().await {
        acknowledged += 1;
        assert_eq!(packet, Packet::PubAck(PacketId::new(acknowledged).unwrap()));
    }
    assert!(acknowledged <= WITHIN_A_SECOND, "{acknowledged}");
    let refusal = house.world.last_refusal("flooding").await;
    assert_eq!(refusal.reason, "DEVICE_RATE_EXCEEDED", "{}", refusal.message);
    behaves(&mut good, "good", 200).await;
    // A second later it may send again.
    house.world.clock.advance(1);
    let mut flooding = mqtt(&house, "flooding", &forges[0]).await;
    behaves(&mut flooding, "flooding", 1).await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_its_own_session_and_no_other() {
    let (house, forges) = house(&["large", "good"]).await;
    let mut good = mqtt(&house, "good", &forges[1]).await;
    for (octets, reason) in [(256 * 1024 + 1, "MESSAGE_TOO_LARGE"), (2 * 1024 * 1024, "MESSAGE_TOO_LARGE")] {
        let mut large = mqtt(&house, "large", &forges[0]).await;
        let mut out = BytesMut::new();
        mqtt::encode(&publish("large", 1, vec![b'x'; octets]), &mut out);
        large.0.write_and_close(&out).await;
        assert_eq!(large.next().await, None, "{octets} octets were acknowledged");
        assert_eq!(house.world.last_refusal("large").await.reason, reason);
        behaves(&mut good, "good", 1).await;
    }
    let mut large = mqtt(&house, "large", &forges[0]).await;
    large.send(publish("large", 1, vec![b'x'; 256 * 1024])).await;
    assert_eq!(large.next().await, Some(Packet::PubAck(PacketId::new(1).unwrap())), "as long as may be");
}

#[tokio::test]
async fn a_flood_over_amqp_is_rejected_message_by_message_and_others_go_on() {
    let (house, forges) = house(&["flooding", "good"]).await;
    let mut good = mqtt(&house, "good", &forges[1]).await;
    let dialled = house.dial(house.doors.bound.amqp.as_ref(), &forges[0]);
    let mut flooding = Amqp::greet(dialled.await).await.begin().await;
    flooding.attach(0, Role::Sender, "/devices/flooding/messages/events").await;
    let (mut accepted, mut rejected) = (0_u32, 0_u32);
    let message = Message { body: "x".into(), ..Message::default() };
    for delivery in 0..u32::from(WITHIN_A_SECOND) + 100 {
        flooding.transfer(0, delivery, &message).await;
        loop {
            let Performative::Disposition(Disposition { state, .. }) = flooding.next().await else { continue };
            match state {
                Some(DeliveryState::Accepted) => accepted += 1,
                Some(DeliveryState::Rejected(Some(error))) => {
                    assert_eq!(error.info[0].1.as_str(), Some("DEVICE_RATE_EXCEEDED"));
                    rejected += 1;
                }
                other => panic!("{other:?}"),
            }
            break;
        }
    }
    assert!(accepted == u32::from(WITHIN_A_SECOND) && rejected == 100, "{accepted} accepted, {rejected} rejected");
    behaves(&mut good, "good", 1).await;
}
