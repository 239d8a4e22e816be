//! What a device says.

use std::sync::Arc;

use api::Refusal;
use bytes::Bytes;
use device_wire::{
    mqtt::{self, Clean, Delivery, Packet, PacketId, Publish, QoS, SubscribeCode},
    topic::{self, Subscription, Up},
};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{
    fault,
    session::{Over, Session},
};
use crate::{
    admission::{Message, MethodAnswer, Settlement, Twin},
    wire::properties,
};

impl Session {
    /// One packet.
    pub(super) async fn hear(&mut self, packet: Packet) -> Result<(), Over> {
        let unexpected = |what| Err(Over::Refused(fault::unexpected(what)));
        match packet {
            Packet::Publish(publish) => self.published(publish).await,
            Packet::PubAck(id) => self.acknowledged(id).await,
            Packet::Subscribe(id, filters) => self.subscribe(id, &filters).await,
            Packet::Unsubscribe(id, filters) => {
                for filter in &filters {
                    // What was never there is gone as well (section 3.10.4).
                    if let Ok(subscription) = Subscription::parse(filter, &self.device) {
                        self.subscriptions.set(subscription, None);
                    }
                }
                self.keep_subscriptions().await;
                mqtt::encode(&Packet::UnsubAck(id), &mut self.line.out);
                Ok(())
            }
            Packet::PingReq => {
                mqtt::encode(&Packet::PingResp, &mut self.line.out);
                Ok(())
            }
            Packet::Disconnect => Err(Over::Said),
            // Section 3.1.0: a second CONNECT ends the connection.
            Packet::Connect(_) => unexpected("a second CONNECT"),
            Packet::ConnAck(_) => unexpected("CONNACK"),
            Packet::SubAck(..) => unexpected("SUBACK"),
            Packet::UnsubAck(_) => unexpected("UNSUBACK"),
            Packet::PingResp => unexpected("PINGRESP"),
        }
    }

    async fn published(&mut self, publish: Publish) -> Result<(), Over> {
        let most = self.house.limits.message_bytes();
        if publish.payload.len() > most {
            let message = format!("a message of {} octets where {most} are allowed", publish.payload.len());
            return Err(Over::Refused(Refusal::new("MESSAGE_TOO_LARGE", message)));
        }
        let Publish { topic, delivery, retain, payload } = publish;
        let up = Up::parse(&topic, &self.device);
        match up.map_err(|found| Over::Refused(fault::topic(&topic, found)))? {
            Up::Telemetry { bag } => {
                let message = properties::from_bag(bag).map_err(|found| Over::Refused(fault::bag(found)))?;
                self.keep(properties::retained(Message { body: payload, ..message }, retain), delivery);
                return Ok(());
            }
            Up::MethodResponse { status, request_id } => self.answered(status, request_id, payload),
            Up::TwinGet { request_id } => self.twin(request_id).await,
            Up::TwinReported { request_id } => self.report(request_id, &payload).await,
        }
        if let Some(id) = delivery.packet_id() {
            self.keeping.push_back(Box::pin(std::future::ready((Some(id), Ok(())))));
        }
        Ok(())
    }

    /// Hands the message over; it is acknowledged when it is durable, and in its turn.
    fn keep(&mut self, message: Message, delivery: Delivery) {
        let (house, admitted) = (Arc::clone(&self.house), Arc::clone(&self.admitted));
        self.keeping.push_back(Box::pin(async move {
            (delivery.packet_id(), house.admission.telemetry(&admitted, message).await)
        }));
    }

    async fn acknowledged(&mut self, id: PacketId) -> Result<(), Over> {
        let Some(at) = self.held.iter().position(|held| held.packet == id) else { return Ok(()) };
        let sequence = self.held.swap_remove(at).sequence;
        self.settle(sequence).await;
        // There is room for the next one.
        self.push().await
    }

    /// The device is done with a message of its queue.
    pub(super) async fn settle(&mut self, sequence: u64) {
        if let Err(refusal) = self.house.admission.settle(&self.admitted, sequence, Settlement::Complete).await {
            tracing::info!(device = %self.admitted.device(), reason = refusal.reason(), "message not settled");
        }
    }

    async fn subscribe(&mut self, id: PacketId, filters: &[(String, QoS)]) -> Result<(), Over> {
        let mut codes = Vec::with_capacity(filters.len());
        for (filter, qos) in filters {
            codes.push(match Subscription::parse(filter, &self.device) {
                Ok(subscription) => {
                    self.subscriptions.set(subscription, Some(*qos));
                    SubscribeCode::Granted(*qos)
                }
                Err(found) => {
                    let refusal = fault::topic(filter, found);
                    self.house.refused_in_session(&self.admitted, &refusal).await;
                    SubscribeCode::Failure
                }
            });
        }
        self.keep_subscriptions().await;
        mqtt::encode(&Packet::SubAck(id, codes), &mut self.line.out);
        self.push().await
    }

    /// For the next session, where the device wants that.
    async fn keep_subscriptions(&mut self) {
        if self.clean == Clean::Start {
            return;
        }
        let bits = Some(self.subscriptions.to_bits());
        if let Err(refusal) = self.house.admission.keep_subscriptions(&self.admitted, bits).await {
            tracing::warn!(device = %self.admitted.device(), reason = refusal.reason(), "subscriptions not kept");
        }
    }

    fn answered(&mut self, status: i32, request_id: &str, payload: Bytes) {
        let call = request_id.parse().ok().and_then(|id: u64| self.calls.remove(&id));
        if let Some(call) = call {
            // Whoever asked may have given up.
            let _ = call.send(Ok(MethodAnswer { status, payload }));
        }
    }

    async fn twin(&mut self, request_id: &str) {
        let (status, body) = match self.house.admission.twin(&self.admitted).await {
            Ok(twin) => (200, twin_document(&twin)),
            Err(refusal) => (http_status(&refusal), problem(&refusal)),
        };
        self.respond(topic::twin_response(status, request_id, None), body);
    }

    async fn report(&mut self, request_id: &str, patch: &[u8]) {
        let (status, version, body) = match self.house.admission.patch_reported(&self.admitted, patch).await {
            Ok(version) => (204, Some(version), Value::Null),
            Err(refusal) => (http_status(&refusal), None, problem(&refusal)),
        };
        self.respond(topic::twin_response(status, request_id, version), body);
    }

    /// An answer about the twin, if the device asked for such answers.
    fn respond(&mut self, topic: String, body: Value) {
        let Some(qos) = self.subscriptions.granted(Subscription::TwinResponses) else { return };
        let payload = if body == Value::Null { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.publish(topic, payload, qos, None);
    }
}

/// The twin as devices read it: both parts, each with its version inside.
pub(crate) fn twin_document(twin: &Twin) -> Value {
    let part = |of: &Map<String, Value>, version: u64| {
        let mut part = of.clone();
        part.insert("$version".to_owned(), json!(version));
        part
    };
    json!({
        "desired": part(&twin.desired, twin.desired_version),
        "reported": part(&twin.reported, twin.reported_version),
    })
}

/// A refusal as the status of an answer, by the usual mapping of google.rpc.Code.
pub(crate) fn http_status(refusal: &Refusal) -> u16 {
    match refusal.code() {
        Code::InvalidArgument | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::FailedPrecondition => 412,
        Code::ResourceExhausted => 429,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::Unimplemented | Code::DataLoss => 500,
    }
}

/// A refusal as the body of an answer.
pub(crate) fn problem(refusal: &Refusal) -> Value {
    json!({ "reason": refusal.reason(), "message": refusal.message(), "remedy": refusal.explanation().remedy })
}
