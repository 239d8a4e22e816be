//! After a crash: what was intended and not signed is signed now, over the same bytes, or voided on record.

use api::{
    Refusal,
    journal::v1::{HandoffIntent, IntentVoided, record::Fact},
};
use issuance::Draft;
use mfg::Movement;
use records::{Act, named, read, read_at, refuse_store, wire};
use store::{Position, Record, TallyMove};
use tracing::{info, warn};

use crate::{
    authority::Authority,
    device::Earlier,
    signing::{self, Subject},
};

/// Completes or voids every open intent of the store. Called once, before the service answers anybody.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when an open unit is no intent.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub fn complete_open_intents(authority: &Authority) -> Result<usize, Refusal> {
    let open = authority.store().open_intents().map_err(|e| refuse_store(&e))?;
    for at in &open {
        let record = authority.store().read(*at).map_err(|e| refuse_store(&e))?;
        let (subject, lot) = match read(&record)?.1 {
            Fact::DeviceIntent(intent) => (Subject::Device, intent.lot),
            Fact::HandoffIntent(intent) => (Subject::Handoff, source_of(authority, &intent)?),
            _ => return Err(Refusal::new("JOURNAL_DAMAGED", format!("the open unit at {at} is no intent"))),
        };
        match complete(authority, &record, &lot) {
            Ok(()) => info!(intent_at = at.as_u64(), lot, "completed an intent that was not answered"),
            Err(refusal) => {
                warn!(intent_at = at.as_u64(), lot, %refusal, "an intent cannot be signed");
                void(authority, *at, subject, &lot, &refusal)?;
            }
        }
    }
    Ok(open.len())
}

/// Completes one device intent that a failed worker left.
pub(crate) fn complete_device(authority: &Authority, earlier: &Earlier) -> Result<(), Refusal> {
    let record = authority.store().read(earlier.intent_at).map_err(|e| refuse_store(&e))?;
    complete(authority, &record, &earlier.intent.lot)
}

/// Signs a recorded intent over the same bytes and commits the result. Somebody else's result in between is as good.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(crate) fn complete(authority: &Authority, intent: &Record, lot: &str) -> Result<(), Refusal> {
    let lot = authority.lots.get(lot)?;
    let (subject, tbs, profile) = match read(intent)?.1 {
        Fact::DeviceIntent(intent) => (Subject::Device, intent.tbs, intent.profile_digest),
        Fact::HandoffIntent(intent) => (Subject::Handoff, intent.tbs, intent.profile_digest),
        _ => return Err(Refusal::new("JOURNAL_DAMAGED", format!("the unit at {} is no intent", intent.position))),
    };
    let profile = wire::read_digest("profile_digest", &profile)?;
    let draft: Draft = lot.issuer()?.resume(tbs.to_vec(), profile).map_err(named(issuance::IssueRefusal::reason))?;
    let receipt = match authority.store().receipt(intent.position) {
        Err(store::StoreError::IntentNotOpen { .. }) => return Ok(()),
        other => other.map_err(|e| refuse_store(&e))?,
    };
    let outcome = signing::sign(&lot, subject, &authority.own_act(), draft, receipt, intent.keys.clone())?;
    match records::commit_one(authority.store(), outcome.unit)? {
        Ok(_) | Err(store::Conflict::NotOpen { .. }) => Ok(()),
        Err(conflict) => Err(records::refuse_conflict(&conflict, &lot.id)),
    }
}

/// Gives back what an intent that can never be signed had spent. Its keys stay taken: the journal says what became of them.
fn void(authority: &Authority, at: Position, subject: Subject, lot: &str, why: &Refusal) -> Result<(), Refusal> {
    let act: Act = authority.own_act();
    let voided = IntentVoided { intent_at: at.as_u64(), reason: why.to_string() };
    let mut unit = act.unit(Fact::IntentVoided(voided));
    unit.completes = Some(at);
    match subject {
        Subject::Device => {
            unit.moves = vec![TallyMove { lot: records::keys::lot(lot), movement: Movement::UnProvision }];
        }
        // A handoff stays spent: the receiver has countersigned, and only the sender's operator can tell what was built.
        Subject::Handoff => {}
    }
    match records::commit_one(authority.store(), unit)? {
        Ok(_) | Err(store::Conflict::NotOpen { .. }) => Ok(()),
        Err(conflict) => Err(records::refuse_conflict(&conflict, lot)),
    }
}

fn source_of(authority: &Authority, intent: &HandoffIntent) -> Result<String, Refusal> {
    let Fact::HandoffOffered(offered) = read_at(authority.store(), intent.offered_at)?.2 else {
        return Err(Refusal::new("JOURNAL_DAMAGED", format!("{} is no offer", intent.offered_at)));
    };
    Ok(offered.source)
}
