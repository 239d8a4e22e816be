//! A hub as it is, registry and doors, without the process around it.

use std::{sync::Arc, time::Duration};

use api::hub::v1::{ExplainedJudgement, Property, TelemetryFilter};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    admission::MethodCall,
    mailbox::NewMessage,
    registry::tests::World,
    ring::Position,
    telemetry::Filter,
    wire::{Addresses, DeviceLimits, SessionTable, tests::world::Doors},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A hub that devices can connect to.
pub(super) struct House {
    pub(super) world: World,
    pub(super) doors: Doors,
}

impl House {
    pub(super) async fn open(world: World, addresses: &Addresses) -> Self {
        let sessions = SessionTable::new();
        world.registry.set_sessions(Arc::<SessionTable>::clone(&sessions));
        let (registry, clock) = (Arc::clone(&world.registry) as _, Arc::clone(&world.clock) as _);
        let doors = Doors::open(registry, sessions, clock, DeviceLimits::default(), addresses).await;
        Self { world, doors }
    }

    /// The newest judgement over a claimed id, as `countersign hub why` shows it.
    pub(super) async fn why(&self, claimed: &str) -> ExplainedJudgement {
        self.world.registry.judgements(claimed.to_owned(), 1).await.unwrap().remove(0)
    }

    /// Waits until the device has sent a message that begins like this; answers the properties of all before it.
    pub(super) async fn telemetry_until(&self, device: &str, start: &[u8]) -> Vec<(Vec<Property>, Vec<Property>)> {
        let filter =
            Filter::read(Some(TelemetryFilter { device_id: device.to_owned(), ..Default::default() })).unwrap();
        let mut end = self.world.registry.kept_telemetry().end();
        loop {
            end.borrow_and_update();
            let page = self.world.registry.telemetry_page(Position::START, filter.clone(), 100).await.unwrap();
            if let Some(at) = page.messages.iter().position(|message| message.body.starts_with(start)) {
                let before = page.messages.into_iter().take(at);
                return before.map(|message| (message.system, message.properties)).collect();
            }
            timeout(PATIENCE, end.changed()).await.unwrap().unwrap();
        }
    }

    /// Sends one of everything to a device that is ready; answers what it said to the method.
    pub(super) async fn send_everything(&self, device: &str) -> (i32, Value) {
        let registry = &self.world.registry;
        let pair = |name: &str, value: &str| Property { name: name.to_owned(), value: value.to_owned() };
        let message = NewMessage {
            request_id: crate::registry::tests::fresh_id(),
            system: vec![pair("mid", "m-1")],
            properties: vec![pair("alert", "1")],
            body: Bytes::from_static(b"hello"),
        };
        registry.queue(device.to_owned(), message).await.unwrap();
        registry.patch_desired(device.to_owned(), json!({"interval": 5}).to_string(), None).await.unwrap();
        let call = MethodCall { name: "reboot".to_owned(), payload: "{\"in\":1}".into(), timeout: PATIENCE };
        let answer = registry.invoke(device.to_owned(), call).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.payload).unwrap())
    }

    /// What the device reported.
    pub(super) async fn reported(&self, device: &str) -> Value {
        let twin = self.world.registry.device_twin(device.to_owned()).await.unwrap();
        serde_json::from_str(&twin.reported).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.doors.stop.cancel();
    }
}
