//! Coming back from an older state: nothing is issued until everybody was heard who may have seen more of the journal than it has.
//!
//! When nobody saw more, the lots go on. When somebody did, or is given up for lost, then certificates may be out that are not on
//! record here, so nobody can say how many units are left: every lot and order of the older state is retired.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use api::{
    Refusal, RequestId,
    custody::v1::JournalHead,
    journal::v1::{JournalSeen, StoreReconciled, record::Fact},
    store::v1::{ReconcileStoreRequest, SeenJournal},
};
use mfg::ManufacturerId;
use pki::UnixTime;
use records::{
    Caller, Standing, Suspended, named, not_suspended, once, read, read_at, reconciled_unit, refuse_conflict, reused,
};
use store::{Position, Record};
use tracing::{info, warn};

use crate::{
    authority::Authority,
    compare::{SEEN, at_least, not_held, read_seen_journal},
};

/// When a suspended store may have been reconciled, at the earliest.
const OPERATORS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What a peer answered that was asked over a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub manufacturer: ManufacturerId,
    /// The journal had at least so many octets.
    pub position: u64,
    /// What it saw that is not on record here, whatever the position.
    pub beyond: Option<String>,
}

impl Authority {
    /// Reads how the store stands. Called before any lot is loaded, and after a reconciliation.
    ///
    /// # Errors
    /// What the store says.
    pub fn take_standing(&self) -> Result<Standing, Refusal> {
        let standing = Standing::of(self.store())?;
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = standing;
        if let Some(why) = standing.suspended {
            warn!(reason = "STORE_SUSPENDED", "{}: nothing is issued until it is reconciled", words(why));
        }
        Ok(standing)
    }

    /// How the store stands, as it was last read.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.standing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses whatever would spend, give back or sign something; otherwise the time for which that was judged: who reads the clock once
    /// more may find another.
    ///
    /// # Errors
    /// `STORE_SUSPENDED`, `CLOCK_BEHIND`; what the store says.
    pub fn check_may_issue(&self) -> Result<UnixTime, Refusal> {
        if let Some(why) = self.standing().suspended {
            let what = format!("{} and is not reconciled yet", words(why));
            return Err(Refusal::new("STORE_SUSPENDED", what).retry_after(OPERATORS_PATIENCE));
        }
        self.check_clock()
    }

    /// Why what was recorded at a position signs nothing more, if it does not.
    #[must_use]
    pub fn retired(&self, at: Position) -> Option<String> {
        let retires = self.standing().retires(at);
        retires.then(|| "records were lost that came after it, so nobody knows what is left of it".to_owned())
    }

    /// Who may have seen more of this journal than an older state of it has: the senders, those that a lot may go to, the own line.
    #[must_use]
    pub fn acquaintances(&self, senders: impl Iterator<Item = ManufacturerId>) -> BTreeSet<ManufacturerId> {
        let mut all: BTreeSet<ManufacturerId> = senders.collect();
        for lot in self.lots.all() {
            let terms = lot.terms.terms();
            all.extend(terms.graph().receivers(&self.manufacturer).cloned());
            if terms.document().device_issuers.contains(&self.manufacturer) {
                all.insert(self.manufacturer.clone());
            }
        }
        all
    }

    /// Puts on record what others saw, and ends the suspension. The lots are for the caller to load anew.
    ///
    /// # Errors
    /// `STORE_NOT_SUSPENDED`, `RECONCILIATION_INCOMPLETE`, `JOURNAL_ROLLED_BACK`, `REQUEST_MALFORMED`, `REQUEST_ID_REUSED`.
    pub fn reconcile(
        &self,
        caller: Caller,
        request: &ReconcileStoreRequest,
        acquaintances: &BTreeSet<ManufacturerId>,
        heard: &[Heard],
    ) -> Result<(), Refusal> {
        let act = self.act(caller, RequestId::parse(&request.request_id)?);
        let lost = read_names(&request.lost)?;
        let before = |record: &Record| {
            let same = matches!(read(record)?.1, Fact::StoreReconciled(before) if read_names(&before.lost)? == lost);
            if same { Ok(()) } else { Err(reused(&act, "content")) }
        };
        once(self.store(), &act, before, |attempt| {
            let fact = self.reconciled(request, acquaintances, heard, &lost)?;
            attempt.commit(reconciled_unit(&act, fact)?)?.map_err(|c| refuse_conflict(&c, ""))?;
            info!(by = act.caller.by, lost = lost.len(), "the store is reconciled");
            Ok(())
        })
    }

    /// What a reconciliation comes to, when everybody was heard.
    fn reconciled(
        &self,
        request: &ReconcileStoreRequest,
        acquaintances: &BTreeSet<ManufacturerId>,
        heard: &[Heard],
        lost: &BTreeSet<ManufacturerId>,
    ) -> Result<StoreReconciled, Refusal> {
        let standing = Standing::of(self.store())?;
        let Some(restored_at) = standing.restored_at.filter(|_| standing.suspended.is_some()) else {
            return Err(not_suspended());
        };
        let found_by = self.found_by(restored_at)?;
        let acquaintances: BTreeSet<ManufacturerId> =
            acquaintances.iter().chain(found_by.iter().map(|heard| &heard.manufacturer)).cloned().collect();
        let heard: Vec<Heard> = heard.iter().cloned().chain(found_by).collect();
        if let Some(stranger) = lost.iter().find(|name| !acquaintances.contains(name)) {
            return Err(Refusal::malformed("lost", format!("{stranger} is nobody who could have seen this journal")));
        }
        let mut seen = read_seen(&request.seen)?;
        for heard in &heard {
            let known = seen.entry(heard.manufacturer.clone()).or_default();
            *known = heard.position.max(*known);
        }
        check_all_heard(&acquaintances, &seen, lost)?;
        check_nobody_knows_more(restored_at, &seen, &heard, lost)?;
        let seen = seen
            .iter()
            .map(|(who, position)| SeenJournal { manufacturer: who.to_string(), journal_position: *position });
        Ok(StoreReconciled {
            restored_at: restored_at.as_u64(),
            seen: seen.collect(),
            lost: lost.iter().map(ManufacturerId::to_string).collect(),
            retires: !lost.is_empty(),
        })
    }
}

