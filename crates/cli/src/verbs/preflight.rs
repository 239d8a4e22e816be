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
        time.set_field_by_name("seconds", Value::I64(SystemClock.now().as_secs()));
        message.set_field(&field, Value::Message(time));
    }
    Ok(Answer::of(given.verb, session.read(&method, message, None)?))
}
