//! Between the domain's types and the protos'. Reading checks; a field that does not read is named in the refusal.

use api::{Refusal, custody::v1 as custody};
use bytes::Bytes;
use mfg::{
    Acceptance, Consignment, Hop, LotId, ManufacturerId, OrderId, Phase, ProgramId, Quantity, Remaining, Tally,
    TallyFields,
};
use pki::{DnsName, Sha256, UnixTime};

use crate::named;

/// One handoff's facts: what passes, under which manifest and subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What passes from whom to whom.
    pub consignment: Consignment,
    /// SHA-256 of the manifest of permitted device ids, if the terms ask for one.
    pub manifest_digest: Option<Sha256>,
    /// The DNS subtree of the lot.
    pub subtree: DnsName,
}

impl Facts {
    /// In what two handoffs differ, if they do.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let (one, two) = (&self.consignment, &other.consignment);
        let fields = [
            (one.lot == two.lot, "lot"),
            (one.from == two.from, "sender"),
            (one.to == two.to, "receiver"),
            (one.quantity == two.quantity, "quantity"),
            (one.program == two.program, "program"),
            (one.order == two.order, "order"),
            (one.terms_digest == two.terms_digest, "terms"),
            (self.manifest_digest == other.manifest_digest, "manifest"),
            (one.hop == two.hop, "hop"),
            (self.subtree == other.subtree, "subtree"),
        ];
        fields.into_iter().find_map(|(same, what)| (!same).then_some(what))
    }
}

/// To the wire.
#[must_use]
pub fn quantity(quantity: Quantity) -> custody::Quantity {
    let amount = match quantity {
        Quantity::Units(units) => custody::quantity::Amount::Units(units.get()),
        Quantity::Unlimited => custody::quantity::Amount::Unlimited(custody::Unlimited {}),
    };
    custody::Quantity { amount: Some(amount) }
}

/// From the wire.
///
/// # Errors
/// `REQUEST_MALFORMED` when absent, `QUANTITY_INVALID` when out of bounds.
pub fn read_quantity(field: &str, quantity: Option<&custody::Quantity>) -> Result<Quantity, Refusal> {
    match quantity.and_then(|q| q.amount.as_ref()) {
        None => Err(Refusal::malformed(field, "is missing")),
        Some(custody::quantity::Amount::Unlimited(_)) => Ok(Quantity::Unlimited),
        Some(custody::quantity::Amount::Units(units)) => Quantity::of(u64::from(*units))
            .map_err(|e| Refusal::from_error(e.reason(), &e).violation(field, e.to_string())),
    }
}

/// To the wire.
#[must_use]
pub fn tally(tally: &Tally) -> custody::Tally {
    custody::Tally {
        received: Some(quantity(tally.received())),
        provisioned: tally.provisioned(),
        written: tally.written(),
        handed_over: tally.handed_over(),
        reserved: tally.reserved(),
        scrapped: tally.scrapped(),
        scrapped_devices: tally.scrapped_devices(),
        remaining: match tally.remaining() {
            Remaining::Units(units) => Some(units),
            Remaining::Unlimited => None,
        },
        closed: match tally.phase() {
            Phase::Open => false,
            Phase::Closed => true,
        },
    }
}

/// From the wire.
///
/// # Errors
/// `REQUEST_MALFORMED` when it is missing; `TALLY_INVALID` when the law of conservation does not hold in it.
pub fn read_tally(field: &str, tally: Option<&custody::Tally>) -> Result<Tally, Refusal> {
    let tally = tally.ok_or_else(|| Refusal::malformed(field, "is missing"))?;
    let fields = TallyFields {
        received: read_quantity(field, tally.received.as_ref())?.units().map_or(0, u64::from),
        provisioned: tally.provisioned,
        written: tally.written,
        handed_over: tally.handed_over,
        reserved: tally.reserved,
        scrapped: tally.scrapped,
        closed: u64::from(tally.closed),
        scrapped_devices: tally.scrapped_devices,
    };
    Tally::try_from(fields).map_err(named(mfg::tally::NotATally::reason))
}

/// To the wire.
#[must_use]
pub fn facts(facts: &Facts) -> custody::HandoffFacts {
    let consignment = &facts.consignment;
    custody::HandoffFacts {
        program: consignment.program.to_string(),
        order: consignment.order.to_string(),
        from: consignment.from.to_string(),
        to: consignment.to.to_string(),
        lot: consignment.lot.to_string(),
        quantity: Some(quantity(consignment.quantity)),
        hop: u32::from(consignment.hop.get()),
        terms_digest: digest(&consignment.terms_digest),
        manifest_digest: facts.manifest_digest.as_ref().map(digest),
        subtree: facts.subtree.to_string(),
    }
}

