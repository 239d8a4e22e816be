//! Whether a store may be issued from: what restoring it, what peers saw of it, reconciling it, and a clock that jumps put on record.
//!
//! A backup is an older state of a journal, and nothing in the store tells what came after. So a restored store of a CA says that it is
//! one, in its own journal, and issues nothing until those who saw more of it were heard. One that was put back without a restore says so
//! as soon as somebody shows what it does not hold.

use api::{
    Refusal,
    custody::v1::JournalHead,
    journal::v1::{JournalRolledBack, StoreReconciled, StoreRestored, record::Fact},
};
use pki::UnixTime;
use store::{Claim, Entry, Head, Position, Rule, Store, Unit};

use crate::{Act, Caller, every, keys, named, read, refuse_store};

/// The collection of restorations and reconciliations, in the order in which they happened.
const LIST: &str = "restorations";
/// The services whose stores are issued from.
const ISSUING: [&str; 2] = ["root-ca", "intermediate-ca"];

/// How a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Where the backup ended that it was last restored from, or where it was last found to be put back.
    pub restored_at: Option<Position>,
    /// Why it is to be reconciled before anything is issued.
    pub suspended: Option<Suspended>,
    /// What was in the journal before this position signs nothing more.
    pub retired_before: Option<Position>,
    /// When that was last decided: what peers saw of the journal until then is given up.
    pub gave_up_at: Option<UnixTime>,
    /// The clock was found behind the journal, and is not right yet.
    pub clock_behind: Option<Behind>,
}

/// Why a store is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspended {
    /// It was made of a backup.
    Restored,
    /// A peer saw what its journal does not hold.
    RolledBack,
}

/// A clock that jumped back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Where that is on record.
    pub at: Position,
    /// The latest time that a record had.
    pub latest: UnixTime,
}

impl Standing {
    /// As the journal tells it.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED` when its records do not read.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub fn of(store: &dyn Store) -> Result<Self, Refusal> {
        let mut standing = Self { clock_behind: behind(store)?, ..Self::default() };
        every(store, LIST, |_, record| {
            let (entry, fact) = read(record)?;
            match fact {
                Fact::StoreRestored(restored) => {
                    standing.restored_at = Some(record.position);
                    standing.suspended = restored.suspended.then_some(Suspended::Restored);
                }
                Fact::JournalRolledBack(_) => {
                    standing.restored_at = Some(record.position);
                    standing.suspended = Some(Suspended::RolledBack);
                }
                Fact::StoreReconciled(reconciled) => {
                    standing.suspended = None;
                    if reconciled.retires {
                        standing.retired_before = Some(Position::from_u64(reconciled.restored_at));
                        standing.gave_up_at = Some(UnixTime::new(entry.at));
                    }
                }
                _ => {
                    let what = format!("the record at {} is about no restoration", record.position);
                    return Err(Refusal::new("JOURNAL_DAMAGED", what));
                }
            }
            Ok(())
        })?;
        Ok(standing)
    }

    /// Whether what was recorded here signs nothing more.
    #[must_use]
    pub fn retires(&self, at: Position) -> bool {
        self.retired_before.is_some_and(|before| at < before)
    }
}

/// Whether the newest word on the clock is that it is behind.
fn behind(store: &dyn Store) -> Result<Option<Behind>, Refusal> {
    let Some(record) = store.get(&keys::clock()).map_err(|e| refuse_store(&e))? else { return Ok(None) };
    let Fact::ClockBehind(behind) = read(&record)?.1 else { return Ok(None) };
    Ok(Some(Behind { at: record.position, latest: UnixTime::new(behind.latest) }))
}

/// The unit that says that a store was made of a backup: the first one after its end.
///
/// # Errors
/// `INTERNAL` when the entry cannot be named; it always can.
pub fn restored_unit(now: UnixTime, service: &str, manufacturer: &str, end: Head) -> Result<Unit, Refusal> {
    let act = Act { at: now, caller: Caller::service(manufacturer), request: None };
    let mut unit = act.unit(Fact::StoreRestored(StoreRestored { suspended: ISSUING.contains(&service) }));
    unit.entry = Some(entry(end.position, "restored")?);
    Ok(unit)
}

/// The unit that says that a journal, which ends here, does not hold what a peer saw of it.
///
/// # Errors
/// As [`restored_unit`].
pub fn rolled_back_unit(act: &Act, end: Head, seen_by: &str, head: &JournalHead) -> Result<Unit, Refusal> {
    // Its name comes before that of its reconciliation, which may begin with the same place.
    let fact = JournalRolledBack { seen_by: seen_by.to_owned(), head: Some(head.clone()) };
    let mut unit = act.unit(Fact::JournalRolledBack(fact));
    unit.entry = Some(entry(end.position, "put back")?);
    Ok(unit)
}

/// The unit that ends a suspension, once.
///
/// # Errors
/// As [`restored_unit`].
pub fn reconciled_unit(act: &Act, reconciled: StoreReconciled) -> Result<Unit, Refusal> {
    let restored_at = Position::from_u64(reconciled.restored_at);
    let mut unit = act.unit(Fact::StoreReconciled(reconciled));
    unit.claims = vec![Claim { key: keys::reconciled(restored_at.as_u64()), rule: Rule::Absent }];
    unit.entry = Some(entry(restored_at, "restored, reconciled")?);
    Ok(unit)
}

fn entry(restored_at: Position, what: &str) -> Result<Entry, Refusal> {
    let name = format!("{:020} {what}", restored_at.as_u64());
    Entry::new(LIST, &name).map_err(named(store::EntryInvalid::reason))
}
