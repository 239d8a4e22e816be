//! What the hub keeps for a device between its connections: the twin, and the messages that wait. One small file a device, replaced
//! whole with every change, because a journal that devices write to would grow for ever.

mod file;
mod patch;
mod queue;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use api::{Refusal, hub::v1 as wire};
use pki::UnixTime;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::admission::{DesiredPatch, Twin};
pub(crate) use queue::NewMessage;

/// Changes of desired properties that are remembered one by one.
const REMEMBERED_CHANGES: usize = 32;
/// Devices whose files stay in memory; beyond it those that nobody follows are let go.
const MOST_OPEN: usize = 20_000;

/// The mailboxes of all devices.
pub(crate) struct Mailboxes {
    directory: PathBuf,
    open: Mutex<HashMap<String, Arc<Mailbox>>>,
}

/// One device's.
pub(crate) struct Mailbox {
    directory: PathBuf,
    device: String,
    /// Read from the file when it is first asked for.
    state: OnceLock<Mutex<State>>,
    changed: watch::Sender<u64>,
}

struct State {
    kept: wire::Mailbox,
    /// Which session holds a message, by the message's number.
    held: HashMap<u64, u64>,
    /// The latest changes of desired properties, oldest first.
    changes: Vec<DesiredPatch>,
}

impl Mailboxes {
    /// The mailboxes in a directory, made when absent.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(directory: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, open: Mutex::default() })
    }

    /// A device's mailbox; nothing is read yet.
    pub(crate) fn of(&self, device: &str) -> Arc<Mailbox> {
        let mut open = self.boxes();
        if let Some(found) = open.get(device) {
            return Arc::clone(found);
        }
        if open.len() >= MOST_OPEN {
            open.retain(|_, mailbox| Arc::strong_count(mailbox) > 1 || mailbox.changed.receiver_count() > 0);
        }
        let mailbox = Arc::new(Mailbox {
            directory: self.directory.clone(),
            device: device.to_owned(),
            state: OnceLock::new(),
            changed: watch::Sender::new(0),
        });
        open.insert(device.to_owned(), Arc::clone(&mailbox));
        mailbox
    }

    /// Deletes what is kept for a device. Blocks on the disk.
    ///
    /// # Errors
    /// `STORE_IO`.
    pub(crate) fn delete(&self, device: &str) -> Result<(), Refusal> {
        self.boxes().remove(device);
        file::delete(&self.directory, device)
    }

    fn boxes(&self) -> MutexGuard<'_, HashMap<String, Arc<Mailbox>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn empty(device: &str) -> wire::Mailbox {
    let object = || "{}".to_owned();
    wire::Mailbox {
        device_id: device.to_owned(),
        twin: Some(wire::Twin { desired: object(), desired_version: 1, reported: object(), reported_version: 1 }),
        messages: Vec::new(),
        last_sequence: 0,
        subscriptions: None,
        settled: Vec::new(),
    }
}

/// What follows blocks on the disk, `follow` aside.
impl Mailbox {
    /// The twin.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`, `STORE_IO`.
    pub(crate) fn twin(&self) -> Result<Twin, Refusal> {
        read_twin(&self.state()?.kept)
    }

    /// Merges a patch into the reported properties; durable when this returns. Answers their new version.
    ///
    /// # Errors
    /// `TWIN_PATCH_INVALID`, `TWIN_TOO_LARGE`, `STORE_IO`.
    pub(crate) fn patch_reported(&self, patch: &[u8]) -> Result<u64, Refusal> {
        let patch = patch::read(patch)?;
        let mut state = self.state()?;
        let mut twin = read_twin(&state.kept)?;
        patch::merge(&mut twin.reported, patch);
        twin.reported_version += 1;
        self.replace_twin(&mut state, &twin)?;
        Ok(twin.reported_version)
    }

