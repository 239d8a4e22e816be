//! Who is connected: one session a device, and how others reach it.

mod table;
mod watch;

use std::sync::Arc;

use api::Refusal;
use tokio::sync::{mpsc, oneshot};

use crate::admission::{Admitted, MethodAnswer, MethodCall};

pub use table::SessionTable;
pub(super) use watch::{judge_again, watch};

/// Why a session is ended from outside.
#[derive(Debug)]
pub(super) enum End {
    /// A later session of the same device.
    TakenOver,
    /// What it was admitted for was withdrawn.
    Withdrawn(Refusal),
}

/// A direct method call on its way to the device.
#[derive(Debug)]
pub(super) struct PendingCall {
    pub(super) call: MethodCall,
    pub(super) answer: oneshot::Sender<Result<MethodAnswer, Refusal>>,
}

/// A live session's place in the table; dropping it leaves.
pub(super) struct Seat {
    table: Arc<SessionTable>,
    pub(super) admitted: Arc<Admitted>,
    pub(super) calls: mpsc::Receiver<PendingCall>,
    pub(super) end: oneshot::Receiver<End>,
}

impl Seat {
    /// For whoever is at something that may take long: a device that takes its answers slowly does not outlive what it was admitted for.
    ///
    /// # Errors
    /// Why the session was ended from outside.
    pub(super) fn check(&mut self) -> Result<(), End> {
        self.end.try_recv().map_or(Ok(()), Err)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.leave(&self.admitted);
    }
}
