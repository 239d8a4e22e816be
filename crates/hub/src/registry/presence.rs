//! Who is connected, and when a device was last seen. In memory: after a restart what the log of judgements still tells.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::hub::v1::{Connection, Judgement, Outcome};
use pki::UnixTime;
use records::wire;

use crate::admission::Admitted;

/// Devices that are remembered; beyond it those that are not connected are forgotten.
const MOST: usize = 200_000;

/// Who is connected.
#[derive(Default)]
pub(crate) struct Presence(Mutex<HashMap<Arc<str>, Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    session: Option<u64>,
    changed_at: Option<UnixTime>,
    last_seen_at: UnixTime,
    protocol: String,
    from: String,
}

impl Presence {
    /// Takes over what a judgement of the past tells.
    pub(crate) fn recall(&self, judgement: &Judgement) {
        match judgement.outcome() {
            Outcome::Admitted | Outcome::Ended => {}
            Outcome::Unspecified | Outcome::Refused => return,
        }
        let at = judgement.at.as_ref().map_or(UnixTime::new(0), wire::read_timestamp);
        let seen = Seen {
            session: None,
            changed_at: None,
            last_seen_at: at,
            protocol: judgement.protocol.clone(),
            from: judgement.from.clone(),
        };
        self.held().insert(judgement.claimed.as_str().into(), seen);
    }

    /// A device was let in, or sent something.
    pub(crate) fn seen(&self, admitted: &Admitted, at: UnixTime) {
        let mut held = self.held();
        match held.get_mut(&admitted.device) {
            Some(seen) if seen.session.is_some() => seen.last_seen_at = at,
            Some(seen) => *seen = Seen { changed_at: seen.changed_at, ..fresh(admitted, at) },
            None => {
                make_room(&mut held);
                held.insert(Arc::clone(&admitted.device), fresh(admitted, at));
            }
        }
    }

    /// A session is open.
    pub(crate) fn connected(&self, admitted: &Admitted, at: UnixTime) {
        let mut held = self.held();
        make_room(&mut held);
        let seen = held.entry(Arc::clone(&admitted.device)).or_insert_with(|| fresh(admitted, at));
        // Openings may be told out of order: the later admission counts.
        if seen.session.is_none_or(|session| session < admitted.session) {
            *seen = Seen { session: Some(admitted.session), changed_at: Some(at), ..fresh(admitted, at) };
        }
    }

    /// A session is over; one that was taken over changes nothing.
    pub(crate) fn disconnected(&self, admitted: &Admitted, at: UnixTime) {
        if let Some(seen) = self.held().get_mut(&admitted.device)
            && seen.session == Some(admitted.session)
        {
            seen.session = None;
            seen.changed_at = Some(at);
        }
    }

    /// How many sessions are open.
    pub(crate) fn count(&self) -> usize {
        self.held().values().filter(|seen| seen.session.is_some()).count()
    }

    /// What is known of a device's connection.
    pub(crate) fn of(&self, device: &str) -> Connection {
        match self.held().get(device) {
            None => Connection::default(),
            Some(seen) => Connection {
                connected: seen.session.is_some(),
                changed_at: seen.changed_at.map(wire::timestamp),
                last_seen_at: Some(wire::timestamp(seen.last_seen_at)),
                protocol: seen.protocol.clone(),
                from: seen.from.clone(),
                cloud_to_device_messages: 0,
            },
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh(admitted: &Admitted, at: UnixTime) -> Seen {
    Seen {
        session: None,
        changed_at: None,
        last_seen_at: at,
        protocol: admitted.protocol.as_str().to_owned(),
        from: admitted.from.to_string(),
    }
}

fn make_room(held: &mut HashMap<Arc<str>, Seen>) {
    if held.len() >= MOST {
        held.retain(|_, seen| seen.session.is_some());
    }
}
