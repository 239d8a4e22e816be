//! A message's properties as MQTT writes them: one bag, in which `$.` marks what the system names.

use device_wire::{
    bag::{self, BagFault},
    mqtt::Retain,
};

use crate::admission::{CloudMessage, Message};

/// What marks a system property.
const SYSTEM: &str = "$.";

/// Splits a bag into system and application properties.
pub(super) fn from_bag(text: &str) -> Result<Message, BagFault> {
    let (mut system, mut properties) = (Vec::new(), Vec::new());
    for (name, value) in bag::decode(text)? {
        match name.strip_prefix(SYSTEM) {
            Some(short) => system.push((short.to_owned(), value)),
            None => properties.push((name, value)),
        }
    }
    Ok(Message { system, properties, ..Message::default() })
}

/// Nothing is retained here; the back end learns that it was wanted.
pub(super) fn retained(mut message: Message, retain: Retain) -> Message {
    match retain {
        Retain::Yes => message.properties.push(("x-opt-retain".to_owned(), "true".to_owned())),
        Retain::No => {}
    }
    message
}

/// The bag of a cloud-to-device message.
pub(super) fn to_bag(message: &CloudMessage) -> String {
    let system: Vec<(String, &str)> =
        message.message.system.iter().map(|(name, value)| (format!("{SYSTEM}{name}"), value.as_str())).collect();
    let own = message.message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    bag::encode(system.iter().map(|(name, value)| (name.as_str(), *value)).chain(own))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pki::UnixTime;

    use super::*;

    #[test]
    fn a_bag_is_split_and_written_again_in_its_order() {
        let text = "%24.mid=id-0&%24.ct=application%2Fjson&temperatureAlert=true";
        let message = from_bag(text).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(message.system, [pair("mid", "id-0"), pair("ct", "application/json")]);
        assert_eq!(message.properties, [pair("temperatureAlert", "true")]);
        let sent = CloudMessage { sequence: 1, at: UnixTime::new(0), delivered: 0, message };
        assert_eq!(to_bag(&sent), text);
    }
}
