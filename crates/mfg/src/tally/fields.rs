//! A tally as plain numbers, and back.

use crate::quantity::Quantity;
use crate::tally::{Phase, Tally};

/// A tally as plain numbers, for a store. Stable: the order and meaning of the fields never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TallyFields {
    /// Units received; 0 stands for unlimited.
    pub received: u64,
    /// Units that have a device certificate.
    pub provisioned: u64,
    /// Of the provisioned units, those that the line confirmed.
    pub written: u64,
    /// Units handed over.
    pub handed_over: u64,
    /// Units held back by offers.
    pub reserved: u64,
    /// Units scrapped.
    pub scrapped: u64,
    /// 0 while open, 1 once closed.
    pub closed: u64,
    /// Of the scrapped units, those that had a device certificate.
    pub scrapped_devices: u64,
}

/// Numbers that are no tally: the law of conservation does not hold in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these numbers are no tally: {0:?}")]
pub struct NotATally(pub TallyFields);

impl NotATally {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "TALLY_INVALID"
    }
}

impl From<Tally> for TallyFields {
    fn from(tally: Tally) -> Self {
        Self {
            received: tally.received.units().map_or(0, u64::from),
            provisioned: tally.provisioned,
            written: tally.written,
            handed_over: tally.handed_over,
            reserved: tally.reserved,
            scrapped: tally.scrapped,
            closed: match tally.phase {
                Phase::Open => 0,
                Phase::Closed => 1,
            },
            scrapped_devices: tally.scrapped_devices,
        }
    }
}

impl TryFrom<TallyFields> for Tally {
    type Error = NotATally;

    fn try_from(fields: TallyFields) -> Result<Self, NotATally> {
        let refusal = NotATally(fields);
        let received = match fields.received {
            0 => Quantity::Unlimited,
            count => Quantity::of(count).map_err(|_| refusal)?,
        };
        let phase = match (fields.closed, fields.reserved) {
            (0, _) => Phase::Open,
            (1, 0) => Phase::Closed,
            _ => return Err(refusal),
        };
        let TallyFields { provisioned, written, handed_over, reserved, scrapped, scrapped_devices, .. } = fields;
        let tally = Self { received, provisioned, written, handed_over, reserved, scrapped, scrapped_devices, phase };
        let fits = match (tally.accounted(), received.units()) {
            (Some(accounted), Some(units)) => accounted <= u64::from(units),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if fits && written <= provisioned && scrapped_devices <= scrapped { Ok(tally) } else { Err(refusal) }
    }
}