impl Authority {
    /// Who showed that the journal was put back, and with what, when the suspension that began here is about that.
    fn found_by(&self, restored_at: Position) -> Result<Option<Heard>, Refusal> {
        let Fact::JournalRolledBack(found) = read_at(self.store(), restored_at.as_u64())?.2 else { return Ok(None) };
        let manufacturer = ManufacturerId::parse(&found.seen_by).map_err(named(mfg::IdRefusal::reason))?;
        let head = found.head.unwrap_or_default();
        Ok(Some(Heard { manufacturer, position: 0, beyond: Some(not_held(&head)) }))
    }

    /// What a peer was heard to have seen, with what it saw of the journal itself.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED`; what the store says.
    pub fn heard(&self, heard: Heard, seen: &JournalHead) -> Result<Heard, Refusal> {
        if self.accounts_for(heard.manufacturer.as_str(), seen)? {
            return Ok(heard);
        }
        Ok(Heard { position: at_least(seen).max(heard.position), beyond: Some(not_held(seen)), ..heard })
    }

    /// How far the journals of the others had come, as their tally reports said and as they showed them.
    ///
    /// # Errors
    /// What the store says.
    pub fn seen_journals(&self) -> Result<BTreeMap<String, u64>, Refusal> {
        let mut seen = BTreeMap::new();
        records::every(self.store(), "handoffs", |lot, _| {
            let handoff = self.handoff(self.manufacturer.as_str(), lot)?;
            if let (Some(facts), Some(report)) = (handoff.facts, handoff.report) {
                let known = seen.entry(facts.to).or_default();
                *known = report.journal_position.max(*known);
            }
            Ok(())
        })?;
        records::every(self.store(), SEEN, |_, record| {
            let JournalSeen { manufacturer, head, .. } = read_seen_journal(record)?;
            let known = seen.entry(manufacturer).or_default();
            *known = at_least(&head.unwrap_or_default()).max(*known);
            Ok(())
        })?;
        Ok(seen)
    }
}

/// How a suspension is told.
fn words(why: Suspended) -> &'static str {
    match why {
        Suspended::Restored => "this store was restored from a backup",
        Suspended::RolledBack => "this store was put back to an older state: a peer saw what its journal does not hold",
    }
}

fn read_names(names: &[String]) -> Result<BTreeSet<ManufacturerId>, Refusal> {
    names.iter().map(|name| ManufacturerId::parse(name).map_err(named(mfg::IdRefusal::reason))).collect()
}

/// The most that each was said to have seen.
fn read_seen(seen: &[SeenJournal]) -> Result<BTreeMap<ManufacturerId, u64>, Refusal> {
    let mut most = BTreeMap::new();
    for SeenJournal { manufacturer, journal_position } in seen {
        let manufacturer = ManufacturerId::parse(manufacturer).map_err(named(mfg::IdRefusal::reason))?;
        let known = most.entry(manufacturer).or_default();
        *known = (*journal_position).max(*known);
    }
    Ok(most)
}

fn check_all_heard(
    acquaintances: &BTreeSet<ManufacturerId>,
    seen: &BTreeMap<ManufacturerId, u64>,
    lost: &BTreeSet<ManufacturerId>,
) -> Result<(), Refusal> {
    let missing = acquaintances.iter().filter(|who| !seen.contains_key(who) && !lost.contains(who));
    let missing: Vec<&str> = missing.map(ManufacturerId::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    let what = format!("nobody knows yet what was seen of this journal by: {missing}");
    Err(Refusal::new("RECONCILIATION_INCOMPLETE", what).with("missing", missing))
}

fn check_nobody_knows_more(
    restored_at: Position,
    seen: &BTreeMap<ManufacturerId, u64>,
    heard: &[Heard],
    lost: &BTreeSet<ManufacturerId>,
) -> Result<(), Refusal> {
    let refuse = |who: &ManufacturerId, what: String| {
        Err(Refusal::new("JOURNAL_ROLLED_BACK", format!("{who} {what}; the older state ends at {restored_at}"))
            .with("manufacturer", who)
            .with("restored_at", restored_at))
    };
    let ahead = |(who, position): &(&ManufacturerId, &u64)| **position > restored_at.as_u64() && !lost.contains(*who);
    if let Some((who, position)) = seen.iter().find(ahead) {
        return refuse(who, format!("saw this journal up to {position}"));
    }
    let beyond = heard.iter().filter(|heard| !lost.contains(&heard.manufacturer));
    match beyond.filter_map(|heard| Some((&heard.manufacturer, heard.beyond.clone()?))).next() {
        Some((who, what)) => refuse(who, what),
        None => Ok(()),
    }
}
