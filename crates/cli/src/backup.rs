//! `countersign backup`: a service's store, copied while it serves.

use std::{path::Path, process::ExitCode};

use api::{
    Refusal,
    store::v1::{
        CopyHead, CopyStoreRequest, CopyStoreResponse, copy_store_response::Content,
        store_service_client::StoreServiceClient,
    },
};
use records::wire;
use serde_json::json;
use service::identity::Role;
use store::{Head, Part, Position, StoreError, StoreIdentity, keep_copy};
use tokio::runtime::Runtime;
use tonic::Streaming;

use crate::{
    args::{BackupArgs, Output},
    failure::Failure,
    profile::Profile,
    reach::{Place, failure},
};

/// Every service has a store.
const SERVICES: &[Role] = &[Role::RootCa, Role::IntermediateCa, Role::Provisioner, Role::Hub];

/// Why a copy did not come to its end.
enum Broken {
    Store(StoreError),
    Call(Failure),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Store(error) => Failure::by_reason(error.reason(), &error),
            Broken::Call(failure) => failure,
        }
    }
}

/// Copies, checks, and says what there is.
pub(crate) fn run(args: &BackupArgs) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|e| Failure::unavailable("SETUP_FAILED", format!("no runtime: {e}")))?;
    let profile = Profile::open(args.profile.as_ref())?;
    let service = profile.service(SERVICES, args.at.as_deref())?;
    // Reloading credentials is a task of the runtime.
    let _inside = runtime.enter();
    let channel = Place::of_profile(&profile, service).connect()?;
    let mut pieces = runtime
        .block_on(StoreServiceClient::new(channel).copy_store(CopyStoreRequest {}))
        .map_err(|status| failure(&status))?
        .into_inner();
    let (identity, head) = match next(&runtime, &mut pieces)? {
        Some(Content::Head(head)) => read_head(&head)?,
        Some(Content::Part(_)) | None => return Err(not_a_copy("does not begin with whose it is")),
    };
    let parts = std::iter::from_fn(|| match next(&runtime, &mut pieces) {
        Ok(None) => None,
        Ok(Some(Content::Part(part))) => {
            Some(Ok(Part { segment: part.segment, offset: part.offset, octets: part.octets.to_vec() }))
        }
        Ok(Some(Content::Head(_))) => Some(Err(Broken::Call(not_a_copy("begins twice")))),
        Err(failure) => Some(Err(Broken::Call(failure))),
    });
    keep_copy(&args.out, &identity, head, parts)?;
    tell(args.output, &args.out, &identity, head);
    Ok(ExitCode::SUCCESS)
}

/// The next piece; none at the end. Who sends nothing for longer than its own patience has gone away, and the channel says so.
fn next(runtime: &Runtime, pieces: &mut Streaming<CopyStoreResponse>) -> Result<Option<Content>, Failure> {
    let piece = runtime.block_on(pieces.message()).map_err(|status| failure(&status))?;
    match piece {
        None => Ok(None),
        Some(CopyStoreResponse { content: Some(content) }) => Ok(Some(content)),
        Some(CopyStoreResponse { content: None }) => Err(not_a_copy("has a piece that is not known here")),
    }
}

fn read_head(head: &CopyHead) -> Result<(StoreIdentity, Head), Failure> {
    let store = head.store.clone().unwrap_or_default();
    let id: [u8; 16] =
        store.store_id.as_ref().try_into().map_err(|_| not_a_copy("has a store id of another length than 16"))?;
    let identity = StoreIdentity::new(&store.service, &store.manufacturer, id)
        .map_err(|error| Failure::by_reason(error.reason(), &error))?;
    let chain = wire::read_digest("journal_chain", &store.journal_chain).map_err(|r| Failure::refused(&r))?;
    Ok((identity, Head { position: Position::from_u64(store.journal_position), chain }))
}

fn not_a_copy(what: &str) -> Failure {
    Failure::refused(&Refusal::new("JOURNAL_DAMAGED", format!("what the service sent {what}")))
}

fn tell(output: Output, folder: &Path, identity: &StoreIdentity, head: Head) {
    let (service, manufacturer) = (identity.service(), identity.manufacturer());
    match output {
        Output::Text => println!(
            "{}: the store of the {service} of {manufacturer}, {} octets of journal, checked\n\
             chain {}\nNo key is in it.",
            folder.display(),
            head.position,
            head.chain
        ),
        Output::Json => println!(
            "{}",
            json!({
                "folder": folder,
                "service": service,
                "manufacturer": manufacturer,
                "journal_position": head.position.as_u64(),
                "journal_chain": head.chain.to_string(),
            })
        ),
    }
}
