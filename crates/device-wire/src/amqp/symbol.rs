//! The descriptors of the described types that are used here, by number and by symbol (each is allowed, section 1.2).

use super::{Fault, Value};

/// Every descriptor with its symbol.
const DESCRIPTORS: [(u64, &str); 26] = [
    (0x10, "amqp:open:list"),
    (0x11, "amqp:begin:list"),
    (0x12, "amqp:attach:list"),
    (0x13, "amqp:flow:list"),
    (0x14, "amqp:transfer:list"),
    (0x15, "amqp:disposition:list"),
    (0x16, "amqp:detach:list"),
    (0x17, "amqp:end:list"),
    (0x18, "amqp:close:list"),
    (0x1d, "amqp:error:list"),
    (0x23, "amqp:received:list"),
    (0x24, "amqp:accepted:list"),
    (0x25, "amqp:rejected:list"),
    (0x26, "amqp:released:list"),
    (0x27, "amqp:modified:list"),
    (0x28, "amqp:source:list"),
    (0x29, "amqp:target:list"),
    (0x70, "amqp:header:list"),
    (0x71, "amqp:delivery-annotations:map"),
    (0x72, "amqp:message-annotations:map"),
    (0x73, "amqp:properties:list"),
    (0x74, "amqp:application-properties:map"),
    (0x75, "amqp:data:binary"),
    (0x76, "amqp:amqp-sequence:list"),
    (0x77, "amqp:amqp-value:*"),
    (0x78, "amqp:footer:map"),
];

/// The number of a described value, and what it describes.
pub(super) fn described(value: Value) -> Result<(u64, Value), Fault> {
    let Value::Described(pair) = value else { return Err(Fault::Value) };
    let (descriptor, value) = *pair;
    let number = match &descriptor {
        Value::Unsigned(_, number) => Some(*number),
        Value::Symbol(symbol) => DESCRIPTORS.iter().find(|(_, name)| name == symbol).map(|(number, _)| *number),
        Value::Null
        | Value::Bool(_)
        | Value::Signed(..)
        | Value::Timestamp(_)
        | Value::Uuid(_)
        | Value::Opaque(..)
        | Value::Binary(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Array(_)
        | Value::Described(_) => None,
    };
    Ok((number.ok_or(Fault::Value)?, value))
}

/// A described list.
pub(super) fn describe(number: u64, fields: Vec<Value>) -> Value {
    Value::Described(Box::new((Value::ulong(number), Value::List(fields))))
}
