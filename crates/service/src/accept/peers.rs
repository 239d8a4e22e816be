//! How many connections each identity has, so that no peer takes everybody's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by identity. Cheap to clone. Its size is bounded by `max_connections`.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    most: usize,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// One connection of a peer, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    peer: String,
    peers: Peers,
}

impl Peers {
    pub(super) fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// Counts a connection; none when the peer has as many as it may.
    pub(super) fn count(&self, peer: String) -> Option<Counted> {
        let mut counts = self.counts();
        let count = counts.entry(peer.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { peer, peers: self.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_peer_has_its_own_count_and_who_left_is_forgotten() {
        let peers = Peers::new(1);
        let one = peers.count("one".to_owned()).unwrap();
        assert!(peers.count("one".to_owned()).is_none());
        let _other = peers.count("other".to_owned()).unwrap();
        drop(one);
        assert_eq!(peers.counts().len(), 1);
        assert!(peers.count("one".to_owned()).is_some());
    }
}
