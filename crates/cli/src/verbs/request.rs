//! From what was given to the request.

use api::RequestId;
use issuance::{Entropy as _, SystemEntropy};
use pki::{Certificate, PublicKey, Sha256, UnixTime, pem};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, ReflectMessage as _, Value};

use super::table::{Argument, Form, Given};
use crate::{
    args,
    failure::{Failure, read_file},
    files,
};

/// The request of an RPC with every given argument in its field.
pub(super) fn build(method: &MethodDescriptor, given: &Given<'_>) -> Result<DynamicMessage, Failure> {
    let mut message = DynamicMessage::new(method.input());
    for argument in given.verb.all_arguments().filter(|argument| !argument.field.is_empty()) {
        match argument.form {
            Form::Flag if given.flag(argument.name) => put(&mut message, argument, None)?,
            Form::Flag => {}
            Form::Text
            | Form::Number
            | Form::Quantity
            | Form::Seconds
            | Form::Time
            | Form::Digest
            | Form::PublicKeyFile
            | Form::DigestOfCertificateFile
            | Form::TextFile
            | Form::Route
            | Form::Choice(_)
            | Form::Path => {
                for text in given.texts(argument.name) {
                    put(&mut message, argument, Some(text))?;
                }
            }
        }
    }
    Ok(message)
}

/// Gives a change its request id: the one that was named, or a fresh one.
pub(super) fn stamp(message: &mut DynamicMessage, given: &Given<'_>) -> Result<(), Failure> {
    if message.descriptor().get_field_by_name("request_id").is_some() {
        message.set_field_by_name("request_id", Value::String(request_id(given)?));
    }
    Ok(())
}

/// The request id that was named, or a fresh one.
pub(super) fn request_id(given: &Given<'_>) -> Result<String, Failure> {
    if let Some(text) = given.text("request-id") {
        return RequestId::parse(text)
            .map(|id| id.to_string())
            .map_err(|e| Failure::usage(format!("--request-id: {}", e.message())));
    }
    let mut octets = [0; 16];
    SystemEntropy.fill(&mut octets).map_err(|e| Failure::by_reason(e.reason(), &e))?;
    Ok(RequestId::from_octets(octets).to_string())
}

fn put(message: &mut DynamicMessage, argument: &Argument, text: Option<&str>) -> Result<(), Failure> {
    for path in argument.field.split(' ') {
        put_at(message, path, argument, text)?;
    }
    Ok(())
}

fn put_at(message: &mut DynamicMessage, path: &str, argument: &Argument, text: Option<&str>) -> Result<(), Failure> {
    let absent = || Failure::usage(format!("--{} is not for this service; choose another with --at", argument.name));
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.descriptor().get_field_by_name(name).ok_or_else(absent)?;
    if let Some(rest) = rest {
        let inner = message.get_field_mut(&field).as_message_mut().ok_or_else(absent)?;
        return put_at(inner, rest, argument, text);
    }
    let values = values(&field, argument, text)?;
    if field.is_list() {
        if let Some(list) = message.get_field_mut(&field).as_list_mut() {
            for value in values {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
        }
    } else if let Some(value) = values.into_iter().next() {
        message.set_field(&field, value);
    }
    Ok(())
}

/// What one text becomes: one value, or several for a route.
fn values(field: &FieldDescriptor, argument: &Argument, text: Option<&str>) -> Result<Vec<Value>, Failure> {
    let text = text.unwrap_or_default();
    let wrong = |what: &str| Failure::usage(format!("{} {text:?}: {what}", argument.name));
    let octets = |octets: &[u8]| Value::Bytes(bytes::Bytes::copy_from_slice(octets));
    let path = std::path::Path::new(text);
    Ok(vec![match argument.form {
        Form::Flag => Value::Bool(true),
        Form::Text | Form::Choice(_) | Form::Path => Value::String(text.to_owned()),
        Form::Number => number(field, text).ok_or_else(|| wrong("want a number from 0 to 4294967295"))?,
        Form::Seconds => {
            let time = args::time(text, args::LONGEST_OFFER).map_err(|what| wrong(&what))?;
            number(field, &time.as_secs().to_string()).ok_or_else(|| wrong("too long"))?
        }
        Form::Digest => octets(Sha256::parse(text).map_err(|_| wrong("want 64 hex digits"))?.as_bytes()),
        Form::Quantity => {
            Value::Message(quantity(field, text).ok_or_else(|| wrong("want a number of at least 1, or unlimited"))?)
        }
        Form::Time => {
            let time = UnixTime::parse(text).map_err(|_| wrong("want RFC 3339, such as 2026-06-01T00:00:00Z"))?;
            let mut message = message_of(field).ok_or_else(|| wrong("no time"))?;
            message.set_field_by_name("seconds", Value::I64(time.as_secs()));
            Value::Message(message)
        }
        Form::TextFile => Value::String(files::text(path)?),
        Form::PublicKeyFile => octets(public_key(path)?.spki()),
        Form::DigestOfCertificateFile => octets(certificate(path)?.sha256().as_bytes()),
        Form::Route => return route(field, text).ok_or_else(|| wrong("want at least two ids with commas between")),
    }])
}

fn number(field: &FieldDescriptor, text: &str) -> Option<Value> {
    match field.kind() {
        Kind::Uint32 | Kind::Fixed32 => text.parse().ok().map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => text.parse().ok().map(Value::U64),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().ok().map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().ok().map(Value::I64),
        Kind::Double | Kind::Float | Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => None,
    }
}

fn message_of(field: &FieldDescriptor) -> Option<DynamicMessage> {
    field.kind().as_message().map(|descriptor| DynamicMessage::new(descriptor.clone()))
}

fn quantity(field: &FieldDescriptor, text: &str) -> Option<DynamicMessage> {
    let mut message = message_of(field)?;
    if text == "unlimited" {
        let unlimited = message.descriptor().get_field_by_name("unlimited")?;
        message.set_field(&unlimited, Value::Message(message_of(&unlimited)?));
    } else {
        let units: u32 = text.parse().ok().filter(|units| *units > 0)?;
        message.set_field_by_name("units", Value::U32(units));
    }
    Some(message)
}

fn route(field: &FieldDescriptor, text: &str) -> Option<Vec<Value>> {
    let stops: Vec<&str> = text.split(',').map(str::trim).collect();
    let pairs: Vec<Value> = stops
        .windows(2)
        .filter_map(|pair| {
            let [from, to] = pair else { return None };
            let mut message = message_of(field)?;
            message.set_field_by_name("from", Value::String((*from).to_owned()));
            message.set_field_by_name("to", Value::String((*to).to_owned()));
            Some(Value::Message(message))
        })
        .collect();
    (!pairs.is_empty() && stops.iter().all(|stop| !stop.is_empty())).then_some(pairs)
}

/// A public key, PEM or DER. A private key is not read as one.
pub(super) fn public_key(path: &std::path::Path) -> Result<PublicKey, Failure> {
    let octets = read_file(path)?;
    let der = match files::as_pem(&octets) {
        Some(text) => pem::single(text, pem::PUBLIC_KEY).map_err(|e| Failure::malformed(path, e))?.der().to_vec(),
        None => octets,
    };
    PublicKey::parse(&der).map_err(|e| Failure::malformed(path, e))
}

/// The first certificate of a file.
fn certificate(path: &std::path::Path) -> Result<Certificate, Failure> {
    files::certificates(path)?.into_iter().next().ok_or_else(|| Failure::malformed(path, "holds no certificate"))
}
