//! Looks at files from time to time, and tells what became of it.

use std::sync::Arc;
use std::time::Duration;

use api::Refusal;
use tokio_util::sync::CancellationToken;

use crate::files::{FromFiles, Reload};
use crate::metrics::{Counter, Family, Gauge, Label, Metrics};

/// What was found when files were looked at, by which files.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks {
    reloads: Family<[Label; 1], Counter>,
    failures: Family<[Label; 1], Counter>,
    refused: Family<[Label; 1], Gauge>,
}

impl Looks {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let looks = Self::default();
        metrics.register("file_reloads", "Times that new files were taken into use", looks.reloads.clone());
        metrics.register("file_reload_failures", "Looks at files that were refused", looks.failures.clone());
        metrics.register(
            "files_refused",
            "1 while the files are not what is in use: they were refused",
            looks.refused.clone(),
        );
        looks
    }

    /// Looks at `files` every `poll` until `end`.
    pub(super) fn follow(&self, name: &'static str, files: Arc<dyn FromFiles>, poll: Duration, end: CancellationToken) {
        let label = [("files", name)];
        let follower = Follower {
            name,
            files,
            reloads: self.reloads.get_or_create_owned(&label),
            failures: self.failures.get_or_create_owned(&label),
            refused: self.refused.get_or_create_owned(&label),
        };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(poll) => follower.look().await,
                    () = end.cancelled() => return,
                }
            }
        });
    }
}

/// Files with what is counted about them.
struct Follower {
    name: &'static str,
    files: Arc<dyn FromFiles>,
    reloads: Counter,
    failures: Counter,
    refused: Gauge,
}

impl Follower {
    async fn look(&self) {
        let files = Arc::clone(&self.files);
        match tokio::task::spawn_blocking(move || files.reload()).await {
            Ok(outcome) => self.tell(outcome),
            Err(error) => tracing::error!(files = self.name, %error, "looking at files failed"),
        }
    }

    fn tell(&self, outcome: Result<Reload, Refusal>) {
        self.refused.set(i64::from(outcome.is_err()));
        let files = self.name;
        match outcome {
            Ok(Reload::Unchanged) => {}
            Ok(Reload::Swapped) => {
                self.reloads.inc();
                tracing::info!(files, "new files taken");
            }
            Err(refusal) => {
                self.failures.inc();
                tracing::error!(
                    files,
                    reason = refusal.reason(),
                    error = refusal.message(),
                    "new files refused, the old ones stay in use"
                );
            }
        }
    }
}
