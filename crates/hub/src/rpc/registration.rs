//! `countersign.hub.v1.RegistrationService`.

use std::sync::Arc;

use api::hub::v1::{self as wire, registration_service_server::RegistrationService};
use records::Caller;
use tonic::{Request, Response, Status};

use super::to_the_end;
use crate::registry::Registry;

/// The service over one registry.
pub(super) struct RegistrationRpc(pub(super) Arc<Registry>);

#[tonic::async_trait]
impl RegistrationService for RegistrationRpc {
    async fn register_devices(
        &self,
        request: Request<wire::RegisterDevicesRequest>,
    ) -> Result<Response<wire::RegisterDevicesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let registry = Arc::clone(&self.0);
        let work = async move { registry.register(caller, message.feed, message.registrations).await };
        Ok(Response::new(to_the_end(work).await?))
    }
}
