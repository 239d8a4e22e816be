//! What devices sent: kept in a log, found again by device, followed as it grows.
//!
//! Bounded twice: the log keeps so many octets in total, and of each device the newest so many messages.

mod filter;

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{Refusal, hub::v1::TelemetryMessage};
use bytes::Bytes;
use pki::UnixTime;
use prost::Message as _;
use service::shell::Stop;
use tokio::sync::watch;

use crate::ring::{Bounds, Index, Position, Ring};

pub(crate) use filter::Filter;

/// How much is kept, and how much one device may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TelemetryBounds {
    pub(crate) log: Bounds,
    /// Messages of one device.
    pub(crate) per_device: usize,
    /// Messages of one device within one second.
    pub(crate) per_device_second: u32,
}

/// The kept telemetry.
pub(crate) struct Telemetry {
    ring: Ring,
    bounds: TelemetryBounds,
    state: Arc<State>,
}

/// What is kept of each device, and where.
struct State {
    per_device: usize,
    devices: Mutex<HashMap<String, Kept>>,
}

/// One device's messages.
#[derive(Default)]
struct Kept {
    places: VecDeque<Position>,
    /// The second that is being counted, and what came in it.
    second: i64,
    in_second: u32,
}

/// A page of messages.
pub(crate) struct Page {
    pub(crate) messages: Vec<TelemetryMessage>,
    /// Where to read on.
    pub(crate) next: Position,
    /// Whether nothing newer is kept.
    pub(crate) at_end: bool,
}

/// Most records that one page looks at, so that a filter that fits nothing cannot hold a thread for long.
const MOST_LOOKED_AT: usize = 20_000;

impl Telemetry {
    /// Opens the log.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(directory: &Path, bounds: TelemetryBounds, stop: Stop) -> io::Result<Self> {
        let state = Arc::new(State { per_device: bounds.per_device.max(1), devices: Mutex::default() });
        let index: Arc<dyn Index> = Arc::<State>::clone(&state);
        let ring = Ring::open(directory, "telemetry", bounds.log, stop, index)?;
        Ok(Self { ring, bounds, state })
    }

    /// Keeps a message; it is durable when this returns.
    ///
    /// # Errors
    /// `DEVICE_RATE_EXCEEDED`, `MESSAGE_TOO_LARGE`, `LOG_FAILED`, `SHUTTING_DOWN`.
    pub(crate) async fn keep(&self, message: TelemetryMessage, now: UnixTime) -> Result<(), Refusal> {
        self.state.count(&message.device_id, now, self.bounds.per_device_second)?;
        let record = Bytes::from(message.encode_to_vec());
        self.ring.append(message.device_id.into(), record).await.map(drop)
    }

    /// Messages from a position on, oldest first. Blocks on the disk.
    ///
    /// # Errors
    /// `LOG_FAILED` when the disk cannot be read.
    pub(crate) fn page(&self, from: Position, filter: &Filter, most: usize) -> Result<Page, Refusal> {
        // Seen first: whatever stands before it is in the index, and is read below.
        let end = *self.ring.end().borrow();
        let mut page = Page { messages: Vec::new(), next: from, at_end: false };
        for _ in 0..MOST_LOOKED_AT {
            if page.messages.len() >= most {
                return Ok(page);
            }
            let found = match self.skip(page.next, filter) {
                Some(from) => self.ring.next(from).map_err(|e| failed(&e))?,
                None => None,
            };
            let Some((at, record, next)) = found else {
                page.next = page.next.max(end);
                page.at_end = true;
                return Ok(page);
            };
            page.next = next;
            let Ok(message) = TelemetryMessage::decode(record.as_slice()) else { continue };
            if filter.fits(&message) && self.state.is_kept(&message.device_id, at) {
                page.messages.push(message);
            }
        }
        Ok(page)
    }

    /// Follows the end of what is kept.
    pub(crate) fn end(&self) -> watch::Receiver<Position> {
        self.ring.end()
    }

    /// Where to look next: of one device, its next place; none when it has none.
    fn skip(&self, from: Position, filter: &Filter) -> Option<Position> {
        let Some(device) = filter.device() else { return Some(from) };
        let devices = self.state.devices();
        let places = &devices.get(device)?.places;
        places.get(places.partition_point(|place| *place < from)).copied()
    }
}

impl State {
    fn is_kept(&self, device: &str, at: Position) -> bool {
        self.devices().get(device).is_some_and(|kept| kept.places.binary_search(&at).is_ok())
    }

    fn count(&self, device: &str, now: UnixTime, most: u32) -> Result<(), Refusal> {
        let mut devices = self.devices();
        if !devices.contains_key(device) {
            devices.insert(device.to_owned(), Kept::default());
        }
        let Some(kept) = devices.get_mut(device) else { return Ok(()) };
        if kept.second != now.as_secs() {
            kept.second = now.as_secs();
            kept.in_second = 0;
        }
        kept.in_second = kept.in_second.saturating_add(1);
        if kept.in_second <= most {
            return Ok(());
        }
        let message = format!("device {device} sent more than {most} messages within a second");
        Err(Refusal::new("DEVICE_RATE_EXCEEDED", message).with("device_id", device))
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for State {
    fn found(&self, at: Position, record: &[u8]) {
        if let Ok(message) = TelemetryMessage::decode(record) {
            self.placed(at, &message.device_id);
        }
    }

    fn placed(&self, at: Position, device: &str) {
        let mut devices = self.devices();
        if !devices.contains_key(device) {
            devices.insert(device.to_owned(), Kept::default());
        }
        if let Some(kept) = devices.get_mut(device) {
            if kept.places.len() >= self.per_device {
                kept.places.pop_front();
            }
            kept.places.push_back(at);
        }
    }

    fn forget_before(&self, oldest: Position) {
        self.devices().retain(|_, kept| {
            let gone = kept.places.partition_point(|place| *place < oldest);
            kept.places.drain(..gone);
            !kept.places.is_empty()
        });
    }
}

fn failed(error: &io::Error) -> Refusal {
    Refusal::new("LOG_FAILED", format!("reading the log of telemetry: {error}"))
}

#[cfg(test)]
mod tests;
