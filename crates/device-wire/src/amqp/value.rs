//! The type system (part 1): one value from octets, within bounds.

use bytes::{Buf as _, Bytes};

use super::Fault;

/// How deep values may lie in values. A source with a filter set is five deep.
const MAX_DEPTH: u32 = 12;
/// Most values in one frame or message section.
const MAX_ITEMS: u32 = 2048;

/// A value. Floats, decimals and characters are kept as the octets that they are: nothing here calculates with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// null
    Null,
    /// boolean
    Bool(bool),
    /// ubyte, ushort, uint and ulong
    Unsigned(Unsigned, u64),
    /// byte, short, int and long
    Signed(Signed, i64),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// uuid
    Uuid([u8; 16]),
    /// float, double, char and the decimals: the type's code and its octets.
    Opaque(u8, Bytes),
    /// binary
    Binary(Bytes),
    /// string
    Text(String),
    /// symbol, ASCII
    Symbol(String),
    /// list
    List(Vec<Value>),
    /// map, in its order
    Map(Vec<(Value, Value)>),
    /// array; all of one type
    Array(Vec<Value>),
    /// A descriptor and what it describes.
    Described(Box<(Value, Value)>),
}

/// How wide an unsigned number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// ubyte
    Byte,
    /// ushort
    Short,
    /// uint
    Int,
    /// ulong
    Long,
}

/// How wide a signed number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// byte
    Byte,
    /// short
    Short,
    /// int
    Int,
    /// long
    Long,
}

impl Value {
    /// A uint.
    #[must_use]
    pub fn uint(number: u32) -> Self {
        Self::Unsigned(Unsigned::Int, u64::from(number))
    }

    /// A ulong.
    #[must_use]
    pub fn ulong(number: u64) -> Self {
        Self::Unsigned(Unsigned::Long, number)
    }

    /// An int.
    #[must_use]
    pub fn int(number: i32) -> Self {
        Self::Signed(Signed::Int, i64::from(number))
    }

    /// A long.
    #[must_use]
    pub fn long(number: i64) -> Self {
        Self::Signed(Signed::Long, number)
    }

    /// A symbol.
    #[must_use]
    pub fn symbol(text: &str) -> Self {
        Self::Symbol(text.to_owned())
    }

    /// A string.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The text of a string or a symbol.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Symbol(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Unsigned(..)
            | Self::Signed(..)
            | Self::Timestamp(_)
            | Self::Uuid(_)
            | Self::Opaque(..)
            | Self::Binary(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Array(_)
            | Self::Described(_) => None,
        }
    }

    /// A number, whatever its width, if an `i64` holds it.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Unsigned(_, number) => i64::try_from(*number).ok(),
            Self::Signed(_, number) => Some(*number),
            Self::Null
            | Self::Bool(_)
            | Self::Timestamp(_)
            | Self::Uuid(_)
            | Self::Opaque(..)
            | Self::Binary(_)
            | Self::Text(_)
            | Self::Symbol(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Array(_)
            | Self::Described(_) => None,
        }
    }

    /// As people write it; None for what has no short text.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Symbol(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Unsigned(_, number) => Some(number.to_string()),
            Self::Signed(_, number) | Self::Timestamp(number) => Some(number.to_string()),
            Self::Uuid(octets) => Some(uuid(octets)),
            Self::Binary(octets) => String::from_utf8(octets.to_vec()).ok(),
            Self::Opaque(code, octets) => real(*code, octets),
            Self::Null | Self::List(_) | Self::Map(_) | Self::Array(_) | Self::Described(_) => None,
        }
    }
}

/// RFC 9562 section 4
fn uuid(octets: &[u8; 16]) -> String {
    let digits = octets.iter().map(|octet| format!("{octet:02x}"));
    let dashed = digits.enumerate().map(|(at, two)| if [4, 6, 8, 10].contains(&at) { format!("-{two}") } else { two });
    dashed.collect()
}

