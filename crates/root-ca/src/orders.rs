//! Production orders: proposed, approved by k of n operators, then open as the lot that first handoffs are taken from.

mod draft;
mod lot;

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{OperatorSignature, OrderApproved, OrderProposed, record::Fact},
    order::v1::{self as wire_order, OrderState},
};
use authority::Authority;
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey};
use mfg::{Bundle, ManufacturerId, Movement, OrderId, Statement, Terms};
use pki::{PublicKey, Sha256};
use records::{Act, Once, commit_once, keys, named, read, read_at, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Conflict, Entry, Position, Record, Rule, TallyMove};

pub(crate) use draft::TermsProfile;
pub(crate) use lot::{DeviceRoot, load_all};

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
    pub(crate) identity_key: SoftwareKey,
    pub(crate) approvers: Vec<Approver>,
    pub(crate) approvals_required: usize,
    pub(crate) profile: TermsProfile,
    pub(crate) root: Arc<DeviceRoot>,
}

/// An order as its newest record tells it.
pub(crate) struct OrderOnRecord {
    at: Position,
    proposed_at: Position,
    proposed: OrderProposed,
    approvals: Vec<OperatorSignature>,
    brand_signature: Option<Bytes>,
}

impl Orders {
    /// Proposes an order: makes its terms and checks them.
    ///
    /// # Errors
    /// `PROGRAM_UNKNOWN`, `MANUFACTURER_UNKNOWN`, every refusal of the terms, `ORDER_EXISTS`, `REQUEST_ID_REUSED`.
    pub(crate) fn create(&self, act: &Act, draft: &wire_order::OrderDraft) -> Result<wire_order::Order, Refusal> {
        let draft_digest = draft::digest(draft);
        let key = keys::order(&draft.order);
        // The terms hold the moment they were made at, so a repetition is told by its draft.
        let repeated = |record: &Record| -> Result<Option<wire_order::Order>, Refusal> {
            let on_record = self.order_of(record)?;
            let same = on_record.proposed.draft_digest == draft_digest && on_record.proposed.order == draft.order;
            if same { self.to_wire(&on_record).map(Some) } else { Ok(None) }
        };
        if let Some(request) = act.request
            && let Some(record) = records::replayed(self.authority.store(), &act.caller, request)?
        {
            return repeated(&record).unwrap_or(None).ok_or_else(|| reused(act, "content"));
        }
        let terms = draft::terms(self, draft, act.at)?;
        let mut unit = act.unit(Fact::OrderProposed(OrderProposed {
            order: draft.order.clone(),
            terms: Bytes::copy_from_slice(terms.bytes().as_bytes()),
            draft_digest: draft_digest.clone(),
        }));
        unit.claims = vec![Claim { key, rule: Rule::Absent }];
        unit.entry = Some(Entry::new("orders", &draft.order).map_err(named(store::EntryInvalid::reason))?);
        match commit_once(self.authority.store(), act, unit)? {
            Once::Committed(_) => self.get(&draft.order),
            Once::Before(record) => repeated(&record).unwrap_or(None).ok_or_else(|| reused(act, "content")),
            Once::Refused(Conflict::KeyTaken { .. }) => {
                Err(Refusal::new("ORDER_EXISTS", format!("order {} exists", draft.order)).with("order", &draft.order))
            }
            Once::Refused(conflict) => Err(refuse_conflict(&conflict, &draft.order)),
        }
    }

    /// Adds one operator's approval; the last one opens the order.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`, `ORDER_ALREADY_APPROVED`, `APPROVER_UNKNOWN`, `TERMS_DIGEST_MISMATCH`, `ORDER_APPROVAL_INVALID`.
    pub(crate) fn approve(
        &self,
        act: &Act,
        operator: &str,
        request: &wire_order::ApproveOrderRequest,
    ) -> Result<wire_order::Order, Refusal> {
        let approver = self.approvers.iter().find(|a| a.name == operator).ok_or_else(|| {
            Refusal::new("APPROVER_UNKNOWN", format!("{operator:?} is none of the configured approvers"))
                .with("operator", operator)
        })?;
        let on_record = self.on_record(&request.order)?;
        let terms = on_record.terms()?;
        if request.terms_digest != terms.digest().as_bytes().as_slice() {
            return Err(Refusal::new(
                "TERMS_DIGEST_MISMATCH",
                format!("the terms of order {} have another digest", request.order),
            )
            .with("terms_digest", terms.digest()));
        }
        approval(&terms)
            .verify(&approver.public_key, &request.signature)
            .map_err(|e| Refusal::from_error("ORDER_APPROVAL_INVALID", &e).with("operator", operator))?;
        // The same operator's approval again changes nothing.
        if on_record.approvals.iter().any(|a| a.operator == operator) {
            return self.to_wire(&on_record);
        }
        if on_record.brand_signature.is_some() {
            return Err(Refusal::new("ORDER_ALREADY_APPROVED", format!("order {} is approved", request.order)));
        }
        self.record_approval(act, operator, request, &on_record, &terms)
    }

