//! Opening a service's store, and stopping the service when its store can no longer be sure of itself.

use std::{path::Path, sync::Arc};

use service::{
    metrics::Metrics,
    shell::{StartError, Stop},
};
use store::{
    Committed, Conflict, Copier, EmbeddedStore, Head, Key, Options, Page, Position, Receipt, Record, Store, StoreError,
    StoreIdentity, Submitted, Unit,
};
use tracing::info;

use crate::metrics::{count_syncs, tell_store};

/// Makes the empty store of a service, for `--init-store`.
///
/// # Errors
/// `STORE_DIR_NOT_EMPTY` when the directory is not empty; what the disk says.
pub fn init_store(directory: &Path, service: &str, manufacturer: &str) -> Result<(), StartError> {
    let mut store_id = [0; 16];
    aws_lc_rs::rand::fill(&mut store_id)
        .map_err(|_| StartError::refused("ENTROPY_UNAVAILABLE", "reading random octets failed"))?;
    let identity = StoreIdentity::new(service, manufacturer, store_id).map_err(start_error)?;
    EmbeddedStore::init(directory, &identity).map_err(start_error)
}

/// A service's store, open.
pub struct OpenedStore {
    /// Its records.
    pub store: Arc<dyn Store>,
    /// For copies of it.
    pub copier: Copier,
}

/// Opens the store of a service; a damaged index is rebuilt with progress in the log. What it does is told at `metrics`.
///
/// # Errors
/// `STORE_NOT_INITIALISED`, `STORE_IN_USE`, `STORE_OF_ANOTHER_SERVICE`, `STORE_FORMAT_UNKNOWN`, `JOURNAL_DAMAGED`, ...
pub fn open_store(
    directory: &Path,
    service: &str,
    manufacturer: &str,
    stop: &Stop,
    metrics: &Metrics,
) -> Result<OpenedStore, StartError> {
    let options = Options { synced: Some(count_syncs(metrics)), ..Options::default() };
    let store = EmbeddedStore::open(directory, options).map_err(start_error)?;
    let identity = store.identity();
    if identity.service() != service || identity.manufacturer() != manufacturer {
        let whose =
            format!("{} is the store of {} of {}", directory.display(), identity.service(), identity.manufacturer());
        return Err(StartError::refused("STORE_OF_ANOTHER_SERVICE", whose));
    }
    let head = store.head();
    let opened = store.opened();
    info!(replayed = opened.replayed, torn_octets = opened.torn, index_rebuilt = opened.rebuilt, "journal read");
    info!(directory = %directory.display(), position = head.position.as_u64(), chain = %head.chain, "store opened");
    let copier = store.copier();
    let store: Arc<dyn Store> = Arc::new(Guarded { store, stop: stop.clone() });
    tell_store(metrics, &store);
    Ok(OpenedStore { store, copier })
}

fn start_error(error: StoreError) -> StartError {
    let reason = error.reason();
    if matches!(error, StoreError::NotInitialised { .. } | StoreError::InUse { .. }) {
        return StartError::missing(reason, error);
    }
    StartError::refused(reason, error)
}

/// Asks the process to stop at the first error after which nothing may be issued.
struct Guarded<S> {
    store: S,
    stop: Stop,
}

impl<S> Guarded<S> {
    fn watch<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &outcome {
            match error {
                StoreError::Stopped { .. }
                | StoreError::JournalDamaged { .. }
                | StoreError::RolledBack { .. }
                | StoreError::IndexDamaged { .. } => self.stop.fatal(error.reason(), error.to_string()),
                StoreError::NotInitialised { .. }
                | StoreError::NotEmpty { .. }
                | StoreError::InUse { .. }
                | StoreError::CopyMissing { .. }
                | StoreError::FormatUnknown { .. }
                | StoreError::IdentityInvalid { .. }
                | StoreError::Full
                | StoreError::NoSuchRecord { .. }
                | StoreError::IntentNotOpen { .. }
                | StoreError::UnitTooLarge { .. }
                | StoreError::TooManyUnits { .. }
                | StoreError::Io { .. } => {}
            }
        }
        outcome
    }
}

impl<S: Store> Store for Guarded<S> {
    fn submit(&self, units: Vec<Unit>) -> Result<Submitted, StoreError> {
        self.watch(self.store.submit(units))
    }

    fn write_behind(&self) {
        self.store.write_behind();
    }

    fn wait(&self, submitted: Submitted) -> Result<Vec<Result<Committed, Conflict>>, StoreError> {
        self.watch(self.store.wait(submitted))
    }

    fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.watch(self.store.get(key))
    }

    fn read(&self, at: Position) -> Result<Record, StoreError> {
        self.watch(self.store.read(at))
    }

    fn list(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Record)>, StoreError> {
        self.watch(self.store.list(collection, after, limit))
    }

    fn tally(&self, lot: &Key) -> Result<Option<mfg::Tally>, StoreError> {
        self.watch(self.store.tally(lot))
    }

    fn open_intents(&self) -> Result<Vec<Position>, StoreError> {
        self.watch(self.store.open_intents())
    }

    fn receipt(&self, at: Position) -> Result<Receipt, StoreError> {
        self.watch(self.store.receipt(at))
    }

    fn syncs(&self) -> u64 {
        self.store.syncs()
    }

    fn head(&self) -> Head {
        self.store.head()
    }

    fn last(&self) -> Result<Option<Position>, StoreError> {
        self.watch(self.store.last())
    }

    fn history(&self, from: Position, limit: usize) -> Result<Page, StoreError> {
        self.watch(self.store.history(from, limit))
    }
}
