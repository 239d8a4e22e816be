//! What an authority is made of.

use std::sync::Arc;

use api::RequestId;
use issuance::{Entropy, SerialSource};
use mfg::ManufacturerId;
use pki::UnixTime;
use records::{Act, Caller};
use service::{Clock, Workers};
use store::Store;

use crate::lots::Lots;

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
    /// The seams.
    pub seams: Seams,
    /// Certificate serials of this instance.
    pub serials: SerialSource,
    /// The lots.
    pub lots: Lots,
}

impl Authority {
    /// An authority without lots yet. `instance` is the first octet of its certificate serials, 1 to 127: two instances that sign
    /// under the same key need different ones.
    #[must_use]
    pub fn new(manufacturer: ManufacturerId, seams: Seams, serials: SerialSource) -> Self {
        Self { manufacturer, seams, serials, lots: Lots::default() }
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
        Act { at: self.now(), caller: Caller::service(self.manufacturer.as_str()), request: None }
    }
}
