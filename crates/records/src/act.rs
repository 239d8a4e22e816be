//! One act: who did something when, under which request, as a unit of the store.

use api::{Refusal, RequestId, journal::v1 as journal, journal::v1::record::Fact};
use pki::UnixTime;
use prost::Message as _;
use service::PeerIdentity;
use store::Unit;

/// Who acts, as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Manufacturer id.
    pub manufacturer: String,
    /// The whole SPIFFE id, or "service" for the service's own acts.
    pub by: String,
}

impl Caller {
    /// The authenticated caller of a request.
    ///
    /// # Errors
    /// `PEER_WITHOUT_IDENTITY` when the request did not come through the process shell.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Refusal> {
        let peer = PeerIdentity::of(request)
            .ok_or_else(|| Refusal::new("PEER_WITHOUT_IDENTITY", "the request carries no authenticated identity"))?;
        Ok(Self { manufacturer: peer.manufacturer().to_string(), by: peer.id().to_string() })
    }

    /// The service itself, of this manufacturer.
    #[must_use]
    pub fn service(manufacturer: &str) -> Self {
        Self { manufacturer: manufacturer.to_owned(), by: "service".to_owned() }
    }
}

/// The circumstances of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: UnixTime,
    /// Who.
    pub caller: Caller,
    /// Under which request; none for the service's own acts.
    pub request: Option<RequestId>,
}

impl Act {
    /// The unit that records a fact; claims, movements and the rest are the caller's to add.
    #[must_use]
    pub fn unit(&self, fact: Fact) -> Unit {
        let kind = kind(&fact);
        let record = journal::Record {
            at: self.at.as_secs(),
            by: self.caller.by.clone(),
            request_id: self.request.map(|r| r.to_string()).unwrap_or_default(),
            fact: Some(fact),
        };
        Unit { kind, payload: record.encode_to_vec(), ..Unit::default() }
    }
}

/// The kind of a fact in the journal's frames: its field number in `countersign.journal.v1.Record`.
fn kind(fact: &Fact) -> u16 {
    match fact {
        Fact::ProgramCreated(_) => 10,
        Fact::ManufacturerRegistered(_) => 11,
        Fact::OrderProposed(_) => 12,
        Fact::OrderApproved(_) => 13,
        Fact::OrderAmended(_) => 14,
        Fact::OrderCancelled(_) => 15,
        Fact::ManufacturerChanged(_) => 16,
        Fact::HandoffOffered(_) => 20,
        Fact::HandoffWithdrawn(_) => 21,
        Fact::HandoffIntent(_) => 22,
        Fact::HandoffSigned(_) => 23,
        Fact::ReinstatementApproved(_) => 24,
        Fact::TallyReported(_) => 25,
        Fact::ManifestKept(_) => 26,
        Fact::LotAccepting(_) => 30,
        Fact::LotReceived(_) => 31,
        Fact::LotClosed(_) => 32,
        Fact::BlanksScrapped(_) => 33,
        Fact::UnitsReinstated(_) => 34,
        Fact::LotClosing(_) => 35,
        Fact::DeviceIntent(_) => 40,
        Fact::DeviceSigned(_) => 41,
        Fact::IntentVoided(_) => 42,
        Fact::DeviceWritten(_) => 43,
        Fact::DeviceScrapped(_) => 44,
        Fact::ReworkAllowed(_) => 45,
        Fact::PossessionIntent(_) => 46,
        Fact::PossessionSigned(_) => 47,
        Fact::UnitRequested(_) => 50,
        Fact::UnitIssued(_) => 51,
        Fact::UnitWritten(_) => 52,
        Fact::UnitRefused(_) => 53,
        Fact::LotLearned(_) => 54,
        Fact::UnitScrapped(_) => 55,
        Fact::UnitRegistered(_) => 56,
        Fact::UnitReinstated(_) => 57,
        Fact::OutboxAdvanced(_) => 58,
        Fact::OutboxQuarantined(_) => 59,
        Fact::HubCaChanged(_) => 60,
        Fact::HubCaKeyChanged(_) => 61,
        Fact::HubDeviceChanged(_) => 62,
        Fact::HubLotAdmitted(_) => 63,
        Fact::HubCertificateEnded(_) => 64,
        Fact::HubFeedReached(_) => 65,
        Fact::HubDevicesCreated(_) => 66,
        Fact::StoreRestored(_) => 70,
        Fact::StoreReconciled(_) => 71,
        Fact::ClockBehind(_) => 72,
        Fact::ClockRight(_) => 73,
        Fact::JournalSeen(_) => 74,
        Fact::JournalRolledBack(_) => 75,
        Fact::OutboxAskedAgain(_) => 80,
        Fact::OutboxSentAgain(_) => 81,
        Fact::OutboxReleased(_) => 82,
    }
}