fn real(code: u8, octets: &[u8]) -> Option<String> {
    match code {
        0x72 => octets.try_into().ok().map(|octets| f32::from_be_bytes(octets).to_string()),
        0x82 => octets.try_into().ok().map(|octets| f64::from_be_bytes(octets).to_string()),
        0x73 => {
            let number = octets.try_into().ok().map(u32::from_be_bytes)?;
            char::from_u32(number).map(String::from)
        }
        _ => None,
    }
}

/// Reads values off the front of octets, and counts them.
pub(super) struct Reader {
    pub(super) octets: Bytes,
    items: u32,
}

impl Reader {
    pub(super) fn new(octets: Bytes) -> Self {
        Self { octets, items: MAX_ITEMS }
    }

    pub(super) fn value(&mut self) -> Result<Value, Fault> {
        self.nested(MAX_DEPTH)
    }

    fn nested(&mut self, depth: u32) -> Result<Value, Fault> {
        let code = self.octet()?;
        if code != 0x00 {
            return self.primitive(code, depth);
        }
        let below = depth.checked_sub(1).ok_or(Fault::Depth)?;
        let descriptor = self.nested(below)?;
        let described = self.nested(below)?;
        Ok(Value::Described(Box::new((descriptor, described))))
    }

    /// Section 1.6: the upper half of the code says how wide the value is.
    fn primitive(&mut self, code: u8, depth: u32) -> Result<Value, Fault> {
        self.items = self.items.checked_sub(1).ok_or(Fault::Items)?;
        match code >> 4 {
            0x4 => empty(code),
            0x5..=0x8 => self.number(code),
            0x9 => self.fixed(16).and_then(|octets| sixteen(code, octets)),
            0xa => {
                let length = usize::from(self.octet()?);
                self.variable(code, length)
            }
            0xb => {
                let length = self.length()?;
                self.variable(code, length)
            }
            0xc => {
                let size = usize::from(self.octet()?);
                let mut inside = self.inside(size)?;
                let count = u32::from(inside.octet()?);
                self.compound(code, inside, count, depth)
            }
            0xd => {
                let size = self.length()?;
                let mut inside = self.inside(size)?;
                let count = inside.octets.try_get_u32().map_err(|_| Fault::Value)?;
                self.compound(code, inside, count, depth)
            }
            0xe => {
                let size = usize::from(self.octet()?);
                let mut inside = self.inside(size)?;
                let count = u32::from(inside.octet()?);
                self.array(inside, count, depth)
            }
            0xf => {
                let size = self.length()?;
                let mut inside = self.inside(size)?;
                let count = inside.octets.try_get_u32().map_err(|_| Fault::Value)?;
                self.array(inside, count, depth)
            }
            _ => Err(Fault::Value),
        }
    }

    fn number(&mut self, code: u8) -> Result<Value, Fault> {
        match code {
            0x50 => Ok(Value::Unsigned(Unsigned::Byte, u64::from(self.octet()?))),
            0x51 => Ok(Value::Signed(Signed::Byte, i64::from(i8::from_be_bytes([self.octet()?])))),
            0x52 => Ok(Value::Unsigned(Unsigned::Int, u64::from(self.octet()?))),
            0x53 => Ok(Value::Unsigned(Unsigned::Long, u64::from(self.octet()?))),
            0x54 => Ok(Value::Signed(Signed::Int, i64::from(i8::from_be_bytes([self.octet()?])))),
            0x55 => Ok(Value::Signed(Signed::Long, i64::from(i8::from_be_bytes([self.octet()?])))),
            0x56 => match self.octet()? {
                0 => Ok(Value::Bool(false)),
                1 => Ok(Value::Bool(true)),
                _ => Err(Fault::Value),
            },
            0x60 => self.octets.try_get_u16().map(|n| Value::Unsigned(Unsigned::Short, u64::from(n))).map_err(short),
            0x61 => self.octets.try_get_i16().map(|n| Value::Signed(Signed::Short, i64::from(n))).map_err(short),
            0x70 => self.octets.try_get_u32().map(Value::uint).map_err(short),
            0x71 => self.octets.try_get_i32().map(Value::int).map_err(short),
            0x72..=0x74 => Ok(Value::Opaque(code, self.fixed(4)?)),
            0x80 => self.octets.try_get_u64().map(Value::ulong).map_err(short),
            0x81 => self.octets.try_get_i64().map(Value::long).map_err(short),
            0x82 | 0x84 => Ok(Value::Opaque(code, self.fixed(8)?)),
            0x83 => self.octets.try_get_i64().map(Value::Timestamp).map_err(short),
            _ => Err(Fault::Value),
        }
    }

