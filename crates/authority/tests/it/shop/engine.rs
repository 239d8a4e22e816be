//! The stores that a factory runs on, and how each comes back after an end.

use std::{sync::Arc, time::Duration};

use store::{EmbeddedStore, FaultPlan, MemoryStore, Options, Step, Store, StoreIdentity};
use tempfile::TempDir;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// What was written is there.
    Killed,
    /// Only what was synced is there. A directory cannot lose power in a test of one process: there it is as `Killed`.
    PowerCut,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Embedded,
}

pub(crate) enum Engine {
    Memory(Arc<MemoryStore>),
    Embedded { dir: TempDir, store: Option<Arc<EmbeddedStore>> },
}

fn identity() -> StoreIdentity {
    StoreIdentity::new("intermediate-ca", "factory-y", [1; 16]).unwrap()
}

/// An index that lags: whatever is read comes from the journal as well.
fn options(faults: &FaultPlan) -> Options {
    Options {
        reserve_bytes: 0,
        segment_bytes: 64 << 10,
        index_interval: Duration::from_secs(3600),
        faults: faults.clone(),
        ..Options::default()
    }
}

impl Engine {
    pub(super) fn new(kind: Kind, faults: &FaultPlan) -> Self {
        match kind {
            Kind::Memory => Self::Memory(Arc::new(MemoryStore::new(&identity(), faults.clone()))),
            Kind::Embedded => {
                let dir = tempfile::tempdir().unwrap();
                EmbeddedStore::init(&dir.path().join("store"), &identity()).unwrap();
                let store = Some(Arc::new(EmbeddedStore::open(&dir.path().join("store"), options(faults)).unwrap()));
                Self::Embedded { dir, store }
            }
        }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Embedded { store, .. } => Arc::clone(store.as_ref().unwrap()) as Arc<dyn Store>,
        }
    }

    pub(super) fn memory(&self) -> Option<&Arc<MemoryStore>> {
        match self {
            Self::Memory(store) => Some(store),
            Self::Embedded { .. } => None,
        }
    }

    /// Everything that is not on the disk is forgotten. Nobody else may hold the store.
    pub(super) fn reopen(&mut self, end: End, faults: &FaultPlan) {
        faults.clear();
        match self {
            Self::Memory(store) => match end {
                End::Killed => store.restart(),
                End::PowerCut => store.power_cut(),
            },
            Self::Embedded { dir, store } => {
                // A process that dies does not bring its index up to date.
                faults.fail_next(Step::IndexApply);
                let last = Arc::into_inner(store.take().unwrap());
                assert!(last.is_some(), "the store is still in use");
                drop(last);
                faults.clear();
                *store = Some(Arc::new(EmbeddedStore::open(&dir.path().join("store"), options(faults)).unwrap()));
            }
        }
    }
}
