//! `countersign hub device`.

use std::process::ExitCode;

use api::{
    Refusal,
    hub::v1::{
        Authentication, CreateDevicesRequest, CreatedDevice, DeleteDeviceRequest, Device, DeviceStatus,
        GetDeviceRequest, GetTwinRequest, InvokeMethodRequest, ListDevicesRequest, NewDevice, Property,
        SendCloudToDeviceMessageRequest, SetDeviceStatusRequest, Thumbprints, Twin, UpdateDesiredPropertiesRequest,
        authentication, created_device,
    },
};
use pki::hex;
use serde_json::{Value, json};

use super::{
    args::{DeviceAddArgs, DeviceCallArgs, DeviceSendArgs, DeviceTwinArgs, HubDeviceCommand},
    connect::Hub,
    fresh_id, held, print, refused, shown,
};
use crate::{
    args::Output,
    failure::{Failure, read_file},
};

/// Devices that one call creates.
const AT_ONCE: usize = 100;

pub(super) async fn run(hub: &Hub, command: &HubDeviceCommand, output: Output) -> Result<ExitCode, Failure> {
    match command {
        HubDeviceCommand::Add(args) => return add(hub, args, output).await,
        HubDeviceCommand::List => list(hub, output).await?,
        HubDeviceCommand::Show(named) => show(hub, &named.device, output).await?,
        HubDeviceCommand::Disable(args) => {
            set_status(hub, &args.device, DeviceStatus::Disabled, &args.why, output).await?;
        }
        HubDeviceCommand::Enable(named) => {
            set_status(hub, &named.device, DeviceStatus::Enabled, "", output).await?;
        }
        HubDeviceCommand::Delete(named) => delete(hub, &named.device, output).await?,
        HubDeviceCommand::Send(args) => send(hub, args, output).await?,
        HubDeviceCommand::Call(args) => call(hub, args, output).await?,
        HubDeviceCommand::Twin(args) => twin(hub, args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(hub: &Hub, args: &DeviceAddArgs, output: Output) -> Result<ExitCode, Failure> {
    let mut ids = args.devices.clone();
    if let Some(path) = &args.file {
        let text = String::from_utf8(read_file(path)?).map_err(|error| Failure::malformed(path, error))?;
        ids.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    let authentication = authentication(&args.thumbprint)?;
    let status = if args.disabled { DeviceStatus::Disabled } else { DeviceStatus::Enabled };
    let mut results = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        let new = |id: &String| NewDevice {
            device_id: id.clone(),
            authentication: authentication.clone(),
            status: status.into(),
            status_reason: String::new(),
        };
        let request = CreateDevicesRequest { request_id: fresh_id()?, devices: ids.iter().map(new).collect() };
        results.extend(hub.devices().create_devices(request).await.map_err(|s| refused(&s))?.into_inner().results);
    }
    let (mut words, mut created, mut refusals) = (String::new(), Vec::new(), Vec::new());
    for CreatedDevice { device_id, result } in results {
        match held(result)? {
            created_device::Result::Device(device) => {
                words.push_str(&format!("{}\n", shown::device_line(&device)));
                created.push(shown::device_json(&device, None));
            }
            created_device::Result::Refusal(refusal) => {
                let refusal = Refusal::from_wire(refusal);
                eprintln!("error[{}]: {device_id}: {}", refusal.reason(), refusal.message());
                refusals
                    .push(json!({ "device_id": device_id, "reason": refusal.reason(), "detail": refusal.message() }));
            }
        }
    }
    let all_created = refusals.is_empty();
    print(output, &words, &json!({ "devices": created, "refused": refusals }));
    Ok(if all_created { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn authentication(thumbprints: &[String]) -> Result<Option<Authentication>, Failure> {
    let read = |text: Option<&String>| match text {
        None => Ok(Vec::new()),
        Some(text) => {
            let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_lowercase();
            hex::decode(&digits).map_err(|_| Failure::usage("a thumbprint is in hex digits"))
        }
    };
    match thumbprints {
        [] => Ok(None),
        [_] | [_, _] => {
            let known =
                Thumbprints { primary: read(thumbprints.first())?.into(), secondary: read(thumbprints.get(1))?.into() };
            Ok(Some(Authentication { kind: Some(authentication::Kind::Thumbprints(known)) }))
        }
        _ => Err(Failure::usage("a device has at most two thumbprints")),
    }
}

async fn list(hub: &Hub, output: Output) -> Result<(), Failure> {
    let mut all: Vec<Device> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListDevicesRequest { page_size: 1000, page_token };
        let page = hub.devices().list_devices(request).await.map_err(|s| refused(&s))?.into_inner();
        all.extend(page.devices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let words: String = all.iter().map(|device| format!("{}\n", shown::device_line(device))).collect();
    let words = if all.is_empty() { "no device is registered".to_owned() } else { words };
    let json: Vec<Value> = all.iter().map(|device| shown::device_json(device, None)).collect();
    print(output, &words, &Value::from(json));
    Ok(())
}

async fn show(hub: &Hub, device: &str, output: Output) -> Result<(), Failure> {
    let request = GetDeviceRequest { device_id: device.to_owned() };
    let answer = hub.devices().get_device(request).await.map_err(|s| refused(&s))?.into_inner();
    let (device, connection) = (held(answer.device)?, answer.connection.unwrap_or_default());
    print(output, &shown::device_words(&device, &connection), &shown::device_json(&device, Some(&connection)));
    Ok(())
}

async fn set_status(hub: &Hub, device: &str, status: DeviceStatus, why: &str, output: Output) -> Result<(), Failure> {
    let request = SetDeviceStatusRequest {
        request_id: fresh_id()?,
        device_id: device.to_owned(),
        status: status.into(),
        status_reason: why.to_owned(),
        etag: None,
    };
    let answer = hub.devices().set_device_status(request).await.map_err(|s| refused(&s))?;
    let device = held(answer.into_inner().device)?;
    print(output, &shown::device_line(&device), &shown::device_json(&device, None));
    Ok(())
}

async fn delete(hub: &Hub, device: &str, output: Output) -> Result<(), Failure> {
    let request = DeleteDeviceRequest { request_id: fresh_id()?, device_id: device.to_owned(), etag: None };
    hub.devices().delete_device(request).await.map_err(|s| refused(&s))?;
    print(output, &format!("deleted: {device}"), &json!({ "device_id": device, "deleted": true }));
    Ok(())
}

async fn send(hub: &Hub, args: &DeviceSendArgs, output: Output) -> Result<(), Failure> {
    let property = |(name, value): &(String, String)| Property { name: name.clone(), value: value.clone() };
    let request = SendCloudToDeviceMessageRequest {
        request_id: fresh_id()?,
        device_id: args.device.clone(),
        system: Vec::new(),
        properties: args.property.iter().map(property).collect(),
        body: args.payload.clone().into_bytes().into(),
    };
    let answer = hub.devices().send_cloud_to_device_message(request).await.map_err(|s| refused(&s))?;
    let sequence = answer.into_inner().sequence;
    print(output, &format!("queued as message {sequence}"), &json!({ "sequence": sequence }));
    Ok(())
}

async fn call(hub: &Hub, args: &DeviceCallArgs, output: Output) -> Result<(), Failure> {
    let mut request = tonic::Request::new(InvokeMethodRequest {
        device_id: args.device.clone(),
        method: args.method.clone(),
        payload: args.payload.clone(),
        timeout_seconds: args.timeout,
    });
    // The device's time, and a little for the way.
    request.set_timeout(std::time::Duration::from_secs(u64::from(args.timeout) + 5));
    let answer = hub.devices().invoke_method(request).await.map_err(|s| refused(&s))?.into_inner();
    let payload: Value = serde_json::from_str(&answer.payload).unwrap_or(Value::from(answer.payload.as_str()));
    let words = format!("status {}: {}", answer.status, answer.payload);
    print(output, &words, &json!({ "status": answer.status, "payload": payload }));
    Ok(())
}

async fn twin(hub: &Hub, args: &DeviceTwinArgs, output: Output) -> Result<(), Failure> {
    let device_id = args.device.clone();
    let twin: Twin = match &args.desired {
        None => {
            let answer = hub.devices().get_twin(GetTwinRequest { device_id }).await.map_err(|s| refused(&s))?;
            held(answer.into_inner().twin)?
        }
        Some(patch) => {
            let request = UpdateDesiredPropertiesRequest { device_id, patch: patch.clone(), desired_version: None };
            let answer = hub.devices().update_desired_properties(request).await.map_err(|s| refused(&s))?;
            held(answer.into_inner().twin)?
        }
    };
    let words = format!(
        "desired, version {}: {}\nreported, version {}: {}",
        twin.desired_version, twin.desired, twin.reported_version, twin.reported
    );
    let object = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let json = json!({
        "desired": object(&twin.desired),
        "desired_version": twin.desired_version,
        "reported": object(&twin.reported),
        "reported_version": twin.reported_version,
    });
    print(output, &words, &json);
    Ok(())
}
