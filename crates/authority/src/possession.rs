//! Proving to a hub that a CA's key is held: the key signs the hub's code, on record, and nothing else of it.
//!
//! The certificate goes the way of every other: draft, recorded, signed, result recorded, answered. It moves no unit.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{IntentVoided, PossessionIntent, record::Fact},
};
use bytes::Bytes;
use issuance::CaKey;
use mfg::VerificationCode;
use pki::Certificate;
use records::{Act, Attempt, keys, named, once, read, read_at, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Receipt, Record, Rule};
use tracing::info;

use crate::{
    authority::Authority,
    complete,
    lots::closed,
    signing::{self, Signer, Subject},
};

/// The one CA that a root-ca signs with: the root, or an order CA under an offline root.
#[derive(Debug)]
pub struct OwnCa {
    pub(crate) certificate: Bytes,
    /// The key, or why it cannot sign.
    key: Result<CaKey<Receipt>, Refusal>,
}

impl OwnCa {
    /// A CA with its key; one that cannot be loaded, because it has expired for instance, signs nothing and is still known.
    #[must_use]
    pub fn new(certificate: &Certificate, key: Result<CaKey<Receipt>, issuance::LoadRefusal>) -> Self {
        Self {
            certificate: Bytes::copy_from_slice(certificate.der()),
            key: key.map_err(named(issuance::LoadRefusal::reason)),
        }
    }

    pub(crate) fn key(&self) -> Result<&CaKey<Receipt>, Refusal> {
        self.key.as_ref().map_err(Clone::clone)
    }
}

impl Authority {
    /// The certificate of the CA that signs for a lot, DER; for none, at a root-ca, its own.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `REQUEST_MALFORMED`.
    pub fn signing_ca(&self, lot: &str) -> Result<Bytes, Refusal> {
        self.signer(lot).map(|signer| signer.certificate())
    }

    /// Signs a hub's code by the key of a lot's CA or, at a root-ca, of its own. The same request gets the same certificate for ever.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_CLOSED`, `LOT_NOT_OPEN`, `SIGNING_WINDOW_CLOSED`, `ISSUER_EXPIRED`, `POSSESSION_PROOF_VOIDED`, `REQUEST_ID_REUSED`.
    pub fn prove_possession(&self, act: &Act, lot: &str, code: &VerificationCode) -> Result<Bytes, Refusal> {
        let before = |record: &Record| self.same_proof(act, lot, code, record);
        once(self.store(), act, before, |attempt| self.new_proof(act, lot, code, attempt))
    }

    fn new_proof(&self, act: &Act, lot: &str, code: &VerificationCode, attempt: Attempt<'_>) -> Result<Bytes, Refusal> {
        let now = self.check_may_issue()?;
        let signer = self.signer(lot)?;
        let relied_on = self.open_lot(&signer)?;
        let serial = self.serials.next_serial().map_err(named(issuance::SerialRefusal::reason))?;
        let draft = signer.key()?.draft_possession(code, serial, now).map_err(named(issuance::IssueRefusal::reason))?;
        self.note_time(act);
        let mut unit = act.unit(Fact::PossessionIntent(PossessionIntent {
            lot: lot.to_owned(),
            code: code.to_string(),
            tbs: Bytes::copy_from_slice(draft.tbs()),
            profile_digest: wire::digest(&draft.profile_hash()),
        }));
        let certificate = keys::certificate(draft.serial());
        unit.claims = vec![Claim { key: certificate, rule: Rule::Absent }];
        unit.claims.extend(relied_on);
        unit.intent = Some(draft.tbs_digest());
        let committed = attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, lot))?;
        let mut found_by = vec![certificate];
        found_by.extend(act.request.map(|r| keys::request(&act.caller.manufacturer, r)));
        let receipt = signing::receipt_of(committed)?;
        let outcome = signing::sign(signer.key()?, Subject::Possession, act, draft, receipt, found_by)?;
        records::commit_one(self.store(), outcome.unit)?.map_err(|c| refuse_conflict(&c, lot))?;
        info!(lot, %code, by = act.caller.by, "a ca proved possession of its key");
        Ok(outcome.certificate)
    }

    /// Whose key signs for a lot; for none, at a root-ca, that of its own CA.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; `REQUEST_MALFORMED` for a lot where none is to be named, or none where one is.
    pub(crate) fn signer(&self, lot: &str) -> Result<Signer, Refusal> {
        match (&self.own_ca, lot) {
            (Some(own), "") => Ok(Signer::Own(Arc::clone(own))),
            (Some(_), _) => Err(Refusal::malformed("lot", "is given, and this service signs with one ca of its own")),
            (None, "") => Err(Refusal::malformed("lot", "is missing: here every lot has a ca of its own")),
            (None, lot) => self.lots.get(lot).map(Signer::Lot),
        }
    }

    /// What a proof relies on: that its lot is not being closed. Read before the key is, so that a closing in between is seen.
    fn open_lot(&self, signer: &Signer) -> Result<Option<Claim>, Refusal> {
        let Signer::Lot(lot) = signer else { return Ok(None) };
        let key = keys::lot(&lot.id);
        let record = self.store().get(&key).map_err(|e| refuse_store(&e))?;
        match record.as_ref().map(|record| read(record).map(|(_, fact)| fact)).transpose()? {
            Some(Fact::LotReceived(_)) => {
                Ok(record.map(|record| Claim { key, rule: Rule::Unchanged(record.position) }))
            }
            Some(_) | None => Err(closed(&lot.id)),
        }
    }

    /// A repeated request gets the certificate that it got; one that was cut short is completed first.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    fn same_proof(&self, act: &Act, lot: &str, code: &VerificationCode, record: &Record) -> Result<Bytes, Refusal> {
        let (intent_at, signed) = match read(record)?.1 {
            Fact::PossessionIntent(_) => (record.position.as_u64(), None),
            Fact::PossessionSigned(signed) => (signed.intent_at, Some(signed.signature)),
            Fact::IntentVoided(IntentVoided { intent_at, reason, .. }) => {
                self.asked_before(act, lot, code, intent_at)?;
                let message = format!("the proof of possession was never signed: {reason}");
                return Err(Refusal::new("POSSESSION_PROOF_VOIDED", message));
            }
            _ => return Err(reused(act, "kind of request")),
        };
        let (intent, asked) = self.asked_before(act, lot, code, intent_at)?;
        if let Some(signature) = signed {
            let certificate =
                issuance::assemble(&asked.tbs, &signature).map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e))?;
            return Ok(Bytes::from(certificate));
        }
        complete::complete(self, &intent, lot)?;
        match records::replayed(self.store(), act)? {
            Some(now) if now.position != record.position => self.same_proof(act, lot, code, &now),
            Some(_) | None => Err(Refusal::new("IN_PROGRESS", "the proof of possession is being signed")
                .retry_after(std::time::Duration::from_millis(50))),
        }
    }

    /// The intent at a position, if it is what this request asks for.
    fn asked_before(
        &self,
        act: &Act,
        lot: &str,
        code: &VerificationCode,
        intent_at: u64,
    ) -> Result<(Record, PossessionIntent), Refusal> {
        match read_at(self.store(), intent_at)? {
            (record, _, Fact::PossessionIntent(intent)) if intent.lot == lot && intent.code == code.as_str() => {
                Ok((record, intent))
            }
            _ => Err(reused(act, "content")),
        }
    }
}
