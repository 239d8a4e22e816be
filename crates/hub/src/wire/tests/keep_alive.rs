//! AMQP's idle time-outs (section 2.4.5): what the hub asks of a device, and what a device asks of the hub.

use bytes::BytesMut;
use device_wire::amqp::{Performative, frame};

use super::{
    client::{Amqp, Client, open_with},
    porter::Event,
    world::World,
};
use crate::wire::DeviceLimits;

const MAX_FRAME: u32 = 64 * 1024;

/// A hub that asks for a word every second, and bears two seconds of silence.
async fn impatient() -> World {
    World::with(DeviceLimits { max_keep_alive_s: 1, ..DeviceLimits::default() }).await
}

/// A device that wants to hear something within so many milliseconds; and what the hub asks of it.
async fn opened(world: &World, idle_time_out: Option<u32>) -> (Amqp, Option<u32>) {
    let identity = world.device("d1");
    let client = Client::connect(world, world.bound.amqp.as_ref().unwrap(), Some(&identity)).await;
    let mut device = Amqp::greet_with(client, &open_with(MAX_FRAME, idle_time_out)).await;
    let Performative::Open(open) = device.next().await else { panic!("no Open") };
    assert_eq!(world.porter.next().await, Event::Connected("d1".to_owned()));
    (device, open.idle_time_out)
}

#[tokio::test]
async fn a_silent_device_is_told_why_and_disconnected() {
    let world = impatient().await;
    let (mut device, asked) = opened(&world, None).await;
    assert_eq!(asked, Some(1000), "half of what is borne");
    let Performative::Close(close) = device.next().await else { panic!("no Close") };
    assert_eq!(close.error.unwrap().condition, "amqp:resource-limit-exceeded");
    assert_eq!(world.porter.next().await, Event::Disconnected("d1".to_owned(), "KEEP_ALIVE_EXPIRED".to_owned()));
    device.0.closed().await;
}

#[tokio::test]
async fn empty_frames_keep_a_connection_both_ways() {
    let world = impatient().await;
    let (mut device, _) = opened(&world, Some(1000)).await;
    // The hub says something every half second. Answered for three seconds, the device is never silent for two.
    for _ in 0..6 {
        assert_eq!(device.frame().await.performative, None);
        let mut empty = BytesMut::new();
        frame::encode_empty(&mut empty);
        device.0.write(&empty).await;
    }
    device.begin_session().await;
}

#[tokio::test]
async fn a_device_that_asks_for_nothing_hears_nothing_of_itself() {
    let world = impatient().await;
    for nothing in [None, Some(0)] {
        let (mut device, _) = opened(&world, nothing).await;
        // Until it is disconnected for its silence.
        let first = device.frame().await.performative;
        assert!(matches!(first, Some(Performative::Close(_))), "{nothing:?}: {first:?}");
        assert!(matches!(world.porter.next().await, Event::Disconnected(..)));
    }
}