    fn variable(&mut self, code: u8, length: usize) -> Result<Value, Fault> {
        let octets = self.fixed(length)?;
        match code & 0x0f {
            0 => Ok(Value::Binary(octets)),
            1 => text(&octets).map(Value::Text),
            3 if octets.is_ascii() => text(&octets).map(Value::Symbol),
            _ => Err(Fault::Value),
        }
    }

    fn compound(&mut self, code: u8, mut inside: Self, count: u32, depth: u32) -> Result<Value, Fault> {
        let below = depth.checked_sub(1).ok_or(Fault::Depth)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(inside.nested(below)?);
        }
        self.items = inside.items;
        if !inside.octets.is_empty() {
            return Err(Fault::Value);
        }
        match code & 0x0f {
            0 => Ok(Value::List(values)),
            1 => pairs(values).map(Value::Map),
            _ => Err(Fault::Value),
        }
    }

    /// Section 1.6.24: one constructor for all. Its items may take no octets at all, so only the count of items bounds them.
    fn array(&mut self, mut inside: Self, count: u32, depth: u32) -> Result<Value, Fault> {
        let below = depth.checked_sub(1).ok_or(Fault::Depth)?;
        let mut code = inside.octet()?;
        let mut descriptor = None;
        if code == 0x00 {
            descriptor = Some(inside.nested(below)?);
            code = inside.octet()?;
        }
        let mut values = Vec::new();
        for _ in 0..count {
            let value = inside.primitive(code, below)?;
            values.push(match &descriptor {
                Some(descriptor) => Value::Described(Box::new((descriptor.clone(), value))),
                None => value,
            });
        }
        self.items = inside.items;
        if inside.octets.is_empty() { Ok(Value::Array(values)) } else { Err(Fault::Value) }
    }

    fn inside(&mut self, size: usize) -> Result<Self, Fault> {
        Ok(Self { octets: self.fixed(size)?, items: self.items })
    }

    fn fixed(&mut self, octets: usize) -> Result<Bytes, Fault> {
        if self.octets.len() < octets { Err(Fault::Value) } else { Ok(self.octets.split_to(octets)) }
    }

    fn octet(&mut self) -> Result<u8, Fault> {
        self.octets.try_get_u8().map_err(short)
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let length = self.octets.try_get_u32().map_err(short)?;
        usize::try_from(length).map_err(|_| Fault::Value)
    }
}

fn short(_: bytes::TryGetError) -> Fault {
    Fault::Value
}

fn empty(code: u8) -> Result<Value, Fault> {
    match code {
        0x40 => Ok(Value::Null),
        0x41 => Ok(Value::Bool(true)),
        0x42 => Ok(Value::Bool(false)),
        0x43 => Ok(Value::uint(0)),
        0x44 => Ok(Value::ulong(0)),
        0x45 => Ok(Value::List(Vec::new())),
        _ => Err(Fault::Value),
    }
}

fn sixteen(code: u8, octets: Bytes) -> Result<Value, Fault> {
    match code {
        0x94 => Ok(Value::Opaque(code, octets)),
        0x98 => octets.as_ref().try_into().map(Value::Uuid).map_err(|_| Fault::Value),
        _ => Err(Fault::Value),
    }
}

fn text(octets: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(octets).map(str::to_owned).map_err(|_| Fault::Value)
}

/// Section 1.6.23: an odd count is no map.
fn pairs(values: Vec<Value>) -> Result<Vec<(Value, Value)>, Fault> {
    let mut pairs = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let Some(key) = values.next() {
        pairs.push((key, values.next().ok_or(Fault::Value)?));
    }
    Ok(pairs)
}
