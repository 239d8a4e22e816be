//! `countersign.hub.v1.HubService`.

use std::sync::Arc;

use api::hub::v1::{self as wire, hub_service_server::HubService};
use tonic::{Request, Response, Status};

use crate::{registry::Registry, wire::Bound};

/// The service over one registry, and where its doors are.
pub(super) struct HubRpc {
    pub(super) registry: Arc<Registry>,
    pub(super) bound: Bound,
}

#[tonic::async_trait]
impl HubService for HubRpc {
    async fn get_hub(&self, _: Request<wire::GetHubRequest>) -> Result<Response<wire::GetHubResponse>, Status> {
        let door = |address: &Option<String>| address.clone().unwrap_or_default();
        Ok(Response::new(wire::GetHubResponse {
            mqtt: door(&self.bound.mqtt),
            amqp: door(&self.bound.amqp),
            https: door(&self.bound.https),
            sessions: u32::try_from(self.registry.open_sessions()).unwrap_or(u32::MAX),
        }))
    }
}
