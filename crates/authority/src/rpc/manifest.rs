//! `countersign.manifest.v1.ManifestService` over an authority: the same face at the root-ca and at every intermediate-ca.

use std::{pin::Pin, sync::Arc};

use api::{
    Refusal,
    manifest::v1::{self as wire, manifest_service_server::ManifestService},
};
use bytes::{Bytes, BytesMut};
use records::{Act, Caller, wire as convert};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::authority::Authority;

/// Octets of one part on the wire.
const PART: usize = 64 << 10;

/// The service over one authority.
#[derive(Clone)]
pub struct ManifestRpc(pub Arc<Authority>);

#[tonic::async_trait]
impl ManifestService for ManifestRpc {
    async fn put_manifest(
        &self,
        request: Request<Streaming<wire::PutManifestRequest>>,
    ) -> Result<Response<wire::PutManifestResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut parts = request.into_inner();
        let mut octets = BytesMut::new();
        while let Some(part) = parts.next().await {
            let part = part?.octets;
            let length = octets.len().saturating_add(part.len());
            if part.len() > PART || length > mfg::manifest::MAX_LENGTH {
                let refusal = mfg::ManifestRefusal::TooLong(length);
                return Err(Refusal::from_error(refusal.reason(), &refusal).into());
            }
            octets.extend_from_slice(&part);
        }
        let authority = Arc::clone(&self.0);
        let workers = authority.seams.workers;
        let manifest = workers
            .run(move || {
                let act = Act { at: authority.now(), caller, request: None };
                authority.keep_manifest(&act, &octets)
            })
            .await?;
        Ok(Response::new(wire::PutManifestResponse {
            sha256: convert::digest(&manifest.digest()),
            devices: u32::try_from(manifest.len()).unwrap_or(u32::MAX),
        }))
    }

    type GetManifestStream = Pin<Box<dyn Stream<Item = Result<wire::GetManifestResponse, Status>> + Send>>;

    async fn get_manifest(
        &self,
        request: Request<wire::GetManifestRequest>,
    ) -> Result<Response<Self::GetManifestStream>, Status> {
        let caller = Caller::of(&request)?;
        let lot = request.into_inner().lot;
        let authority = Arc::clone(&self.0);
        let workers = authority.seams.workers;
        let manifest = workers.run(move || authority.manifest_of_handoff(&caller.manufacturer, &lot)).await?;
        let parts: Vec<Bytes> = manifest.as_bytes().chunks(PART).map(Bytes::copy_from_slice).collect();
        let parts = parts.into_iter().map(|octets| Ok(wire::GetManifestResponse { octets }));
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }
}
