//! `countersign hub telemetry`: what devices sent, and what they send.

use std::process::ExitCode;

use api::hub::v1::{ListTelemetryRequest, Property, TelemetryFilter, TelemetryMessage, WatchTelemetryRequest};
use serde_json::{Value, json};

use super::{args::TelemetryArgs, connect::Hub, refused, shown};
use crate::{args::Output, failure::Failure, stdout::say};

pub(super) async fn run(hub: &Hub, args: &TelemetryArgs, output: Output) -> Result<ExitCode, Failure> {
    let property = |(name, value): &(String, String)| Property { name: name.clone(), value: value.clone() };
    let filter = TelemetryFilter {
        device_id: args.device.clone().unwrap_or_default(),
        properties: args.properties.iter().map(property).collect(),
        since: None,
    };
    let mut page_token = String::new();
    loop {
        let request = ListTelemetryRequest { filter: Some(filter.clone()), page_size: 1000, page_token };
        let page = hub.telemetry().list_telemetry(request).await.map_err(|s| refused(&s))?.into_inner();
        page.messages.iter().for_each(|message| show(message, output));
        page_token = page.next_page_token;
        if page.at_end {
            break;
        }
    }
    if args.follow {
        follow(hub, filter, page_token, output).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Until ctrl-c, or until the hub ends.
async fn follow(hub: &Hub, filter: TelemetryFilter, page_token: String, output: Output) -> Result<(), Failure> {
    let request = WatchTelemetryRequest { filter: Some(filter), page_token };
    let mut stream = hub.telemetry().watch_telemetry(request).await.map_err(|s| refused(&s))?.into_inner();
    loop {
        let next = tokio::select! {
            next = stream.message() => next.map_err(|s| refused(&s))?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match next {
            Some(answer) => answer.messages.iter().for_each(|message| show(message, output)),
            None => return Ok(()),
        }
    }
}

/// One message a line.
fn show(message: &TelemetryMessage, output: Output) {
    let at = shown::moment(message.enqueued_at.as_ref());
    let body = std::str::from_utf8(&message.body);
    match output {
        Output::Text => {
            let properties: String = message.properties.iter().map(|p| format!(" {}={}", p.name, p.value)).collect();
            let body = body.map_or_else(|_| format!("{} octets", message.body.len()), str::to_owned);
            say!("{at}  {}{properties}  {body}", message.device_id);
        }
        Output::Json => {
            let body = match body {
                Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
                Err(_) => Value::from(pki::hex::encode(&message.body)),
            };
            say!(
                "{}",
                json!({
                    "device_id": message.device_id,
                    "enqueued_at": at,
                    "protocol": message.protocol,
                    "system": shown::properties(&message.system),
                    "properties": shown::properties(&message.properties),
                    "body": body,
                })
            );
        }
    }
}
