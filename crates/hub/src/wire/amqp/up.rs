//! What a device sends: telemetry, answers to methods, requests about its twin; and what became of what it was sent.

use std::sync::Arc;

use api::Refusal;
use bytes::{Bytes, BytesMut};
use device_wire::amqp::{
    DeliveryState, Disposition, Performative, Role, Transfer, Value,
    message::{Message as Wire, Properties},
};
use serde_json::Value as Json;

use super::{
    attach::{CREDIT, state},
    connection::{Connection, Kept, Over, WINDOW},
    fault,
    link::{Kind, Link, Partial, Way},
    message,
};
use crate::{
    admission::{MethodAnswer, Settlement},
    wire::mqtt::{http_status, problem, twin_document},
};

/// What a twin request is about when it is about being told of changes.
pub(super) const DESIRED: &str = "/notifications/twin/properties/desired";
const REPORTED: &str = "/properties/reported";

impl Connection {
    /// Part of a message, or all of it.
    pub(super) async fn transfer(&mut self, number: u16, transfer: Transfer, payload: Bytes) -> Result<(), Over> {
        let most = self.house.limits.message_bytes() + usize::from(u16::MAX);
        if self.begun_octets() + payload.len() > 2 * most {
            let message = format!("messages of more than {} octets begun over several links", 2 * most);
            return Err(Over::Refused(Refusal::new("MESSAGE_TOO_LARGE", message)));
        }
        let channel = self.channel(number)?;
        channel.next_incoming = channel.next_incoming.wrapping_add(1);
        channel.unreported += 1;
        let not_a_link = || Over::Refused(fault::unexpected("a transfer over a link that does not take any"));
        let link = channel.links.get_mut(&transfer.handle).ok_or_else(not_a_link)?;
        let Way::Up(up) = &mut link.way else { return Err(not_a_link()) };
        let kind = link.kind;
        if up.partial.is_none() && up.credit == 0 {
            return Err(Over::Refused(fault::unexpected("a message without credit for it")));
        }
        if transfer.aborted {
            up.partial = None;
            return Ok(());
        }
        let mut partial = match up.partial.take() {
            Some(partial) => partial,
            None => {
                let missing = || Over::Refused(fault::unexpected("a message without a delivery id"));
                let delivery = transfer.delivery_id.ok_or_else(missing)?;
                up.count = up.count.wrapping_add(1);
                up.credit -= 1;
                Partial {
                    delivery,
                    format: transfer.message_format.unwrap_or(0),
                    settled: false,
                    octets: BytesMut::new(),
                }
            }
        };
        partial.settled |= transfer.settled;
        if partial.octets.len() + payload.len() > most {
            let message = format!("a message of more than {most} octets");
            return Err(Over::Refused(Refusal::new("MESSAGE_TOO_LARGE", message)));
        }
        partial.octets.extend_from_slice(&payload);
        let refill = up.credit < CREDIT / 2 && !transfer.more;
        if transfer.more {
            up.partial = Some(partial);
        } else {
            self.deliver(number, kind, partial).await?;
        }
        if refill {
            self.grant(number, transfer.handle);
        }
        self.report_window(number);
        Ok(())
    }

    /// What came of messages of which more is to come, over all links.
    fn begun_octets(&self) -> usize {
        let links = self.channels.values().flat_map(|channel| channel.links.values());
        let of = |link: &Link| match &link.way {
            Way::Up(up) => up.partial.as_ref().map_or(0, |partial| partial.octets.len()),
            Way::Down(_) => 0,
        };
        links.map(of).sum()
    }

    /// A device that sends in many small transfers is told in time that it may go on.
    fn report_window(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        if channel.unreported >= WINDOW / 2 {
            let flow = state(channel);
            self.say(number, &Performative::Flow(flow));
        }
    }

    /// A whole message.
    async fn deliver(&mut self, channel: u16, kind: Kind, partial: Partial) -> Result<(), Over> {
        let Partial { delivery, format, settled, octets } = partial;
        let outcome = match Wire::decode(octets.freeze()) {
            _ if format != 0 => {
                let message = format!("messages of format {format:#x}, such as batches, where single ones are taken");
                Err(Refusal::new("PROTOCOL_NOT_SPOKEN", message))
            }
            Err(found) => Err(fault::octets(found)),
            Ok(wire) => match kind {
                Kind::Events => {
                    self.keep(channel, delivery, settled, wire);
                    return Ok(());
                }
                Kind::Methods => self.answered(wire),
                Kind::Twin => self.twin_request(wire).await,
                // A device does not send over it: attach refuses that.
                Kind::CloudToDevice => Err(fault::unexpected("a message over a link of the other way")),
            },
        };
        let kept = Kept { channel, delivery, settled, outcome };
        self.keeping.push_back(Box::pin(std::future::ready(kept)));
        self.push().await
    }

    fn keep(&mut self, channel: u16, delivery: u32, settled: bool, wire: Wire) {
        let (house, admitted) = (Arc::clone(&self.house), Arc::clone(&self.admitted));
        let most = self.house.limits.message_bytes();
        self.keeping.push_back(Box::pin(async move {
            let octets = wire.body.len();
            let outcome = if octets > most {
                let message = format!("a message of {octets} octets where {most} are allowed");
                Err(Refusal::new("MESSAGE_TOO_LARGE", message))
            } else {
                house.admission.telemetry(&admitted, message::from_wire(wire)).await
            };
            Kept { channel, delivery, settled, outcome }
        }));
    }

