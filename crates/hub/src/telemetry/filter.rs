//! Which messages are asked for.

use api::{
    Refusal,
    hub::v1::{Property, TelemetryFilter, TelemetryMessage},
};

/// Most properties in one filter.
const MOST_PROPERTIES: usize = 16;

/// A filter that was checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Filter {
    device: Option<String>,
    properties: Vec<Property>,
    since: Option<i64>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for too many properties.
    pub(crate) fn read(filter: Option<TelemetryFilter>) -> Result<Self, Refusal> {
        let filter = filter.unwrap_or_default();
        if filter.properties.len() > MOST_PROPERTIES {
            return Err(Refusal::malformed("filter.properties", format!("more than {MOST_PROPERTIES}")));
        }
        Ok(Self {
            device: Some(filter.device_id).filter(|id| !id.is_empty()),
            properties: filter.properties,
            since: filter.since.map(|since| since.seconds),
        })
    }

    /// The one device that is asked for, if it is one.
    pub(crate) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Whether a message is asked for.
    pub(crate) fn fits(&self, message: &TelemetryMessage) -> bool {
        let taken = message.enqueued_at.as_ref().map(|at| at.seconds);
        self.device.as_ref().is_none_or(|device| *device == message.device_id)
            && self.properties.iter().all(|property| message.properties.contains(property))
            && self.since.is_none_or(|since| taken.is_some_and(|taken| taken >= since))
    }
}
