//! Where a handoff stands, read from its records.

use api::{
    Refusal,
    custody::v1 as custody,
    journal::v1::{HandoffIntent, HandoffOffered, record::Fact},
};
use bytes::Bytes;
use mfg::{SignedTerms, Statement};
use pki::{Sha256, UnixTime};
use records::{keys, read, read_at, refuse_store, wire};
use std::sync::Arc;
use store::{Position, Record, Store};

use crate::authority::Authority;

/// A handoff as its newest record tells it.
#[derive(Debug)]
pub(crate) struct Current {
    /// Where its key points: what a change must be made against.
    pub(crate) at: Position,
    pub(crate) offered_at: Position,
    pub(crate) offered: HandoffOffered,
    pub(crate) offered_time: i64,
    pub(crate) stage: Stage,
}

/// What became of an offer.
#[derive(Debug)]
pub(crate) enum Stage {
    Offered,
    Withdrawn {
        expired: bool,
    },
    /// Accepted, and never to be signed: the units stay handed over, and nobody has them.
    Voided {
        intent: Box<HandoffIntent>,
    },
    Accepted {
        intent_at: Position,
        intent: Box<HandoffIntent>,
        signature: Option<Bytes>,
    },
}

/// Everything a receiver checks before it accepts.
#[derive(Debug)]
pub struct OfferPapers {
    /// The handoff.
    pub handoff: custody::Handoff,
    /// The order's terms.
    pub terms: Arc<SignedTerms>,
    /// The CA certificates above the future lot CA, DER, its issuer first, without the anchor.
    pub issuer_chain: Vec<Bytes>,
    /// SHA-256 of the sender's identity key.
    pub signer: Sha256,
    /// Its signature over the offer statement.
    pub signature: Bytes,
}

impl Current {
    /// The handoff of a lot.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`.
    pub(crate) fn of(store: &dyn Store, lot: &str) -> Result<Self, Refusal> {
        let record = store.get(&keys::handoff(lot)).map_err(|e| refuse_store(&e))?.ok_or_else(|| {
            Refusal::new("LOT_UNKNOWN", format!("no handoff of lot {lot:?} is known here")).with("lot", lot)
        })?;
        Self::from_record(store, &record)
    }

    /// The handoff that a record belongs to.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when it belongs to none.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(crate) fn from_record(store: &dyn Store, record: &Record) -> Result<Self, Refusal> {
        let damaged = || Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no handoff's", record.position));
        let (offered_at, stage) = match read(record)?.1 {
            Fact::HandoffOffered(_) => (record.position.as_u64(), Stage::Offered),
            Fact::HandoffWithdrawn(w) => (w.offered_at, Stage::Withdrawn { expired: w.expired }),
            Fact::HandoffIntent(intent) => (
                intent.offered_at,
                Stage::Accepted { intent_at: record.position, intent: Box::new(intent), signature: None },
            ),
            Fact::HandoffSigned(signed) => {
                let (at, _, fact) = read_at(store, signed.intent_at)?;
                let Fact::HandoffIntent(intent) = fact else { return Err(damaged()) };
                let stage = Stage::Accepted {
                    intent_at: at.position,
                    signature: Some(signed.signature),
                    intent: Box::new(intent),
                };
                (Self::offer_of(&stage), stage)
            }
            Fact::IntentVoided(voided) => {
                let Fact::HandoffIntent(intent) = read_at(store, voided.intent_at)?.2 else { return Err(damaged()) };
                (intent.offered_at, Stage::Voided { intent: Box::new(intent) })
            }
            _ => return Err(damaged()),
        };
        let (at, entry, fact) = read_at(store, offered_at)?;
        let Fact::HandoffOffered(offered) = fact else { return Err(damaged()) };
        Ok(Self { at: record.position, offered_at: at.position, offered, offered_time: entry.at, stage })
    }

    fn offer_of(stage: &Stage) -> u64 {
        match stage {
            Stage::Accepted { intent, .. } | Stage::Voided { intent } => intent.offered_at,
            Stage::Offered | Stage::Withdrawn { .. } => 0,
        }
    }

    /// The facts as recorded.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when they do not read.
    pub(crate) fn facts(&self) -> Result<wire::Facts, Refusal> {
        wire::read_facts("facts", self.offered.facts.as_ref())
            .map_err(|e| Refusal::new("JOURNAL_DAMAGED", format!("the offer at {}: {e}", self.offered_at)))
    }

    /// Whether this is the receiver's handoff.
    pub(crate) fn is_for(&self, manufacturer: &str) -> bool {
        self.offered.facts.as_ref().is_some_and(|f| f.to == manufacturer)
    }

    /// Whether an offer has run out of time.
    pub(crate) fn has_expired(&self, now: UnixTime) -> bool {
        matches!(self.stage, Stage::Offered) && now.as_secs() > self.offered.expires_at
    }

    /// To the wire.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when a signed certificate does not assemble.
    pub(crate) fn to_wire(&self, now: UnixTime) -> Result<custody::Handoff, Refusal> {
        let (state, certificate) = match &self.stage {
            Stage::Offered if self.has_expired(now) => (custody::HandoffState::Expired, None),
            Stage::Offered => (custody::HandoffState::Offered, None),
            Stage::Withdrawn { expired: true } => (custody::HandoffState::Expired, None),
            Stage::Withdrawn { expired: false } => (custody::HandoffState::Cancelled, None),
            Stage::Accepted { signature: None, .. } => (custody::HandoffState::Accepted, None),
            Stage::Voided { .. } => (custody::HandoffState::Voided, None),
            Stage::Accepted { signature: Some(signature), intent, .. } => {
                let certificate = issuance::assemble(&intent.tbs, signature)
                    .map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e))?;
                (custody::HandoffState::Signed, Some(Bytes::from(certificate)))
            }
        };
        Ok(custody::Handoff {
            facts: self.offered.facts.clone(),
            source: self.offered.source.clone(),
            state: state.into(),
            offered_at: Some(wire::timestamp(UnixTime::new(self.offered_time))),
            expires_at: Some(wire::timestamp(UnixTime::new(self.offered.expires_at))),
            certificate,
            report: None,
            reinstated: 0,
        })
    }
}

