//! `/devices`: the register of devices.

use std::sync::Arc;

use api::{
    Refusal,
    hub::v1::{CreateDeviceRequest, DeleteDeviceRequest, Device, DeviceStatus, NewDevice, SetDeviceStatusRequest},
};
use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{StatusCode, Uri};
use records::Caller;
use serde_json::{Value, json};

use super::{
    Failure, Rest, answer,
    request::{Intent, if_match, json, query, request_id},
    shapes::{self, AskedDevice},
};
use crate::{
    registry::{Change, StatusChange},
    wire,
};

/// Most devices in one list, and in one bulk.
const MOST_LISTED: usize = 1000;
const MOST_IN_BULK: usize = 100;

type Answer = Result<Response, Failure>;

pub(super) async fn list(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    uri: Uri,
) -> Answer {
    rest.caller(&caller, Intent::Read)?;
    let top = match query(&uri, "top") {
        None => MOST_LISTED,
        Some(top) => top.parse().map_err(|_| Refusal::malformed("top", "is no number"))?,
    };
    let limit = top.clamp(1, MOST_LISTED);
    let (devices, _) = rest.registry.ask(move |books| books.devices(None, limit)).await?;
    let mut shown = Vec::with_capacity(devices.len());
    for device in &devices {
        let connection = rest.registry.connection(&device.device_id).await?;
        shown.push(shapes::device(device, &connection));
    }
    Ok(answer(StatusCode::OK, &Value::from(shown)))
}

pub(super) async fn show(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(id): Path<String>,
) -> Answer {
    rest.caller(&caller, Intent::Read)?;
    let device = rest.registry.ask(move |books| books.device(&id)).await?;
    shown(&rest, &device).await
}

/// Creates, or with an etag changes the status.
pub(super) async fn put(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let asked: AskedDevice = json(&body)?;
    if asked.device_id != id {
        return Err(Refusal::malformed("deviceId", "is not the one of the path").into());
    }
    let device = if headers.contains_key(http::header::IF_MATCH) {
        let etag = if_match(&headers).map(|etag| shapes::device_etag(&etag));
        set_status(&rest, caller, &headers, &asked, etag).await?
    } else {
        create(&rest, caller, &headers, &asked).await?
    };
    shown(&rest, &device).await
}

pub(super) async fn delete(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let etag = if_match(&headers).map(|etag| shapes::device_etag(&etag));
    delete_one(&rest, caller, &headers, id, etag).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Up to a hundred devices, each by its own mode.
pub(super) async fn bulk(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<wire::Caller>,
    body: Bytes,
) -> Answer {
    let caller = rest.caller(&caller, Intent::Change)?;
    let asked: Vec<AskedDevice> = json(&body)?;
    if asked.len() > MOST_IN_BULK {
        return Err(Refusal::malformed("body", format!("more than {MOST_IN_BULK} devices")).into());
    }
    let mut errors = Vec::new();
    for asked in &asked {
        if let Err(refusal) = one_of_bulk(&rest, caller.clone(), asked).await {
            errors.push(json!({
                "deviceId": asked.device_id,
                "errorCode": refusal.reason(),
                "errorStatus": refusal.message(),
            }));
        }
    }
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let body = json!({ "isSuccessful": errors.is_empty(), "errors": errors, "warnings": [] });
    Ok(answer(status, &body))
}

async fn one_of_bulk(rest: &Rest, caller: Caller, asked: &AskedDevice) -> Result<(), Refusal> {
    let headers = HeaderMap::new();
    let etag = asked.etag.as_deref().map(shapes::device_etag);
    let needs_etag = || Refusal::malformed("eTag", "is missing");
    match asked.import_mode.as_deref() {
        None | Some("create") => create(rest, caller, &headers, asked).await.map(drop),
        Some("update") => set_status(rest, caller, &headers, asked, None).await.map(drop),
        Some("updateIfMatchETag") => {
            set_status(rest, caller, &headers, asked, Some(etag.ok_or_else(needs_etag)?)).await.map(drop)
        }
        Some("delete") => delete_one(rest, caller, &headers, asked.device_id.clone(), None).await,
        Some("deleteIfMatchETag") => {
            delete_one(rest, caller, &headers, asked.device_id.clone(), Some(etag.ok_or_else(needs_etag)?)).await
        }
        Some(_) => Err(Refusal::malformed(
            "importMode",
            "is none of create, update, updateIfMatchETag, delete, deleteIfMatchETag",
        )),
    }
}

async fn create(rest: &Rest, caller: Caller, headers: &HeaderMap, asked: &AskedDevice) -> Result<Device, Refusal> {
    let new = NewDevice {
        device_id: asked.device_id.clone(),
        authentication: Some(asked.authentication()?),
        status: asked.status()?.into(),
        status_reason: asked.status_reason.clone().unwrap_or_default(),
    };
    let id = request_id(headers)?.to_string();
    let request = CreateDeviceRequest { request_id: id.clone(), device: Some(new.clone()) };
    let change = Change::of(caller, &id, &request)?;
    rest.registry.ask(move |books| books.create_device(&change, &new)).await
}

async fn set_status(
    rest: &Rest,
    caller: Caller,
    headers: &HeaderMap,
    asked: &AskedDevice,
    etag: Option<String>,
) -> Result<Device, Refusal> {
    let status: DeviceStatus = asked.status()?;
    let change_of = StatusChange {
        device_id: asked.device_id.clone(),
        status,
        why: asked.status_reason.clone().unwrap_or_default(),
        etag: etag.clone(),
    };
    let id = request_id(headers)?.to_string();
    let request = SetDeviceStatusRequest {
        request_id: id.clone(),
        device_id: asked.device_id.clone(),
        status: status.into(),
        status_reason: change_of.why.clone(),
        etag,
    };
    let change = Change::of(caller, &id, &request)?;
    rest.registry.ask(move |books| books.set_status(&change, &change_of)).await
}

async fn delete_one(
    rest: &Rest,
    caller: Caller,
    headers: &HeaderMap,
    device: String,
    etag: Option<String>,
) -> Result<(), Refusal> {
    let id = request_id(headers)?.to_string();
    let request = DeleteDeviceRequest { request_id: id.clone(), device_id: device.clone(), etag: etag.clone() };
    let change = Change::of(caller, &id, &request)?;
    let asked = device.clone();
    rest.registry.ask(move |books| books.delete_device(&change, &asked, etag.as_deref())).await?;
    rest.registry.delete_mailbox(device).await
}

async fn shown(rest: &Rest, device: &Device) -> Answer {
    let connection = rest.registry.connection(&device.device_id).await?;
    Ok(answer(StatusCode::OK, &shapes::device(device, &connection)))
}
