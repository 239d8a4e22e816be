//! A registry that lets everybody in, keeps nothing, and has something for everybody.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use api::Refusal;
use bytes::Bytes;
use pki::{Sha256, UnixTime};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::DEVICE;
use crate::admission::{
    Admission, Admitted, CloudMessage, DesiredPatch, JudgedBy, Message, PresentedChain, Protocol, Settlement, Twin,
};

/// Messages that wait for the device.
const WAITING: u64 = 5;

/// What the device presents: a certificate whose common name is its id, self-signed and of no other use, in DER.
pub(super) fn certificate() -> Bytes {
    let blocks = pki::pem::blocks(include_str!("d1.pem")).unwrap_or_default();
    blocks.first().map_or_else(Bytes::new, |block| Bytes::copy_from_slice(block.der()))
}

pub(super) struct Everybody {
    revocations: watch::Sender<u64>,
    mail: watch::Sender<u64>,
    taken: AtomicU64,
    reported: AtomicU64,
}

impl Everybody {
    pub(super) fn new() -> Self {
        let (revocations, mail) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { revocations, mail, taken: AtomicU64::new(0), reported: AtomicU64::new(1) }
    }
}

#[tonic::async_trait]
impl Admission for Everybody {
    async fn admit(
        &self,
        presented: &PresentedChain,
        claimed: &str,
        protocol: Protocol,
        from: SocketAddr,
    ) -> Result<Admitted, Refusal> {
        let leaf = presented.certificates().first().map_or(&[][..], |leaf| leaf);
        Ok(Admitted {
            device: claimed.into(),
            claimed: claimed.into(),
            session: 1,
            protocol,
            from,
            certificate: Sha256::of(leaf),
            not_after: UnixTime::NEVER,
            judged_by: Arc::new(JudgedBy::Thumbprint { keys: Vec::new() }),
        })
    }

    async fn refused(&self, _: &[Bytes], _: &str, _: Protocol, _: SocketAddr, _: &Refusal) {}

    fn turned_away(&self, _: &Refusal) {}

    fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    async fn still_admitted(&self, _: &Admitted) -> Result<(), Refusal> {
        Ok(())
    }

    async fn connected(&self, _: &Admitted) {}

    async fn disconnected(&self, _: &Admitted, _: &str) {}

    async fn telemetry(&self, _: &Admitted, message: Message) -> Result<(), Refusal> {
        if message.body.starts_with(b"!") {
            return Err(Refusal::new("DEVICE_RATE_EXCEEDED", "as the message wants"));
        }
        Ok(())
    }

    async fn twin(&self, _: &Admitted) -> Result<Twin, Refusal> {
        let reported_version = self.reported.load(Ordering::Relaxed);
        Ok(Twin { desired: desired(), desired_version: 2, reported: Map::new(), reported_version })
    }

    async fn patch_reported(&self, _: &Admitted, patch: &[u8]) -> Result<u64, Refusal> {
        match serde_json::from_slice(patch) {
            Ok(Value::Object(_)) => Ok(self.reported.fetch_add(1, Ordering::Relaxed) + 1),
            Ok(_) | Err(_) => Err(Refusal::new("TWIN_PATCH_INVALID", "no object")),
        }
    }

    async fn subscriptions(&self, _: &Admitted) -> Result<Option<u32>, Refusal> {
        Ok(None)
    }

    async fn keep_subscriptions(&self, _: &Admitted, _: Option<u32>) -> Result<(), Refusal> {
        Ok(())
    }

    fn mail(&self, _: &Admitted) -> watch::Receiver<u64> {
        self.mail.subscribe()
    }

    async fn desired_after(&self, _: &Admitted, version: u64) -> Result<Vec<DesiredPatch>, Refusal> {
        Ok(if version < 2 { vec![DesiredPatch { patch: desired(), version: 2 }] } else { Vec::new() })
    }

    async fn next_message(&self, _: &Admitted) -> Result<Option<CloudMessage>, Refusal> {
        let sequence = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let system = vec![("mid".to_owned(), sequence.to_string()), ("to".to_owned(), format!("/devices/{DEVICE}"))];
        let message = Message { system, properties: Vec::new(), body: Bytes::from_static(b"hello") };
        Ok((sequence <= WAITING).then_some(CloudMessage { sequence, at: UnixTime::new(0), delivered: 0, message }))
    }

    async fn settle(&self, _: &Admitted, _: u64, settlement: Settlement) -> Result<(), Refusal> {
        match settlement {
            Settlement::Complete | Settlement::Reject => {}
            // It waits again, and the session is told.
            Settlement::Abandon => self.mail.send_modify(|revision| *revision += 1),
        }
        Ok(())
    }
}

fn desired() -> Map<String, Value> {
    match json!({ "interval": 5 }) {
        Value::Object(desired) => desired,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
