//! An order as the journal tells it: proposals, approvals, amendments, a cancellation, each naming the record before it.

use api::{
    Refusal,
    journal::v1::{OperatorSignature, record::Fact},
    order::v1::OrderState,
};
use bytes::Bytes;
use mfg::Terms;
use records::{read, read_at, refuse_store};
use store::{Position, Record, Store};

/// One version of an order, as the newest record about it tells.
pub(super) struct OrderOnRecord {
    /// That record: what a change must be made against.
    pub(super) at: Position,
    /// Where this version was proposed.
    pub(super) proposed_at: Position,
    pub(super) order: String,
    pub(super) terms: Bytes,
    /// Tells a repetition of the request that proposed this version.
    pub(super) request_digest: Bytes,
    /// The newest record of the version before this one.
    amends: Option<u64>,
    pub(super) approvals: Vec<OperatorSignature>,
    /// Set once this version is approved.
    pub(super) brand_signature: Option<Bytes>,
    ending: Ending,
}

/// Whether the order has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    None,
    Cancelled,
}

impl OrderOnRecord {
    /// The order that a record belongs to.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when it belongs to none.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(super) fn from_record(store: &dyn Store, record: &Record) -> Result<Self, Refusal> {
        match read(record)?.1 {
            Fact::OrderApproved(approved) => {
                let (proposed, _, fact) = read_at(store, approved.proposed_at)?;
                let version = Self::proposed(&proposed, fact)?;
                let (approvals, brand_signature) = (approved.approvals, approved.brand_signature);
                Ok(Self { at: record.position, approvals, brand_signature, ..version })
            }
            Fact::OrderCancelled(cancelled) => {
                let before = store.read(Position::from_u64(cancelled.before_at)).map_err(|e| refuse_store(&e))?;
                // Nothing follows a cancellation, so this goes no deeper than one.
                let (_, fact) = read(&before)?;
                if matches!(fact, Fact::OrderCancelled(_)) {
                    return Err(damaged(&before));
                }
                Ok(Self { at: record.position, ending: Ending::Cancelled, ..Self::from_record(store, &before)? })
            }
            fact => Self::proposed(record, fact),
        }
    }

    /// A version that nobody has approved.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    fn proposed(record: &Record, fact: Fact) -> Result<Self, Refusal> {
        let (order, terms, request_digest, amends) = match fact {
            Fact::OrderProposed(proposed) => (proposed.order, proposed.terms, proposed.draft_digest, None),
            Fact::OrderAmended(amended) => {
                (amended.order, amended.terms, amended.draft_digest, Some(amended.amends_at))
            }
            _ => return Err(damaged(record)),
        };
        Ok(Self {
            at: record.position,
            proposed_at: record.position,
            order,
            terms,
            request_digest,
            amends,
            approvals: Vec::new(),
            brand_signature: None,
            ending: Ending::None,
        })
    }

    /// The version before this one.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED`.
    pub(super) fn earlier(&self, store: &dyn Store) -> Result<Option<Self>, Refusal> {
        let Some(at) = self.amends else { return Ok(None) };
        let record = store.read(Position::from_u64(at)).map_err(|e| refuse_store(&e))?;
        // The journal grows in one direction, so the walk ends.
        if record.position >= self.proposed_at {
            return Err(damaged(&record));
        }
        Self::from_record(store, &record).map(Some)
    }

    /// Where the order was first proposed.
    ///
    /// # Errors
    /// As [`OrderOnRecord::earlier`].
    pub(super) fn began_at(&self, store: &dyn Store) -> Result<Position, Refusal> {
        let (mut began_at, mut earlier) = (self.proposed_at, self.earlier(store)?);
        while let Some(version) = earlier {
            began_at = version.proposed_at;
            earlier = version.earlier(store)?;
        }
        Ok(began_at)
    }

    pub(super) fn terms(&self) -> Result<Terms, Refusal> {
        Terms::parse(&self.terms).map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e))
    }

    /// Where the newest version stands.
    pub(super) fn state(&self) -> OrderState {
        match (self.ending, &self.brand_signature) {
            (Ending::Cancelled, _) => OrderState::Cancelled,
            (Ending::None, Some(_)) => OrderState::Approved,
            (Ending::None, None) => OrderState::Proposed,
        }
    }

    /// Refuses a cancelled order.
    ///
    /// # Errors
    /// `ORDER_CANCELLED`.
    pub(super) fn check_not_cancelled(&self) -> Result<(), Refusal> {
        match self.ending {
            Ending::None => Ok(()),
            Ending::Cancelled => Err(Refusal::new("ORDER_CANCELLED", format!("order {} is cancelled", self.order))
                .with("order", &self.order)),
        }
    }
}

fn damaged(record: &Record) -> Refusal {
    Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no order's", record.position))
}
