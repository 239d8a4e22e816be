//! What an authority is made of.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use api::{Refusal, RequestId};
use issuance::{Entropy, SerialSource, SigningKey};
use mfg::{Bundle, ManufacturerId, Statement};
use pki::{PublicKey, UnixTime};
use records::{Act, Caller, Standing, named};
use service::{Clock, Workers};
use store::Store;

use crate::{clock::LatestTime, handoff::Expiries, lots::Lots, manifests::Manifests, possession::OwnCa};

/// What differs between a factory and a simulated world.
#[derive(Clone)]
pub struct Seams {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness for certificate serials and request ids.
    pub entropy: Arc<dyn Entropy>,
    /// Where blocking work runs.
    pub workers: Workers,
}

/// An authority: a manufacturer's lots, its store, and what it needs to sign.
pub struct Authority {
    /// Who signs here.
    pub manufacturer: ManufacturerId,
    /// What signs for the manufacturer: statements, never certificates.
    identity_key: Arc<dyn SigningKey>,
    /// The seams.
    pub seams: Seams,
    /// Certificate serials of this instance.
    pub serials: SerialSource,
    /// The lots.
    pub lots: Lots,
    /// The manifests that were read.
    pub(crate) manifests: Manifests,
    /// When open offers end.
    pub(crate) expiries: Expiries,
    /// The CA that signs here, at a root-ca.
    pub(crate) own_ca: Option<Arc<OwnCa>>,
    /// The latest time that a record was given.
    pub(crate) latest: LatestTime,
    /// How the store stands.
    pub(crate) standing: RwLock<Standing>,
    /// Held by whoever suspends it.
    pub(crate) suspending: Mutex<()>,
    /// The brand's bundle; empty at a root-ca, whose registry says it.
    bundle: RwLock<Arc<Bundle>>,
}

impl Authority {
    /// An authority without lots yet. `instance` is the first octet of its certificate serials, 1 to 127: two instances that sign
    /// under the same key need different ones.
    #[must_use]
    pub fn new(
        manufacturer: ManufacturerId,
        identity_key: Arc<dyn SigningKey>,
        seams: Seams,
        serials: SerialSource,
    ) -> Self {
        Self {
            manufacturer,
            identity_key,
            seams,
            serials,
            lots: Lots::default(),
            manifests: Manifests::default(),
            expiries: Expiries::default(),
            own_ca: None,
            latest: LatestTime::default(),
            standing: RwLock::default(),
            suspending: Mutex::default(),
            bundle: RwLock::default(),
        }
    }

    /// The same authority with one CA of its own above all lots: a root-ca's.
    #[must_use]
    pub fn with_own_ca(self, own_ca: OwnCa) -> Self {
        Self { own_ca: Some(Arc::new(own_ca)), ..self }
    }

    /// The brand's bundle as it is known now. Who asks twice within one piece of work may get two.
    #[must_use]
    pub fn bundle(&self) -> Arc<Bundle> {
        Arc::clone(&self.bundle.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what a bundle says, in place of what was known before.
    pub fn know(&self, bundle: Bundle) {
        *self.bundle.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bundle);
    }

    /// The public half of the key that signs for the manufacturer.
    #[must_use]
    pub fn identity_key(&self) -> &PublicKey {
        self.identity_key.public_key()
    }

    /// Signs a statement for the manufacturer.
    ///
    /// # Errors
    /// `KEY_UNAVAILABLE` when the key fails.
    pub fn sign_statement(&self, statement: &Statement) -> Result<Vec<u8>, Refusal> {
        self.identity_key.sign(statement.to_be_signed()).map_err(named(issuance::KeyError::reason))
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.seams.store.as_ref()
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.seams.clock.now()
    }

    /// A caller's act, now.
    #[must_use]
    pub fn act(&self, caller: Caller, request: RequestId) -> Act {
        Act { at: self.now(), caller, request: Some(request) }
    }

    /// An act of the service itself, now.
    #[must_use]
    pub fn own_act(&self) -> Act {
        let now = self.now();
        self.latest.note(now);
        Act { at: now, caller: Caller::service(self.manufacturer.as_str()), request: None }
    }
}
