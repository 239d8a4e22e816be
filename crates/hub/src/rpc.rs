//! The gRPC faces: each turns a request into one question to the registry, and its answer into a response.

mod cas;
mod devices;
mod hub;
mod judgements;
mod registration;
mod telemetry;

use std::sync::Arc;

use api::{
    Refusal,
    hub::v1::{
        ca_certificate_service_server::CaCertificateServiceServer, device_service_server::DeviceServiceServer,
        hub_service_server::HubServiceServer, judgement_service_server::JudgementServiceServer,
        registration_service_server::RegistrationServiceServer, telemetry_service_server::TelemetryServiceServer,
    },
};
use tonic::service::RoutesBuilder;

use crate::{registry::Registry, wire::Bound};

/// Adds every face of the hub.
pub(crate) fn add(routes: &mut RoutesBuilder, registry: &Arc<Registry>, bound: Bound, message_bytes: usize) {
    let registry = || Arc::clone(registry);
    routes
        .add_service(CaCertificateServiceServer::new(cas::CasRpc(registry())).max_decoding_message_size(message_bytes))
        .add_service(DeviceServiceServer::new(devices::DevicesRpc(registry())).max_decoding_message_size(message_bytes))
        .add_service(HubServiceServer::new(hub::HubRpc { registry: registry(), bound }))
        .add_service(JudgementServiceServer::new(judgements::JudgementsRpc(registry())))
        .add_service(
            RegistrationServiceServer::new(registration::RegistrationRpc(registry()))
                .max_decoding_message_size(message_bytes),
        )
        .add_service(TelemetryServiceServer::new(telemetry::TelemetryRpc(registry())));
}

/// Lets a change run to its end although its caller may go away.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let ended = |_| Err(Refusal::new("SHUTTING_DOWN", "the service ended before the change was made"));
    tokio::spawn(work).await.unwrap_or_else(ended)
}
