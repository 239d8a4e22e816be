//! The worker seam: blocking work runs on threads of its own, or inline where a simulated world keeps the time.

use api::Refusal;

/// Where blocking work (the store, the signing key) runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// On threads: the process keeps answering. What was begun is finished even if nobody waits for it any more.
    Threads,
    /// In the caller's task, one thing after the other: for worlds with simulated time.
    Inline,
}

impl Workers {
    /// Runs blocking work to its end. A caller that goes away cannot cut it in half.
    ///
    /// # Errors
    /// What the work answers; `SHUTTING_DOWN` when the runtime ends first.
    pub async fn run<T, F>(self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        match self {
            Self::Inline => work(),
            Self::Threads => match tokio::task::spawn_blocking(work).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Refusal::new("SHUTTING_DOWN", "the service ended before the work was begun")),
            },
        }
    }
}