    /// Merges a patch into the desired properties; durable when this returns.
    ///
    /// # Errors
    /// As [`Self::patch_reported`]; `ETAG_STALE` when the caller saw another version.
    pub(crate) fn patch_desired(&self, patch: &[u8], seen: Option<u64>) -> Result<Twin, Refusal> {
        let patch = patch::read(patch)?;
        let mut state = self.state()?;
        let mut twin = read_twin(&state.kept)?;
        if let Some(seen) = seen.filter(|seen| *seen != twin.desired_version) {
            let message = format!("the desired properties have version {}, not {seen}", twin.desired_version);
            return Err(Refusal::new("ETAG_STALE", message).with("version", twin.desired_version));
        }
        patch::merge(&mut twin.desired, patch.clone());
        twin.desired_version += 1;
        self.replace_twin(&mut state, &twin)?;
        if state.changes.len() >= REMEMBERED_CHANGES {
            state.changes.remove(0);
        }
        state.changes.push(DesiredPatch { patch, version: twin.desired_version });
        drop(state);
        self.tell();
        Ok(twin)
    }

    /// The changes of desired properties after a version; one that is the whole object when they are no longer at hand.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`.
    pub(crate) fn desired_after(&self, version: u64) -> Result<Vec<DesiredPatch>, Refusal> {
        let state = self.state()?;
        let twin = read_twin(&state.kept)?;
        if version >= twin.desired_version {
            return Ok(Vec::new());
        }
        let after: Vec<DesiredPatch> =
            state.changes.iter().filter(|change| change.version > version).cloned().collect();
        let complete = after.first().is_some_and(|first| first.version == version + 1);
        let whole = || vec![DesiredPatch { patch: twin.desired, version: twin.desired_version }];
        Ok(if complete { after } else { whole() })
    }

    /// What the device's last resumable session was subscribed to.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`, `STORE_IO`.
    pub(crate) fn subscriptions(&self) -> Result<Option<u32>, Refusal> {
        Ok(self.state()?.kept.subscriptions)
    }

    /// Keeps what the device is subscribed to, for its next session; durable when this returns.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`, `STORE_IO`.
    pub(crate) fn keep_subscriptions(&self, subscriptions: Option<u32>) -> Result<(), Refusal> {
        let mut state = self.state()?;
        if state.kept.subscriptions == subscriptions {
            return Ok(());
        }
        let kept = wire::Mailbox { subscriptions, ..state.kept.clone() };
        self.replace(&mut state, kept)
    }

    /// Grows with everything that a session may have to push.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn replace_twin(&self, state: &mut State, twin: &Twin) -> Result<(), Refusal> {
        let kept = wire::Mailbox { twin: Some(write_twin(twin)?), ..state.kept.clone() };
        self.replace(state, kept)
    }

    /// Writes what is to be kept, then takes it for what is.
    fn replace(&self, state: &mut State, kept: wire::Mailbox) -> Result<(), Refusal> {
        file::write(&self.directory, &kept)?;
        state.kept = kept;
        Ok(())
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, Refusal> {
        let state = match self.state.get() {
            Some(state) => state,
            None => {
                let kept = file::read(&self.directory, &self.device)?.unwrap_or_else(|| empty(&self.device));
                self.state.get_or_init(|| Mutex::new(State { kept, held: HashMap::new(), changes: Vec::new() }))
            }
        };
        Ok(state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read_twin(kept: &wire::Mailbox) -> Result<Twin, Refusal> {
    let damaged = || Refusal::new("MAILBOX_DAMAGED", format!("the twin of {} cannot be read", kept.device_id));
    let twin = kept.twin.as_ref().ok_or_else(damaged)?;
    let object =
        |text: &str| -> Result<Map<String, Value>, Refusal> { serde_json::from_str(text).map_err(|_| damaged()) };
    Ok(Twin {
        desired: object(&twin.desired)?,
        desired_version: twin.desired_version,
        reported: object(&twin.reported)?,
        reported_version: twin.reported_version,
    })
}

/// The twin as it is answered and kept.
///
/// # Errors
/// `TWIN_TOO_LARGE`.
pub(crate) fn write_twin(twin: &Twin) -> Result<wire::Twin, Refusal> {
    Ok(wire::Twin {
        desired: patch::write("desired", &twin.desired)?,
        desired_version: twin.desired_version,
        reported: patch::write("reported", &twin.reported)?,
        reported_version: twin.reported_version,
    })
}

/// The moment before which waiting messages are no longer delivered.
pub(crate) fn oldest_delivered(now: UnixTime, hours: u32) -> UnixTime {
    now.checked_add(-3600 * i64::from(hours)).unwrap_or(now)
}

#[cfg(test)]
mod tests;
