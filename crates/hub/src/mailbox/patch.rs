//! JSON merge patches (RFC 7396) within the bounds of a twin.

use api::Refusal;
use serde_json::{Map, Value};

/// Most octets of the desired and of the reported properties, as JSON.
const MAX_OCTETS: usize = 32 * 1024;
/// Most levels of objects and arrays.
const MAX_DEPTH: usize = 10;
/// Most octets of a name.
const MAX_NAME: usize = 1024;
/// Most octets of a text.
const MAX_TEXT: usize = 4096;

/// Reads a patch.
///
/// # Errors
/// `TWIN_PATCH_INVALID`, `TWIN_TOO_LARGE`.
pub(super) fn read(octets: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if octets.len() > 2 * MAX_OCTETS {
        return Err(too_large("the patch", octets.len()));
    }
    let patch = serde_json::from_slice::<Map<String, Value>>(octets)
        .map_err(|error| invalid(format!("the patch is no json object: {error}")))?;
    check_object(&patch, 1)?;
    Ok(patch)
}

/// Merges a patch: null removes, objects merge, all else replaces.
pub(super) fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(inner) => {
                let mut held = match target.remove(&name) {
                    Some(Value::Object(held)) => held,
                    Some(_) | None => Map::new(),
                };
                merge(&mut held, inner);
                target.insert(name, Value::Object(held));
            }
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                target.insert(name, other);
            }
        }
    }
}

/// The object as JSON.
///
/// # Errors
/// `TWIN_TOO_LARGE`.
pub(super) fn write(which: &str, object: &Map<String, Value>) -> Result<String, Refusal> {
    let text = serde_json::to_string(object).map_err(|error| invalid(error.to_string()))?;
    if text.len() <= MAX_OCTETS { Ok(text) } else { Err(too_large(which, text.len())) }
}

fn check_object(object: &Map<String, Value>, depth: usize) -> Result<(), Refusal> {
    for (name, value) in object {
        // '$' marks what the hub itself says of a twin; control characters are for nobody.
        if name.is_empty() || name.len() > MAX_NAME || name.contains('$') || name.chars().any(char::is_control) {
            let shown: String = name.chars().take(80).collect();
            return Err(invalid(format!("a name that a twin cannot hold: {shown:?}")));
        }
        check_value(value, depth)?;
    }
    Ok(())
}

fn check_value(value: &Value, depth: usize) -> Result<(), Refusal> {
    match value {
        Value::Object(_) | Value::Array(_) if depth >= MAX_DEPTH => {
            Err(invalid(format!("more than {MAX_DEPTH} levels")))
        }
        Value::Object(inner) => check_object(inner, depth + 1),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::String(text) if text.len() > MAX_TEXT => Err(invalid(format!("a text of more than {MAX_TEXT} octets"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn invalid(what: String) -> Refusal {
    Refusal::new("TWIN_PATCH_INVALID", what)
}

fn too_large(which: &str, octets: usize) -> Refusal {
    let message = format!("{which}: {octets} octets, at most {MAX_OCTETS} are kept");
    Refusal::new("TWIN_TOO_LARGE", message).with("octets", octets)
}
