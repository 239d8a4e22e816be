//! k of n operators sign the digest of an order's newest version; the last one has the brand sign its terms, and opens it.

use api::{
    Refusal,
    journal::v1::{OperatorSignature, OrderApproved, record::Fact},
    order::v1 as wire_order,
};
use bytes::Bytes;
use mfg::{Movement, Statement, Terms};
use records::{Act, Attempt, keys, once, read, read_at, refuse_conflict, refuse_store, reused};
use store::{Claim, Record, Rule, TallyMove};

use super::{Approver, OrderOnRecord, Orders, entry, lot};

impl Orders {
    /// Adds one operator's approval; the last one opens the order.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`, `ORDER_CANCELLED`, `ORDER_ALREADY_APPROVED`, `APPROVER_UNKNOWN`, `TERMS_DIGEST_MISMATCH`,
    /// `ORDER_APPROVAL_INVALID`, `REQUEST_ID_REUSED`, what stands against certificates of the order.
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
        let before = |record: &Record| self.repeated_approval(act, operator, request, record);
        once(self.authority.store(), act, before, |attempt| self.new_approval(act, approver, request, attempt))
    }

    fn new_approval(
        &self,
        act: &Act,
        approver: &Approver,
        request: &wire_order::ApproveOrderRequest,
        attempt: Attempt<'_>,
    ) -> Result<wire_order::Order, Refusal> {
        let operator = approver.name.as_str();
        let on_record = self.on_record(&request.order)?;
        on_record.check_not_cancelled()?;
        let terms = on_record.terms()?;
        check_digest(&request.order, &terms, &request.terms_digest)?;
        approval(&terms)
            .verify(&approver.public_key, &request.signature)
            .map_err(|e| Refusal::from_error("ORDER_APPROVAL_INVALID", &e).with("operator", operator))?;
        // The same operator's approval again changes nothing.
        if on_record.approvals.iter().any(|a| a.operator == operator) {
            return self.to_wire(&on_record, on_record.state());
        }
        if on_record.brand_signature.is_some() {
            return Err(Refusal::new("ORDER_ALREADY_APPROVED", format!("order {} is approved", request.order)));
        }
        // The CA may be another one than when the order was proposed.
        lot::check_buildable(self, &terms)?;
        self.record_approval(act, operator, request, &on_record, &terms, attempt)
    }

    /// The answer to a repeated approval: the order as it stands now, also when it was amended since.
    fn repeated_approval(
        &self,
        act: &Act,
        operator: &str,
        request: &wire_order::ApproveOrderRequest,
        record: &Record,
    ) -> Result<wire_order::Order, Refusal> {
        if let Fact::OrderApproved(before) = read(record)?.1
            && before.order == request.order
            && before.operator == operator
        {
            let (proposed, _, _) = read_at(self.authority.store(), before.proposed_at)?;
            let terms = OrderOnRecord::from_record(self.authority.store(), &proposed)?.terms()?;
            check_digest(&request.order, &terms, &request.terms_digest)?;
            return self.get(&request.order);
        }
        Err(reused(act, "content"))
    }

    fn record_approval(
        &self,
        act: &Act,
        operator: &str,
        request: &wire_order::ApproveOrderRequest,
        before: &OrderOnRecord,
        terms: &Terms,
        attempt: Attempt<'_>,
    ) -> Result<wire_order::Order, Refusal> {
        let mut approvals = before.approvals.clone();
        approvals.push(OperatorSignature { operator: operator.to_owned(), signature: request.signature.clone() });
        let opens = approvals.len() >= self.approvals_required;
        let signature = opens.then(|| self.authority.sign_statement(&terms.approval())).transpose()?;
        let mut unit = act.unit(Fact::OrderApproved(OrderApproved {
            order: request.order.clone(),
            operator: operator.to_owned(),
            signature: request.signature.clone(),
            brand_signature: signature.map(Bytes::from),
            approvals,
            proposed_at: before.proposed_at.as_u64(),
        }));
        unit.claims = vec![Claim { key: keys::order(&request.order), rule: Rule::At(before.at) }];
        unit.entry = Some(entry(&request.order)?);
        if opens {
            unit.moves = vec![self.opening(&request.order, terms)?];
        }
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &request.order))?;
        let on_record = self.on_record(&request.order)?;
        if on_record.proposed_at == before.proposed_at && on_record.brand_signature.is_some() {
            self.authority.lots.put(lot::of_order(self, &on_record)?);
        }
        self.to_wire(&on_record, on_record.state())
    }

    /// The first approved version opens the tally; a later one says anew what it covers.
    fn opening(&self, order: &str, terms: &Terms) -> Result<TallyMove, Refusal> {
        let lot = keys::lot(order);
        let movement = match self.authority.store().tally(&lot).map_err(|e| refuse_store(&e))? {
            None => Movement::Open(terms.authorised()),
            Some(_) => Movement::Restate(terms.authorised()),
        };
        Ok(TallyMove { lot, movement })
    }
}

/// What an operator signs: the approval of exactly these terms.
pub(crate) fn approval(terms: &Terms) -> Statement {
    Statement::order_approval(&terms.document().order, &terms.digest())
}

/// Refuses a digest that is not that of these terms.
///
/// # Errors
/// `TERMS_DIGEST_MISMATCH`.
pub(super) fn check_digest(order: &str, terms: &Terms, named: &[u8]) -> Result<(), Refusal> {
    if named == terms.digest().as_bytes().as_slice() {
        return Ok(());
    }
    Err(Refusal::new("TERMS_DIGEST_MISMATCH", format!("the terms of order {order} have another digest"))
        .with("order", order)
        .with("terms_digest", terms.digest()))
}
