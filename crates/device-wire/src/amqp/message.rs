//! Messages (section 3.2) whose body is octets: sections in their order, each at most once.

use bytes::{Bytes, BytesMut};

use super::{
    Fault, Value, encode,
    fields::{self, Fields, optional, symbol_map},
    symbol::{describe, described},
    value::Reader,
};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// What nodes on the way say about it (section 3.2.3).
    pub annotations: Vec<(String, Value)>,
    /// The properties that AMQP itself names.
    pub properties: Properties,
    /// The application's own properties.
    pub application: Vec<(String, Value)>,
    /// The body: the data sections behind each other, or the octets of one text.
    pub body: Bytes,
}

/// Section 3.2.4, as far as it is used here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Names the message.
    pub message_id: Option<Value>,
    /// Who made it.
    pub user_id: Option<Bytes>,
    /// Where it goes.
    pub to: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Where an answer goes.
    pub reply_to: Option<String>,
    /// Names what it answers.
    pub correlation_id: Option<Value>,
    /// What the body is.
    pub content_type: Option<String>,
    /// How the body is packed.
    pub content_encoding: Option<String>,
    /// When it is worth nothing any more: milliseconds since 1970.
    pub absolute_expiry_time: Option<i64>,
    /// When it was made: milliseconds since 1970.
    pub creation_time: Option<i64>,
}

impl Message {
    /// Reads a whole message.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn decode(octets: Bytes) -> Result<Self, Fault> {
        let mut message = Self::default();
        let mut data = BytesMut::new();
        let mut reader = Reader::new(octets);
        let mut last = 0;
        while !reader.octets.is_empty() {
            let (section, value) = described(reader.value()?)?;
            // Only data sections may repeat (section 3.2), and nothing follows a body but the footer.
            if !(0x70..=0x78).contains(&section) || section < last || (section == last && section != 0x75) {
                return Err(Fault::Sections);
            }
            last = section;
            match section {
                0x72 => message.annotations = fields::map(value, "message-annotations")?,
                0x73 => message.properties = properties(value)?,
                0x74 => message.application = fields::map(value, "application-properties")?,
                0x75 => {
                    let Value::Binary(octets) = value else { return Err(Fault::Body) };
                    if data.is_empty() && message.body.is_empty() {
                        message.body = octets;
                    } else {
                        data.extend_from_slice(&octets);
                    }
                }
                0x76 => return Err(Fault::Body),
                0x77 if message.body.is_empty() && data.is_empty() => message.body = only(value)?,
                0x77 => return Err(Fault::Sections),
                // header, delivery-annotations, footer: nothing that matters here.
                _ => {}
            }
        }
        if !data.is_empty() {
            data = [message.body.as_ref(), data.as_ref()].concat().as_slice().into();
            message.body = data.freeze();
        }
        Ok(message)
    }

    /// Writes the message, its body as one data section.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let map = |number: u64, value| Value::Described(Box::new((Value::ulong(number), value)));
        if !self.annotations.is_empty() {
            encode::value(&map(0x72, symbol_map(&self.annotations)), &mut out);
        }
        encode::value(&self.properties.value(), &mut out);
        if !self.application.is_empty() {
            let pairs = self.application.iter().map(|(name, value)| (Value::text(name), value.clone())).collect();
            encode::value(&map(0x74, Value::Map(pairs)), &mut out);
        }
        encode::value(&map(0x75, Value::Binary(self.body.clone())), &mut out);
        out.freeze()
    }
}

/// An amqp-value section is a body too, where it is text or octets.
fn only(value: Value) -> Result<Bytes, Fault> {
    if value == Value::Null {
        return Ok(Bytes::new());
    }
    if let Value::Binary(octets) = value {
        return Ok(octets);
    }
    value.as_str().map(|text| Bytes::copy_from_slice(text.as_bytes())).ok_or(Fault::Body)
}

fn properties(value: Value) -> Result<Properties, Fault> {
    let mut fields = Fields::of(value, "properties")?;
    let some = |value: Value| if value == Value::Null { None } else { Some(value) };
    Ok(Properties {
        message_id: some(fields.any()),
        user_id: fields.binary("user-id")?,
        to: fields.text("to")?,
        subject: fields.text("subject")?,
        reply_to: fields.text("reply-to")?,
        correlation_id: some(fields.any()),
        content_type: fields.text("content-type")?,
        content_encoding: fields.text("content-encoding")?,
        absolute_expiry_time: fields.timestamp("absolute-expiry-time")?,
        creation_time: fields.timestamp("creation-time")?,
    })
}

impl Properties {
    fn value(&self) -> Value {
        describe(
            0x73,
            vec![
                self.message_id.clone().unwrap_or(Value::Null),
                optional(self.user_id.clone(), Value::Binary),
                optional(self.to.as_ref(), Value::text),
                optional(self.subject.as_ref(), Value::text),
                optional(self.reply_to.as_ref(), Value::text),
                self.correlation_id.clone().unwrap_or(Value::Null),
                optional(self.content_type.as_deref(), Value::symbol),
                optional(self.content_encoding.as_deref(), Value::symbol),
                optional(self.absolute_expiry_time, Value::Timestamp),
                optional(self.creation_time, Value::Timestamp),
            ],
        )
    }
}
