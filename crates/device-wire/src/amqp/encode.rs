//! The type system (part 1): values to octets, in the widest form of each where a shorter one saves nothing that matters.

use bytes::{BufMut as _, BytesMut};

use super::{
    Value,
    value::{Signed, Unsigned},
};

/// Writes a value behind what `out` holds.
pub(super) fn value(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Null => out.put_u8(0x40),
        Value::Bool(true) => out.put_u8(0x41),
        Value::Bool(false) => out.put_u8(0x42),
        Value::Unsigned(width, number) => unsigned(*width, *number, out),
        Value::Signed(width, number) => signed(*width, *number, out),
        Value::Timestamp(millis) => {
            out.put_u8(0x83);
            out.put_i64(*millis);
        }
        Value::Uuid(octets) => {
            out.put_u8(0x98);
            out.put_slice(octets);
        }
        Value::Opaque(code, octets) => {
            out.put_u8(*code);
            out.put_slice(octets);
        }
        Value::Binary(octets) => variable(0xa0, octets, out),
        Value::Text(text) => variable(0xa1, text.as_bytes(), out),
        Value::Symbol(text) => variable(0xa3, text.as_bytes(), out),
        Value::List(values) => list(values, out),
        Value::Map(pairs) => compound(0xd1, pairs.len() * 2, out, |out| {
            for (key, item) in pairs {
                self::value(key, out);
                self::value(item, out);
            }
        }),
        Value::Array(values) => array(values, out),
        Value::Described(pair) => {
            out.put_u8(0x00);
            self::value(&pair.0, out);
            self::value(&pair.1, out);
        }
    }
}

/// A list, without the nulls at its end (section 1.4: what is left out at the end is null).
pub(super) fn list(values: &[Value], out: &mut BytesMut) {
    let used = values.iter().rposition(|value| *value != Value::Null).map_or(0, |last| last + 1);
    if used == 0 {
        return out.put_u8(0x45);
    }
    compound(0xd0, used, out, |out| values.iter().take(used).for_each(|item| value(item, out)));
}

/// A compound of either width has the same octets inside; the count and size are written when they are known.
fn compound(code: u8, count: usize, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let mut inside = BytesMut::new();
    write(&mut inside);
    out.put_u8(code);
    out.put_u32(narrow(inside.len() + 4));
    out.put_u32(narrow(count));
    out.put_slice(&inside);
}

/// Every item in the same wide form behind one constructor; items that do not share the first one's type are left out.
fn array(values: &[Value], out: &mut BytesMut) {
    let items: Vec<BytesMut> = values.iter().map(wide).collect();
    let Some(code) = items.first().and_then(|item| item.first()).copied() else {
        // Section 1.6.24 demands a constructor even where there is no item.
        return compound(0xf0, 0, out, |out| out.put_u8(0x40));
    };
    let same: Vec<&[u8]> =
        items.iter().filter_map(|item| item.split_first()).filter(|(c, _)| **c == code).map(|(_, rest)| rest).collect();
    compound(0xf0, same.len(), out, |out| {
        out.put_u8(code);
        same.iter().for_each(|item| out.put_slice(item));
    });
}

/// One form for each type, whatever the value.
fn wide(item: &Value) -> BytesMut {
    let mut out = BytesMut::new();
    match item {
        Value::Bool(flag) => out.put_slice(&[0x56, u8::from(*flag)]),
        Value::Binary(octets) => long(0xb0, octets, &mut out),
        Value::Text(text) => long(0xb1, text.as_bytes(), &mut out),
        Value::Symbol(text) => long(0xb3, text.as_bytes(), &mut out),
        Value::Unsigned(Unsigned::Int, number) => {
            out.put_u8(0x70);
            out.put_u32(u32::try_from(*number).unwrap_or(u32::MAX));
        }
        Value::Unsigned(Unsigned::Long, number) => {
            out.put_u8(0x80);
            out.put_u64(*number);
        }
        Value::List(values) => compound(0xd0, values.len(), &mut out, |out| values.iter().for_each(|v| value(v, out))),
        Value::Null
        | Value::Unsigned(Unsigned::Byte | Unsigned::Short, _)
        | Value::Signed(..)
        | Value::Timestamp(_)
        | Value::Uuid(_)
        | Value::Opaque(..)
        | Value::Map(_)
        | Value::Array(_) => value(item, &mut out),
        // An array of described items has one descriptor for all, which an item alone cannot write.
        Value::Described(pair) => return wide(&pair.1),
    }
    out
}

fn unsigned(width: Unsigned, number: u64, out: &mut BytesMut) {
    match width {
        Unsigned::Byte => out.put_slice(&[0x50, u8::try_from(number).unwrap_or(u8::MAX)]),
        Unsigned::Short => {
            out.put_u8(0x60);
            out.put_u16(u16::try_from(number).unwrap_or(u16::MAX));
        }
        Unsigned::Int => match u8::try_from(number) {
            Ok(0) => out.put_u8(0x43),
            Ok(small) => out.put_slice(&[0x52, small]),
            Err(_) => {
                out.put_u8(0x70);
                out.put_u32(narrow64(number));
            }
        },
        Unsigned::Long => match u8::try_from(number) {
            Ok(0) => out.put_u8(0x44),
            Ok(small) => out.put_slice(&[0x53, small]),
            Err(_) => {
                out.put_u8(0x80);
                out.put_u64(number);
            }
        },
    }
}

fn signed(width: Signed, number: i64, out: &mut BytesMut) {
    match width {
        Signed::Byte => out.put_slice(&[0x51, i8::try_from(number).unwrap_or(i8::MAX).to_be_bytes()[0]]),
        Signed::Short => {
            out.put_u8(0x61);
            out.put_i16(i16::try_from(number).unwrap_or(i16::MAX));
        }
        Signed::Int => {
            out.put_u8(0x71);
            out.put_i32(i32::try_from(number).unwrap_or(i32::MAX));
        }
        Signed::Long => {
            out.put_u8(0x81);
            out.put_i64(number);
        }
    }
}

fn variable(code: u8, octets: &[u8], out: &mut BytesMut) {
    match u8::try_from(octets.len()) {
        Ok(length) => {
            out.put_slice(&[code, length]);
            out.put_slice(octets);
        }
        Err(_) => long(code | 0x10, octets, out),
    }
}

fn long(code: u8, octets: &[u8], out: &mut BytesMut) {
    out.put_u8(code);
    out.put_u32(narrow(octets.len()));
    out.put_slice(octets);
}

/// Nothing that is written here comes near 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn narrow64(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
