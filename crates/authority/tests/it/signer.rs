//! A lot key that counts: it remembers what it signed, looks whether that was on record at that moment, and breaks on command.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use issuance::{KeyError, SigningKey, SoftwareKey};
use pki::{PublicKey, Sha256};
use store::{MAX_LISTED, Position, Store};

/// How the key breaks, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaks {
    /// It cannot be reached: nothing was signed.
    BeforeSigning,
    /// It signed, and the signature got lost on the way.
    AfterSigning,
}

/// A software key under observation.
pub(crate) struct CountingKey {
    key: Arc<SoftwareKey>,
    signed: Mutex<Vec<Sha256>>,
    unrecorded: AtomicUsize,
    breaks: Mutex<Option<Breaks>>,
    journal: Mutex<Option<Weak<dyn Store>>>,
}

impl CountingKey {
    pub(crate) fn new(key: &Arc<SoftwareKey>) -> Arc<Self> {
        Arc::new(Self {
            key: Arc::clone(key),
            signed: Mutex::default(),
            unrecorded: AtomicUsize::new(0),
            breaks: Mutex::default(),
            journal: Mutex::default(),
        })
    }

    /// From now on it looks in this store for what it is to sign.
    pub(crate) fn watch(&self, store: &Arc<dyn Store>) {
        *self.journal.lock().unwrap() = Some(Arc::downgrade(store));
    }

    pub(crate) fn break_next(&self, how: Breaks) {
        *self.breaks.lock().unwrap() = Some(how);
    }

    /// Forgets a break that was planned and has not happened.
    pub(crate) fn mend(&self) {
        *self.breaks.lock().unwrap() = None;
    }

    /// Digests of everything that was signed, each once: a completion signs the same octets again.
    pub(crate) fn signed(&self) -> BTreeSet<[u8; 32]> {
        self.signed.lock().unwrap().iter().map(|digest| *digest.as_bytes()).collect()
    }

    /// How often it was asked to sign what no durable record names.
    pub(crate) fn unrecorded(&self) -> usize {
        self.unrecorded.load(Ordering::SeqCst)
    }

    fn is_on_record(&self, digest: Sha256) -> bool {
        let Some(store) = self.journal.lock().unwrap().as_ref().and_then(Weak::upgrade) else { return false };
        let open = store.open_intents().unwrap_or_default();
        open.iter().rev().any(|at| store.read(*at).is_ok_and(|record| record.intent == Some(digest)))
            // Of two that complete the same intent, the slower one finds it closed.
            || journal_names(store.as_ref(), digest)
    }
}

fn journal_names(store: &dyn Store, digest: Sha256) -> bool {
    let mut from = Position::from_u64(0);
    while let Ok(page) = store.history(from, MAX_LISTED) {
        if page.records.iter().any(|record| record.intent == Some(digest)) {
            return true;
        }
        if page.next >= page.head.position {
            break;
        }
        from = page.next;
    }
    false
}

impl SigningKey for CountingKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let breaks = self.breaks.lock().unwrap().take();
        if breaks == Some(Breaks::BeforeSigning) {
            return Err(KeyError::Unavailable);
        }
        let digest = Sha256::of(message);
        if !self.is_on_record(digest) {
            self.unrecorded.fetch_add(1, Ordering::SeqCst);
        }
        self.signed.lock().unwrap().push(digest);
        let signature = self.key.sign(message)?;
        if breaks == Some(Breaks::AfterSigning) { Err(KeyError::Unavailable) } else { Ok(signature) }
    }
}
