//! `countersign.possession.v1.PossessionService` over an authority: the same face at the root-ca and at every intermediate-ca.

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    possession::v1::{self as wire, possession_service_server::PossessionService},
};
use mfg::VerificationCode;
use records::{Caller, named};
use tonic::{Request, Response, Status};

use crate::authority::Authority;

/// The service over one authority.
#[derive(Clone)]
pub struct PossessionRpc(pub Arc<Authority>);

impl PossessionRpc {
    /// Runs blocking work to its end, also when the caller goes away.
    async fn run<T, F>(&self, work: F) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Authority) -> Result<T, Refusal> + Send + 'static,
    {
        let authority = Arc::clone(&self.0);
        let workers = authority.seams.workers;
        Ok(Response::new(workers.run(move || work(&authority)).await?))
    }
}

#[tonic::async_trait]
impl PossessionService for PossessionRpc {
    async fn get_signing_ca(
        &self,
        request: Request<wire::GetSigningCaRequest>,
    ) -> Result<Response<wire::GetSigningCaResponse>, Status> {
        let lot = request.into_inner().lot;
        self.run(move |authority| Ok(wire::GetSigningCaResponse { certificate: authority.signing_ca(&lot)? })).await
    }

    async fn prove_possession(
        &self,
        request: Request<wire::ProvePossessionRequest>,
    ) -> Result<Response<wire::ProvePossessionResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = RequestId::parse(&message.request_id)?;
        let code = VerificationCode::parse(&message.code).map_err(named(mfg::CodeRefusal::reason))?;
        self.run(move |authority| {
            let certificate = authority.prove_possession(&authority.act(caller, id), &message.lot, &code)?;
            Ok(wire::ProvePossessionResponse { certificate })
        })
        .await
    }
}
