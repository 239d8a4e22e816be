//! What a device is sent: messages of its queue, changes of desired properties, direct methods; as credit and window allow.

use api::Refusal;
use bytes::Bytes;
use device_wire::amqp::{
    Performative, Transfer, Value, frame,
    message::{Message as Wire, Properties},
};

use super::{
    connection::{Connection, Over},
    link::{Down, Kind, Link, Way},
    message,
    up::DESIRED,
};
use crate::{
    admission::Settlement,
    wire::{limits, sessions::PendingCall},
};

/// Messages that may wait for credit on one link; requests and changes beyond it are refused or left to be asked for.
const MAX_WAITING: usize = 64;
/// Most octets that wait for credit on all links of a connection; at least one message may.
const MAX_WAITING_OCTETS: usize = 512 * 1024;

impl Connection {
    /// Sends everything that waits, that the device asked for and has credit for.
    pub(super) async fn push(&mut self) -> Result<(), Over> {
        self.mail.borrow_and_update();
        self.push_desired().await;
        self.send_waiting();
        while !self.stalled && self.may_hold_more() {
            let Some((channel, handle)) = self.ready(Kind::CloudToDevice) else { break };
            let message = match self.house.admission.next_message(&self.admitted).await {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(refusal) => {
                    tracing::warn!(device = %self.admitted.device(), reason = refusal.reason(), "queue not read");
                    break;
                }
            };
            let sequence = message.sequence;
            match self.send(channel, handle, &message::to_wire(message).encode()) {
                Some(Sent::Unsettled(delivery)) => {
                    if let Some(channel) = self.channels.get_mut(&channel) {
                        channel.held.insert(delivery, sequence);
                    }
                }
                Some(Sent::Settled) => {
                    self.line.flush().await?;
                    self.settle(sequence, Settlement::Complete).await;
                }
                None => {
                    self.stalled = true;
                    self.settle(sequence, Settlement::Abandon).await;
                }
            }
            self.line.flush_if_large().await?;
            self.seat.check().map_err(Over::Ended)?;
        }
        Ok(())
    }

    async fn push_desired(&mut self) {
        let Some(told) = self.desired.filter(|_| self.takes(Kind::Twin)) else { return };
        match self.house.admission.desired_after(&self.admitted, told).await {
            Ok(patches) => {
                for patch in patches {
                    let mut body = patch.patch;
                    body.insert("$version".to_owned(), patch.version.into());
                    let annotations = vec![
                        ("resource".to_owned(), Value::text(DESIRED)),
                        ("version".to_owned(), Value::long(patch.version.cast_signed())),
                    ];
                    let body = Bytes::from(serde_json::Value::Object(body).to_string());
                    if !self.enqueue(Kind::Twin, &Wire { annotations, body, ..Wire::default() }) {
                        return;
                    }
                    self.desired = Some(patch.version);
                }
            }
            Err(refusal) => {
                tracing::warn!(device = %self.admitted.device(), reason = refusal.reason(), "desired properties not read");
            }
        }
    }

    /// A direct method on its way to the device. Its number stands in the low half of the correlation id, a UUID.
    pub(super) fn call(&mut self, pending: PendingCall) {
        self.calls.retain(|_, waiting| !waiting.is_closed());
        let refused = if !self.takes(Kind::Methods) {
            Refusal::new("DEVICE_NOT_CONNECTED", "the device takes no methods over its connection")
        } else if self.calls.len() >= limits::count(self.house.limits.max_calls) {
            Refusal::new("QUEUE_FULL", "the device has too many methods to answer")
        } else {
            self.last_call += 1;
            let id = Value::Uuid(u128::from(self.last_call).to_be_bytes());
            let properties = Properties { correlation_id: Some(id), ..Properties::default() };
            let application = vec![("IoThub-methodname".to_owned(), Value::text(&pending.call.name))];
            let wire = Wire { properties, application, body: pending.call.payload, ..Wire::default() };
            if self.enqueue(Kind::Methods, &wire) {
                self.calls.insert(self.last_call, pending.answer);
                self.send_waiting();
                return;
            }
            Refusal::new("QUEUE_FULL", "the device does not take its methods")
        };
        // Whoever asked may have given up.
        let _ = pending.answer.send(Err(refused));
    }

