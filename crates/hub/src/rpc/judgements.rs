//! `countersign.hub.v1.JudgementService`.

use std::sync::Arc;

use api::{
    Refusal,
    hub::v1::{self as wire, judgement_service_server::JudgementService},
};
use tonic::{Request, Response, Status};

use crate::registry::Registry;

const DEFAULT: usize = 10;

/// The service over one registry.
pub(super) struct JudgementsRpc(pub(super) Arc<Registry>);

#[tonic::async_trait]
impl JudgementService for JudgementsRpc {
    async fn list_judgements(
        &self,
        request: Request<wire::ListJudgementsRequest>,
    ) -> Result<Response<wire::ListJudgementsResponse>, Status> {
        let message = request.into_inner();
        let size = usize::try_from(message.page_size).map_err(|_| Refusal::malformed("page_size", "is negative"))?;
        let most = if size == 0 { DEFAULT } else { size };
        let judgements = self.0.judgements(message.device_id, most).await?;
        Ok(Response::new(wire::ListJudgementsResponse { judgements }))
    }
}
