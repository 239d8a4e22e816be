//! What a verb prints: a response as JSON, or in words.

use std::process::ExitCode;

use pki::{Certificate, CertificateRequest, PublicKey, UnixTime, hex, pem};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value as Field};
use serde_json::Value;

use super::{
    session::next_page,
    table::{Shows, Verb},
    terms::laid_out,
    words::{self, Node},
};
use crate::{args::Output, stdout::say};

/// What was found or done.
pub(crate) struct Answer {
    json: Value,
    words: String,
    refused: Outcome,
}

/// Whether all of it went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Some of several items were refused.
    SomeRefused,
}

/// Which way octets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Whole: PEM and hex.
    Json,
    /// So that a person recognises them: subjects and fingerprints.
    Words,
}

impl Answer {
    /// A response, as the verb's row says.
    pub(super) fn of(verb: &Verb, message: DynamicMessage) -> Self {
        let json = as_json(&message);
        let shown = object(&message, Style::Words);
        let mut text = match verb.shows {
            Shows::Message => words::tree(shown.unwrapped()),
            Shows::Rows { field, columns } => {
                let entries = field.split(' ').find_map(|name| shown.member(name)).map(Node::items);
                words::table(columns, entries.unwrap_or_default())
            }
        };
        if let Some(token) = next_page(&message) {
            text.push_str(&format!("\nThere is more: --page {token}, or --all"));
        }
        Self { json, words: text, refused: Outcome::Done }
    }

    /// An answer of a verb's own.
    pub(super) fn new(json: Value, words: impl Into<String>) -> Self {
        Self { json, words: words.into(), refused: Outcome::Done }
    }

    /// The same with another outcome.
    pub(super) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.refused = outcome;
        self
    }

    /// Prints it.
    pub(super) fn print(&self, output: Output) {
        match output {
            Output::Json => say!("{}", self.json),
            Output::Text if self.words.is_empty() => {}
            Output::Text => say!("{}", self.words),
        }
    }

    /// How the command ends.
    pub(super) fn code(&self) -> ExitCode {
        match self.refused {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::SomeRefused => ExitCode::from(1),
        }
    }
}

/// A message as JSON: enums without their prefix, quantities as numbers or `"unlimited"`, times as RFC 3339, octets as hex or PEM.
pub(super) fn as_json(message: &DynamicMessage) -> Value {
    object(message, Style::Json).into_json()
}

/// A message in words, as an indented list.
pub(super) fn in_words(message: &DynamicMessage) -> String {
    words::tree(object(message, Style::Words).unwrapped())
}

/// The fields that are set, in the order of the proto.
fn object(message: &DynamicMessage, style: Style) -> Node {
    match message.descriptor().full_name() {
        "countersign.custody.v1.Quantity" => return Node::Leaf(quantity(message)),
        "google.protobuf.Timestamp" => return Node::Leaf(time(message)),
        "google.protobuf.Duration" => return Node::Leaf(seconds(message)),
        _ => {}
    }
    let mut members = Vec::new();
    for field in message.descriptor().fields() {
        if (field.supports_presence() && !message.has_field(&field)) || is_secret(field.name()) {
            continue;
        }
        let value = message.get_field(&field);
        members.push((field.name().to_owned(), member(&field, &value, style)));
    }
    Node::Members(members)
}

fn member(field: &FieldDescriptor, value: &Field, style: Style) -> Node {
    Node::Leaf(match value {
        Field::Bool(truth) => Value::from(*truth),
        Field::I32(number) => Value::from(*number),
        Field::I64(number) => Value::from(*number),
        Field::U32(number) => Value::from(*number),
        Field::U64(number) => Value::from(*number),
        Field::F32(number) => Value::from(*number),
        Field::F64(number) => Value::from(*number),
        Field::String(text) => Value::from(text.as_str()),
        Field::Bytes(octets) if field.name() == "terms" && style == Style::Words => return terms(octets),
        Field::Bytes(octets) => written(field.name(), octets, style),
        Field::EnumNumber(number) => enumerated(field, *number),
        Field::Message(inner) => return object(inner, style),
        Field::List(items) => return Node::Items(items.iter().map(|item| member(field, item, style)).collect()),
        Field::Map(entries) => {
            let entry = |(key, value): (&prost_reflect::MapKey, &Field)| {
                (key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned), member(field, value, style))
            };
            let mut members: Vec<_> = entries.iter().map(entry).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            return Node::Members(members);
        }
    })
}

