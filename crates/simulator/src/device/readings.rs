//! What the simulated device measures.

use serde_json::{Value, json};

/// Above this many degrees a reading raises the alert.
const ALERT_ABOVE: u32 = 30;

/// One reading of temperature and humidity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Counted from 0.
    pub number: u32,
    /// Degrees, 20 to 34.
    pub temperature: u32,
    /// Percent, 60 to 79.
    pub humidity: u32,
}

impl Reading {
    /// The reading with this number: they wander, the same way every time, and every fifth or so raises the alert.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        Self { number, temperature: 20 + number.wrapping_mul(7) % 15, humidity: 60 + number.wrapping_mul(13) % 20 }
    }

    /// The property that goes along: `true` where somebody should look.
    #[must_use]
    pub fn alert(&self) -> &'static str {
        if self.temperature > ALERT_ABOVE { "true" } else { "false" }
    }

    /// The message's body.
    #[must_use]
    pub fn body(&self, device_id: &str) -> Value {
        let Self { number, temperature, humidity } = self;
        json!({ "deviceId": device_id, "messageId": number, "temperature": temperature, "humidity": humidity })
    }
}

/// The property that says whether somebody should look.
pub(super) const ALERT: &str = "temperatureAlert";
/// What the bodies are.
pub(super) const CONTENT_TYPE: &str = "application/json";
/// How they are written.
pub(super) const CONTENT_ENCODING: &str = "utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_readings_raise_the_alert_at_least_once_and_not_always() {
        let alerts: Vec<_> = (0..5).map(|number| Reading::numbered(number).alert()).collect();
        assert!(alerts.contains(&"true") && alerts.contains(&"false"), "{alerts:?}");
        assert!((0..1000).map(Reading::numbered).all(|r| (20..35).contains(&r.temperature) && r.humidity < 80));
    }
}