    fn record_approval(
        &self,
        act: &Act,
        operator: &str,
        request: &wire_order::ApproveOrderRequest,
        before: &OrderOnRecord,
        terms: &Terms,
    ) -> Result<wire_order::Order, Refusal> {
        let mut approvals = before.approvals.clone();
        approvals.push(OperatorSignature { operator: operator.to_owned(), signature: request.signature.clone() });
        let opens = approvals.len() >= self.approvals_required;
        let brand_signature = if opens {
            let signature =
                self.identity_key.sign(terms.approval().to_be_signed()).map_err(named(issuance::KeyError::reason))?;
            Some(Bytes::from(signature))
        } else {
            None
        };
        let mut unit = act.unit(Fact::OrderApproved(OrderApproved {
            order: request.order.clone(),
            operator: operator.to_owned(),
            signature: request.signature.clone(),
            brand_signature,
            approvals,
            proposed_at: before.proposed_at.as_u64(),
        }));
        unit.claims = vec![Claim { key: keys::order(&request.order), rule: Rule::At(before.at) }];
        unit.entry = Some(Entry::new("orders", &request.order).map_err(named(store::EntryInvalid::reason))?);
        if opens {
            unit.moves =
                vec![TallyMove { lot: keys::lot(&request.order), movement: Movement::Open(terms.authorised()) }];
        }
        match commit_once(self.authority.store(), act, unit)? {
            Once::Committed(_) => {
                let on_record = self.on_record(&request.order)?;
                if on_record.brand_signature.is_some() {
                    self.authority.lots.put(lot::of_order(self, &on_record)?);
                }
                self.to_wire(&on_record)
            }
            Once::Before(_) => Err(reused(act, "content")),
            Once::Refused(conflict) => Err(refuse_conflict(&conflict, &request.order)),
        }
    }

    /// One order.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`.
    pub(crate) fn get(&self, order: &str) -> Result<wire_order::Order, Refusal> {
        self.to_wire(&self.on_record(order)?)
    }

    /// Orders in the order of their ids.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn list(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<wire_order::Order>, Option<String>), Refusal> {
        let listed = self.authority.store().list("orders", after, limit).map_err(|e| refuse_store(&e))?;
        let next = (listed.len() == limit).then(|| listed.last().map(|(name, _)| name.clone())).flatten();
        let orders =
            listed.iter().map(|(_, record)| self.to_wire(&self.order_of(record)?)).collect::<Result<_, _>>()?;
        Ok((orders, next))
    }

    fn on_record(&self, order: &str) -> Result<OrderOnRecord, Refusal> {
        OrderId::parse(order).map_err(named(mfg::IdRefusal::reason))?;
        let record =
            self.authority.store().get(&keys::order(order)).map_err(|e| refuse_store(&e))?.ok_or_else(|| {
                Refusal::new("ORDER_UNKNOWN", format!("order {order} is not known here")).with("order", order)
            })?;
        self.order_of(&record)
    }

    fn order_of(&self, record: &Record) -> Result<OrderOnRecord, Refusal> {
        OrderOnRecord::from_record(self.authority.store(), record)
    }

    fn to_wire(&self, order: &OrderOnRecord) -> Result<wire_order::Order, Refusal> {
        let tally = self.authority.store().tally(&keys::lot(&order.proposed.order)).map_err(|e| refuse_store(&e))?;
        let state = if order.brand_signature.is_some() { OrderState::Approved } else { OrderState::Proposed };
        Ok(wire_order::Order {
            order: order.proposed.order.clone(),
            terms: order.proposed.terms.clone(),
            terms_digest: wire::digest(&Sha256::of(&order.proposed.terms)),
            state: state.into(),
            approvals: order
                .approvals
                .iter()
                .map(|a| wire_order::Approval { operator: a.operator.clone(), signature: a.signature.clone() })
                .collect(),
            approvals_required: u32::try_from(self.approvals_required).unwrap_or(u32::MAX),
            brand_signature: order.brand_signature.clone(),
            tally: tally.as_ref().map(wire::tally),
        })
    }

    /// The brand as a registered identity key, for the bundle.
    pub(crate) fn brand_key(&self) -> (ManufacturerId, PublicKey) {
        (self.authority.manufacturer.clone(), self.identity_key.public_key().clone())
    }

    /// A bundle of the brand's own keys alone: what the terms are verified with when they are loaded.
    pub(crate) fn own_bundle(&self) -> Bundle {
        let (manufacturer, public_key) = self.brand_key();
        Bundle {
            anchors: vec![self.root.anchor.clone()],
            identity_keys: vec![mfg::IdentityKey { manufacturer, public_key }],
            programs: Vec::new(),
        }
    }
}

impl OrderOnRecord {
    /// The order that a record belongs to.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when it belongs to none.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(crate) fn from_record(store: &dyn store::Store, record: &Record) -> Result<Self, Refusal> {
        let damaged = || Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no order's", record.position));
        match read(record)?.1 {
            Fact::OrderProposed(proposed) => Ok(Self {
                at: record.position,
                proposed_at: record.position,
                proposed,
                approvals: Vec::new(),
                brand_signature: None,
            }),
            Fact::OrderApproved(approved) => {
                let (proposed_at, _, fact) = read_at(store, approved.proposed_at)?;
                let Fact::OrderProposed(proposed) = fact else { return Err(damaged()) };
                Ok(Self {
                    at: record.position,
                    proposed_at: proposed_at.position,
                    proposed,
                    approvals: approved.approvals,
                    brand_signature: approved.brand_signature,
                })
            }
            _ => Err(damaged()),
        }
    }

    fn terms(&self) -> Result<Terms, Refusal> {
        Terms::parse(&self.proposed.terms).map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e))
    }
}

/// What an operator signs: the approval of exactly these terms.
pub(crate) fn approval(terms: &Terms) -> Statement {
    Statement::order_approval(&terms.document().order, &terms.digest())
}
