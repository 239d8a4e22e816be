//! The bounds of everything that devices could make grow.

use std::time::Duration;

use serde::Deserialize;

/// Longest idle time-out that AMQP devices are asked to keep.
const MAX_IDLE_MS: u32 = 120_000;

/// `[devices]`: every field may be left out; its default is stated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceLimits {
    /// Connections at one time, all protocols together; further ones are closed at once. 10000.
    pub max_connections: u32,
    /// Connections whose device is not known yet, within `max_connections`; with more, those that take long are closed. 1024.
    pub max_strangers: u32,
    /// Until TLS is up and the device has said who it is. 10000.
    pub greeting_ms: u32,
    /// Octets of one message, without its properties. 262144.
    pub max_message_bytes: u32,
    /// Messages of one session that are being kept at one time; nothing more is read from it meanwhile. 32.
    pub max_keeping: u32,
    /// Cloud-to-device messages that one session holds without having settled them. 16.
    pub max_held: u32,
    /// Direct methods of one session that wait for their answer. 16.
    pub max_calls: u32,
    /// Seconds of silence that a device may ask for at most; more, or no limit at all, is cut to this. AMQP devices are asked to say
    /// something every 120 seconds, or every so many if this is less. 1767.
    pub max_keep_alive_s: u32,
    /// Until a device has taken what was written to it. 20000.
    pub write_ms: u32,
}

/// A limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("devices.{field}: {value} is not within {least} to {most}")]
pub struct LimitProblem {
    /// The field.
    pub field: &'static str,
    /// What stands there.
    pub value: u32,
    /// The least that makes sense.
    pub least: u32,
    /// The most that makes sense.
    pub most: u32,
}

impl Default for DeviceLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_strangers: 1024,
            greeting_ms: 10_000,
            max_message_bytes: 256 * 1024,
            max_keeping: 32,
            max_held: 16,
            max_calls: 16,
            max_keep_alive_s: 1767,
            write_ms: 20_000,
        }
    }
}

impl DeviceLimits {
    /// Checks every field.
    ///
    /// # Errors
    /// [`LimitProblem`], the first.
    pub fn check(&self) -> Result<(), LimitProblem> {
        let bounds = [
            ("max_connections", self.max_connections, 1, 1_000_000),
            ("max_strangers", self.max_strangers, 1, 1_000_000),
            ("greeting_ms", self.greeting_ms, 100, 600_000),
            ("max_message_bytes", self.max_message_bytes, 1024, 4 * 1024 * 1024),
            ("max_keeping", self.max_keeping, 1, 1024),
            ("max_held", self.max_held, 1, 1024),
            ("max_calls", self.max_calls, 1, 1024),
            ("max_keep_alive_s", self.max_keep_alive_s, 1, 43_690),
            ("write_ms", self.write_ms, 100, 600_000),
        ];
        for (field, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(LimitProblem { field, value, least, most });
            }
        }
        Ok(())
    }

    pub(super) fn greeting(&self) -> Duration {
        Duration::from_millis(u64::from(self.greeting_ms))
    }

    pub(super) fn write(&self) -> Duration {
        Duration::from_millis(u64::from(self.write_ms))
    }

    pub(super) fn message_bytes(&self) -> usize {
        count(self.max_message_bytes)
    }

    /// How long a device may be silent that promised to speak every `keep_alive` seconds: half as long again (MQTT 3.1.1 section
    /// 3.1.2.10). 0 stands for no promise.
    pub(super) fn silence(&self, keep_alive: u16) -> Duration {
        let most = self.max_keep_alive_s;
        let seconds = if keep_alive == 0 { most } else { u32::from(keep_alive).min(most) };
        Duration::from_millis(u64::from(seconds) * 1500)
    }

    /// The idle time-out that AMQP devices are asked to keep, in milliseconds.
    pub(super) fn idle_ms(&self) -> u32 {
        self.max_keep_alive_s.saturating_mul(1000).min(MAX_IDLE_MS)
    }

    /// How long an AMQP device may be silent: twice what it was asked for (AMQP 1.0 section 2.4.5).
    pub(super) fn idle(&self) -> Duration {
        Duration::from_millis(u64::from(self.idle_ms()) * 2)
    }
}

/// A limit as a count of permits or list entries.
pub(super) fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_out_of_bounds_are_named() {
        assert_eq!(DeviceLimits::default().check(), Ok(()));
        let none = DeviceLimits { max_calls: 0, ..DeviceLimits::default() };
        assert_eq!(none.check().map_err(|problem| problem.field), Err("max_calls"));
    }

    #[test]
    fn a_silence_without_a_promise_is_bounded() {
        let limits = DeviceLimits { max_keep_alive_s: 100, ..DeviceLimits::default() };
        let expected = [(0, 150_000), (60, 90_000), (1000, 150_000)];
        assert_eq!(expected.map(|(promised, _)| limits.silence(promised).as_millis()), expected.map(|(_, most)| most));
        assert_eq!((limits.idle_ms(), limits.idle()), (100_000, Duration::from_secs(200)));
        assert_eq!(DeviceLimits::default().idle_ms(), 120_000);
    }
}
