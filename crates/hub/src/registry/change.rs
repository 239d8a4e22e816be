//! One change of one thing: compared with what the caller saw, recorded once per request.

use api::{Refusal, RequestId};
use pki::{Sha256, UnixTime, hex};
use prost::Message;
use records::{Act, Caller, reused};

/// Who asks for a change, under which request, and exactly what for.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) caller: Caller,
    pub(crate) request: RequestId,
    digest: Sha256,
}

impl Change {
    /// The change that a request asks for; its whole content tells repetitions from other requests.
    ///
    /// # Errors
    /// `REQUEST_ID_INVALID`.
    pub(crate) fn of<M: Message>(caller: Caller, request_id: &str, request: &M) -> Result<Self, Refusal> {
        let digest = Sha256::of(&request.encode_to_vec());
        Ok(Self { caller, request: RequestId::parse(request_id)?, digest })
    }

    /// The change as an act at a moment.
    pub(super) fn act(&self, at: UnixTime) -> Act {
        Act { at, caller: self.caller.clone(), request: Some(self.request) }
    }

    /// SHA-256 of the request, as it is recorded.
    pub(super) fn digest(&self) -> prost::bytes::Bytes {
        records::wire::digest(&self.digest)
    }

    /// Whether what was recorded under this request id was this request.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`.
    pub(super) fn is_repetition_of(&self, recorded: &[u8]) -> Result<(), Refusal> {
        if self.digest.as_bytes() == recorded {
            return Ok(());
        }
        Err(reused(&self.act(UnixTime::new(0)), "content"))
    }

    /// The etag of what this change makes of something that had `before`.
    pub(super) fn etag(&self, before: &str) -> String {
        let all = [before.as_bytes(), &[0], self.request.as_bytes(), self.digest.as_bytes()].concat();
        short(&all)
    }
}

/// An etag for a change that no request caused.
pub(super) fn own_etag(before: &str, at: UnixTime, what: &[u8]) -> String {
    short(&[before.as_bytes(), &[1], &at.as_secs().to_be_bytes(), what].concat())
}

fn short(all: &[u8]) -> String {
    let digest = Sha256::of(all);
    hex::encode(digest.as_bytes().split_at(8).0)
}

/// Whether an etag is the one that the caller saw.
///
/// # Errors
/// `ETAG_STALE`.
pub(super) fn check_etag(what: &str, current: &str, seen: &str) -> Result<(), Refusal> {
    if current == seen {
        return Ok(());
    }
    let message = format!("{what} has changed: its etag is not {seen:?} any more");
    Err(Refusal::new("ETAG_STALE", message).with("etag", current))
}
