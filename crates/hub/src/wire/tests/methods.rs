//! No more direct methods wait for one session than its limit, over either protocol; and those within it are answered.

use std::{future::Future, sync::Arc, time::Duration};

use api::Refusal;
use bytes::Bytes;
use device_wire::{
    amqp::{
        Performative, Role, Value,
        message::{Message, Properties},
    },
    mqtt::{Clean, QoS},
};
use futures_util::future::join_all;

use super::{
    client::{Amqp, Mqtt},
    world::World,
};
use crate::{
    admission::{MethodAnswer, MethodCall, Sessions as _},
    wire::DeviceLimits,
};

/// Methods that a session of these tests lets wait.
const MAX_CALLS: u32 = 2;
/// Calls that are made at once.
const CALLS: usize = 5;

async fn world() -> World {
    World::with(DeviceLimits { max_calls: MAX_CALLS, ..DeviceLimits::default() }).await
}

/// Makes all calls at once, has the device answer what reaches it, and looks at what became of them.
async fn called_at_once(world: &World, device: impl Future<Output = ()>) {
    let call = || MethodCall { name: "reboot".to_owned(), payload: Bytes::new(), timeout: Duration::from_secs(20) };
    let sessions = Arc::clone(&world.sessions);
    let calls = join_all((0..CALLS).map(|_| sessions.invoke("d1", call())));
    let (answers, ()): (Vec<Result<MethodAnswer, Refusal>>, ()) = tokio::join!(calls, device);
    let answered = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)).count();
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err().map(Refusal::reason)).collect();
    assert_eq!((answered, refused), (MAX_CALLS as usize, vec!["QUEUE_FULL"; CALLS - MAX_CALLS as usize]));
}

#[tokio::test]
async fn too_many_methods_over_mqtt_are_refused_and_the_others_answered() {
    let world = world().await;
    let (mut device, _) = Mqtt::open(&world, "d1", Clean::Start).await;
    device.subscribe("$iothub/methods/POST/#", QoS::AtMostOnce).await;
    for _ in 0..2 {
        // The answers make room for the next.
        called_at_once(&world, async {
            let mut asked = Vec::new();
            for _ in 0..MAX_CALLS {
                asked.push(device.next_publish().await.topic);
            }
            // Nothing more comes before the answers.
            device.send(device_wire::mqtt::Packet::PingReq).await;
            assert_eq!(device.next().await, Some(device_wire::mqtt::Packet::PingResp));
            for topic in asked {
                let (_, id) = topic.split_once("$rid=").unwrap();
                device.publish(&format!("$iothub/methods/res/200/?$rid={id}"), None, "{}").await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn too_many_methods_over_amqp_are_refused_and_the_others_answered() {
    let world = world().await;
    let mut device = Amqp::open(&world, "d1").await;
    device.attach(0, Role::Sender, "/devices/d1/methods/devicebound").await;
    assert!(matches!(device.next().await, Performative::Flow(_)));
    device.attach(1, Role::Receiver, "/devices/d1/methods/devicebound").await;
    called_at_once(&world, async {
        let mut asked = Vec::new();
        for _ in 0..MAX_CALLS {
            asked.push(device.next_message().await.1.properties.correlation_id);
        }
        for (delivery, correlation_id) in (0..).zip(asked) {
            let answer = Message {
                properties: Properties { correlation_id, ..Properties::default() },
                application: vec![("IoThub-status".to_owned(), Value::int(200))],
                body: Bytes::from_static(b"{}"),
                ..Message::default()
            };
            device.transfer(0, delivery, &answer).await;
        }
    })
    .await;
}