    /// The answer to a direct method: it repeats the correlation id, as a UUID or as its text.
    fn answered(&mut self, wire: Wire) -> Result<(), Refusal> {
        let call = wire.properties.correlation_id.as_ref().and_then(call_number);
        let status = wire.application.iter().find(|(name, _)| name.eq_ignore_ascii_case("IoThub-status"));
        let status = status.and_then(|(_, value)| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
        let status = status.and_then(|status| i32::try_from(status).ok());
        let status = status.ok_or_else(|| fault::unexpected("a method's answer without a status"))?;
        if let Some(waiting) = call.and_then(|call| self.calls.remove(&call)) {
            // Whoever asked may have given up.
            let _ = waiting.send(Ok(MethodAnswer { status, payload: wire.body }));
        }
        Ok(())
    }

    async fn twin_request(&mut self, wire: Wire) -> Result<(), Refusal> {
        let annotation = |name: &str| {
            let found = wire.annotations.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str())
        };
        let (operation, resource) = (annotation("operation").unwrap_or_default(), annotation("resource"));
        let admission = &self.house.admission;
        let answer = match (operation, resource) {
            ("GET", None | Some("")) => {
                admission.twin(&self.admitted).await.map(|twin| (200, None, twin_document(&twin)))
            }
            ("PATCH", Some(REPORTED)) => {
                let version = admission.patch_reported(&self.admitted, &wire.body).await;
                version.map(|version| (204, Some(version), Json::Null))
            }
            ("PUT", Some(DESIRED)) => admission.twin(&self.admitted).await.map(|twin| {
                self.desired = Some(twin.desired_version);
                (200, Some(twin.desired_version), Json::Null)
            }),
            ("DELETE", Some(DESIRED)) => {
                self.desired = None;
                Ok((200, None, Json::Null))
            }
            _ => {
                let message =
                    format!("a twin request that does not exist: {operation} {}", resource.unwrap_or_default());
                Err(Refusal::new("TOPIC_REFUSED", message))
            }
        };
        let (status, version, body) = answer.unwrap_or_else(|refusal| (http_status(&refusal), None, problem(&refusal)));
        self.twin_answer(wire.properties.correlation_id, status, version, &body);
        Ok(())
    }

    fn twin_answer(&mut self, correlation_id: Option<Value>, status: u16, version: Option<u64>, body: &Json) {
        let mut annotations = vec![("status".to_owned(), Value::int(i32::from(status)))];
        annotations.extend(version.map(|version| ("version".to_owned(), Value::long(version.cast_signed()))));
        let body = if *body == Json::Null { Bytes::new() } else { Bytes::from(body.to_string()) };
        let properties = Properties { correlation_id, ..Properties::default() };
        self.enqueue(Kind::Twin, &Wire { annotations, properties, body, ..Wire::default() });
    }

    /// What became of what the device was sent.
    pub(super) async fn disposition(&mut self, number: u16, disposition: Disposition) -> Result<(), Over> {
        if disposition.role == Role::Sender {
            // The device settles what it sent; we settled it before.
            return Ok(());
        }
        let settlement = match &disposition.state {
            Some(DeliveryState::Accepted) => Settlement::Complete,
            Some(DeliveryState::Rejected(_) | DeliveryState::Modified { undeliverable: true }) => Settlement::Reject,
            Some(DeliveryState::Released | DeliveryState::Modified { undeliverable: false }) => Settlement::Abandon,
            // Settled without a word about it: it was taken (section 3.4).
            None if disposition.settled => Settlement::Complete,
            None | Some(DeliveryState::Received) => return Ok(()),
        };
        let channel = self.channel(number)?;
        let last = disposition.last.unwrap_or(disposition.first);
        let within = |id: &u32| id.wrapping_sub(disposition.first) <= last.wrapping_sub(disposition.first);
        let settled: Vec<u32> = channel.held.keys().copied().filter(within).collect();
        let sequences: Vec<u64> = settled.iter().filter_map(|id| channel.held.remove(id)).collect();
        if !disposition.settled {
            // The device settles second (section 2.6.12), so it waits for us.
            let (role, settled) = (Role::Sender, true);
            self.say(number, &Performative::Disposition(Disposition { role, settled, ..disposition }));
        }
        for sequence in sequences {
            self.settle(sequence, settlement).await;
        }
        self.push().await
    }

    /// Whether a link of this kind takes what we send.
    pub(super) fn takes(&self, kind: Kind) -> bool {
        let mut links = self.channels.values().flat_map(|channel| channel.links.values());
        links.any(|link: &Link| link.kind == kind && matches!(link.way, Way::Down(_)))
    }
}

/// The number of a call in its correlation id: see `call`.
fn call_number(id: &Value) -> Option<u64> {
    let octets: [u8; 16] = match id {
        Value::Uuid(octets) => *octets,
        Value::Binary(octets) => octets.as_ref().try_into().ok()?,
        Value::Text(text) => {
            let digits: String = text.chars().filter(|c| *c != '-').collect();
            u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?.to_be_bytes()
        }
        Value::Null
        | Value::Bool(_)
        | Value::Unsigned(..)
        | Value::Signed(..)
        | Value::Timestamp(_)
        | Value::Opaque(..)
        | Value::Symbol(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Array(_)
        | Value::Described(_) => return None,
    };
    u64::try_from(u128::from_be_bytes(octets)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calls_number_is_read_from_every_form_of_its_uuid() {
        let mut octets = [0; 16];
        octets[15] = 7;
        let forms = [
            Value::Uuid(octets),
            Value::Binary(Bytes::copy_from_slice(&octets)),
            Value::text("00000000-0000-0000-0000-000000000007"),
        ];
        for form in forms {
            assert_eq!(call_number(&form), Some(7), "{form:?}");
        }
        assert_eq!(call_number(&Value::text("7")), None);
        assert_eq!(call_number(&Value::Uuid([1; 16])), None);
    }
}