/// The exact terms, in lines.
fn terms(octets: &[u8]) -> Node {
    let lines = laid_out(&String::from_utf8_lossy(octets));
    Node::Items(lines.into_iter().map(|line| Node::Leaf(Value::from(line))).collect())
}

/// The value's name without the name of its type: `OPEN` of `LOT_STATE_OPEN`.
fn enumerated(field: &FieldDescriptor, number: i32) -> Value {
    let Kind::Enum(of) = field.kind() else { return Value::from(number) };
    let Some(value) = of.get_value(number) else { return Value::from(number) };
    let snake = |name: &str| {
        let words = name.chars().enumerate().flat_map(|(at, c)| {
            let gap = (c.is_ascii_uppercase() && at > 0).then_some('_');
            gap.into_iter().chain(c.to_uppercase())
        });
        words.collect::<String>()
    };
    let prefix = format!("{}_", snake(of.name()));
    Value::from(value.name().strip_prefix(&prefix).unwrap_or(value.name()))
}

fn quantity(message: &DynamicMessage) -> Value {
    let units = message.descriptor().get_field_by_name("units").filter(|field| message.has_field(field));
    match units.and_then(|field| message.get_field(&field).as_u32()) {
        Some(units) => Value::from(units),
        None => Value::from("unlimited"),
    }
}

fn time(message: &DynamicMessage) -> Value {
    let seconds = message.get_field_by_name("seconds").and_then(|value| value.as_i64()).unwrap_or_default();
    Value::from(UnixTime::new(seconds).to_string())
}

fn seconds(message: &DynamicMessage) -> Value {
    message.get_field_by_name("seconds").and_then(|value| value.as_i64()).map_or(Value::Null, Value::from)
}

/// Keys never go to standard output; the verbs that get them write files.
fn is_secret(field: &str) -> bool {
    field == "private_key"
}

/// Octets by what the field holds; hex for digests, signatures and all else.
fn written(field: &str, octets: &[u8], style: Style) -> Value {
    let text = match (field, style) {
        ("certificate" | "chain" | "issuer_chain", Style::Json) => pem::encode(pem::CERTIFICATE, octets),
        ("certificate" | "chain" | "issuer_chain", Style::Words) => match Certificate::parse(octets) {
            Ok(found) => format!("{}, until {}, sha256 {}", found.subject(), found.not_after(), found.sha256()),
            Err(_) => hex::encode(octets),
        },
        ("csr", Style::Json) => pem::encode(pem::CERTIFICATE_REQUEST, octets),
        ("csr", Style::Words) => match CertificateRequest::parse(octets) {
            Ok(found) => format!("{}, key sha256 {}", found.subject(), found.public_key().sha256()),
            Err(_) => hex::encode(octets),
        },
        ("identity_key" | "public_key" | "new_key", Style::Json) => pem::encode(pem::PUBLIC_KEY, octets),
        ("identity_key" | "public_key" | "new_key", Style::Words) => match PublicKey::parse(octets) {
            Ok(found) => format!("{:?}, sha256 {}", found.algorithm(), found.sha256()),
            Err(_) => hex::encode(octets),
        },
        // The exact octets: what their digest is over.
        ("terms" | "bundle", _) => match std::str::from_utf8(octets) {
            Ok(text) => text.to_owned(),
            Err(_) => hex::encode(octets),
        },
        (_, _) => hex::encode(octets),
    };
    Value::from(text)
}
