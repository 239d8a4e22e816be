//! The fields of a composite (section 1.4): taken in their order, each of its type; what is left out is null.

use bytes::Bytes;

use super::{Fault, Value};

/// What is left of a composite's fields.
pub(super) struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    pub(super) fn of(value: Value, what: &'static str) -> Result<Self, Fault> {
        if let Value::List(fields) = value { Ok(Self(fields.into_iter())) } else { Err(Fault::Field(what)) }
    }

    /// The next field as it is.
    pub(super) fn any(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Null)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Fault> {
        self.taken(name, |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn binary(&mut self, name: &'static str) -> Result<Option<Bytes>, Fault> {
        self.taken(name, |value| {
            if let Value::Binary(octets) = value {
                return Some(octets);
            }
            value.as_str().map(|text| Bytes::copy_from_slice(text.as_bytes()))
        })
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Fault> {
        self.taken(name, |value| if let Value::Bool(flag) = value { Some(flag) } else { None })
    }

    /// An unsigned number that fits.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        self.taken(name, |value| if let Value::Unsigned(_, number) = value { T::try_from(number).ok() } else { None })
    }

    pub(super) fn timestamp(&mut self, name: &'static str) -> Result<Option<i64>, Fault> {
        self.taken(name, |value| if let Value::Timestamp(millis) = value { Some(millis) } else { None })
    }

    fn taken<T>(&mut self, name: &'static str, read: impl FnOnce(Value) -> Option<T>) -> Result<Option<T>, Fault> {
        let value = self.any();
        if value == Value::Null {
            return Ok(None);
        }
        read(value).map(Some).ok_or(Fault::Field(name))
    }

    /// A map whose keys are texts; null is an empty one.
    pub(super) fn map(&mut self, name: &'static str) -> Result<Vec<(String, Value)>, Fault> {
        map(self.any(), name)
    }
}

/// A map whose keys are texts; null is an empty one.
pub(super) fn map(value: Value, name: &'static str) -> Result<Vec<(String, Value)>, Fault> {
    if value == Value::Null {
        return Ok(Vec::new());
    }
    let Value::Map(pairs) = value else { return Err(Fault::Field(name)) };
    let named = pairs.into_iter().map(|(key, value)| key.as_str().map(|key| (key.to_owned(), value)));
    named.collect::<Option<_>>().ok_or(Fault::Field(name))
}

/// The other way round: keys as symbols.
pub(super) fn symbol_map(pairs: &[(String, Value)]) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    Value::Map(pairs.iter().map(|(key, value)| (Value::symbol(key), value.clone())).collect())
}

/// A field that may be missing.
pub(super) fn optional<T>(field: Option<T>, value: impl FnOnce(T) -> Value) -> Value {
    field.map_or(Value::Null, value)
}
