//! A unit as its records tell it.

use api::{
    Refusal,
    journal::v1::{UnitIssued, UnitRequested, record::Fact},
};
use records::{read, read_at};
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
    Issued {
        issued_at: u64,
        issued: UnitIssued,
    },
    Written {
        issued: UnitIssued,
        certificate_sha256: Vec<u8>,
    },
}

impl UnitOnRecord {
    /// The unit that a record belongs to; none when it belongs to no unit.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED` when the records do not fit together.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(crate) fn from_record(store: &dyn Store, record: &Record) -> Result<Option<Self>, Refusal> {
        let at = record.position;
        let (requested_at, stage) = match read(record)?.1 {
            Fact::UnitRequested(requested) => {
                return Ok(Some(Self { at, requested_at: at.as_u64(), requested, stage: Stage::Requested }));
            }
            Fact::UnitRefused(refused) => (refused.requested_at, Stage::Refused),
            Fact::UnitIssued(issued) => (issued.requested_at, Stage::Issued { issued_at: at.as_u64(), issued }),
            Fact::UnitWritten(written) => {
                let Fact::UnitIssued(issued) = read_at(store, written.issued_at)?.2 else {
                    return Err(damaged(at));
                };
                let certificate_sha256 = written.certificate_sha256.to_vec();
                (issued.requested_at, Stage::Written { issued, certificate_sha256 })
            }
            _ => return Ok(None),
        };
        let Fact::UnitRequested(requested) = read_at(store, requested_at)?.2 else {
            return Err(damaged(at));
        };
        Ok(Some(Self { at, requested_at, requested, stage }))
    }
}

fn damaged(at: Position) -> Refusal {
    Refusal::new("JOURNAL_DAMAGED", format!("the record at {at} is not what its unit says"))
}
