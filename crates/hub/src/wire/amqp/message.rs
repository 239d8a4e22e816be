//! Messages as AMQP writes them and as the hub keeps them.

use bytes::Bytes;
use device_wire::amqp::{
    Value,
    message::{Message as Wire, Properties},
};

use crate::admission::{CloudMessage, Message};

/// System properties that ride as message annotations, with their short names.
const ANNOTATIONS: [(&str, &str); 3] =
    [("iothub-interface-id", "ifid"), ("dt-subject", "sub"), ("iothub-outputname", "on")];

/// What the hub keeps of a device's message. Values that have no short text are left out.
pub(super) fn from_wire(wire: Wire) -> Message {
    let Properties {
        message_id,
        user_id,
        to,
        subject: _,
        reply_to: _,
        correlation_id,
        content_type,
        content_encoding,
        absolute_expiry_time,
        creation_time,
    } = wire.properties;
    let named = [
        ("mid", message_id.and_then(|value| value.to_text())),
        ("cid", correlation_id.and_then(|value| value.to_text())),
        ("uid", user_id.and_then(|octets| String::from_utf8(octets.to_vec()).ok())),
        ("ct", content_type),
        ("ce", content_encoding),
        ("to", to),
        ("exp", absolute_expiry_time.map(|millis| millis.to_string())),
        ("ctime", creation_time.map(|millis| millis.to_string())),
    ];
    let mut system: Vec<(String, String)> =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    for (name, value) in &wire.annotations {
        let short = ANNOTATIONS.iter().find(|(known, _)| known == name);
        if let (Some((_, short)), Some(text)) = (short, value.to_text()) {
            system.push(((*short).to_owned(), text));
        }
    }
    let texts = wire.application.into_iter().filter_map(|(name, value)| Some((name, value.to_text()?)));
    Message { system, properties: texts.collect(), body: wire.body }
}

/// A message of the device's queue.
pub(super) fn to_wire(message: CloudMessage) -> Wire {
    let Message { system, properties, body } = message.message;
    let mut wire = Wire { body, ..Wire::default() };
    for (name, value) in system {
        let into = &mut wire.properties;
        match name.as_str() {
            "mid" => into.message_id = Some(Value::Text(value)),
            "cid" => into.correlation_id = Some(Value::Text(value)),
            "uid" => into.user_id = Some(Bytes::from(value)),
            "ct" => into.content_type = Some(value),
            "ce" => into.content_encoding = Some(value),
            "to" => into.to = Some(value),
            "exp" => into.absolute_expiry_time = value.parse().ok(),
            other => wire.annotations.push((other.to_owned(), Value::Text(value))),
        }
    }
    // Section 3.2.3: the broker's own facts.
    wire.annotations.push(("x-opt-sequence-number".to_owned(), Value::long(message.sequence.cast_signed())));
    wire.application = properties.into_iter().map(|(name, value)| (name, Value::Text(value))).collect();
    wire
}

#[cfg(test)]
mod tests {
    use pki::UnixTime;

    use super::*;

    #[test]
    fn a_message_keeps_its_properties_both_ways() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let message = Message {
            system: vec![
                pair("mid", "m-1"),
                pair("ct", "application/json"),
                pair("to", "/devices/d1/messages/devicebound"),
            ],
            properties: vec![pair("alert", "1")],
            body: Bytes::from_static(b"{}"),
        };
        let sent = CloudMessage { sequence: 3, at: UnixTime::new(0), delivered: 0, message: message.clone() };
        assert_eq!(from_wire(to_wire(sent)), message);
    }

    #[test]
    fn numbers_and_flags_become_text() {
        let application =
            vec![("n".to_owned(), Value::int(-3)), ("f".to_owned(), Value::Bool(true)), ("x".to_owned(), Value::Null)];
        let message = from_wire(Wire { application, ..Wire::default() });
        let expected = [("n".to_owned(), "-3".to_owned()), ("f".to_owned(), "true".to_owned())];
        assert_eq!(message.properties, expected);
    }
}
