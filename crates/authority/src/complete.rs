//! After a crash: what was intended and not signed is signed now, over the same bytes, or voided on record.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{DeviceIntent, HandoffIntent, HandoffOffered, IntentVoided, record::Fact},
};
use issuance::Draft;
use records::{Act, named, read, read_at, refuse_store, wire};
use store::{Claim, Record, Rule, TallyMove};
use tracing::{info, warn};

use crate::{
    authority::Authority,
    device::{Certified, Occasion},
    lots::Lot,
    signing::{self, Signer, Subject},
};

/// What an open intent would have signed.
enum Intent {
    Device(Box<DeviceIntent>),
    Handoff,
    Possession,
}

/// Completes or voids every open intent of the store. Called once, before the service answers anybody.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when an open unit is no intent.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub fn complete_open_intents(authority: &Authority) -> Result<usize, Refusal> {
    if let Err(refusal) = authority.check_may_issue() {
        // What was open when a backup ended may have been signed and answered since; what a clock that is behind leaves, a retry completes.
        warn!(%refusal, "open intents stay open for now");
        return Ok(0);
    }
    let open = authority.store().open_intents().map_err(|e| refuse_store(&e))?;
    for at in &open {
        let record = authority.store().read(*at).map_err(|e| refuse_store(&e))?;
        let (about, lot) = match read(&record)?.1 {
            Fact::DeviceIntent(intent) => {
                let lot = intent.lot.clone();
                (Intent::Device(Box::new(intent)), lot)
            }
            Fact::HandoffIntent(intent) => {
                let lot = source_of(authority, &intent)?;
                (Intent::Handoff, lot)
            }
            Fact::PossessionIntent(intent) => (Intent::Possession, intent.lot),
            _ => return Err(Refusal::new("JOURNAL_DAMAGED", format!("the open unit at {at} is no intent"))),
        };
        match complete(authority, &record, &lot) {
            Ok(()) => info!(intent_at = at.as_u64(), lot, "completed an intent that was not answered"),
            Err(refusal) if authority.check_may_issue().is_err() => return Err(refusal),
            Err(refusal) => {
                warn!(intent_at = at.as_u64(), lot, %refusal, "an intent cannot be signed");
                void(authority, &record, &about, &lot, &refusal)?;
            }
        }
    }
    Ok(open.len())
}

/// Completes one device intent that a failed worker left.
pub(crate) fn complete_device(authority: &Authority, certified: &Certified) -> Result<(), Refusal> {
    let record = authority.store().read(certified.intent_at).map_err(|e| refuse_store(&e))?;
    complete(authority, &record, &certified.intent.lot)
}

/// Signs a recorded intent over the same bytes and commits the result. Somebody else's result in between is as good.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(crate) fn complete(authority: &Authority, intent: &Record, lot: &str) -> Result<(), Refusal> {
    authority.check_may_issue()?;
    let (subject, signer, tbs, profile) = match read(intent)?.1 {
        Fact::DeviceIntent(intent) => {
            (Subject::Device, Signer::Lot(authority.lots.get(lot)?), intent.tbs, intent.profile_digest)
        }
        Fact::HandoffIntent(intent) => {
            (Subject::Handoff, Signer::Lot(source_lot(authority, &intent)?), intent.tbs, intent.profile_digest)
        }
        Fact::PossessionIntent(intent) => {
            (Subject::Possession, authority.signer(&intent.lot)?, intent.tbs, intent.profile_digest)
        }
        _ => return Err(Refusal::new("JOURNAL_DAMAGED", format!("the unit at {} is no intent", intent.position))),
    };
    let profile = wire::read_digest("profile_digest", &profile)?;
    let draft: Draft = signer.key()?.resume(tbs.to_vec(), profile).map_err(named(issuance::IssueRefusal::reason))?;
    let receipt = match authority.store().receipt(intent.position) {
        Err(store::StoreError::IntentNotOpen { .. }) => return Ok(()),
        other => other.map_err(|e| refuse_store(&e))?,
    };
    let outcome = signing::sign(signer.key()?, subject, &authority.own_act(), draft, receipt, intent.keys.clone())?;
    match records::commit_one(authority.store(), outcome.unit)? {
        Ok(_) | Err(store::Conflict::NotOpen { .. }) => Ok(()),
        Err(conflict) => Err(records::refuse_conflict(&conflict, lot)),
    }
}

/// Gives back what an intent that can never be signed had spent, and the device id and public key that it named.
fn void(authority: &Authority, intent: &Record, about: &Intent, lot: &str, why: &Refusal) -> Result<(), Refusal> {
    let act: Act = authority.own_act();
    let restores_at = match about {
        Intent::Device(intent) => intent.replaces_at,
        Intent::Handoff | Intent::Possession => None,
    };
    let voided = IntentVoided { intent_at: intent.position.as_u64(), reason: why.to_string(), restores_at };
    let mut unit = act.unit(Fact::IntentVoided(voided));
    unit.completes = Some(intent.position);
    match about {
        Intent::Device(about) => {
            let movement = Occasion::undo(about);
            unit.moves =
                movement.map(|movement| TallyMove { lot: records::keys::lot(lot), movement }).into_iter().collect();
        }
        // A handoff stays spent: the receiver has countersigned, and only the sender's operator can tell what was built.
        Intent::Handoff => {}
        Intent::Possession => {}
    }
    unit.claims = intent.keys.iter().map(|key| Claim { key: *key, rule: Rule::Any }).collect();
    match records::commit_one(authority.store(), unit)? {
        Ok(_) | Err(store::Conflict::NotOpen { .. }) => Ok(()),
        Err(conflict) => Err(records::refuse_conflict(&conflict, lot)),
    }
}

fn source_of(authority: &Authority, intent: &HandoffIntent) -> Result<String, Refusal> {
    offer_of(authority, intent).map(|offered| offered.source)
}

/// The lot under the terms that the handoff was offered under: an order may have been amended since.
fn source_lot(authority: &Authority, intent: &HandoffIntent) -> Result<Arc<Lot>, Refusal> {
    let offered = offer_of(authority, intent)?;
    let facts = wire::read_facts("facts", offered.facts.as_ref())
        .map_err(|e| Refusal::new("JOURNAL_DAMAGED", format!("the offer at {}: {e}", intent.offered_at)))?;
    authority.lots.under(&offered.source, &facts.consignment.terms_digest)
}

fn offer_of(authority: &Authority, intent: &HandoffIntent) -> Result<HandoffOffered, Refusal> {
    let Fact::HandoffOffered(offered) = read_at(authority.store(), intent.offered_at)?.2 else {
        return Err(Refusal::new("JOURNAL_DAMAGED", format!("{} is no offer", intent.offered_at)));
    };
    Ok(offered)
}
