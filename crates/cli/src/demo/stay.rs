//! `demo --stay`: the services go on until somebody ends them, and demo.json says how to call them.

use std::path::Path;

use serde_json::{Map, Value, json};
use simulator::{Folder, World};
use tokio::signal::unix::{SignalKind, signal};

use crate::{failure::Failure, stdout::say};

/// Writes demo.json, says READY, and waits for SIGTERM or ctrl-c.
pub(super) async fn stay(out: &Path, world: &World) -> Result<(), Failure> {
    let failed = |what: String| Failure::unavailable("SETUP_FAILED", what);
    let mut term = signal(SignalKind::terminate()).map_err(|e| failed(format!("no signals: {e}")))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| failed(format!("no signals: {e}")))?;
    let json = serde_json::to_vec_pretty(&describe(world)).map_err(|e| failed(e.to_string()))?;
    let folder = Folder::create(out).map_err(|e| failed(format!("{e:#}")))?;
    let path = folder.write("demo.json", &json).map_err(|e| failed(format!("{e:#}")))?;
    say!("READY {}", path.display());
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn describe(world: &World) -> Value {
    let services: Vec<Value> = world
        .services()
        .iter()
        .map(|s| {
            let own = [
                ("name", json!(s.service.name)),
                ("role", json!(s.service.kind)),
                ("manufacturer", json!(s.service.manufacturer)),
                ("grpc", json!(s.grpc)),
                ("health", json!(s.health)),
                ("pid", json!(s.pid)),
                ("config", json!(s.service.config)),
            ];
            // A hub's doors for devices, and what they believe it by.
            let doors = s.further.iter().map(|(door, address)| (door.as_str(), json!(address)));
            let device_ca = (s.service.kind == "hub").then(|| ("device_ca", json!(world.hub_ca_path())));
            let told = own.into_iter().chain(doors).chain(device_ca);
            Value::Object(told.map(|(name, value)| (name.to_owned(), value)).collect())
        })
        .collect();
    let mut identities = Map::new();
    let organisations = std::iter::once(&world.brand).chain(world.manufacturers.iter().map(|(_, o)| o));
    for organisation in organisations {
        for file in ["root-ca", "intermediate-ca", "provisioner", "hub", "alice", "bob", "operator", "station"] {
            let certificate = organisation.folder().join(format!("{file}.pem"));
            if certificate.exists() {
                let identity = json!({
                    "cert": certificate,
                    "key": organisation.folder().join(format!("{file}.key")),
                    "ca": organisation.service_ca_path(),
                });
                identities.insert(format!("{}/{file}", organisation.id()), identity);
            }
        }
    }
    json!({ "services": services, "identities": identities })
}