impl Authority {
    /// One handoff; `reader` sees another manufacturer's lots only when they are its own to receive.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, also for a lot that is not the reader's: its existence is none of their business.
    pub fn handoff(&self, reader: &str, lot: &str) -> Result<custody::Handoff, Refusal> {
        self.described(lot, &self.current_for(reader, lot)?)
    }

    /// A handoff with what its receiver reported and its sender let come back.
    fn described(&self, lot: &str, current: &Current) -> Result<custody::Handoff, Refusal> {
        Ok(custody::Handoff {
            report: self.last_report(lot)?.map(|(_, report)| report),
            reinstated: self.reinstated(lot)?.map(|(_, approved)| approved.total).unwrap_or_default(),
            ..current.to_wire(self.now())?
        })
    }

    pub(crate) fn current_for(&self, reader: &str, lot: &str) -> Result<Current, Refusal> {
        let current = Current::of(self.store(), lot)?;
        if reader == self.manufacturer.as_str() || current.is_for(reader) {
            return Ok(current);
        }
        Err(Refusal::new("LOT_UNKNOWN", format!("no handoff of lot {lot:?} is known here")).with("lot", lot))
    }

    /// Handoffs in the order of their lot ids, those after `after`; a foreign reader sees its own.
    ///
    /// # Errors
    /// What the store says.
    pub fn handoffs(
        &self,
        reader: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<custody::Handoff>, Option<String>), Refusal> {
        let mut handoffs = Vec::new();
        let mut after = after.map(str::to_owned);
        // A page ends with a lot of the reader's own, never with one that it may not know of. The lots of one sender bound the walk.
        loop {
            let listed = self.store().list("handoffs", after.as_deref(), limit).map_err(|e| refuse_store(&e))?;
            let is_last = listed.len() < limit;
            for (lot, _) in listed {
                let current = Current::of(self.store(), &lot)?;
                if reader == self.manufacturer.as_str() || current.is_for(reader) {
                    handoffs.push(self.described(&lot, &current)?);
                    if handoffs.len() == limit {
                        return Ok((handoffs, Some(lot)));
                    }
                }
                after = Some(lot);
            }
            if is_last {
                return Ok((handoffs, None));
            }
        }
    }

    /// What the receiver checks before it accepts.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_NOT_OPEN`.
    pub fn offer_papers(&self, reader: &str, lot: &str) -> Result<OfferPapers, Refusal> {
        let current = self.current_for(reader, lot)?;
        let source = self.source_of(&current)?;
        let expires_at = u64::try_from(current.offered.expires_at).unwrap_or_default();
        let statement = Statement::offer(&current.facts()?.consignment, expires_at);
        Ok(OfferPapers {
            handoff: current.to_wire(self.now())?,
            signer: self.identity_key().sha256(),
            signature: Bytes::from(self.sign_statement(&statement)?),
            terms: Arc::clone(&source.terms),
            issuer_chain: source.chain.clone(),
        })
    }
}
