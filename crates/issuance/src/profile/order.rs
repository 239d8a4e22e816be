//! Everything that one order's terms say about certificates, checked together.

use std::sync::Arc;

use mfg::Terms;

use super::{DeviceProfile, DeviceProfileDocument, HandoffProfile, HandoffProfileDocument, ProfileRefusal, Stage};
use crate::csr::KeyPolicy;

/// The terms of one order, with the profiles and key policies that follow from them. Made once per order.
#[derive(Debug, Clone)]
pub struct OrderProfiles {
    terms: Arc<Terms>,
    handoff: HandoffProfile,
    device: DeviceProfile,
    lot_keys: KeyPolicy,
    device_keys: KeyPolicy,
}

impl OrderProfiles {
    /// Checks and proves both profiles.
    ///
    /// # Errors
    /// Every [`ProfileRefusal`].
    pub fn new(terms: Arc<Terms>, stage: Stage) -> Result<Self, ProfileRefusal> {
        Ok(Self {
            handoff: HandoffProfileDocument::of_terms(&terms).check(stage)?,
            device: DeviceProfileDocument::of_terms(&terms).check(stage)?,
            lot_keys: KeyPolicy::lots(&terms),
            device_keys: KeyPolicy::devices(&terms),
            terms,
        })
    }

    /// The same order with a handoff profile narrowed for one offer. The issuer checks that it nests.
    #[must_use]
    pub fn with_handoff(&self, handoff: HandoffProfile) -> Self {
        Self { handoff, ..self.clone() }
    }

    /// The order's terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How its handoff certificates look.
    #[must_use]
    pub fn handoff(&self) -> &HandoffProfile {
        &self.handoff
    }

    /// How its device certificates look.
    #[must_use]
    pub fn device(&self) -> &DeviceProfile {
        &self.device
    }

    /// Which lot keys it allows.
    #[must_use]
    pub fn lot_keys(&self) -> &KeyPolicy {
        &self.lot_keys
    }

    /// Which device keys it allows.
    #[must_use]
    pub fn device_keys(&self) -> &KeyPolicy {
        &self.device_keys
    }
}
