//! The messages that wait for a device.

use api::{
    Refusal,
    hub::v1::{Mailbox as Kept, Property, SettledMessage, WaitingMessage},
};
use pki::{Sha256, UnixTime};
use prost::Message as _;

use super::{Mailbox, State};
use crate::admission::{CloudMessage, Message, Settlement};

/// Most messages that wait for one device.
const MOST_WAITING: usize = 50;
/// Most octets of all of them.
const MOST_OCTETS: usize = 512 * 1024;
/// Most octets of one, properties included.
const MOST_MESSAGE_OCTETS: usize = 64 * 1024;
/// Most messages that are remembered after they were settled.
const MOST_SETTLED: usize = 50;
/// How often a message is handed to its device before it is given up.
const MOST_DELIVERIES: u32 = 10;

/// A message to be queued.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) request_id: String,
    pub(crate) system: Vec<Property>,
    pub(crate) properties: Vec<Property>,
    pub(crate) body: bytes::Bytes,
}

impl Mailbox {
    /// Queues a message; durable when this returns. The same request queues nothing again while its message waits or is remembered.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `DEVICE_QUEUE_FULL`, `MESSAGE_TOO_LARGE`, `STORE_IO`.
    pub(crate) fn queue(&self, message: NewMessage, now: UnixTime, oldest: UnixTime) -> Result<u64, Refusal> {
        let mut state = self.state()?;
        if let Some(before) = sent_before(&state.kept, &message)? {
            return Ok(before);
        }
        let mut kept = state.kept.clone();
        let waits =
            |waiting: &WaitingMessage| is_deliverable(waiting, oldest) || state.held.contains_key(&waiting.sequence);
        settle(&mut kept, |waiting| !waits(waiting));
        let sequence = kept.last_sequence + 1;
        let waiting = WaitingMessage {
            sequence,
            at: now.as_secs(),
            request_id: message.request_id,
            system: message.system,
            properties: message.properties,
            body: message.body,
            delivered: 0,
        };
        check_room(&kept, &waiting)?;
        kept.messages.push(waiting);
        kept.last_sequence = sequence;
        self.replace(&mut state, kept)?;
        drop(state);
        self.tell();
        Ok(sequence)
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`, `STORE_IO`.
    pub(crate) fn waiting(&self) -> Result<u32, Refusal> {
        Ok(u32::try_from(self.state()?.kept.messages.len()).unwrap_or(u32::MAX))
    }

    /// The next message that no session holds; `session` holds it from now on.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`, `STORE_IO`.
    pub(crate) fn take(&self, session: u64, oldest: UnixTime) -> Result<Option<CloudMessage>, Refusal> {
        let mut guard = self.state()?;
        let State { kept, held, .. } = &mut *guard;
        let next = kept
            .messages
            .iter_mut()
            .find(|waiting| is_deliverable(waiting, oldest) && !held.contains_key(&waiting.sequence));
        let Some(next) = next else { return Ok(None) };
        held.insert(next.sequence, session);
        let message = CloudMessage {
            sequence: next.sequence,
            at: UnixTime::new(next.at),
            delivered: next.delivered,
            message: Message {
                system: pairs(&next.system),
                properties: pairs(&next.properties),
                body: next.body.clone(),
            },
        };
        // Kept with the next change of the file: a crash may have a message delivered once more, never lost.
        next.delivered += 1;
        Ok(Some(message))
    }

    /// Settles a message that `session` holds; durable when this returns.
    ///
    /// # Errors
    /// `MESSAGE_NOT_HELD`, `STORE_IO`.
    pub(crate) fn settle(&self, session: u64, sequence: u64, settlement: Settlement) -> Result<(), Refusal> {
        let mut state = self.state()?;
        if state.held.get(&sequence) != Some(&session) {
            let message = format!("message {sequence} is not held by this session");
            return Err(Refusal::new("MESSAGE_NOT_HELD", message));
        }
        match settlement {
            Settlement::Complete | Settlement::Reject => {
                let mut kept = state.kept.clone();
                settle(&mut kept, |waiting| waiting.sequence == sequence);
                self.replace(&mut state, kept)?;
                state.held.remove(&sequence);
            }
            Settlement::Abandon => {
                state.held.remove(&sequence);
                drop(state);
                self.tell();
            }
        }
        Ok(())
    }

    /// The session is over: what it held waits again.
    pub(crate) fn release(&self, session: u64) {
        // What was never read is held by nobody.
        let Some(Ok(mut state)) = self.state.get().map(|_| self.state()) else { return };
        let before = state.held.len();
        state.held.retain(|_, holder| *holder != session);
        let released = state.held.len() < before;
        drop(state);
        if released {
            self.tell();
        }
    }
}

/// Neither too old nor handed over too often.
fn is_deliverable(waiting: &WaitingMessage, oldest: UnixTime) -> bool {
    waiting.at >= oldest.as_secs() && waiting.delivered < MOST_DELIVERIES
}

/// The number of the message that this request sent before.
fn sent_before(kept: &Kept, message: &NewMessage) -> Result<Option<u64>, Refusal> {
    let content = content(&message.system, &message.properties, &message.body);
    let waiting = kept.messages.iter().find(|waiting| waiting.request_id == message.request_id);
    let settled = kept.settled.iter().find(|settled| settled.request_id == message.request_id);
    let (sequence, same) = match (waiting, settled) {
        (Some(before), _) => (before.sequence, of(before) == content),
        (None, Some(before)) => (before.sequence, before.content_sha256 == content.as_bytes().as_slice()),
        (None, None) => return Ok(None),
    };
    if same {
        return Ok(Some(sequence));
    }
    let id = &message.request_id;
    let text = format!("request {id} was used before with another content");
    Err(Refusal::new("REQUEST_ID_REUSED", text).with("request_id", id).with("differs", "content"))
}

/// Takes messages out of the queue, and remembers the latest of them.
fn settle(kept: &mut Kept, is_over: impl Fn(&WaitingMessage) -> bool) {
    let (over, waiting) = std::mem::take(&mut kept.messages).into_iter().partition(is_over);
    kept.messages = waiting;
    let over: Vec<WaitingMessage> = over;
    kept.settled.extend(over.into_iter().map(|message| SettledMessage {
        sequence: message.sequence,
        content_sha256: records::wire::digest(&of(&message)),
        request_id: message.request_id,
    }));
    let forgotten = kept.settled.len().saturating_sub(MOST_SETTLED);
    kept.settled.drain(..forgotten);
}

fn of(message: &WaitingMessage) -> Sha256 {
    content(&message.system, &message.properties, &message.body)
}

fn content(system: &[Property], properties: &[Property], body: &bytes::Bytes) -> Sha256 {
    let message = WaitingMessage {
        system: system.to_vec(),
        properties: properties.to_vec(),
        body: body.clone(),
        ..WaitingMessage::default()
    };
    Sha256::of(&message.encode_to_vec())
}

fn check_room(kept: &Kept, message: &WaitingMessage) -> Result<(), Refusal> {
    let size = octets(message);
    if size > MOST_MESSAGE_OCTETS {
        let message = format!("a message of {size} octets, at most {MOST_MESSAGE_OCTETS} are taken");
        return Err(Refusal::new("MESSAGE_TOO_LARGE", message));
    }
    let waiting: usize = kept.messages.iter().map(octets).sum();
    if kept.messages.len() < MOST_WAITING && waiting + size <= MOST_OCTETS {
        return Ok(());
    }
    let message = format!("{} messages of {waiting} octets wait for {}", kept.messages.len(), kept.device_id);
    Err(Refusal::new("DEVICE_QUEUE_FULL", message).with("device_id", &kept.device_id))
}

/// As much as it takes in the file: many small properties are more than what they say.
fn octets(message: &WaitingMessage) -> usize {
    message.encoded_len()
}

fn pairs(properties: &[Property]) -> Vec<(String, String)> {
    properties.iter().map(|property| (property.name.clone(), property.value.clone())).collect()
}
