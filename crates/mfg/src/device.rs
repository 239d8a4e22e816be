//! The states of a device certificate, and which step may follow which.

use std::fmt;

use der::Decode;

use crate::encode;

/// Where one device certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// The certificate was answered; nobody has confirmed that it is on the device. Shown as in doubt.
    Issued,
    /// The line confirmed the SHA-256 of what is on the device.
    Written,
    /// The hub acknowledged the device.
    Registered,
    /// A newer certificate of the same device took its place.
    Superseded,
    /// The unit will never leave the factory.
    Scrapped,
}

/// What happens to a device certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceEvent {
    /// The line confirms what is on the device.
    Confirm,
    /// The hub acknowledges the device.
    Register,
    /// The station takes a new certificate in place of one that was never written; same generation, capped.
    Replace,
    /// An operator takes a new certificate in place of a written one; next generation, capped.
    Rework,
    /// The unit is scrapped.
    Scrap,
    /// The scrapped unit comes back, by approval of the sender's operator: what is on it is in doubt.
    Reinstate,
}

/// A step that does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {event} a device certificate that is {state}")]
pub struct TransitionRefusal {
    /// Where the certificate stands, unchanged.
    pub state: DeviceState,
    /// What was attempted.
    pub event: DeviceEvent,
    reason: &'static str,
}

impl TransitionRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl DeviceState {
    /// Every state, in the order of a unit's life.
    pub const ALL: [Self; 5] = [Self::Issued, Self::Written, Self::Registered, Self::Superseded, Self::Scrapped];

    /// The published name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "ISSUED",
            Self::Written => "WRITTEN",
            Self::Registered => "REGISTERED",
            Self::Superseded => "SUPERSEDED",
            Self::Scrapped => "SCRAPPED",
        }
    }

    /// The state after `event`. A repeated confirmation, acknowledgement or scrap changes nothing and is no error,
    /// since its first answer may have been lost.
    ///
    /// # Errors
    /// `NOT_WRITTEN`, `ALREADY_WRITTEN`, `CERTIFICATE_SUPERSEDED`, `DEVICE_SCRAPPED`, `NOT_SCRAPPED`.
    pub fn after(self, event: DeviceEvent) -> Result<Self, TransitionRefusal> {
        let refused = |reason| Err(TransitionRefusal { state: self, event, reason });
        match (self, event) {
            (Self::Superseded, _) => refused("CERTIFICATE_SUPERSEDED"),
            (Self::Scrapped, DeviceEvent::Reinstate) => Ok(Self::Issued),
            (Self::Scrapped, DeviceEvent::Scrap) => Ok(Self::Scrapped),
            (
                Self::Scrapped,
                DeviceEvent::Confirm | DeviceEvent::Register | DeviceEvent::Replace | DeviceEvent::Rework,
            ) => refused("DEVICE_SCRAPPED"),
            (Self::Issued | Self::Written | Self::Registered, DeviceEvent::Reinstate) => refused("NOT_SCRAPPED"),
            (Self::Issued | Self::Written | Self::Registered, DeviceEvent::Scrap) => Ok(Self::Scrapped),
            (Self::Issued | Self::Written, DeviceEvent::Confirm) => Ok(Self::Written),
            (Self::Registered, DeviceEvent::Confirm | DeviceEvent::Register) => Ok(Self::Registered),
            (Self::Written, DeviceEvent::Register) => Ok(Self::Registered),
            (Self::Issued, DeviceEvent::Replace) => Ok(Self::Superseded),
            (Self::Issued, DeviceEvent::Register | DeviceEvent::Rework) => refused("NOT_WRITTEN"),
            (Self::Written | Self::Registered, DeviceEvent::Replace) => refused("ALREADY_WRITTEN"),
            (Self::Written | Self::Registered, DeviceEvent::Rework) => Ok(Self::Superseded),
        }
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Issued => "issued",
            Self::Written => "written",
            Self::Registered => "registered",
            Self::Superseded => "superseded",
            Self::Scrapped => "scrapped",
        })
    }
}

