//! `POST /devices/{device}/messages/events`: one message a request.

use std::sync::{Arc, PoisonError};

use api::Refusal;
use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Request, StatusCode};

use super::{Caller, Judged, casing::PREFIX};
use crate::{
    admission::{Admitted, Message},
    wire::{
        guest::House,
        mqtt::{http_status, problem},
    },
};

/// Headers that carry system properties, with their short names.
const SYSTEM: [(&str, &str); 9] = [
    ("iothub-messageid", "mid"),
    ("iothub-correlationid", "cid"),
    ("iothub-userid", "uid"),
    ("iothub-contenttype", "ct"),
    ("iothub-contentencoding", "ce"),
    ("iothub-to", "to"),
    ("iothub-expiry", "exp"),
    ("iothub-creationtimeutc", "ctime"),
    ("iothub-interface-id", "ifid"),
];
/// Most properties of one message, as in a property bag.
const MAX_PROPERTIES: usize = device_wire::bag::MAX_PROPERTIES;

/// Keeps a message: 204 when it is durable, 401 when the device may not come in, each refusal with its reason in the body.
pub(super) async fn receive(
    State(house): State<Arc<House>>,
    Path(device): Path<String>,
    Extension(caller): Extension<Caller>,
    request: Request<Body>,
) -> Response {
    let admitted = match admit(&house, &caller, &device).await {
        Ok(admitted) => admitted,
        Err(refusal) if refusal.code() == tonic::Code::Unavailable => {
            return answer(StatusCode::SERVICE_UNAVAILABLE, &refusal);
        }
        Err(refusal) => return answer(StatusCode::UNAUTHORIZED, &refusal),
    };
    let (head, body) = request.into_parts();
    let most = house.limits.message_bytes();
    let Ok(body) = to_bytes(body, most).await else {
        let refusal =
            Refusal::new("MESSAGE_TOO_LARGE", format!("a message of more than {most} octets, or a broken one"));
        house.refused_in_session(&admitted, &refusal).await;
        return answer(StatusCode::PAYLOAD_TOO_LARGE, &refusal);
    };
    let kept = match properties(&head.headers, &caller) {
        Ok(message) => house.admission.telemetry(&admitted, Message { body, ..message }).await,
        Err(refusal) => Err(refusal),
    };
    match kept {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            let status = StatusCode::from_u16(http_status(&refusal)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            answer(status, &refusal)
        }
    }
}

fn answer(status: StatusCode, refusal: &Refusal) -> Response {
    let kind = [(http::header::CONTENT_TYPE, "application/json")];
    (status, kind, problem(refusal).to_string()).into_response()
}

/// Judges the caller, or finds that the last judgement over this connection still holds.
async fn admit(house: &House, caller: &Caller, device: &str) -> Result<Arc<Admitted>, Refusal> {
    let revocations = *house.admission.revocations().borrow();
    let last = caller.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(Judged { admitted, revocations: before }) = last
        && before == revocations
        && admitted.claimed() == device
        && house.now() <= admitted.not_after()
    {
        return Ok(admitted);
    }
    let admitted = Arc::new(house.admit(&caller.visitor, device).await?);
    caller.known();
    let judged = Judged { admitted: Arc::clone(&admitted), revocations };
    *caller.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(judged);
    Ok(admitted)
}

fn properties(headers: &HeaderMap, caller: &Caller) -> Result<Message, Refusal> {
    let malformed = |message: &str| Refusal::new("PROPERTIES_MALFORMED", message);
    let mut message = Message::default();
    for (name, value) in headers {
        let system = SYSTEM.iter().find(|(known, _)| *known == name.as_str());
        let own = name.as_str().strip_prefix(PREFIX);
        if system.is_none() && own.is_none() {
            continue;
        }
        let value = value.to_str().map_err(|_| malformed("a property whose value is not ASCII"))?.to_owned();
        if let Some((_, short)) = system {
            message.system.push(((*short).to_owned(), value));
        } else if let Some(own) = own {
            message.properties.push((caller.casing.of(own), value));
        }
        if message.system.len() + message.properties.len() > MAX_PROPERTIES {
            return Err(malformed("more properties than a message may have"));
        }
    }
    Ok(message)
}
