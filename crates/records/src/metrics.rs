//! What a service tells about its store.

use std::fmt;
use std::sync::{Arc, Weak};

use service::metrics::{Collector, DescriptorEncoder, Histogram, Metrics, exponential_buckets, tell_count};
use store::{Store, SyncObserver, Synced};

/// Counts a store's syncs: how long, and of how many units. To be handed to the store when it is opened.
pub(crate) fn count_syncs(metrics: &Metrics) -> SyncObserver {
    // 0.1 ms, a good SSD, to 1.6 s.
    let seconds = Histogram::new(exponential_buckets(0.000_1, 2.0, 15));
    let units = Histogram::new(exponential_buckets(1.0, 2.0, 13));
    metrics.register("store_sync_seconds", "Writing and syncing the journal once", seconds.clone());
    metrics.register("store_sync_units", "Units that became durable by one sync", units.clone());
    Arc::new(move |synced: Synced| {
        seconds.observe(synced.took.as_secs_f64());
        units.observe(f64::from(u32::try_from(synced.units).unwrap_or(u32::MAX)));
    })
}

/// Tells how far a store is, for as long as it is open: this does not keep it open.
pub(crate) fn tell_store(metrics: &Metrics, store: &Arc<dyn Store>) {
    metrics.collect(OpenStore(Arc::downgrade(store)));
}

struct OpenStore(Weak<dyn Store>);

impl Collector for OpenStore {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(store) = self.0.upgrade() else { return Ok(()) };
        tell_count(&mut encoder, "store_syncs", "Syncs of the journal since the start", store.syncs())?;
        // The journal only grows, so its end is a counter, over restarts too.
        let position = store.head().position.as_u64();
        tell_count(&mut encoder, "store_journal_octets", "The journal's durable end", position)
    }
}

impl fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use service::shell::Stop;
    use store::Unit;

    use crate::{init_store, open_store};

    use super::*;

    #[test]
    fn units_that_share_a_sync_count_one_sync_and_three_units() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("store");
        init_store(&directory, "provisioner", "factory-y").unwrap();
        let metrics = Metrics::new();
        let store = open_store(&directory, "provisioner", "factory-y", &Stop::default(), &metrics).unwrap().store;
        assert!(metrics.encode().unwrap().contains("countersign_store_syncs_total 0\n"));
        store.commit(vec![Unit::default(); 3]).unwrap();
        let octets = store.head().position.as_u64();
        let text = metrics.encode().unwrap();
        for line in [
            "countersign_store_syncs_total 1\n",
            "countersign_store_sync_seconds_count 1\n",
            "countersign_store_sync_units_sum 3.0\n",
            &format!("countersign_store_journal_octets_total {octets}\n"),
        ] {
            assert!(text.contains(line), "{line:?} is not in {text}");
        }
        drop(store);
        assert!(!metrics.encode().unwrap().contains("countersign_store_syncs"), "a closed store tells nothing");
    }
}
