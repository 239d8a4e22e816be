//! `countersign hub`: what a hub's operator types. Each call goes to the hub's gRPC face over mutual TLS, as the operator.

mod admitted;
pub(crate) mod args;
mod ca;
pub(crate) mod connect;
mod device;
pub(crate) mod prove;
mod shown;
mod telemetry;
pub(crate) mod why;

use std::process::ExitCode;

use api::{RequestId, hub::v1::GetHubRequest};
use serde_json::{Value, json};

use crate::{args::Output, failure::Failure, reach::failure as refused, stdout::say};

use args::{HubArgs, HubCommand};
use connect::Hub;

pub(crate) fn run(args: &HubArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable("SETUP_FAILED", format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let hub = Hub::connect(&args.at)?;
        match &args.command {
            HubCommand::Status => status(&hub, args.output).await,
            HubCommand::Ca(command) => ca::run(&hub, &args.at, command, args.output).await,
            HubCommand::Device(command) => device::run(&hub, command, args.output).await,
            HubCommand::Why(asked) => why::run(&hub, asked, args.output).await,
            HubCommand::Telemetry(asked) => telemetry::run(&hub, asked, args.output).await,
        }
    })
}

async fn status(hub: &Hub, output: Output) -> Result<ExitCode, Failure> {
    let answer = hub.itself().get_hub(GetHubRequest {}).await.map_err(|s| refused(&s))?.into_inner();
    let door = |address: &str| if address.is_empty() { "not open".to_owned() } else { address.to_owned() };
    let words = format!(
        "mqtt {}\namqp {}\nhttps {}\n{} sessions",
        door(&answer.mqtt),
        door(&answer.amqp),
        door(&answer.https),
        answer.sessions
    );
    let json = json!({
        "mqtt": answer.mqtt,
        "amqp": answer.amqp,
        "https": answer.https,
        "sessions": answer.sessions,
    });
    print(output, &words, &json);
    Ok(ExitCode::SUCCESS)
}

/// A fresh request id: each command line is one intention.
pub(crate) fn fresh_id() -> Result<String, Failure> {
    let mut octets = [0; 16];
    issuance::Entropy::fill(&issuance::SystemEntropy, &mut octets)
        .map_err(|error| Failure::unavailable("ENTROPY_UNAVAILABLE", error.to_string()))?;
    Ok(RequestId::from_octets(octets).to_string())
}

/// Prints words or JSON.
fn print(output: Output, words: &str, json: &Value) {
    match output {
        Output::Text => say!("{}", words.trim_end()),
        Output::Json => say!("{json}"),
    }
}

/// Something that the answer must hold.
fn held<T>(found: Option<T>) -> Result<T, Failure> {
    found.ok_or_else(|| Failure::named("INTERNAL", "the hub's answer is incomplete"))
}
