//! Closing a lot: its tally becomes final, is signed, and only then its key is destroyed.
//!
//! Three steps, each on record before the next: after a crash between any two of them the next start goes on from there.

use api::{
    Refusal,
    custody::v1::TallyReport,
    journal::v1::{LotClosed, LotClosing, record::Fact},
};
use authority::LotIssuer;
use mfg::{LotId, Movement, SignedTerms};
use records::{Act, Attempt, keys, named, once, read, refuse_conflict, reused, wire};
use service::secret::SecretError;
use store::{Claim, Conflict, Entry, Record, Rule, TallyMove};
use tracing::info;

use crate::{
    lots::{self, LotOnRecord, Stage},
    receive::Receiver,
};

/// Closes a lot. What was issued is answered for ever; what remained is void.
///
/// # Errors
/// `LOT_UNKNOWN`, `LOT_NOT_OPEN` (not received yet), `STORE_SUSPENDED`, `UNITS_IN_DOUBT`, `OFFERS_OUTSTANDING`, `REQUEST_ID_REUSED`.
pub(crate) fn close(receiver: &Receiver, act: &Act, lot: &LotId) -> Result<TallyReport, Refusal> {
    let id = lot.as_str();
    let authority = &receiver.authority;
    let before = |record: &Record| {
        let same = matches!(read(record)?.1, Fact::LotClosing(closing) if closing.lot == id);
        if same { Ok(()) } else { Err(reused(act, "content")) }
    };
    once(authority.store(), act, before, |attempt| begin(receiver, act, id, attempt))?;
    finish(receiver, id)
}

/// Makes a lot's tally final, unless somebody did already.
fn begin(receiver: &Receiver, act: &Act, id: &str, attempt: Attempt<'_>) -> Result<(), Refusal> {
    let authority = &receiver.authority;
    let on_record = LotOnRecord::of(authority.store(), id)?;
    on_record.check_not_retired(authority)?;
    match on_record.stage {
        Stage::Accepting(_) => return Err(authority::not_received(id)),
        Stage::Received(_) => {}
        Stage::Closing(..) | Stage::Closed(..) => return Ok(()),
    }
    // A final tally has to be the last word, and a backup's is not.
    authority.check_may_issue()?;
    let closing = LotClosing { lot: id.to_owned(), received_at: on_record.at.as_u64() };
    let mut unit = act.unit(Fact::LotClosing(closing));
    unit.claims = vec![Claim { key: keys::lot(id), rule: Rule::At(on_record.at) }];
    unit.moves = vec![TallyMove { lot: keys::lot(id), movement: Movement::Close }];
    unit.entry = Some(Entry::new("lots", id).map_err(named(store::EntryInvalid::reason))?);
    match attempt.commit(unit)? {
        // A conflict may be that somebody else closes it this very moment.
        Ok(_) | Err(Conflict::KeyMoved { .. }) => Ok(()),
        Err(conflict) => Err(refuse_conflict(&conflict, id)),
    }
}

/// Does what is left of closing a lot whose tally is final: signs the tally, forgets the key, destroys its file.
///
/// # Errors
/// What the store, the identity key or the disk says; repeating it goes on.
pub(crate) fn finish(receiver: &Receiver, id: &str) -> Result<TallyReport, Refusal> {
    let authority = &receiver.authority;
    let on_record = LotOnRecord::of(authority.store(), id)?;
    let (received, report) = match on_record.stage {
        Stage::Closed(received, report) => (received, *report),
        Stage::Closing(received, received_at) => {
            let certificate = received.chain.first().cloned().unwrap_or_default();
            let report = authority.tally_report(id, &certificate, &authority.tally(id)?)?;
            let closed =
                LotClosed { lot: id.to_owned(), received_at: received_at.as_u64(), report: Some(report.clone()) };
            let mut unit = authority.own_act().unit(Fact::LotClosed(closed));
            unit.claims = vec![Claim { key: keys::lot(id), rule: Rule::At(on_record.at) }];
            unit.entry = Some(Entry::new("lots", id).map_err(named(store::EntryInvalid::reason))?);
            match records::commit_one(authority.store(), unit)? {
                Ok(_) => (received, report),
                // Somebody else finished it: what is on record is the report.
                Err(Conflict::KeyMoved { .. }) => return finish(receiver, id),
                Err(conflict) => return Err(refuse_conflict(&conflict, id)),
            }
        }
        Stage::Accepting(_) | Stage::Received(_) => {
            return Err(Refusal::new("LOT_NOT_OPEN", format!("lot {id} is not being closed")).with("lot", id));
        }
    };
    let terms = received.terms.clone().unwrap_or_default();
    let terms = SignedTerms::verify(&terms.terms, &terms.signature, &authority.bundle())
        .map_err(named(mfg::TermsRefusal::reason))?;
    authority.lots.put(lots::described(receiver, &received, terms, LotIssuer::Closed)?);
    let key = wire::read_digest("key_digest", &received.key_digest)?;
    receiver.lot_keys.destroy(&lots::key_file(&key)).map_err(named(SecretError::reason))?;
    info!(lot = id, "a lot is closed; its key is destroyed");
    Ok(report)
}
