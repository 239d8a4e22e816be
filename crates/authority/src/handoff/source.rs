//! The lot that an offer takes from. At a root-ca that is a production order, which changes, is approved anew and cancelled.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{OrderApproved, record::Fact},
};
use records::{keys, read, refuse_store};
use store::{Claim, Record, Rule};

use super::state::{Current, Stage};
use crate::{authority::Authority, lots::Lot};

/// A lot that may be offered from.
pub(super) struct Source {
    pub(super) lot: Arc<Lot>,
    /// What an offer relies on: that an order stays as it is.
    pub(super) relied_on: Option<Claim>,
}

/// What was offered from a lot: what stands against ending it, or against changing the order that it is.
#[derive(Debug)]
pub struct Offered {
    /// The lots of its open offers.
    pub open: Vec<String>,
    /// Whether a lot without a quantity was handed over.
    pub unlimited_handed_over: bool,
    /// Holds as long as nothing more is offered from it.
    pub relied_on: Claim,
}

impl Authority {
    /// What was offered from a lot so far. Offers that ran out of time are withdrawn on the way.
    ///
    /// # Errors
    /// What the store says.
    pub fn offered_from(&self, source: &str) -> Result<Offered, Refusal> {
        let key = keys::offers(source);
        // Read before the offers: one that comes while they are read moves the key.
        let last = self.store().get(&key).map_err(|e| refuse_store(&e))?;
        let rule = last.map_or(Rule::Absent, |record| Rule::Unchanged(record.position));
        let mut offered = Offered { open: Vec::new(), unlimited_handed_over: false, relied_on: Claim { key, rule } };
        records::every(self.store(), "handoffs", |lot, _| self.note(&mut offered, source, lot))?;
        Ok(offered)
    }

    fn note(&self, offered: &mut Offered, source: &str, lot: &str) -> Result<(), Refusal> {
        let mut handoff = Current::of(self.store(), lot)?;
        if handoff.offered.source != source {
            return Ok(());
        }
        if handoff.has_expired(self.now()) {
            self.release(lot)?;
            handoff = Current::of(self.store(), lot)?;
        }
        match handoff.stage {
            Stage::Offered => offered.open.push(lot.to_owned()),
            Stage::Withdrawn { .. } | Stage::Voided { .. } => {}
            Stage::Accepted { .. } => {
                offered.unlimited_handed_over |= handoff.facts()?.consignment.quantity.units().is_none();
            }
        }
        Ok(())
    }

    /// The lot that a new offer takes from.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_NOT_OPEN`, `ORDER_CANCELLED`.
    pub(super) fn source(&self, id: &str) -> Result<Source, Refusal> {
        let found = |key| self.store().get(&key).map_err(|e| refuse_store(&e));
        if let Some(record) = found(keys::order(id))? {
            return self.order_as_source(id, &record);
        }
        match self.lots.get(id) {
            Ok(lot) => Ok(Source { lot, relied_on: None }),
            Err(unknown) => Err(if found(keys::lot(id))?.is_some() { not_open(id) } else { unknown }),
        }
    }

    /// The record decides, not what is loaded: an order that is being amended is closed from that record on.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact leaves the order not open, also one that is added later"
    )]
    fn order_as_source(&self, id: &str, record: &Record) -> Result<Source, Refusal> {
        match read(record)?.1 {
            Fact::OrderApproved(OrderApproved { brand_signature: Some(signature), .. }) => {
                let lot = self.lots.get(id).ok().filter(|lot| lot.terms.signature() == signature.as_ref());
                let relied_on = Some(Claim { key: keys::order(id), rule: Rule::Unchanged(record.position) });
                // Approved this very moment, and about to be loaded.
                let lot = lot.ok_or_else(|| not_open(id))?;
                Ok(Source { lot, relied_on })
            }
            Fact::OrderCancelled(_) => {
                Err(Refusal::new("ORDER_CANCELLED", format!("order {id} is cancelled")).with("order", id))
            }
            _ => Err(not_open(id)),
        }
    }

    /// The lot that a handoff was offered from, with the terms that it was offered under.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; `JOURNAL_DAMAGED` when the offer does not read.
    pub(crate) fn source_of(&self, handoff: &Current) -> Result<Arc<Lot>, Refusal> {
        self.lots.under(&handoff.offered.source, &handoff.facts()?.consignment.terms_digest)
    }
}

fn not_open(id: &str) -> Refusal {
    Refusal::new("LOT_NOT_OPEN", format!("{id} is on record and not open")).with("lot", id)
}
