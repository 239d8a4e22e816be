//! The line's face: requests in, units out as they come, written and confirmed.

use std::collections::HashMap;

use api::{
    Refusal,
    provisioning::v1::{
        ConfirmWrittenRequest, ProvisionRequest, ProvisionStreamRequest, Unit, UnitState,
        provision_stream_response::Result as Answered, provisioning_service_client::ProvisioningServiceClient,
    },
};
use pki::{Certificate, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use super::{
    Fate,
    batch::{Batch, Item},
    folder::DeviceFolder,
};
use crate::{failure::Failure, reach, verbs::session::Session};

/// Requests that wait to be sent; the answers that are awaited are bounded by the service.
const WINDOW: usize = 128;

/// A station at the line.
pub(super) struct Line {
    client: ProvisioningServiceClient<Channel>,
}

impl Line {
    pub(super) fn new(session: &Session) -> Result<Self, Failure> {
        Ok(Self { client: ProvisioningServiceClient::new(session.channel()?) })
    }

    /// Judges every item; nothing is made, recorded or spent.
    ///
    /// # Errors
    /// When the line cannot be reached.
    pub(super) async fn validate(
        &self,
        batch: &Batch,
        tell: &mut (dyn FnMut(&Item, Fate) + Send),
    ) -> Result<(), Failure> {
        for item in &batch.items {
            let request = ProvisionRequest { request: Some(batch.request(item)), validate_only: true };
            match self.client.clone().provision(request).await {
                Ok(_) => tell(item, Fate::Valid),
                Err(status) => tell(item, refused(&status)?),
            }
        }
        Ok(())
    }

    /// Provisions every item by one stream, writes what comes, and confirms it where that is wanted.
    ///
    /// # Errors
    /// When the stream breaks or a file cannot be written; what was told until then is done.
    pub(super) async fn provision(
        &self,
        batch: &Batch,
        devices: &DeviceFolder,
        confirming: Option<&Batch>,
        tell: &mut (dyn FnMut(&Item, Fate) + Send),
    ) -> Result<(), Failure> {
        let requests: Vec<_> = batch.items.iter().map(|item| batch.request(item)).collect();
        let mut waiting: HashMap<String, &Item> =
            requests.iter().zip(&batch.items).map(|(request, item)| (request.request_id.clone(), item)).collect();
        let (sender, receiver) = mpsc::channel(WINDOW);
        // Ends by itself when the stream does.
        let sending = tokio::spawn(async move {
            for request in requests {
                if sender
                    .send(ProvisionStreamRequest { request: Some(request), ..ProvisionStreamRequest::default() })
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        let opened = self.client.clone().provision_stream(ReceiverStream::new(receiver)).await;
        let mut answers = opened.map_err(|status| reach::failure(&status))?.into_inner();
        while !waiting.is_empty() {
            let answer = answers.message().await.map_err(|status| reach::failure(&status))?;
            let Some(answer) = answer else {
                return Err(Failure::unavailable(
                    "UPSTREAM_UNREACHABLE",
                    "the stream ended before every device was answered",
                ));
            };
            let Some(item) = waiting.remove(&answer.request_id) else { continue };
            let fate = match answer.result {
                Some(Answered::Unit(unit)) => self.keep(item, &unit, devices, confirming).await?,
                Some(Answered::Refusal(refusal)) => fate_of(&Refusal::from_wire(refusal)),
                None => return Err(Failure::named("INTERNAL", "the line answered nothing")),
            };
            tell(item, fate);
        }
        sending.abort();
        Ok(())
    }

    /// A unit's files; then, where wanted, what is on disk is read back and confirmed.
    async fn keep(
        &self,
        item: &Item,
        unit: &Unit,
        devices: &DeviceFolder,
        confirming: Option<&Batch>,
    ) -> Result<Fate, Failure> {
        let malformed =
            |e: pki::ParseError| Failure::named("INTERNAL", format!("the line answered no certificate: {e}"));
        let chain =
            unit.chain.iter().map(|der| Certificate::parse(der)).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let leaf = chain.first().ok_or_else(|| Failure::named("INTERNAL", "the line answered an empty chain"))?;
        let id = item.device_id.as_str();
        devices.write(id, &chain, unit.private_key.as_deref())?;
        let key_is_gone = item.csr.is_none() && unit.private_key.is_none() && !devices.has_key(id);
        let note = key_is_gone.then_some("its key was delivered before, and is not here");
        let certificate_serial = leaf.serial().to_string();
        let mut state = unit.state();
        if let Some(batch) = confirming {
            let written = devices.read_back(id)?.sha256();
            match self.confirm(batch, item, written).await {
                Ok(confirmed) => state = confirmed,
                Err(status) => return refused(&status),
            }
        }
        let name = state.as_str_name();
        let state = name.strip_prefix("UNIT_STATE_").unwrap_or(name).to_owned();
        Ok(Fate::Written { state, certificate_serial, note })
    }

    async fn confirm(&self, batch: &Batch, item: &Item, written: Sha256) -> Result<UnitState, Status> {
        let request = ConfirmWrittenRequest {
            request_id: batch.request_id("confirm", item, &written.to_string()),
            device_id: item.device_id.as_str().to_owned(),
            certificate_sha256: bytes::Bytes::copy_from_slice(written.as_bytes()),
        };
        let answer = self.client.clone().confirm_written(request).await?.into_inner();
        Ok(answer.unit.map_or(UnitState::Written, |unit| unit.state()))
    }
}

/// One item's refusal goes into its result; that the line cannot be reached ends all.
fn refused(status: &Status) -> Result<Fate, Failure> {
    if status.code() == Code::Unavailable {
        return Err(reach::failure(status));
    }
    Ok(fate_of(&Refusal::from_status(status)))
}

fn fate_of(refusal: &Refusal) -> Fate {
    Fate::Refused { reason: refusal.reason(), message: refusal.message().to_owned() }
}
