//! Which fields of a configuration type a TOML file leaves out, asked of the type's own `Deserialize`.

use std::cell::RefCell;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use toml::Value;

/// The dotted names of all fields of `C`, and of the structs in it, that the text does not mention.
pub(crate) fn left_out<C: DeserializeOwned>(text: &str) -> Vec<String> {
    let absent = RefCell::default();
    let value = Value::Table(text.parse().unwrap());
    C::deserialize(Watched { value, path: String::new(), absent: &absent }).unwrap();
    absent.into_inner()
}

/// A value that is read like any other, and notes what each struct asks for in vain.
struct Watched<'a> {
    value: Value,
    path: String,
    absent: &'a RefCell<Vec<String>>,
}

impl<'a> Watched<'a> {
    fn inner(&self, name: &str, value: Value) -> Self {
        Self { value, path: format!("{}.{name}", self.path), absent: self.absent }
    }

    fn elements(&self) -> Vec<(String, Watched<'a>)> {
        match &self.value {
            Value::Table(table) => {
                table.iter().map(|(name, value)| (name.clone(), self.inner(name, value.clone()))).collect()
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, value)| (at.to_string(), self.inner(&at.to_string(), value.clone())))
                .collect(),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                Vec::new()
            }
        }
    }
}

impl<'de> Deserializer<'de> for Watched<'_> {
    type Error = toml::de::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let elements = self.elements();
        match self.value {
            Value::Table(_) => visitor.visit_map(MapDeserializer::new(elements.into_iter())),
            Value::Array(_) => {
                visitor.visit_seq(SeqDeserializer::new(elements.into_iter().map(|(_, element)| element)))
            }
            plain @ (Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)) => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let absent = fields.iter().filter(|field| self.value.get(field).is_none());
        self.absent.borrow_mut().extend(absent.map(|field| format!("{}.{field}", self.path)));
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, toml::de::Error> for Watched<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
