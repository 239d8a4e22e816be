//! What the codec finds wrong as published reasons, and refusals as AMQP's error conditions.

use api::Refusal;
use device_wire::amqp::{ErrorCondition, Fault, Value};
use tonic::Code;

/// Octets that are no frame or no message, or one that is not spoken here.
pub(super) fn octets(fault: Fault) -> Refusal {
    let reason = match fault {
        Fault::TooLong { .. } => "MESSAGE_TOO_LARGE",
        Fault::Protocol | Fault::Body => "PROTOCOL_NOT_SPOKEN",
        Fault::Header
        | Fault::Value
        | Fault::Depth
        | Fault::Items
        | Fault::Performative
        | Fault::Field(_)
        | Fault::Sections => "PACKET_MALFORMED",
    };
    Refusal::new(reason, fault.to_string())
}

/// A frame that makes no sense at this moment.
pub(super) fn unexpected(what: &str) -> Refusal {
    Refusal::new("PACKET_MALFORMED", what)
}

/// A refusal as AMQP says it (section 2.8.15): our reason and remedy ride along for machines and people.
pub(super) fn condition(refusal: &Refusal) -> ErrorCondition {
    let condition = match refusal.code() {
        Code::Unauthenticated | Code::PermissionDenied => "amqp:unauthorized-access",
        Code::NotFound => "amqp:not-found",
        Code::InvalidArgument => "amqp:decode-error",
        Code::OutOfRange => "amqp:link:message-size-exceeded",
        Code::ResourceExhausted | Code::Unavailable => "amqp:resource-limit-exceeded",
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => "amqp:precondition-failed",
        Code::Unimplemented => "amqp:not-implemented",
        Code::Ok | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::DataLoss => {
            "amqp:internal-error"
        }
    };
    error(condition, refusal)
}

/// Why the device may not come in: AMQP has one word for it, whatever the reason.
pub(super) fn unauthorized(refusal: &Refusal) -> ErrorCondition {
    error("amqp:unauthorized-access", refusal)
}

fn error(condition: &str, refusal: &Refusal) -> ErrorCondition {
    ErrorCondition {
        condition: condition.to_owned(),
        description: Some(refusal.to_string()),
        info: vec![("reason".to_owned(), Value::text(refusal.reason()))],
    }
}
