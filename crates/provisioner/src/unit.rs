//! A unit as its records tell it.

use api::{
    Refusal,
    journal::v1::{UnitIssued, UnitRequested, record::Fact},
};
use mfg::DeviceState;
use records::{keys, read, read_at, refuse_store};
use store::{Position, Record, Store};

/// A unit as its newest record tells it.
#[derive(Debug, Clone)]
pub(crate) struct UnitOnRecord {
    /// Where its key points: what a change must be made against.
    pub(crate) at: Position,
    pub(crate) requested_at: u64,
    pub(crate) requested: UnitRequested,
    pub(crate) stage: Stage,
}

/// How far a unit came.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Requested,
    /// The signer refused; the request may be made again.
    Refused,
    /// It has a certificate.
    Issued(Box<Issued>),
}

/// A unit with a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) at: u64,
    pub(crate) issued: UnitIssued,
    pub(crate) state: DeviceState,
    /// What was confirmed.
    pub(crate) certificate_sha256: Option<Vec<u8>>,
}

impl UnitOnRecord {
    /// The unit that a record belongs to, as far as that record tells; none when it belongs to no unit.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED` when the records do not fit together.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(crate) fn from_record(store: &dyn Store, record: &Record) -> Result<Option<Self>, Refusal> {
        let at = record.position;
        let issued = match read(record)?.1 {
            Fact::UnitRequested(requested) => {
                return Ok(Some(Self { at, requested_at: at.as_u64(), requested, stage: Stage::Requested }));
            }
            Fact::UnitRefused(refused) => {
                let requested = requested_at(store, refused.requested_at)?;
                return Ok(Some(Self { at, requested_at: refused.requested_at, requested, stage: Stage::Refused }));
            }
            Fact::UnitIssued(issued) => Issued::new(at.as_u64(), issued),
            Fact::UnitWritten(written) => {
                let certificate_sha256 = Some(written.certificate_sha256.to_vec());
                let issued = issued_at(store, written.issued_at)?;
                Issued { state: DeviceState::Written, certificate_sha256, ..issued }
            }
            Fact::UnitRegistered(registered) => {
                let Fact::UnitWritten(written) = read_at(store, registered.written_at)?.2 else {
                    return Err(damaged(at));
                };
                let certificate_sha256 = Some(written.certificate_sha256.to_vec());
                let issued = issued_at(store, written.issued_at)?;
                Issued { state: DeviceState::Registered, certificate_sha256, ..issued }
            }
            Fact::UnitScrapped(scrapped) => {
                Issued { state: DeviceState::Scrapped, ..issued_at(store, scrapped.issued_at)? }
            }
            Fact::UnitReinstated(back) => issued_at(store, back.issued_at)?,
            _ => return Ok(None),
        };
        let asked_at = issued.issued.requested_at;
        let requested = requested_at(store, asked_at)?;
        Ok(Some(Self { at, requested_at: asked_at, requested, stage: Stage::Issued(Box::new(issued)) }))
    }

    /// The unit of a device, as it stands.
    ///
    /// # Errors
    /// As [`UnitOnRecord::from_record`].
    pub(crate) fn newest(store: &dyn Store, device_id: &str) -> Result<Option<Self>, Refusal> {
        let Some(record) = store.get(&keys::unit(device_id)).map_err(|e| refuse_store(&e))? else { return Ok(None) };
        Self::from_record(store, &record)?.map(|unit| unit.restored(store)).transpose()
    }

    /// As it stands: a refused replacement or rework leaves the unit where it stood before.
    ///
    /// # Errors
    /// As [`UnitOnRecord::from_record`].
    pub(crate) fn restored(self, store: &dyn Store) -> Result<Self, Refusal> {
        let at = self.at;
        let mut unit = self;
        while let (Stage::Refused, Some(before)) = (&unit.stage, unit.requested.before_at) {
            let (record, ..) = read_at(store, before)?;
            unit = Self::from_record(store, &record)?.ok_or_else(|| damaged(record.position))?;
        }
        Ok(Self { at, ..unit })
    }
}

impl Issued {
    pub(crate) fn new(at: u64, issued: UnitIssued) -> Self {
        Self { at, issued, state: DeviceState::Issued, certificate_sha256: None }
    }
}

fn issued_at(store: &dyn Store, at: u64) -> Result<Issued, Refusal> {
    match read_at(store, at)? {
        (_, _, Fact::UnitIssued(issued)) => Ok(Issued::new(at, issued)),
        (record, ..) => Err(damaged(record.position)),
    }
}

fn requested_at(store: &dyn Store, at: u64) -> Result<UnitRequested, Refusal> {
    match read_at(store, at)? {
        (_, _, Fact::UnitRequested(requested)) => Ok(requested),
        (record, ..) => Err(damaged(record.position)),
    }
}

fn damaged(at: Position) -> Refusal {
    Refusal::new("JOURNAL_DAMAGED", format!("the record at {at} is not what its unit says"))
}
