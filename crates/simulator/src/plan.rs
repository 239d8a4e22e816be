//! Who takes part and what is built.

use api::RequestId;
use mfg::{
    depth::{self, OrderCa},
    terms::{HandoffKeyAlgorithm, NameConstraintsProfile},
};
use pki::Sha256;
use serde::{Deserialize, Serialize};

/// The brand of every plan.
pub const BRAND: &str = "company-x";
/// The program of every plan.
pub const PROGRAM: &str = "smart-widget";
/// The order of every plan.
pub const ORDER: &str = "po-2026-001";

/// The manufacturers in the order of the route, with the lots they receive.
const ROUTE: [(&str, &str, &str); 7] = [
    ("factory-y", "Factory-Y Boards Ltd", "b0032"),
    ("technician-z", "Technician-Z Assembly GmbH", "t7"),
    ("assembler-w", "Assembler-W Inc", "a12"),
    ("tester-v", "Tester-V Labs", "v3"),
    ("packer-u", "Packer-U Logistics", "p5"),
    ("shipper-t", "Shipper-T Oy", "s9"),
    ("dealer-s", "Dealer-S SA", "d1"),
];
const FEWEST_UNITS: u32 = 5000;
const YIELD_ALLOWANCE: u32 = 100;
/// Every sender keeps some units back.
const KEPT_BACK: u32 = 20;

/// A supply chain: the same parameters make the same plan, down to the request ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    devices: u32,
    hops: u32,
    name_constraints: NameConstraintsProfile,
    lot_keys: HandoffKeyAlgorithm,
}

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More handoffs than verifiers accept.
    #[error("cannot plan {hops} handoffs")]
    TooDeep {
        /// How many were asked for.
        hops: u32,
        /// The rule.
        #[source]
        cause: depth::DepthRefusal,
    },
    /// No manufacturer at all.
    #[error("a plan needs at least one manufacturer")]
    NoHops,
}

impl PlanError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooDeep { cause, .. } => cause.reason(),
            Self::NoHops => "USAGE",
        }
    }
}

/// One manufacturer of the route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Manufacturer id.
    pub manufacturer: String,
    /// The organisation's name.
    pub display_name: String,
    /// From whom it receives.
    pub from: String,
    /// The lot it receives.
    pub lot: String,
    /// Where the sender takes the units from: its own lot, or the order at the brand.
    pub source: String,
    /// How many units.
    pub quantity: u32,
}

impl Plan {
    /// A plan for `devices` devices over `hops` manufacturers, with critical name constraints and P-256 lot keys.
    ///
    /// # Errors
    /// `CHAIN_TOO_DEEP` for more than six.
    pub fn new(devices: u32, hops: u32) -> Result<Self, PlanError> {
        if hops == 0 {
            return Err(PlanError::NoHops);
        }
        let count = usize::try_from(hops).unwrap_or(usize::MAX);
        depth::check(count, OrderCa::Absent).map_err(|cause| PlanError::TooDeep { hops, cause })?;
        Ok(Self {
            devices,
            hops,
            name_constraints: NameConstraintsProfile::Critical,
            lot_keys: HandoffKeyAlgorithm::P256,
        })
    }

    /// The same plan with other terms for name constraints.
    #[must_use]
    pub fn with_name_constraints(self, name_constraints: NameConstraintsProfile) -> Self {
        Self { name_constraints, ..self }
    }

    /// The same plan with other terms for lot keys.
    #[must_use]
    pub fn with_lot_keys(self, lot_keys: HandoffKeyAlgorithm) -> Self {
        Self { lot_keys, ..self }
    }

    /// How the order's handoff certificates carry their name constraint.
    #[must_use]
    pub fn name_constraints(&self) -> NameConstraintsProfile {
        self.name_constraints
    }

    /// Algorithm of the order's lot keys.
    #[must_use]
    pub fn lot_keys(&self) -> HandoffKeyAlgorithm {
        self.lot_keys
    }

    /// The order's units without the yield allowance.
    #[must_use]
    pub fn units(&self) -> u32 {
        FEWEST_UNITS.max(self.devices.saturating_add(self.hops * KEPT_BACK))
    }

    /// The units on top.
    #[must_use]
    pub fn yield_allowance(&self) -> u32 {
        YIELD_ALLOWANCE
    }

    /// The route, in order.
    #[must_use]
    pub fn stops(&self) -> Vec<Stop> {
        let mut from = (BRAND.to_owned(), ORDER.to_owned());
        let mut quantity = self.units();
        let route = ROUTE.iter().take(usize::try_from(self.hops).unwrap_or(usize::MAX));
        route
            .map(|(manufacturer, display_name, lot)| {
                let stop = Stop {
                    manufacturer: (*manufacturer).to_owned(),
                    display_name: (*display_name).to_owned(),
                    from: from.0.clone(),
                    lot: (*lot).to_owned(),
                    source: from.1.clone(),
                    quantity,
                };
                from = (stop.manufacturer.clone(), stop.lot.clone());
                quantity = quantity.saturating_sub(KEPT_BACK);
                stop
            })
            .collect()
    }

    /// The device ids, in order.
    pub fn device_ids(&self) -> impl Iterator<Item = String> {
        (1..=self.devices).map(|number| format!("sn{number:07}"))
    }

    /// The request id of one step, the same in every run: that is what makes a run repeatable.
    #[must_use]
    pub fn request_id(&self, step: &str) -> RequestId {
        let digest = Sha256::of(format!("countersign/plan/v1\0{}\0{}\0{step}", self.devices, self.hops).as_bytes());
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        RequestId::from_octets(octets)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_plan_is_linked_from_the_brand_to_the_last_manufacturer() {
        let stops = Plan::new(5, 3).unwrap().stops();
        assert_eq!(stops.len(), 3);
        assert_eq!((stops[0].from.as_str(), stops[0].source.as_str()), (BRAND, ORDER));
        for pair in stops.windows(2) {
            assert_eq!((&pair[1].from, &pair[1].source), (&pair[0].manufacturer, &pair[0].lot));
            assert!(pair[1].quantity < pair[0].quantity);
        }
    }

    #[test]
    fn the_last_lot_has_room_for_every_device() {
        for devices in [1, 5000, 100_000] {
            let stops = Plan::new(devices, 6).unwrap().stops();
            assert!(stops.last().unwrap().quantity >= devices);
        }
    }

    #[test]
    fn seven_hops_are_too_deep() {
        assert_eq!(Plan::new(1, 6).map(|_| ()), Ok(()));
        assert_eq!(Plan::new(1, 7).unwrap_err().reason(), "CHAIN_TOO_DEEP");
    }
}
