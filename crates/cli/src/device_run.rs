//! `countersign device run`: a simulated device connects to a hub with its chain, sends readings and waits for messages.

use std::{path::Path, process::ExitCode};

use pki::{Certificate, pem};
use serde_json::{Value, json};
use simulator::device::{self, Afterwards, DeviceError, DeviceIdentity, DevicePlan, DeviceProtocol, Told};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{DeviceProtocolArg, DeviceRunArgs, Output},
    failure::{Failure, read_file},
};

pub(crate) fn run(args: &DeviceRunArgs) -> Result<ExitCode, Failure> {
    let plan = plan(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::named("SETUP_FAILED", error.to_string()))?;
    runtime.block_on(live(args, &plan))?;
    Ok(ExitCode::SUCCESS)
}

async fn live(args: &DeviceRunArgs, plan: &DevicePlan) -> Result<(), Failure> {
    let setup = |error: std::io::Error| Failure::named("SETUP_FAILED", error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(setup)?;
    let certificates = plan.identity.certificates();
    eprintln!("{} connects to {}:{} with {certificates} certificates", plan.device_id, plan.host, plan.port);
    if certificates == 1 {
        eprintln!("it presents no intermediate: a hub that knows only the root will refuse it");
    }
    let mut tell = |told: Told| match args.output {
        Output::Text => println!("{}", words(&told, &plan.device_id)),
        Output::Json => println!("{}", object(&told, &plan.device_id)),
    };
    tokio::select! {
        ended = device::run(plan, &mut tell) => ended.map_err(|error| failure(&error, &plan.device_id)),
        // A device that waits does so until it is told to stop.
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

fn plan(args: &DeviceRunArgs) -> Result<DevicePlan, Failure> {
    let (identity, file) = match (&args.pfx, &args.chain, &args.key) {
        (Some(pfx), _, _) => (DeviceIdentity::from_pfx(&read_file(pfx)?, &password(args)?), pfx),
        (None, Some(chain), Some(key)) => (DeviceIdentity::from_pem(&text(chain)?, &text(key)?), chain),
        (None, _, _) => return Err(Failure::usage("want --pfx, or --chain and --key")),
    };
    let identity = identity.map_err(|error| Failure::named(error.reason(), format!("{}: {error}", file.display())))?;
    let protocol = match args.protocol {
        DeviceProtocolArg::Mqtt => DeviceProtocol::Mqtt,
        DeviceProtocolArg::Amqp => DeviceProtocol::Amqp,
        DeviceProtocolArg::Https => DeviceProtocol::Https,
    };
    Ok(DevicePlan {
        host: args.hub.clone(),
        port: args.port.unwrap_or_else(|| protocol.default_port()),
        anchors: anchors(&args.ca)?,
        device_id: args.device_id.clone().unwrap_or_else(|| identity.name().to_owned()),
        identity,
        protocol,
        count: args.count,
        afterwards: if args.exit_after_send { Afterwards::Leave } else { Afterwards::Wait },
    })
}

fn password(args: &DeviceRunArgs) -> Result<String, Failure> {
    match &args.password_file {
        Some(file) => Ok(text(file)?.trim_end_matches(['\r', '\n']).to_owned()),
        None => Ok(args.password.clone()),
    }
}

fn text(file: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(file)?).map_err(|error| Failure::malformed(file, error))
}

/// The certificates that the hub is believed by: PEM or DER.
fn anchors(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let octets = read_file(file)?;
    let certificates = match std::str::from_utf8(&octets) {
        Ok(text) => pem::certificates(text),
        Err(_) => Certificate::parse(&octets).map(|one| vec![one]),
    };
    let certificates = certificates.map_err(|error| Failure::malformed(file, error))?;
    Ok(certificates.iter().map(|certificate| certificate.der().to_vec()).collect())
}

fn failure(error: &DeviceError, device: &str) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    match error {
        DeviceError::Unreachable { .. } | DeviceError::Broken(_) => Failure::unavailable(error.reason(), message),
        DeviceError::Refused(_)
        | DeviceError::HubNotBelieved(_)
        | DeviceError::NotUnderstood(_)
        | DeviceError::Identity(_) => Failure::named(error.reason(), format!("{device}: {message}")),
    }
}

fn words(told: &Told, device: &str) -> String {
    match told {
        Told::Accepted => format!("{device} is accepted"),
        Told::Sent(reading) => format!("sent {} (temperatureAlert={})", reading.body(device), reading.alert()),
        Told::Message { body, properties } => {
            let properties: Vec<_> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("message: {body} ({})", properties.join(", "))
        }
        Told::Method { name, payload } => format!("method {name}({payload}) answered with 200"),
        Told::Desired(patch) => format!("desired properties: {patch}"),
        Told::Waiting => "waits for messages; ctrl-c ends it".to_owned(),
    }
}

fn object(told: &Told, device: &str) -> Value {
    match told {
        Told::Accepted => json!({ "accepted": device }),
        Told::Sent(reading) => {
            json!({ "sent": reading.body(device), "properties": { "temperatureAlert": reading.alert() } })
        }
        Told::Message { body, properties } => {
            let properties: serde_json::Map<_, _> =
                properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({ "message": body, "properties": properties })
        }
        Told::Method { name, payload } => json!({ "method": name, "payload": payload }),
        Told::Desired(patch) => json!({ "desired": patch }),
        Told::Waiting => json!({ "waiting": true }),
    }
}
