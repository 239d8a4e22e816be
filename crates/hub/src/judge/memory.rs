//! What was found good once and stays good: the signatures over CA certificates, and their acceptances.
//!
//! Thousands of devices stand under one lot. What is signed above the lot key is the same for all of them, so that of their chains only
//! the device certificate's signature is left to check. Everything that can change (validity, standing, disabled keys, names) is judged
//! each time. Why that is safe: docs/decisions/0016-signatures-that-are-remembered.md.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use mfg::{Accepted, journey::Journey};
use pki::{
    Sha256,
    path::{KnownSignatures, Path},
};

/// So many signatures are remembered; then everything is forgotten and learnt again.
const MOST: usize = 4096;

/// Grows by chains that were believed, and by nothing else.
#[derive(Debug, Default)]
pub(super) struct Memory(RwLock<Arc<Known>>);

/// What is remembered at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) signatures: KnownSignatures,
    /// SHA-256 of handoff certificates whose acceptance the view's bundle proves.
    pub(super) accepted: HashSet<Sha256>,
}

impl Memory {
    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Learns from a chain that was believed; a journey is none under plain rules. `known` is what it was judged by.
    pub(super) fn learn(&self, known: &Known, path: &Path, journey: Option<&Journey>) {
        let hops = || journey.into_iter().flat_map(|journey| &journey.hops);
        let proven = || hops().filter(|hop| hop.accepted == Accepted::Proven).map(|hop| hop.certificate_sha256);
        if known.signatures.covers(path) && proven().all(|certificate| known.accepted.contains(&certificate)) {
            return;
        }
        let mut more = if known.signatures.len() < MOST { known.clone() } else { Known::default() };
        more.signatures.learn(path);
        more.accepted.extend(proven());
        // Of two that learn at once one is lost, and learnt with the next device.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(more);
    }
}
