//! `countersign.hub.v1.DeviceService`.

use std::{sync::Arc, time::Duration};

use api::{
    Refusal,
    hub::v1::{self as wire, device_service_server::DeviceService},
};
use bytes::Bytes;
use records::{Caller, page, wire as convert};
use tonic::{Request, Response, Status};

use super::to_the_end;
use crate::{
    admission::MethodCall,
    mailbox::NewMessage,
    registry::{Change, Registry, StatusChange},
};

const DEVICES: &str = "hub.devices";
const LOT: &str = "hub.lot-admissions";
const DEFAULT_METHOD_SECONDS: u32 = 30;
const MOST_METHOD_SECONDS: u32 = 300;
/// Most octets of a method's name and of its payload.
const MAX_METHOD: usize = 100;
const MAX_METHOD_PAYLOAD: usize = 128 * 1024;

/// The service over one registry.
pub(super) struct DevicesRpc(pub(super) Arc<Registry>);

#[tonic::async_trait]
impl DeviceService for DevicesRpc {
    async fn create_device(
        &self,
        request: Request<wire::CreateDeviceRequest>,
    ) -> Result<Response<wire::CreateDeviceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let new = message.device.ok_or_else(|| Refusal::malformed("device", "is missing"))?;
        let device = self.0.ask(move |books| books.create_device(&change, &new)).await?;
        Ok(Response::new(wire::CreateDeviceResponse { device: Some(device) }))
    }

    async fn create_devices(
        &self,
        request: Request<wire::CreateDevicesRequest>,
    ) -> Result<Response<wire::CreateDevicesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let registry = Arc::clone(&self.0);
        let work = async move { registry.ask(move |books| books.create_devices(&change, &message.devices)).await };
        let results = to_the_end(work).await?;
        Ok(Response::new(wire::CreateDevicesResponse { results }))
    }

    async fn set_device_status(
        &self,
        request: Request<wire::SetDeviceStatusRequest>,
    ) -> Result<Response<wire::SetDeviceStatusResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let status = StatusChange {
            status: message.status(),
            device_id: message.device_id,
            why: message.status_reason,
            etag: message.etag,
        };
        let device = self.0.ask(move |books| books.set_status(&change, &status)).await?;
        Ok(Response::new(wire::SetDeviceStatusResponse { device: Some(device) }))
    }

    async fn delete_device(
        &self,
        request: Request<wire::DeleteDeviceRequest>,
    ) -> Result<Response<wire::DeleteDeviceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let registry = Arc::clone(&self.0);
        let work = async move {
            let id = message.device_id.clone();
            registry.ask(move |books| books.delete_device(&change, &id, message.etag.as_deref())).await?;
            registry.delete_mailbox(message.device_id).await
        };
        to_the_end(work).await?;
        Ok(Response::new(wire::DeleteDeviceResponse {}))
    }

    async fn get_device(
        &self,
        request: Request<wire::GetDeviceRequest>,
    ) -> Result<Response<wire::GetDeviceResponse>, Status> {
        let id = request.into_inner().device_id;
        let asked = id.clone();
        let device = self.0.ask(move |books| books.device(&asked)).await?;
        let connection = self.0.connection(&id).await?;
        Ok(Response::new(wire::GetDeviceResponse { device: Some(device), connection: Some(connection) }))
    }

    async fn list_devices(
        &self,
        request: Request<wire::ListDevicesRequest>,
    ) -> Result<Response<wire::ListDevicesResponse>, Status> {
        let message = request.into_inner();
        let page = page::Page::read(DEVICES, message.page_size, &message.page_token)?;
        let (devices, next) = self.0.ask(move |books| books.devices(page.after(), page.limit())).await?;
        let next_page_token = page::token(DEVICES, next);
        Ok(Response::new(wire::ListDevicesResponse { devices, next_page_token }))
    }

    async fn get_lot_admissions(
        &self,
        request: Request<wire::GetLotAdmissionsRequest>,
    ) -> Result<Response<wire::GetLotAdmissionsResponse>, Status> {
        let message = request.into_inner();
        let key = convert::read_digest("key_sha256", &message.key_sha256)?;
        let list = format!("{LOT} {key}");
        let page = page::Page::read(&list, message.page_size, &message.page_token)?;
        let limit = page.limit();
        let found = self.0.ask(move |books| books.lot_admissions(&key, page.after(), page.limit())).await?;
        let next = found.device_ids.last().cloned().filter(|_| found.device_ids.len() >= limit);
        Ok(Response::new(wire::GetLotAdmissionsResponse {
            tally: Some(found.tally),
            device_ids: found.device_ids,
            next_page_token: page::token(&list, next),
        }))
    }

    async fn get_twin(
        &self,
        request: Request<wire::GetTwinRequest>,
    ) -> Result<Response<wire::GetTwinResponse>, Status> {
        let twin = self.0.device_twin(request.into_inner().device_id).await?;
        Ok(Response::new(wire::GetTwinResponse { twin: Some(twin) }))
    }

    async fn update_desired_properties(
        &self,
        request: Request<wire::UpdateDesiredPropertiesRequest>,
    ) -> Result<Response<wire::UpdateDesiredPropertiesResponse>, Status> {
        let message = request.into_inner();
        let twin = self.0.patch_desired(message.device_id, message.patch, message.desired_version).await?;
        Ok(Response::new(wire::UpdateDesiredPropertiesResponse { twin: Some(twin) }))
    }

    async fn send_cloud_to_device_message(
        &self,
        request: Request<wire::SendCloudToDeviceMessageRequest>,
    ) -> Result<Response<wire::SendCloudToDeviceMessageResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let change = Change::of(caller, &message.request_id, &message)?;
        let wire::SendCloudToDeviceMessageRequest { device_id, system, properties, body, .. } = message;
        let new = NewMessage { request_id: change.request.to_string(), system, properties, body };
        let sequence = self.0.queue(change, device_id, new).await?;
        Ok(Response::new(wire::SendCloudToDeviceMessageResponse { sequence }))
    }

    async fn invoke_method(
        &self,
        request: Request<wire::InvokeMethodRequest>,
    ) -> Result<Response<wire::InvokeMethodResponse>, Status> {
        let message = request.into_inner();
        let call = method_call(&message)?;
        let answer = self.0.invoke(message.device_id, call).await?;
        Ok(Response::new(wire::InvokeMethodResponse {
            status: answer.status,
            payload: String::from_utf8_lossy(&answer.payload).into_owned(),
        }))
    }
}

fn method_call(message: &wire::InvokeMethodRequest) -> Result<MethodCall, Refusal> {
    // The name stands in a topic, between slashes.
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-._~:".contains(&c);
    if !(1..=MAX_METHOD).contains(&message.method.len()) || !message.method.bytes().all(allowed) {
        return Err(Refusal::malformed("method", "is not 1 to 100 of A-Z a-z 0-9 - . _ ~ :"));
    }
    if message.payload.len() > MAX_METHOD_PAYLOAD {
        return Err(Refusal::malformed("payload", format!("is longer than {MAX_METHOD_PAYLOAD} octets")));
    }
    if !message.payload.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(&message.payload).is_err() {
        return Err(Refusal::malformed("payload", "is not json"));
    }
    let seconds = match message.timeout_seconds {
        0 => DEFAULT_METHOD_SECONDS,
        seconds if seconds <= MOST_METHOD_SECONDS => seconds,
        _ => return Err(Refusal::malformed("timeout_seconds", format!("is more than {MOST_METHOD_SECONDS}"))),
    };
    Ok(MethodCall {
        name: message.method.clone(),
        payload: Bytes::from(message.payload.clone()),
        timeout: Duration::from_secs(u64::from(seconds)),
    })
}
