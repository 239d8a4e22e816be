//! Sources and targets (section 3.5): only their address matters here.

use super::super::{Value, symbol};

/// The address in a source or a target; None where there is none, or it is no text.
#[must_use]
pub fn address(terminus: &Value) -> Option<&str> {
    let Value::Described(pair) = terminus else { return None };
    let Value::List(fields) = &pair.1 else { return None };
    fields.first().and_then(Value::as_str)
}

/// A source or a target with nothing but an address, for the given end of the link.
#[must_use]
pub fn terminus(of: super::Role, address: &str) -> Value {
    let number = match of {
        super::Role::Sender => 0x28,
        super::Role::Receiver => 0x29,
    };
    symbol::describe(number, vec![Value::text(address)])
}
