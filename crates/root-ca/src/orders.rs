//! Production orders: proposed, approved by k of n operators, then open as the lot that first handoffs are taken from. An
//! amendment is a new version, approved anew; cancelling ends what is not handed off.

mod approve;
mod change;
mod draft;
mod lot;
mod record;

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{OrderProposed, record::Fact},
    order::v1::{self as wire_order, OrderState},
};
use authority::Authority;
use bytes::Bytes;
use mfg::{Bundle, ManufacturerId, OrderId};
use pki::{PublicKey, Sha256};
use records::{Act, keys, named, once, read, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Conflict, Entry, Record, Rule};

#[cfg(test)]
pub(crate) use approve::approval;
pub(crate) use draft::TermsProfile;
pub(crate) use lot::{DeviceRoot, note_all};
use record::OrderOnRecord;

/// An operator who may approve orders.
#[derive(Debug, Clone)]
pub(crate) struct Approver {
    /// The name in the operator's service certificate.
    pub(crate) name: String,
    /// The key that signs approvals.
    pub(crate) public_key: PublicKey,
}

/// The brand's side of orders.
pub(crate) struct Orders {
    pub(crate) authority: Arc<Authority>,
    pub(crate) approvers: Vec<Approver>,
    pub(crate) approvals_required: usize,
    pub(crate) profile: TermsProfile,
    pub(crate) root: Arc<DeviceRoot>,
}

type Page = (Vec<wire_order::Order>, Option<String>);

impl Orders {
    /// Proposes an order: makes its terms and checks them.
    ///
    /// # Errors
    /// `PROGRAM_UNKNOWN`, `MANUFACTURER_UNKNOWN`, every refusal of the terms, `ORDER_EXISTS`, `REQUEST_ID_REUSED`.
    pub(crate) fn create(&self, act: &Act, draft: &wire_order::OrderDraft) -> Result<wire_order::Order, Refusal> {
        let draft_digest = draft::digest(draft);
        let before = |record: &Record| self.repeated_proposal(act, draft, &draft_digest, record);
        once(self.authority.store(), act, before, |attempt| {
            let terms = draft::terms(self, draft, act.at, draft::FIRST_VERSION)?;
            let mut unit = act.unit(Fact::OrderProposed(OrderProposed {
                order: draft.order.clone(),
                terms: Bytes::copy_from_slice(terms.bytes().as_bytes()),
                draft_digest: draft_digest.clone(),
            }));
            unit.claims = vec![Claim { key: keys::order(&draft.order), rule: Rule::Absent }];
            unit.entry = Some(entry(&draft.order)?);
            match attempt.commit(unit)? {
                Ok(_) => self.get(&draft.order),
                Err(Conflict::KeyTaken { .. }) => self.same_order(draft, &draft_digest),
                Err(conflict) => Err(refuse_conflict(&conflict, &draft.order)),
            }
        })
    }

    /// The answer to a repeated proposal: the order as it stands now, since approvals may have come. The terms hold the moment they
    /// were made at, so a repetition is told by its draft.
    fn repeated_proposal(
        &self,
        act: &Act,
        draft: &wire_order::OrderDraft,
        digest: &Bytes,
        record: &Record,
    ) -> Result<wire_order::Order, Refusal> {
        if let Fact::OrderProposed(before) = read(record)?.1
            && before.order == draft.order
            && before.draft_digest == *digest
        {
            return self.get(&draft.order);
        }
        Err(reused(act, "content"))
    }

    /// Another intention with the same content is the same order, as long as that has not been amended.
    fn same_order(&self, draft: &wire_order::OrderDraft, digest: &Bytes) -> Result<wire_order::Order, Refusal> {
        let before = self.on_record(&draft.order)?;
        if before.request_digest == *digest {
            return self.to_wire(&before, before.state());
        }
        Err(Refusal::new("ORDER_EXISTS", format!("order {} exists with other content", draft.order))
            .with("order", &draft.order))
    }

    /// One order, its newest version.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`.
    pub(crate) fn get(&self, order: &str) -> Result<wire_order::Order, Refusal> {
        let newest = self.on_record(order)?;
        self.to_wire(&newest, newest.state())
    }

    /// One version of an order, 1 for the first.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`, `ORDER_VERSION_UNKNOWN`.
    pub(crate) fn get_version(&self, order: &str, version: u32) -> Result<wire_order::Order, Refusal> {
        let mut found = self.on_record(order)?;
        let mut state = found.state();
        loop {
            if found.terms()?.document().order_version == version {
                return self.to_wire(&found, state);
            }
            found = found.earlier(self.authority.store())?.ok_or_else(|| {
                Refusal::new("ORDER_VERSION_UNKNOWN", format!("order {order} has no version {version}"))
                    .with("order", order)
            })?;
            state = OrderState::Superseded;
        }
    }

    /// Orders in the order of their ids, the newest version of each.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Result<Page, Refusal> {
        let listed = self.authority.store().list("orders", after, limit).map_err(|e| refuse_store(&e))?;
        let next = records::page::end(&listed, limit);
        let to_wire = |(_, record): &(String, Record)| {
            let order = OrderOnRecord::from_record(self.authority.store(), record)?;
            self.to_wire(&order, order.state())
        };
        let orders = listed.iter().map(to_wire).collect::<Result<_, _>>()?;
        Ok((orders, next))
    }

    fn on_record(&self, order: &str) -> Result<OrderOnRecord, Refusal> {
        OrderId::parse(order).map_err(named(mfg::IdRefusal::reason))?;
        let record =
            self.authority.store().get(&keys::order(order)).map_err(|e| refuse_store(&e))?.ok_or_else(|| {
                Refusal::new("ORDER_UNKNOWN", format!("order {order} is not known here")).with("order", order)
            })?;
        OrderOnRecord::from_record(self.authority.store(), &record)
    }

    fn to_wire(&self, order: &OrderOnRecord, state: OrderState) -> Result<wire_order::Order, Refusal> {
        let tally = self.authority.store().tally(&keys::lot(&order.order)).map_err(|e| refuse_store(&e))?;
        Ok(wire_order::Order {
            order: order.order.clone(),
            terms: order.terms.clone(),
            terms_digest: wire::digest(&Sha256::of(&order.terms)),
            state: state.into(),
            approvals: order
                .approvals
                .iter()
                .map(|a| wire_order::Approval { operator: a.operator.clone(), signature: a.signature.clone() })
                .collect(),
            approvals_required: u32::try_from(self.approvals_required).unwrap_or(u32::MAX),
            brand_signature: order.brand_signature.clone(),
            tally: tally.as_ref().map(wire::tally),
            order_version: order.terms()?.document().order_version,
        })
    }

    /// The brand as a registered identity key, for the bundle.
    pub(crate) fn brand_key(&self) -> (ManufacturerId, PublicKey) {
        (self.authority.manufacturer.clone(), self.authority.identity_key().clone())
    }

    /// A bundle of the brand's own keys alone: what the terms are verified with when they are loaded.
    pub(crate) fn own_bundle(&self) -> Bundle {
        let (manufacturer, public_key) = self.brand_key();
        Bundle {
            anchors: vec![self.root.anchor.clone()],
            identity_keys: vec![mfg::IdentityKey { manufacturer, public_key }],
            ..Bundle::default()
        }
    }
}

/// The listing of an order's newest record.
fn entry(order: &str) -> Result<Entry, Refusal> {
    Entry::new("orders", order).map_err(named(store::EntryInvalid::reason))
}
