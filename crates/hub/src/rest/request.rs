//! Who asks, on which etag, and for what: the parts that all handlers read.

use api::{Refusal, RequestId};
use axum::http::HeaderMap;
use bytes::Bytes;
use http::header;
use records::Caller;
use serde::de::DeserializeOwned;
use service::identity::Role;

use super::Rest;
use crate::wire;

/// The header by which a caller names its request, so that it can be repeated.
const REQUEST_ID: &str = "x-ms-client-request-id";

/// What a caller is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Change,
}

impl Rest {
    /// The operator or auditor who calls.
    pub(super) fn caller(&self, connection: &wire::Caller, intent: Intent) -> Result<Caller, Refusal> {
        let presented: Vec<&[u8]> = connection.presented().iter().map(Bytes::as_ref).collect();
        let peer = self.credentials.client_identity(&presented).map_err(|refused| {
            Refusal::new(refused.reason(), format!("the certificate of {}: {refused}", connection.from()))
        })?;
        let allowed = match (peer.role(), intent) {
            (Role::Operator, Intent::Read | Intent::Change) | (Role::Auditor, Intent::Read) => true,
            (Role::Auditor, Intent::Change)
            | (
                Role::RootCa | Role::IntermediateCa | Role::Provisioner | Role::Hub | Role::Station,
                Intent::Read | Intent::Change,
            ) => false,
        };
        if !allowed || *peer.manufacturer() != self.own {
            return Err(Refusal::new("RPC_NOT_ALLOWED", format!("{} may not do this here", peer.id())));
        }
        connection.known();
        Ok(Caller { manufacturer: peer.manufacturer().to_string(), by: peer.id().to_string() })
    }
}

/// The request's own id, or a fresh one.
pub(super) fn request_id(headers: &HeaderMap) -> Result<RequestId, Refusal> {
    if let Some(id) = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok())
        && let Ok(id) = RequestId::parse(id)
    {
        return Ok(id);
    }
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets)
        .map_err(|_| Refusal::new("ENTROPY_UNAVAILABLE", "reading random octets for a request id failed"))?;
    Ok(RequestId::from_octets(octets))
}

/// The etag in `If-Match`, without quotes and the mark of a weak one; `*` is none.
pub(super) fn if_match(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::IF_MATCH)?.to_str().ok()?.trim();
    let value = value.strip_prefix("W/").unwrap_or(value).trim_matches('"');
    (!value.is_empty() && value != "*").then(|| value.to_owned())
}

/// A body of JSON.
pub(super) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::malformed("body", error.to_string()))
}

/// The value of a query parameter, undecoded.
pub(super) fn query<'a>(uri: &'a http::Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
}
