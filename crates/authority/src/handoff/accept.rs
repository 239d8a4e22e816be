//! The receiver accepts: the units are spent with the intent, the certificate is signed, the chain answered.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{HandoffIntent, record::Fact},
};
use bytes::Bytes;
use issuance::{AskedFor, HandoffRequest, SubjectKey, gate};
use mfg::{Acceptance, Handoff, LotId, Movement, SignedTerms};
use pki::PublicKey;
use records::{Act, Attempt, keys, named, once, refuse_conflict, reused, wire};
use store::{Claim, Conflict, Position, Record, Rule, TallyMove};

use super::{
    offer::{already_accepted, voided, withdrawn},
    state::{Current, Stage},
};
use crate::{
    authority::Authority,
    complete,
    lots::Lot,
    signing::{self, Subject},
};

/// An acceptance to be answered with a certificate.
#[derive(Debug, Clone)]
pub struct AcceptOrder {
    /// Lot id of the offer.
    pub lot: LotId,
    /// PKCS#10 of the fresh lot key, DER.
    pub csr: Bytes,
    /// The receiver's countersignature.
    pub acceptance: Acceptance,
}

/// A signed handoff.
#[derive(Debug)]
pub struct Accepted {
    /// The handoff certificate first, then every CA certificate above it, DER, without the anchor.
    pub chain: Vec<Bytes>,
    /// The order's terms.
    pub terms: Arc<SignedTerms>,
    /// Where the signature is on record.
    pub recorded_at: Position,
}

impl Authority {
    /// Accepts an offer on behalf of its receiver and signs the handoff certificate.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `HANDOFF_WITHDRAWN`, `HANDOFF_ALREADY_ACCEPTED` (by another key), `ACCEPTANCE_INVALID`,
    /// `ACCEPTANCE_KEY_UNKNOWN`, `MANUFACTURER_SUSPENDED`, `TRUST_DOMAIN_MISMATCH`, `IDENTITY_KEY_LOST`, the gate's `CSR_...`, the issuer's refusals, `REQUEST_ID_REUSED`.
    pub fn accept(&self, act: &Act, order: &AcceptOrder) -> Result<Accepted, Refusal> {
        let lot = order.lot.as_str();
        let current = self.current_for(&act.caller.manufacturer, lot)?;
        // The sender's own people hand in what came as a file: the countersignature is the receiver's authentication.
        let source = self.source_of(&current)?;
        let key = gate(&order.csr, source.profiles.lot_keys(), AskedFor::Lot(&order.lot))
            .map_err(named(issuance::CsrRefusal::reason))?;
        let before = |record: &Record| {
            let about = Current::from_record(self.store(), record).map_err(|_| reused(act, "kind of request"))?;
            if about.offered.facts.is_none_or(|facts| facts.lot != lot) {
                return Err(reused(act, "lot"));
            }
            match about.stage {
                Stage::Accepted { intent, .. } if is_by(&intent, key.public_key()) => {
                    self.same_acceptance(order, key.public_key(), &intent, &source)
                }
                Stage::Accepted { .. } => Err(reused(act, "key")),
                Stage::Voided { .. } => Err(voided(lot)),
                Stage::Offered | Stage::Withdrawn { .. } => Err(reused(act, "kind of request")),
            }
        };
        once(self.store(), act, before, |attempt| self.new_acceptance(act, order, &key, &current, &source, attempt))
    }

    fn new_acceptance(
        &self,
        act: &Act,
        order: &AcceptOrder,
        key: &SubjectKey,
        current: &Current,
        source: &Lot,
        attempt: Attempt<'_>,
    ) -> Result<Accepted, Refusal> {
        let lot = order.lot.as_str();
        if let Some(before) = self.accepted_before(order, key.public_key(), current, source)? {
            return Ok(before);
        }
        self.check_may_issue()?;
        self.expire(current, lot)?;
        let facts = current.facts()?;
        let receiver = self.receiver(&facts.consignment.to)?;
        receiver.check_acceptance(&act.caller, &order.acceptance)?;
        self.check_acceptance(source, &facts, &order.acceptance, key.public_key())?;
        let handoff = Handoff {
            consignment: facts.consignment.clone(),
            manifest_digest: facts.manifest_digest,
            acceptance: order.acceptance.clone(),
        };
        let request = HandoffRequest {
            key,
            handoff: &handoff,
            serial: self.serials.next_serial().map_err(named(issuance::SerialRefusal::reason))?,
            now: self.now(),
        };
        let draft =
            source.issuer()?.draft_handoff(&source.profiles, request).map_err(named(issuance::IssueRefusal::reason))?;
        self.note_time(act);
        let key_digest = key.public_key().sha256();
        let mut unit = act.unit(Fact::HandoffIntent(HandoffIntent {
            offered_at: current.offered_at.as_u64(),
            lot: lot.to_owned(),
            acceptance: Some(wire::acceptance(&order.acceptance)),
            key_digest: wire::digest(&key_digest),
            tbs: Bytes::copy_from_slice(draft.tbs()),
            profile_digest: wire::digest(&draft.profile_hash()),
            issuer_chain: if source.hops == 0 { source.chain.clone() } else { Vec::new() },
        }));
        let found_by = [keys::public_key(&key_digest), keys::certificate(draft.serial())];
        unit.claims = vec![Claim { key: keys::handoff(lot), rule: Rule::At(current.at) }];
        unit.claims.extend(found_by.map(|key| Claim { key, rule: Rule::Absent }));
        unit.claims.extend(receiver.relied_on);
        if let Some(units) = facts.consignment.quantity.units() {
            unit.moves = vec![TallyMove { lot: source.tally, movement: Movement::HandOver(units) }];
        }
        unit.intent = Some(draft.tbs_digest());
        match attempt.commit(unit)? {
            Ok(committed) => {
                let mut found_by = found_by.to_vec();
                found_by.push(keys::handoff(lot));
                found_by.extend(act.request.map(|r| keys::request(&act.caller.manufacturer, r)));
                let receipt = signing::receipt_of(committed)?;
                let outcome =
                    signing::sign(source.issuer()?.ca_key(), Subject::Handoff, act, draft, receipt, found_by)?;
                let signed = records::commit_one(self.store(), outcome.unit)?.map_err(|c| refuse_conflict(&c, lot))?;
                Ok(answer(source, outcome.certificate, signed.position))
            }
            Err(conflict @ Conflict::KeyMoved { .. }) => {
                // Another acceptance of the offer was faster, or what is registered about the receiver changed this very moment.
                let current = Current::of(self.store(), lot)?;
                let before = self.accepted_before(order, key.public_key(), &current, source)?;
                before.ok_or_else(|| refuse_conflict(&conflict, lot))
            }
            Err(Conflict::KeyTaken { .. }) => {
                Err(Refusal::new("PUBLIC_KEY_TAKEN", "this public key is certified already; a lot needs a fresh one"))
            }
            Err(conflict) => Err(refuse_conflict(&conflict, &source.id)),
        }
    }

