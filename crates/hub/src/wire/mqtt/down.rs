//! What a device is told: messages of its queue, changes of desired properties, direct methods.

use api::Refusal;
use bytes::Bytes;
use device_wire::{
    mqtt::{self, Delivery, Packet, PacketId, Publish, QoS, Retain},
    topic::{self, Subscription},
};

use super::session::{Held, Over, Session};
use crate::wire::{limits, properties, sessions::PendingCall};

impl Session {
    /// Everything that waits and that the device asked for.
    pub(super) async fn push(&mut self) -> Result<(), Over> {
        self.mail.borrow_and_update();
        self.push_messages().await?;
        self.push_desired().await;
        Ok(())
    }

    async fn push_messages(&mut self) -> Result<(), Over> {
        let Some(qos) = self.subscriptions.granted(Subscription::CloudToDevice) else { return Ok(()) };
        while self.held.len() < limits::count(self.house.limits.max_held) {
            let message = match self.house.admission.next_message(&self.admitted).await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(refusal) => {
                    tracing::warn!(device = %self.admitted.device(), reason = refusal.reason(), "queue not read");
                    return Ok(());
                }
            };
            let topic = topic::cloud_to_device(&self.device, &properties::to_bag(&message));
            self.publish(topic, message.message.body, qos, Some(message.sequence));
            self.line.flush_if_large().await?;
            self.seat.check().map_err(Over::Ended)?;
            // At most once: written is all that can be known.
            if qos == QoS::AtMostOnce {
                self.line.flush().await?;
                self.settle(message.sequence).await;
            }
        }
        Ok(())
    }

    async fn push_desired(&mut self) {
        let Some(qos) = self.subscriptions.granted(Subscription::TwinDesired) else {
            self.desired = None;
            return;
        };
        let Some(told) = self.desired else {
            // What was wanted before it asked, it reads from its twin.
            self.desired = self.house.admission.twin(&self.admitted).await.ok().map(|twin| twin.desired_version);
            return;
        };
        match self.house.admission.desired_after(&self.admitted, told).await {
            Ok(patches) => {
                for patch in patches {
                    let mut body = patch.patch;
                    body.insert("$version".to_owned(), patch.version.into());
                    let payload = Bytes::from(serde_json::Value::Object(body).to_string());
                    self.publish(topic::twin_desired(patch.version), payload, qos, None);
                    self.desired = Some(patch.version);
                }
            }
            Err(refusal) => {
                tracing::warn!(device = %self.admitted.device(), reason = refusal.reason(), "desired properties not read");
            }
        }
    }

    /// A direct method on its way to the device.
    pub(super) fn call(&mut self, pending: PendingCall) {
        self.calls.retain(|_, waiting| !waiting.is_closed());
        let refused = match self.subscriptions.granted(Subscription::Methods) {
            None => Refusal::new("DEVICE_NOT_CONNECTED", "the device takes no methods in its session"),
            Some(_) if self.calls.len() >= limits::count(self.house.limits.max_calls) => {
                Refusal::new("QUEUE_FULL", "the device has too many methods to answer")
            }
            Some(qos) => {
                self.last_call += 1;
                let topic = topic::method(&pending.call.name, self.last_call);
                self.publish(topic, pending.call.payload, qos, None);
                self.calls.insert(self.last_call, pending.answer);
                return;
            }
        };
        // Whoever asked may have given up.
        let _ = pending.answer.send(Err(refused));
    }

    /// Writes a PUBLISH; with QoS 1 it is held until the device acknowledges it.
    pub(super) fn publish(&mut self, topic: String, payload: Bytes, qos: QoS, sequence: Option<u64>) {
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => {
                let packet = self.next_packet_id();
                if let Some(sequence) = sequence {
                    self.held.push(Held { packet, sequence });
                }
                Delivery::First(packet)
            }
        };
        mqtt::encode(&Packet::Publish(Publish { topic, delivery, retain: Retain::No, payload }), &mut self.line.out);
    }

    /// An id that no message holds.
    fn next_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet = self.last_packet.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_packet)
                && self.held.iter().all(|held| held.packet != id)
            {
                return id;
            }
        }
    }
}
