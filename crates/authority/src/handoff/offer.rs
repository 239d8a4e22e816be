//! Offering units to a receiver, and taking an offer back.

use api::{
    Refusal,
    custody::v1 as custody,
    journal::v1::{HandoffOffered, HandoffWithdrawn, record::Fact},
};
use mfg::{Consignment, Hop, LotId, ManufacturerId, Movement, OrderCa, Phase, Quantity};
use pki::UnixTime;
use records::{Act, Attempt, keys, named, once, read, refuse_conflict, reused, wire};
use store::{Claim, Conflict, Entry, Record, Rule, TallyMove, Unit};

use super::{
    source::Source,
    state::{Current, Stage},
};
use crate::{authority::Authority, lots::Lot};

const DEFAULT_TTL_SECONDS: u32 = 7 * 86_400;
const MAX_TTL_SECONDS: u32 = 90 * 86_400;

/// An offer to be made.
#[derive(Debug, Clone)]
pub struct OfferOrder {
    /// The sender's lot that the units come from; at a root-ca the production order id.
    pub source: String,
    /// The receiver.
    pub to: ManufacturerId,
    /// The new lot's id.
    pub lot: LotId,
    /// How many units.
    pub quantity: Quantity,
    /// Seconds until it expires; 0 means 7 days.
    pub ttl_seconds: u32,
}

impl Authority {
    /// Offers units of a lot to a receiver; they are reserved from now on.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_NOT_OPEN`, `ORDER_CANCELLED`, `MANUFACTURER_SUSPENDED`, `OFF_ROUTE`, `CHAIN_TOO_DEEP`, `DNS_NAME_TOO_LONG`,
    /// `UNLIMITED_NOT_ALLOWED`, `QUANTITY_SPENT`, `LOT_EXISTS`, `REQUEST_ID_REUSED`.
    pub fn offer(&self, act: &Act, order: &OfferOrder) -> Result<custody::Handoff, Refusal> {
        // A repetition is answered whatever became of order and receiver since.
        let before = |record: &Record| self.repeated_offer(act, order, record);
        once(self.store(), act, before, |attempt| self.new_offer(act, order, attempt))
    }

    fn new_offer(&self, act: &Act, order: &OfferOrder, attempt: Attempt<'_>) -> Result<custody::Handoff, Refusal> {
        self.check_may_issue()?;
        let Source { lot: source, relied_on } = self.source(&order.source)?;
        // What could not be signed is not offered; that a lot is closed the store says.
        if let (Err(refusal), Phase::Open) = (source.issuer(), self.tally(&source.id)?.phase()) {
            return Err(refusal);
        }
        let receiver = self.receiver(&order.to)?;
        receiver.check_active()?;
        let facts = self.facts_of_offer(&source, order)?;
        let expires_at = expiry(act.at, order.ttl_seconds)?;
        self.note_time(act);
        let offered = HandoffOffered { facts: Some(wire::facts(&facts)), source: source.id.clone(), expires_at };
        let mut unit = act.unit(Fact::HandoffOffered(offered.clone()));
        unit.claims = vec![
            Claim { key: keys::handoff(order.lot.as_str()), rule: Rule::Absent },
            Claim { key: keys::offers(&source.id), rule: Rule::Any },
        ];
        unit.claims.extend(relied_on.into_iter().chain(receiver.relied_on));
        unit.entry = Some(Entry::new("handoffs", order.lot.as_str()).map_err(named(store::EntryInvalid::reason))?);
        if let Some(units) = order.quantity.units() {
            unit.moves = vec![TallyMove { lot: source.tally, movement: Movement::Reserve(units) }];
        }
        match attempt.commit(unit)? {
            Ok(_) => {
                self.expiries.add(expires_at, order.lot.as_str());
                self.handoff(self.manufacturer.as_str(), order.lot.as_str())
            }
            Err(Conflict::KeyTaken { .. }) => {
                Err(Refusal::new("LOT_EXISTS", format!("a handoff of lot {} exists", order.lot))
                    .with("lot", &order.lot))
            }
            Err(conflict) => Err(refuse_conflict(&conflict, &source.id)),
        }
    }

    /// The answer to a repeated offer: the handoff as it stands now.
    fn repeated_offer(&self, act: &Act, order: &OfferOrder, before: &Record) -> Result<custody::Handoff, Refusal> {
        let before = Current::from_record(self.store(), before).map_err(|_| reused(act, "kind of request"))?;
        let facts = before.facts()?.consignment;
        let differs = if facts.lot != order.lot {
            "lot"
        } else if facts.to != order.to {
            "receiver"
        } else if facts.quantity != order.quantity {
            "quantity"
        } else if before.offered.source != order.source {
            "source"
        } else if before.offered.expires_at != expiry(UnixTime::new(before.offered_time), order.ttl_seconds)? {
            "ttl_seconds"
        } else {
            return self.handoff(self.manufacturer.as_str(), order.lot.as_str());
        };
        Err(reused(act, differs))
    }

