//! The topics of this kind of hub: what a device may publish and subscribe to, and what it gets.
//!
//! The hub is no broker. Every topic means something, names only the device itself, and there are no others.

/// Most octets of the `$rid` that ties an answer to its request.
const MAX_REQUEST_ID: usize = 128;

/// Where a device publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up<'a> {
    /// Telemetry, with its property bag.
    Telemetry {
        /// The bag, still encoded.
        bag: &'a str,
    },
    /// The answer to a direct method.
    MethodResponse {
        /// The status that the device gives.
        status: i32,
        /// Whose answer it is.
        request_id: &'a str,
    },
    /// Asks for the twin.
    TwinGet {
        /// To be repeated in the answer.
        request_id: &'a str,
    },
    /// Changes reported properties.
    TwinReported {
        /// To be repeated in the answer.
        request_id: &'a str,
    },
}

/// What a device may subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Cloud-to-device messages.
    CloudToDevice,
    /// Direct methods.
    Methods,
    /// Answers to its twin requests.
    TwinResponses,
    /// Changes of desired properties.
    TwinDesired,
}

/// Why a topic is not one of the hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicFault {
    /// It names another device.
    #[error("a topic of another device")]
    OtherDevice,
    /// There is no such topic.
    #[error("a topic that does not exist here")]
    Unknown,
    /// The query behind the topic lacks `$rid`, or it is too long.
    #[error("a topic whose $rid is missing or too long")]
    RequestId,
    /// The status is no number.
    #[error("a method's status that is no number")]
    Status,
}

impl<'a> Up<'a> {
    /// Reads the topic of a PUBLISH by `device`.
    ///
    /// # Errors
    /// [`TopicFault`]
    pub fn parse(topic: &'a str, device: &str) -> Result<Self, TopicFault> {
        if let Some(rest) = topic.strip_prefix("devices/") {
            return telemetry(of_device(rest, device)?);
        }
        if let Some(rest) = topic.strip_prefix("$iothub/methods/res/") {
            let (status, query) = rest.split_once('/').ok_or(TopicFault::Unknown)?;
            let status = status.parse().map_err(|_| TopicFault::Status)?;
            return Ok(Self::MethodResponse { status, request_id: request_id(query)? });
        }
        if let Some(query) = topic.strip_prefix("$iothub/twin/GET/") {
            return Ok(Self::TwinGet { request_id: request_id(query)? });
        }
        if let Some(query) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/") {
            return Ok(Self::TwinReported { request_id: request_id(query)? });
        }
        Err(TopicFault::Unknown)
    }
}

/// What stands behind `devices/{device}/`. A device id holds no slash.
fn of_device<'a>(rest: &'a str, device: &str) -> Result<&'a str, TopicFault> {
    let (named, rest) = rest.split_once('/').ok_or(TopicFault::Unknown)?;
    if named == device { Ok(rest) } else { Err(TopicFault::OtherDevice) }
}

fn telemetry(rest: &str) -> Result<Up<'_>, TopicFault> {
    match rest.strip_prefix("messages/events") {
        Some("") => Ok(Up::Telemetry { bag: "" }),
        Some(rest) => match rest.strip_prefix('/') {
            Some(bag) if !bag.contains('/') => Ok(Up::Telemetry { bag }),
            // Some clients close the bag with a slash.
            Some(bag) => match bag.strip_suffix('/') {
                Some(bag) if !bag.contains('/') => Ok(Up::Telemetry { bag }),
                Some(_) | None => Err(TopicFault::Unknown),
            },
            None => Err(TopicFault::Unknown),
        },
        None => Err(TopicFault::Unknown),
    }
}

/// The value of one key in `?$rid=1&$version=2`, not decoded: it is only ever repeated.
#[must_use]
pub fn query<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    let pairs = query.strip_prefix('?')?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn request_id(text: &str) -> Result<&str, TopicFault> {
    match query(text, "$rid") {
        Some(id) if !id.is_empty() && id.len() <= MAX_REQUEST_ID => Ok(id),
        Some(_) | None => Err(TopicFault::RequestId),
    }
}

impl Subscription {
    /// Every subscription there is.
    pub const ALL: [Self; 4] = [Self::CloudToDevice, Self::Methods, Self::TwinResponses, Self::TwinDesired];

    /// Reads a topic filter of `device`.
    ///
    /// # Errors
    /// [`TopicFault`]
    pub fn parse(filter: &str, device: &str) -> Result<Self, TopicFault> {
        if let Some(rest) = filter.strip_prefix("devices/") {
            return match of_device(rest, device)? {
                "messages/devicebound/#" | "messages/devicebound/" | "messages/devicebound" => Ok(Self::CloudToDevice),
                _ => Err(TopicFault::Unknown),
            };
        }
        let known = Self::ALL.into_iter().skip(1).find(|known| known.filter(device) == filter);
        known.ok_or(TopicFault::Unknown)
    }