impl fmt::Display for DeviceEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Confirm => "confirm",
            Self::Register => "register",
            Self::Replace => "replace",
            Self::Rework => "rework",
            Self::Scrap => "scrap",
            Self::Reinstate => "reinstate",
        })
    }
}

/// 1 for the first certificate of a device, one more for each rework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u32);

/// A number that is no generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a generation is a der integer from 1 to 2147483647; {0} was read")]
pub struct GenerationRefusal(pub u64);

impl GenerationRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "GENERATION_INVALID"
    }
}

impl Generation {
    /// The largest generation: 2^31 - 1.
    pub const MAX: u32 = i32::MAX as u32;
    /// The first certificate of a device.
    pub const FIRST: Self = Self(1);

    /// The generation with this number.
    ///
    /// # Errors
    /// `GENERATION_INVALID` for 0 and above [`Generation::MAX`].
    pub fn of(number: u32) -> Result<Self, GenerationRefusal> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(GenerationRefusal(number.into())) }
    }

    /// Reads the value of the generation extension: a DER INTEGER.
    ///
    /// # Errors
    /// `GENERATION_INVALID`.
    pub fn from_der(value: &[u8]) -> Result<Self, GenerationRefusal> {
        u32::from_der(value).map_err(|_| GenerationRefusal(0)).and_then(Self::of)
    }

    /// The value of the generation extension.
    #[must_use]
    pub fn to_der(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(6);
        encode::integer(&mut out, self.0.into());
        out
    }

    /// The number, 1 to [`Generation::MAX`].
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The generation of a rework.
    ///
    /// # Errors
    /// `GENERATION_INVALID` after the last one.
    pub fn next(self) -> Result<Self, GenerationRefusal> {
        Self::of(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use DeviceEvent as E;
    use DeviceState as S;

    #[test]
    fn every_step_from_every_state() {
        let table: [(S, [Result<S, &str>; 6]); 5] = [
            (
                S::Issued,
                [
                    Ok(S::Written),
                    Err("NOT_WRITTEN"),
                    Ok(S::Superseded),
                    Err("NOT_WRITTEN"),
                    Ok(S::Scrapped),
                    Err("NOT_SCRAPPED"),
                ],
            ),
            (
                S::Written,
                [
                    Ok(S::Written),
                    Ok(S::Registered),
                    Err("ALREADY_WRITTEN"),
                    Ok(S::Superseded),
                    Ok(S::Scrapped),
                    Err("NOT_SCRAPPED"),
                ],
            ),
            (
                S::Registered,
                [
                    Ok(S::Registered),
                    Ok(S::Registered),
                    Err("ALREADY_WRITTEN"),
                    Ok(S::Superseded),
                    Ok(S::Scrapped),
                    Err("NOT_SCRAPPED"),
                ],
            ),
            (S::Superseded, [Err("CERTIFICATE_SUPERSEDED"); 6]),
            (
                S::Scrapped,
                [
                    Err("DEVICE_SCRAPPED"),
                    Err("DEVICE_SCRAPPED"),
                    Err("DEVICE_SCRAPPED"),
                    Err("DEVICE_SCRAPPED"),
                    Ok(S::Scrapped),
                    Ok(S::Issued),
                ],
            ),
        ];
        let events = [E::Confirm, E::Register, E::Replace, E::Rework, E::Scrap, E::Reinstate];
        for (state, expected) in table {
            for (event, expected) in events.into_iter().zip(expected) {
                assert_eq!(state.after(event).map_err(|refusal| refusal.reason()), expected, "{state} {event}");
            }
        }
    }

    #[test]
    fn generations_are_bounded() {
        assert!(Generation::of(0).is_err());
        for number in [1, 127, 128, Generation::MAX] {
            let generation = Generation::of(number).unwrap();
            assert_eq!(Generation::from_der(&generation.to_der()), Ok(generation));
        }
        for bad in [&[2, 1, 0][..], &[2, 1, 0xff], &[2, 2, 0, 1], &[2, 1, 1, 0], &[5, 0], &[]] {
            assert!(Generation::from_der(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Generation::FIRST.next().unwrap().get(), 2);
        assert_eq!(Generation::of(Generation::MAX).unwrap().next().unwrap_err().reason(), "GENERATION_INVALID");
    }
}
