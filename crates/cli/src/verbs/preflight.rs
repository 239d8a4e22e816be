//! What a station asks before its shift.

use prost_reflect::{DynamicMessage, Value};
use service::{Clock as _, SystemClock};

use super::{answer::Answer, request, session::Session, table::Given};
use crate::failure::Failure;

/// `device preflight`: with this machine's clock in it.
pub(super) fn preflight(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let method = session.method()?;
    let mut message = request::build(&method, given)?;
    if let Some(field) = method.input().get_field_by_name("station_time")
        && let Some(descriptor) = field.kind().as_message()
    {
        let mut time = DynamicMessage::new(descriptor.clone());
        let millis = SystemClock.now_millis();
        let nanos = i32::try_from(millis.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
        time.set_field_by_name("seconds", Value::I64(millis.div_euclid(1000)));
        time.set_field_by_name("nanos", Value::I32(nanos));
        message.set_field(&field, Value::Message(time));
    }
    Ok(Answer::of(given.verb, session.read(&method, message, None)?))
}