/// From the wire.
///
/// # Errors
/// `REQUEST_MALFORMED` when absent or a digest has another length; the ids', quantity's and hop's own refusals.
pub fn read_facts(field: &str, facts: Option<&custody::HandoffFacts>) -> Result<Facts, Refusal> {
    let facts = facts.ok_or_else(|| Refusal::malformed(field, "is missing"))?;
    let hop = u8::try_from(facts.hop).unwrap_or(u8::MAX);
    Ok(Facts {
        consignment: Consignment {
            program: ProgramId::parse(&facts.program).map_err(named(mfg::IdRefusal::reason))?,
            order: OrderId::parse(&facts.order).map_err(named(mfg::IdRefusal::reason))?,
            from: ManufacturerId::parse(&facts.from).map_err(named(mfg::IdRefusal::reason))?,
            to: ManufacturerId::parse(&facts.to).map_err(named(mfg::IdRefusal::reason))?,
            lot: LotId::parse(&facts.lot).map_err(named(mfg::IdRefusal::reason))?,
            quantity: read_quantity("quantity", facts.quantity.as_ref())?,
            hop: Hop::of(hop).map_err(named(mfg::HandoffRefusal::reason))?,
            terms_digest: read_digest("terms_digest", &facts.terms_digest)?,
        },
        manifest_digest: facts.manifest_digest.as_ref().map(|d| read_digest("manifest_digest", d)).transpose()?,
        subtree: DnsName::parse(&facts.subtree).map_err(|e| Refusal::malformed("subtree", e.to_string()))?,
    })
}

/// To the wire.
#[must_use]
pub fn acceptance(acceptance: &Acceptance) -> custody::Acceptance {
    custody::Acceptance {
        identity_key_digest: digest(&acceptance.identity_key_digest),
        signature: Bytes::copy_from_slice(&acceptance.signature),
    }
}

/// From the wire.
///
/// # Errors
/// `REQUEST_MALFORMED` when absent or the digest has another length than 32.
pub fn read_acceptance(field: &str, acceptance: Option<&custody::Acceptance>) -> Result<Acceptance, Refusal> {
    let acceptance = acceptance.ok_or_else(|| Refusal::malformed(field, "is missing"))?;
    Ok(Acceptance {
        identity_key_digest: read_digest("identity_key_digest", &acceptance.identity_key_digest)?,
        signature: acceptance.signature.to_vec(),
    })
}

/// To the wire: 32 octets.
#[must_use]
pub fn digest(digest: &Sha256) -> Bytes {
    Bytes::copy_from_slice(digest.as_bytes())
}

/// From the wire.
///
/// # Errors
/// `REQUEST_MALFORMED` for another length than 32.
pub fn read_digest(field: &str, octets: &[u8]) -> Result<Sha256, Refusal> {
    Sha256::from_slice(octets)
        .ok_or_else(|| Refusal::malformed(field, format!("a sha-256 digest has 32 octets, not {}", octets.len())))
}

/// To the wire.
#[must_use]
pub fn timestamp(at: UnixTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_secs(), nanos: 0 }
}

/// From the wire; fractions of a second are cut off.
#[must_use]
pub fn read_timestamp(at: &prost_types::Timestamp) -> UnixTime {
    UnixTime::new(at.seconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Facts {
        Facts {
            consignment: Consignment {
                program: ProgramId::parse("smart-widget").unwrap(),
                order: OrderId::parse("po-1").unwrap(),
                from: ManufacturerId::parse("company-x").unwrap(),
                to: ManufacturerId::parse("factory-y").unwrap(),
                lot: LotId::parse("b0032").unwrap(),
                quantity: Quantity::of(5000).unwrap(),
                hop: Hop::FIRST,
                terms_digest: Sha256::of(b"terms"),
            },
            manifest_digest: Some(Sha256::of(b"manifest")),
            subtree: DnsName::parse("b0032.factory-y.smart-widget.company-x.example").unwrap(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        type Change = (fn(&mut Facts), &'static str);
        let changes: [Change; 10] = [
            (|f| f.consignment.lot = LotId::parse("b0033").unwrap(), "lot"),
            (|f| f.consignment.from = ManufacturerId::parse("other").unwrap(), "sender"),
            (|f| f.consignment.to = ManufacturerId::parse("other").unwrap(), "receiver"),
            (|f| f.consignment.quantity = Quantity::Unlimited, "quantity"),
            (|f| f.consignment.program = ProgramId::parse("other").unwrap(), "program"),
            (|f| f.consignment.order = OrderId::parse("po-2").unwrap(), "order"),
            (|f| f.consignment.terms_digest = Sha256::of(b"other"), "terms"),
            (|f| f.manifest_digest = None, "manifest"),
            (|f| f.consignment.hop = Hop::of(2).unwrap(), "hop"),
            (|f| f.subtree = DnsName::parse("other.example").unwrap(), "subtree"),
        ];
        assert_eq!(sample().difference(&sample()), None);
        for (change, named) in changes {
            let mut other = sample();
            change(&mut other);
            assert_eq!(sample().difference(&other), Some(named));
        }
    }

    #[test]
    fn facts_survive_the_wire() {
        let facts_in = sample();
        assert_eq!(read_facts("facts", Some(&facts(&facts_in))), Ok(facts_in));
    }

    #[test]
    fn bad_facts_are_refused_by_name() {
        let refused = |change: &dyn Fn(&mut custody::HandoffFacts)| {
            let mut wire = facts(&sample());
            change(&mut wire);
            read_facts("facts", Some(&wire)).unwrap_err().reason()
        };
        assert_eq!(refused(&|f| f.hop = 7), "HOP_INVALID");
        assert_eq!(refused(&|f| f.lot = "a.b".into()), "LABEL_INVALID");
        assert_eq!(refused(&|f| f.quantity = None), "REQUEST_MALFORMED");
        assert_eq!(refused(&|f| f.terms_digest = Bytes::from_static(b"short")), "REQUEST_MALFORMED");
        assert_eq!(refused(&|f| f.subtree = "UPPER.example".into()), "REQUEST_MALFORMED");
        assert_eq!(read_facts("facts", None).unwrap_err().reason(), "REQUEST_MALFORMED");
    }
}
