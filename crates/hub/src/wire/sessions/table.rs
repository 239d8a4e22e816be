//! The table of live sessions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::Refusal;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{End, PendingCall, Seat};
use crate::admission::{Admitted, MethodAnswer, MethodCall, Sessions};

/// Calls that wait for a session to look at them.
const WAITING_CALLS: usize = 16;
/// Most octets of a direct method's name.
const MAX_METHOD_NAME: usize = 100;
/// The longest that a direct method may take.
const MAX_METHOD_TIMEOUT: Duration = Duration::from_secs(300);

/// Every live session by its device.
#[derive(Debug, Default)]
pub struct SessionTable {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: HashMap<Arc<str>, Live>,
}

#[derive(Debug)]
struct Live {
    admitted: Arc<Admitted>,
    calls: mpsc::Sender<PendingCall>,
    end: oneshot::Sender<End>,
}

impl SessionTable {
    /// A table without sessions.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the device's place; an earlier session of it is ended. None: a later one has it already.
    pub(in crate::wire) fn enter(self: &Arc<Self>, admitted: Admitted) -> Option<Seat> {
        let admitted = Arc::new(admitted);
        let (to_calls, calls) = mpsc::channel(WAITING_CALLS);
        let (to_end, end) = oneshot::channel();
        let mut state = self.state();
        if state.live.get(admitted.device()).is_some_and(|live| live.admitted.session() > admitted.session()) {
            return None;
        }
        let live = Live { admitted: Arc::clone(&admitted), calls: to_calls, end: to_end };
        if let Some(earlier) = state.live.insert(Arc::clone(admitted.device()), live) {
            // It may be on its way out already.
            let _ = earlier.end.send(End::TakenOver);
        }
        drop(state);
        Some(Seat { table: Arc::clone(self), admitted, calls, end })
    }

    pub(super) fn leave(&self, admitted: &Admitted) {
        let mut state = self.state();
        let own = state.live.get(admitted.device()).is_some_and(|live| live.admitted.session() == admitted.session());
        if own {
            state.live.remove(admitted.device());
        }
    }

    /// Ends the session if it is still the one that was looked at.
    pub(super) fn end(&self, admitted: &Admitted, end: End) {
        let mut state = self.state();
        let own = state.live.get(admitted.device()).is_some_and(|live| live.admitted.session() == admitted.session());
        if own && let Some(live) = state.live.remove(admitted.device()) {
            let _ = live.end.send(end);
        }
    }

    /// Every live session at this moment.
    pub(super) fn all(&self) -> Vec<Arc<Admitted>> {
        self.state().live.values().map(|live| Arc::clone(&live.admitted)).collect()
    }
}

#[tonic::async_trait]
impl Sessions for SessionTable {
    async fn invoke(&self, device: &str, call: MethodCall) -> Result<MethodAnswer, Refusal> {
        let not_connected = || {
            let message = format!("device {device} has no session that takes methods");
            Refusal::new("DEVICE_NOT_CONNECTED", message).with("device", device)
        };
        check_name(&call.name)?;
        let calls = self.state().live.get(device).map(|live| live.calls.clone()).ok_or_else(not_connected)?;
        let patience = call.timeout.min(MAX_METHOD_TIMEOUT);
        let (answer, answered) = oneshot::channel();
        calls.try_send(PendingCall { call, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let message = format!("device {device} has too many methods to answer");
                Refusal::new("QUEUE_FULL", message).retry_after(Duration::from_secs(1))
            }
            mpsc::error::TrySendError::Closed(_) => not_connected(),
        })?;
        match timeout(patience, answered).await {
            Ok(Ok(answer)) => answer,
            // The session ended with the call.
            Ok(Err(_)) => Err(not_connected()),
            Err(_) => {
                let message = format!("device {device} did not answer within {} ms", patience.as_millis());
                Err(Refusal::new("METHOD_TIMEOUT", message).with("device", device))
            }
        }
    }

    fn count(&self) -> usize {
        self.state().live.len()
    }
}

/// A method's name becomes part of a topic: letters, digits and what cannot be mistaken there.
fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~:!*'()@,=;".contains(c);
    if name.is_empty() || name.len() > MAX_METHOD_NAME || !name.chars().all(fits) {
        let wanted = format!("want 1 to {MAX_METHOD_NAME} letters, digits and -._~:!*'()@,=;");
        return Err(Refusal::malformed("name", wanted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_methods_name_cannot_leave_its_topic() {
        assert!(check_name("reboot-2.now").is_ok());
        for name in ["", "a/b", "#", "a?b", "+", "a b", "\u{e9}", &"x".repeat(101)] {
            assert_eq!(check_name(name).map_err(|refusal| refusal.reason()), Err("REQUEST_MALFORMED"), "{name}");
        }
    }
}