    /// What the offer says, checked against the terms: route, depth, names, quantity.
    fn facts_of_offer(&self, source: &Lot, order: &OfferOrder) -> Result<wire::Facts, Refusal> {
        let terms = source.terms.terms();
        let document = terms.document();
        terms
            .check_offer(&self.manufacturer, &order.to, &order.lot, order.quantity)
            .map_err(named(mfg::TermsRefusal::reason))?;
        let hop = Hop::of(source.hops.saturating_add(1)).map_err(|e| Refusal::from_error("CHAIN_TOO_DEEP", &e))?;
        let subtree =
            mfg::subtree::subtree(&source.subtree, &order.lot, &order.to).map_err(named(mfg::RoomRefusal::reason))?;
        mfg::room::check(&subtree, document.program.max_device_id_length).map_err(named(mfg::RoomRefusal::reason))?;
        // Counted over the real chain, so that an order CA above it counts too.
        let below = terms.graph().remaining_hops(&order.to).unwrap_or_default();
        mfg::depth::check(source.chain.len().saturating_add(1).saturating_add(below), OrderCa::Absent)
            .map_err(named(mfg::depth::DepthRefusal::reason))?;
        Ok(wire::Facts {
            consignment: Consignment {
                program: document.program.id.clone(),
                order: document.order.clone(),
                from: self.manufacturer.clone(),
                to: order.to.clone(),
                lot: order.lot.clone(),
                quantity: order.quantity,
                hop,
                terms_digest: source.terms.digest(),
            },
            manifest_digest: document.manifest_digest,
            subtree,
        })
    }

    /// Takes an offer back; its units return to the lot. Possible only before acceptance.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `HANDOFF_ALREADY_ACCEPTED`, `HANDOFF_WITHDRAWN`, `REQUEST_ID_REUSED`.
    pub fn cancel(&self, act: &Act, lot: &LotId) -> Result<custody::Handoff, Refusal> {
        let handoff = || self.handoff(self.manufacturer.as_str(), lot.as_str());
        let before = |record: &Record| match read(record)? {
            (_, Fact::HandoffWithdrawn(before)) if before.lot == lot.as_str() => handoff(),
            (_, Fact::HandoffWithdrawn(_)) => Err(reused(act, "lot")),
            _ => Err(reused(act, "kind of request")),
        };
        once(self.store(), act, before, |attempt| {
            let current = Current::of(self.store(), lot.as_str())?;
            let unit = match &current.stage {
                Stage::Offered => self.withdrawal(act, &current, lot.as_str(), false)?,
                Stage::Accepted { .. } | Stage::Voided { .. } => return Err(already_accepted(lot.as_str())),
                Stage::Withdrawn { .. } => return Err(withdrawn(lot.as_str())),
            };
            attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, lot.as_str()))?;
            handoff()
        })
    }

    /// Records that an offer ran out of time, if it did, and refuses it then.
    pub(crate) fn expire(&self, current: &Current, lot: &str) -> Result<(), Refusal> {
        if !current.has_expired(self.now()) {
            return Ok(());
        }
        let unit = self.withdrawal(&self.own_act(), current, lot, true)?;
        // A conflict means that somebody withdrew it first: withdrawn either way.
        let _ = records::commit_one(self.store(), unit)?;
        Err(withdrawn(lot))
    }

    pub(super) fn withdrawal(&self, act: &Act, current: &Current, lot: &str, expired: bool) -> Result<Unit, Refusal> {
        // An offer that stands in a backup may have been accepted since.
        self.check_may_issue()?;
        let source = self.source_of(current)?;
        let mut unit = act.unit(Fact::HandoffWithdrawn(HandoffWithdrawn {
            lot: lot.to_owned(),
            offered_at: current.offered_at.as_u64(),
            expired,
        }));
        unit.claims = vec![Claim { key: keys::handoff(lot), rule: Rule::At(current.at) }];
        if let Some(units) = current.facts()?.consignment.quantity.units() {
            unit.moves = vec![TallyMove { lot: source.tally, movement: Movement::Release(units) }];
        }
        Ok(unit)
    }
}

fn expiry(now: UnixTime, ttl_seconds: u32) -> Result<i64, Refusal> {
    let ttl = if ttl_seconds == 0 { DEFAULT_TTL_SECONDS } else { ttl_seconds };
    if ttl > MAX_TTL_SECONDS {
        return Err(Refusal::malformed("ttl_seconds", format!("is more than {MAX_TTL_SECONDS}")));
    }
    now.checked_add(i64::from(ttl))
        .map(UnixTime::as_secs)
        .ok_or_else(|| Refusal::malformed("ttl_seconds", "is out of range"))
}

pub(crate) fn already_accepted(lot: &str) -> Refusal {
    Refusal::new("HANDOFF_ALREADY_ACCEPTED", format!("the handoff of lot {lot} is accepted")).with("lot", lot)
}

/// The sender can no longer sign what was accepted.
pub(crate) fn voided(lot: &str) -> Refusal {
    Refusal::new("HANDOFF_VOIDED", format!("the handoff of lot {lot} was accepted and can never be signed"))
        .with("lot", lot)
}

pub(crate) fn withdrawn(lot: &str) -> Refusal {
    Refusal::new("HANDOFF_WITHDRAWN", format!("the offer of lot {lot} was withdrawn or has expired")).with("lot", lot)
}
