//! A hub as it is, registry and doors, without the process around it.

use std::{sync::Arc, time::Duration};

use api::hub::v1::{ExplainedJudgement, Property, TelemetryFilter};
use bytes::Bytes;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    client::Client,
    world::{Doors, Identity},
};
use crate::{
    admission::MethodCall,
    forge::Forge,
    mailbox::NewMessage,
    registry::tests::{World, change, fresh_id},
    ring::Position,
    telemetry::Filter,
    wire::{Addresses, DeviceLimits, SessionTable},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A hub that devices can connect to.
pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) doors: Doors,
}

impl House {
    /// With every door at a free port.
    pub(crate) async fn at_free_ports(world: World) -> Self {
        let free = || Some("127.0.0.1:0".to_owned());
        Self::open(world, &Addresses { mqtt: free(), amqp: free(), https: free() }).await
    }

    pub(crate) async fn open(world: World, addresses: &Addresses) -> Self {
        let sessions = SessionTable::new();
        world.registry.set_sessions(Arc::<SessionTable>::clone(&sessions));
        let (registry, clock) = (Arc::clone(&world.registry) as _, Arc::clone(&world.clock) as _);
        let doors = Doors::open(registry, sessions, clock, DeviceLimits::default(), addresses).await;
        Self { world, doors }
    }

    /// A connection by TLS 1.3 as this device.
    pub(crate) async fn dial(&self, address: Option<&String>, device: &Forge) -> Client {
        let chain = device.presented().iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(device.leaf.key.serialize_der()));
        let identity = Identity { chain, key };
        let dialled = Client::dial(&self.doors.server, address.unwrap(), Some(&identity), &rustls::version::TLS13);
        dialled.await.unwrap()
    }

    /// The newest judgement over a claimed id, as `countersign hub why` shows it.
    pub(crate) async fn why(&self, claimed: &str) -> ExplainedJudgement {
        self.world.registry.judgements(claimed.to_owned(), 1).await.unwrap().remove(0)
    }

    /// Waits until the device has sent a message that begins like this; answers the properties of all before it.
    pub(crate) async fn telemetry_until(&self, device: &str, start: &[u8]) -> Vec<(Vec<Property>, Vec<Property>)> {
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
    pub(crate) async fn send_everything(&self, device: &str) -> (i32, Value) {
        let registry = &self.world.registry;
        let pair = |name: &str, value: &str| Property { name: name.to_owned(), value: value.to_owned() };
        let message = NewMessage {
            request_id: fresh_id(),
            system: vec![pair("mid", "m-1")],
            properties: vec![pair("alert", "1")],
            body: Bytes::from_static(b"hello"),
        };
        registry.queue(change(), device.to_owned(), message).await.unwrap();
        registry.patch_desired(device.to_owned(), json!({"interval": 5}).to_string(), None).await.unwrap();
        let call = MethodCall { name: "reboot".to_owned(), payload: "{\"in\":1}".into(), timeout: PATIENCE };
        let answer = registry.invoke(device.to_owned(), call).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.payload).unwrap())
    }

    /// What the device reported.
    pub(crate) async fn reported(&self, device: &str) -> Value {
        let twin = self.world.registry.device_twin(device.to_owned()).await.unwrap();
        serde_json::from_str(&twin.reported).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.doors.stop.cancel();
    }
}