    /// What another acceptance by the same key was answered; none while the offer is open.
    fn accepted_before(
        &self,
        order: &AcceptOrder,
        key: &PublicKey,
        current: &Current,
        source: &Lot,
    ) -> Result<Option<Accepted>, Refusal> {
        let lot = order.lot.as_str();
        match &current.stage {
            Stage::Offered => Ok(None),
            Stage::Withdrawn { .. } => Err(withdrawn(lot)),
            Stage::Voided { .. } => Err(voided(lot)),
            Stage::Accepted { intent, .. } if is_by(intent, key) => {
                self.same_acceptance(order, key, intent, source).map(Some)
            }
            Stage::Accepted { .. } => Err(already_accepted(lot)),
        }
    }

    /// A repeated acceptance by the same key gets the same certificate; an unsigned one is completed first.
    fn same_acceptance(
        &self,
        order: &AcceptOrder,
        key: &PublicKey,
        accepted: &HandoffIntent,
        source: &Lot,
    ) -> Result<Accepted, Refusal> {
        let lot = order.lot.as_str();
        // A signature may be made again, and must then be as good as the one on record.
        if accepted.acceptance.as_ref() != Some(&wire::acceptance(&order.acceptance)) {
            let facts = Current::of(self.store(), lot)?.facts()?;
            self.check_acceptance(source, &facts, &order.acceptance, key)?;
        }
        for _ in 0..2 {
            let current = Current::of(self.store(), lot)?;
            if let Stage::Accepted { intent_at, intent, signature } = current.stage {
                if let Some(signature) = signature {
                    let certificate = issuance::assemble(&intent.tbs, &signature)
                        .map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e))?;
                    let mut answer = answer(source, Bytes::from(certificate), current.at);
                    // What was answered once is answered for ever, also when another order CA signs by now.
                    if source.hops == 0 {
                        answer.chain.truncate(1);
                        answer.chain.extend(intent.issuer_chain);
                    }
                    return Ok(answer);
                }
                let record = self.store().read(intent_at).map_err(|e| records::refuse_store(&e))?;
                complete::complete(self, &record, &source.id)?;
            }
        }
        Err(Refusal::new("IN_PROGRESS", format!("the handoff of lot {lot} is being signed")))
    }

    /// The countersignature must be the named receiver's, by an identity key that the terms name, over exactly this handoff.
    fn check_acceptance(
        &self,
        source: &Lot,
        facts: &wire::Facts,
        acceptance: &Acceptance,
        lot_key: &PublicKey,
    ) -> Result<(), Refusal> {
        let to = &facts.consignment.to;
        let identity_key = source.terms.terms().identity_key(to, &acceptance.identity_key_digest).ok_or_else(|| {
            Refusal::new(
                "ACCEPTANCE_KEY_UNKNOWN",
                format!("the acceptance of lot {} names no key of {to}", facts.consignment.lot),
            )
            .with("key_sha256", acceptance.identity_key_digest)
        })?;
        acceptance
            .verify(lot_key.spki(), &facts.consignment, identity_key)
            .map_err(|e| Refusal::from_error("ACCEPTANCE_INVALID", &e).with("lot", &facts.consignment.lot))
    }
}

/// Whether an acceptance was by this lot key.
fn is_by(accepted: &HandoffIntent, key: &PublicKey) -> bool {
    accepted.key_digest == key.sha256().as_bytes().as_slice()
}

fn answer(source: &Lot, certificate: Bytes, recorded_at: Position) -> Accepted {
    let chain = std::iter::once(certificate).chain(source.chain.iter().cloned()).collect();
    Accepted { chain, terms: Arc::clone(&source.terms), recorded_at }
}