    /// Puts a message behind those that wait on a link of this kind; false where none takes it.
    pub(super) fn enqueue(&mut self, kind: Kind, wire: &Wire) -> bool {
        let (message, waiting) = (wire.encode(), self.waiting_octets());
        if waiting > 0 && waiting + message.len() > MAX_WAITING_OCTETS {
            return false;
        }
        let links = self.channels.values_mut().flat_map(|channel| channel.links.values_mut());
        for link in links.filter(|link| link.kind == kind) {
            if let Way::Down(down) = &mut link.way
                && down.waiting.len() < MAX_WAITING
            {
                down.waiting.push_back(message);
                return true;
            }
        }
        false
    }

    fn waiting_octets(&self) -> usize {
        let links = self.channels.values().flat_map(|channel| channel.links.values());
        let of = |link: &Link| match &link.way {
            Way::Down(down) => down.waiting.iter().map(Bytes::len).sum(),
            Way::Up(_) => 0,
        };
        links.map(of).sum()
    }

    fn send_waiting(&mut self) {
        for kind in [Kind::Twin, Kind::Methods] {
            while let Some((channel, handle)) = self.ready(kind) {
                let Some(message) = self.down(channel, handle).and_then(|down| down.waiting.front().cloned()) else {
                    break;
                };
                if self.send(channel, handle, &message).is_none() {
                    break;
                }
                self.down(channel, handle).and_then(|down| down.waiting.pop_front());
            }
        }
    }

    fn down(&mut self, channel: u16, handle: u32) -> Option<&mut Down> {
        let Link { way: Way::Down(down), .. } = self.channels.get_mut(&channel)?.links.get_mut(&handle)? else {
            return None;
        };
        Some(down)
    }

    /// A link of this kind over which a message may go now; for twins and methods, one on which some wait.
    fn ready(&self, kind: Kind) -> Option<(u16, u32)> {
        let channels = self.channels.iter().filter(|(_, channel)| channel.window > 0);
        let mut links =
            channels.flat_map(|(number, channel)| channel.links.iter().map(|(handle, link)| (*number, *handle, link)));
        let found = links.find(|(_, _, link)| match &link.way {
            Way::Down(down) => {
                let wanted = kind == Kind::CloudToDevice || !down.waiting.is_empty();
                link.kind == kind && down.credit > 0 && wanted
            }
            Way::Up(_) => false,
        });
        found.map(|(number, handle, _)| (number, handle))
    }

    /// Writes one message in as many transfers as the device's frames demand. None: it cannot go now.
    fn send(&mut self, number: u16, handle: u32, message: &[u8]) -> Option<Sent> {
        let room = frame::room(self.max_frame);
        let channel = self.channels.get_mut(&number)?;
        let parts = u32::try_from(message.len().div_ceil(room).max(1)).ok()?;
        let window = channel.window.checked_sub(parts)?;
        let Link { way: Way::Down(down), .. } = channel.links.get_mut(&handle)? else { return None };
        down.credit = down.credit.checked_sub(1)?;
        down.count = down.count.wrapping_add(1);
        let (delivery, settled) = (channel.next_delivery, down.settled);
        channel.next_delivery = delivery.wrapping_add(1);
        channel.next_outgoing = channel.next_outgoing.wrapping_add(parts);
        channel.window = window;
        let mut first = true;
        let mut rest = message;
        loop {
            let (part, behind) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            rest = behind;
            let more = !rest.is_empty();
            let transfer = Transfer {
                handle,
                delivery_id: first.then_some(delivery),
                delivery_tag: first.then(|| Bytes::copy_from_slice(&delivery.to_be_bytes())),
                message_format: first.then_some(0),
                settled,
                more,
                aborted: false,
            };
            frame::encode(number, &Performative::Transfer(transfer), part, &mut self.line.out);
            first = false;
            if !more {
                return Some(if settled { Sent::Settled } else { Sent::Unsettled(delivery) });
            }
        }
    }
}

/// How a message went.
enum Sent {
    /// The device says what becomes of it.
    Unsettled(u32),
    /// It is done.
    Settled,
}
