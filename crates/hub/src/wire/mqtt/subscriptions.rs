//! What a session is subscribed to.

use device_wire::{mqtt::QoS, topic::Subscription};

/// The QoS of each subscription that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Subscriptions {
    cloud_to_device: Option<QoS>,
    methods: Option<QoS>,
    twin_responses: Option<QoS>,
    twin_desired: Option<QoS>,
}

impl Subscriptions {
    /// With which QoS it was granted, if it was.
    pub(crate) fn granted(&self, subscription: Subscription) -> Option<QoS> {
        match subscription {
            Subscription::CloudToDevice => self.cloud_to_device,
            Subscription::Methods => self.methods,
            Subscription::TwinResponses => self.twin_responses,
            Subscription::TwinDesired => self.twin_desired,
        }
    }

    /// Grants it, or with None ends it.
    pub(crate) fn set(&mut self, subscription: Subscription, qos: Option<QoS>) {
        match subscription {
            Subscription::CloudToDevice => self.cloud_to_device = qos,
            Subscription::Methods => self.methods = qos,
            Subscription::TwinResponses => self.twin_responses = qos,
            Subscription::TwinDesired => self.twin_desired = qos,
        }
    }

    /// Both ways to a number that outlives the session: two bits each, in the order of [`Subscription::ALL`].
    pub(crate) fn to_bits(self) -> u32 {
        Subscription::ALL.iter().rev().fold(0, |bits, subscription| {
            let own = match self.granted(*subscription) {
                None => 0,
                Some(QoS::AtMostOnce) => 1,
                Some(QoS::AtLeastOnce) => 2,
            };
            (bits << 2) | own
        })
    }

    /// What [`Self::to_bits`] wrote; bits that it does not write mean nothing.
    pub(crate) fn from_bits(bits: u32) -> Self {
        let mut all = Self::default();
        for (place, subscription) in (0..).step_by(2).zip(Subscription::ALL) {
            let qos = match (bits >> place) & 3 {
                1 => Some(QoS::AtMostOnce),
                2 => Some(QoS::AtLeastOnce),
                _ => None,
            };
            all.set(subscription, qos);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_subscriptions_survives_as_bits() {
        for bits in 0..256 {
            let places = [0, 2, 4, 6];
            let meant = places.iter().all(|place| (bits >> place) & 3 != 3);
            assert_eq!(Subscriptions::from_bits(bits).to_bits() == bits, meant, "{bits:#b}");
        }
    }
}
