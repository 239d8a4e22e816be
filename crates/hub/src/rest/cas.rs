//! `/certificates`: CA certificates.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    hub::v1::{
        CaCertificate, ChainRules, DeleteCaCertificateRequest, FirstConnect, GenerateVerificationCodeRequest,
        RegisterCaCertificateRequest, Verification, VerifyCaCertificateRequest,
    },
};
use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::StatusCode;
use records::Caller;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Failure, Rest, answer,
    request::{Intent, if_match, json, request_id},
    shapes,
};
use crate::{
    registry::{Change, NewCa},
    wire,
};

/// The path's parameters; those of the management path say nothing here.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
}

/// A CA certificate as it is put.
#[derive(Debug, Deserialize)]
struct Put {
    properties: PutProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutProperties {
    certificate: String,
    #[serde(default)]
    is_verified: bool,
    /// Ours alone: `plain` for chains of other makers.
    rules: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Proof {
    certificate: String,
}

type Answer = Result<Response, Failure>;

pub(super) async fn list(State(rest): State<Arc<Rest>>, Extension(caller): Extension<wire::Caller>) -> Answer {
    rest.caller(&caller, Intent::Read)?;
    let all = rest.registry.ask(|books| books.all_cas()).await?;
    let value: Vec<Value> = all.iter().map(shapes::certificate).collect();
    Ok(answer(StatusCode::OK, &json!({ "value": value })))
}

pub(super) async fn show(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(Named { name }): Path<Named>,
) -> Answer {
    rest.caller(&caller, Intent::Read)?;
    let ca = rest.registry.ask(move |books| books.ca(&name)).await?;
    Ok(answer(StatusCode::OK, &shapes::certificate(&ca)))
}

/// Registers, or registers anew in place of what the etag names.
pub(super) async fn put(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(Named { name }): Path<Named>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let Put { properties } = json(&body)?;
    let new = new_ca(&name, &properties)?;
    let (id, etag) = (request_id(&headers)?, if_match(&headers));
    let asked = name.clone();
    let before = match rest.registry.ask(move |books| books.ca(&asked)).await {
        Ok(before) => Some(before),
        Err(refusal) if refusal.reason() == "CA_UNKNOWN" => None,
        Err(refusal) => return Err(refusal.into()),
    };
    let status = match (&before, etag) {
        (None, _) => StatusCode::CREATED,
        (Some(_), Some(etag)) => {
            delete_one(&rest, caller.clone(), &name, etag).await?;
            StatusCode::OK
        }
        (Some(before), None) => {
            let message = format!("a ca certificate {} is registered; name its etag in If-Match", before.name);
            return Err(Refusal::new("CA_EXISTS", message).into());
        }
    };
    let request = RegisterCaCertificateRequest {
        request_id: id.to_string(),
        name: new.name.clone(),
        certificate: new.certificate.clone(),
        ..RegisterCaCertificateRequest::default()
    };
    let change = Change::of(caller, &id.to_string(), &request)?;
    let ca = rest.registry.ask(move |books| books.register_ca(&change, &new)).await?;
    Ok(answer(status, &shapes::certificate(&ca)))
}

pub(super) async fn delete(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(Named { name }): Path<Named>,
    headers: HeaderMap,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let etag = required_etag(&headers)?;
    match delete_one(&rest, caller, &name, etag).await {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        Err(refusal) if refusal.reason() == "CA_UNKNOWN" => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(refusal) => Err(refusal.into()),
    }
}

pub(super) async fn generate(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(Named { name }): Path<Named>,
    headers: HeaderMap,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let etag = required_etag(&headers)?;
    let id = request_id(&headers)?;
    let request =
        GenerateVerificationCodeRequest { request_id: id.to_string(), name: name.clone(), etag: etag.clone() };
    let change = Change::of(caller, &id.to_string(), &request)?;
    let ca = rest.registry.ask(move |books| books.verification_code(&change, &name, &etag)).await?;
    Ok(shown(&ca))
}

pub(super) async fn verify(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(Named { name }): Path<Named>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let etag = required_etag(&headers)?;
    let Proof { certificate } = json(&body)?;
    let certificate = shapes::uploaded(&certificate)?;
    let id = request_id(&headers)?;
    let request = VerifyCaCertificateRequest {
        request_id: id.to_string(),
        name: name.clone(),
        etag: etag.clone(),
        certificate: certificate.clone(),
    };
    let change = Change::of(caller, &id.to_string(), &request)?;
    let ca = rest.registry.ask(move |books| books.verify_ca(&change, &name, &etag, &certificate)).await?;
    Ok(shown(&ca))
}

fn shown(ca: &CaCertificate) -> Response {
    answer(StatusCode::OK, &shapes::certificate(ca))
}

async fn delete_one(rest: &Rest, caller: Caller, name: &str, etag: String) -> Result<(), Refusal> {
    // Its own id: a put that replaces needs two.
    let id: RequestId = request_id(&HeaderMap::new())?;
    let request = DeleteCaCertificateRequest { request_id: id.to_string(), name: name.to_owned(), etag: etag.clone() };
    let change = Change::of(caller, &id.to_string(), &request)?;
    let name = name.to_owned();
    rest.registry.ask(move |books| books.delete_ca(&change, &name, &etag)).await
}

fn required_etag(headers: &HeaderMap) -> Result<String, Refusal> {
    if_match(headers).ok_or_else(|| Refusal::new("ETAG_STALE", "this change needs the etag in If-Match"))
}

fn new_ca(name: &str, properties: &PutProperties) -> Result<NewCa, Refusal> {
    let rules = match properties.rules.as_deref() {
        None | Some("countersign") => ChainRules::Countersign,
        Some("plain") => ChainRules::Plain,
        Some(_) => return Err(Refusal::malformed("properties.rules", "is neither countersign nor plain")),
    };
    let verification = match properties.is_verified {
        true => Verification::Verified,
        false => Verification::Unverified,
    };
    Ok(NewCa {
        name: name.to_owned(),
        certificate: shapes::uploaded(&properties.certificate)?,
        rules,
        first_connect: FirstConnect::Refuse,
        verification,
    })
}