    /// The filter that asks for it.
    #[must_use]
    pub fn filter(self, device: &str) -> String {
        match self {
            Self::CloudToDevice => format!("devices/{device}/messages/devicebound/#"),
            Self::Methods => "$iothub/methods/POST/#".to_owned(),
            Self::TwinResponses => "$iothub/twin/res/#".to_owned(),
            Self::TwinDesired => "$iothub/twin/PATCH/properties/desired/#".to_owned(),
        }
    }
}

/// Where a cloud-to-device message is published, with its encoded bag.
#[must_use]
pub fn cloud_to_device(device: &str, bag: &str) -> String {
    format!("devices/{device}/messages/devicebound/{bag}")
}

/// Where telemetry is published, with its encoded bag.
#[must_use]
pub fn events(device: &str, bag: &str) -> String {
    format!("devices/{device}/messages/events/{bag}")
}

/// Where a direct method is published.
#[must_use]
pub fn method(name: &str, request_id: u64) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={request_id}")
}

/// Where the answer to a twin request is published.
#[must_use]
pub fn twin_response(status: u16, request_id: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("$iothub/twin/res/{status}/?$rid={request_id}&$version={version}"),
        None => format!("$iothub/twin/res/{status}/?$rid={request_id}"),
    }
}

/// Where a change of desired properties is published.
#[must_use]
pub fn twin_desired(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_of_the_sdks_are_known() {
        let cases = [
            ("devices/d1/messages/events/", Up::Telemetry { bag: "" }),
            ("devices/d1/messages/events", Up::Telemetry { bag: "" }),
            ("devices/d1/messages/events/a=b/", Up::Telemetry { bag: "a=b" }),
            ("$iothub/methods/res/200/?$rid=7", Up::MethodResponse { status: 200, request_id: "7" }),
            ("$iothub/twin/GET/?$rid=x-1", Up::TwinGet { request_id: "x-1" }),
            ("$iothub/twin/PATCH/properties/reported/?$rid=2&$version=3", Up::TwinReported { request_id: "2" }),
        ];
        for (topic, expected) in cases {
            assert_eq!(Up::parse(topic, "d1"), Ok(expected), "{topic}");
        }
        for subscription in Subscription::ALL {
            assert_eq!(Subscription::parse(&subscription.filter("d1"), "d1"), Ok(subscription));
        }
    }

    #[test]
    fn a_device_speaks_only_as_itself() {
        assert_eq!(Up::parse("devices/d2/messages/events/", "d1"), Err(TopicFault::OtherDevice));
        assert_eq!(Up::parse("devices/D1/messages/events/", "d1"), Err(TopicFault::OtherDevice));
        assert_eq!(Subscription::parse("devices/d2/messages/devicebound/#", "d1"), Err(TopicFault::OtherDevice));
        assert_eq!(Subscription::parse("devices/+/messages/devicebound/#", "d1"), Err(TopicFault::OtherDevice));
    }

    #[test]
    fn other_topics_are_refused_by_name() {
        let cases = [
            ("", TopicFault::Unknown),
            ("devices/d1", TopicFault::Unknown),
            ("devices/d1/messages/eventsandmore", TopicFault::Unknown),
            ("devices/d1/messages/events/a/b", TopicFault::Unknown),
            ("devices/d1/modules/m/messages/events/", TopicFault::Unknown),
            ("$iothub/methods/res/ok/?$rid=1", TopicFault::Status),
            ("$iothub/methods/res/200/", TopicFault::RequestId),
            ("$iothub/twin/GET/?$rid=", TopicFault::RequestId),
            ("$iothub/twin/PATCH/properties/desired/?$rid=1", TopicFault::Unknown),
        ];
        for (topic, fault) in cases {
            assert_eq!(Up::parse(topic, "d1"), Err(fault), "{topic}");
        }
        let long = format!("$iothub/twin/GET/?$rid={}", "1".repeat(MAX_REQUEST_ID + 1));
        assert_eq!(Up::parse(&long, "d1"), Err(TopicFault::RequestId));
        for filter in ["#", "+/#", "$iothub/#", "$SYS/#", "devices/d1/#", "devices/d1/messages/events/#"] {
            assert_eq!(Subscription::parse(filter, "d1"), Err(TopicFault::Unknown), "{filter}");
        }
    }
}
