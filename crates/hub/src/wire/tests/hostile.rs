//! Devices that are let in and then misbehave: damaged, repeated and misplaced octets. Nothing panics, and nobody else notices.
//!
//! The octets are drawn from numbered seeds, so that a failure names the one to repeat.

use std::{
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use device_wire::{
    amqp::{
        Begin, Detach, Disposition, Flow, Performative, Role, Transfer, frame,
        message::{Message, Properties},
    },
    mqtt::{self, Clean, Delivery, Packet, PacketId, Publish, QoS, Retain},
};

use super::{
    client::{Amqp, Client, Mqtt, connect},
    world::World,
};
use crate::wire::DeviceLimits;

/// Connections that misbehave, for each protocol.
const ROUNDS: u64 = 150;

/// Panics in the code under test, not those of tests that fail.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let file = info.location().map(panic::Location::file).unwrap_or_default();
            if (file.contains("wire")) && !file.contains("tests") {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

/// A small generator of numbers: splitmix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next()).unwrap() % most
    }

    /// Damages octets now and then.
    fn damage(&mut self, octets: &mut BytesMut) {
        while self.below(3) == 0 && !octets.is_empty() {
            let at = self.below(octets.len());
            match self.below(3) {
                0 => octets[at] = u8::try_from(self.next() & 0xff).unwrap(),
                1 => octets[at] ^= 1 << self.below(8),
                _ => octets.truncate(at),
            }
        }
    }
}

fn some_packets(draw: &mut Draw) -> BytesMut {
    let id = PacketId::new(u16::try_from(draw.below(5)).unwrap() + 1).unwrap();
    let topics = [
        "devices/d/messages/events/a=b",
        "$iothub/twin/GET/?$rid=1",
        "$iothub/methods/res/200/?$rid=1",
        "x",
        "devices/d/messages/events/%",
    ];
    let filters = ["devices/d/messages/devicebound/#", "$iothub/twin/res/#", "#", "$iothub/methods/POST/#"];
    let mut out = BytesMut::new();
    for _ in 0..=draw.below(6) {
        let packet = match draw.below(8) {
            0..=2 => Packet::Publish(Publish {
                topic: topics[draw.below(topics.len())].to_owned(),
                delivery: [Delivery::AtMostOnce, Delivery::First(id), Delivery::Again(id)][draw.below(3)],
                retain: Retain::No,
                payload: Bytes::from(vec![b'{'; draw.below(50)]),
            }),
            3 => Packet::Subscribe(id, vec![(filters[draw.below(filters.len())].to_owned(), QoS::AtLeastOnce)]),
            4 => Packet::Unsubscribe(id, vec![filters[draw.below(filters.len())].to_owned()]),
            5 => Packet::PubAck(id),
            6 => Packet::Connect(connect("d", Clean::Resume)),
            _ => Packet::PingReq,
        };
        mqtt::encode(&packet, &mut out);
    }
    draw.damage(&mut out);
    out
}

fn some_frames(draw: &mut Draw) -> BytesMut {
    let handle = u32::try_from(draw.below(4)).unwrap();
    let message = Message { properties: Properties::default(), body: Bytes::from_static(b"x"), ..Message::default() };
    let mut out = BytesMut::new();
    for _ in 0..=draw.below(6) {
        let number = u32::try_from(draw.next() & 0xffff_ffff).unwrap();
        let performative = match draw.below(8) {
            0..=2 => Performative::Transfer(Transfer {
                handle,
                delivery_id: Some(number),
                more: draw.below(2) == 0,
                ..Transfer::default()
            }),
            3 => Performative::Flow(Flow {
                handle: Some(handle),
                link_credit: Some(number),
                incoming_window: number,
                echo: true,
                ..Flow::default()
            }),
            4 => Performative::Disposition(Disposition {
                role: Role::Receiver,
                first: number,
                last: Some(number.wrapping_sub(1)),
                settled: true,
                state: None,
            }),
            5 => Performative::Detach(Detach { handle, closed: true, error: None }),
            6 => Performative::Begin(Begin {
                remote_channel: None,
                next_outgoing_id: number,
                incoming_window: 1,
                outgoing_window: 1,
                handle_max: None,
            }),
            _ => Performative::Flow(Flow { drain: true, handle: Some(handle), ..Flow::default() }),
        };
        let payload = if matches!(performative, Performative::Transfer(_)) { message.encode() } else { Bytes::new() };
        frame::encode(u16::try_from(draw.below(2)).unwrap(), &performative, &payload, &mut out);
    }
    draw.damage(&mut out);
    out
}

async fn world_with_mail() -> World {
    watch_panics();
    let world = World::with(DeviceLimits { max_message_bytes: 4096, ..DeviceLimits::default() }).await;
    (1..=20).for_each(|sequence| world.porter.send("d", sequence, &[], "x"));
    world
}

/// Writes, says that nothing more will come, and reads to the end.
async fn misbehave(mut client: Client, octets: &[u8]) {
    client.write_and_close(octets).await;
    client.rest().await;
}

#[tokio::test]
async fn no_mqtt_session_panics_or_disturbs_another() {
    let world = world_with_mail().await;
    let (mut witness, _) = Mqtt::open(&world, "witness", Clean::Start).await;
    for seed in 0..ROUNDS {
        let (device, _) = Mqtt::open(&world, "d", Clean::Resume).await;
        misbehave(device.0, &some_packets(&mut Draw(seed))).await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}");
    }
    witness.send(Packet::PingReq).await;
    assert_eq!(witness.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn no_amqp_connection_panics_or_disturbs_another() {
    let world = world_with_mail().await;
    let (mut witness, _) = Mqtt::open(&world, "witness", Clean::Start).await;
    let links = [
        (Role::Sender, "/devices/d/messages/events"),
        (Role::Receiver, "/devices/d/messages/devicebound"),
        (Role::Sender, "/devices/d/twin"),
        (Role::Receiver, "/devices/d/twin"),
    ];
    for seed in 0..ROUNDS {
        let mut device = Amqp::open(&world, "d").await;
        for (handle, (role, address)) in (0..).zip(links) {
            device.attach_unread(handle, role, address).await;
        }
        misbehave(device.0, &some_frames(&mut Draw(seed))).await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}");
    }
    witness.send(Packet::PingReq).await;
    assert_eq!(witness.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn octets_before_any_greeting_panic_nowhere() {
    let world = world_with_mail().await;
    let identity = world.device("d");
    for seed in 0..ROUNDS {
        let mut draw = Draw(seed);
        let mut octets = match draw.below(3) {
            0 => some_packets(&mut draw),
            1 => some_frames(&mut draw),
            _ => BytesMut::from(
                &b"POST /devices/d/messages/events HTTP/1.1\r\nContent-Length: 1\r\niothub-app-a: b\r\n\r\nx"[..],
            ),
        };
        draw.damage(&mut octets);
        let bound = [&world.bound.mqtt, &world.bound.amqp, &world.bound.https][draw.below(3)].as_ref().unwrap();
        misbehave(Client::connect(&world, bound, Some(&identity)).await, &octets).await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}");
    }
}
