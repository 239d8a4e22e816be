//! Amending and cancelling an order. Neither touches what was handed off: those lots keep the terms of their version.

use api::{
    Refusal,
    journal::v1::{OrderAmended, OrderCancelled, record::Fact},
    order::v1::{self as wire_order, AmendOrderRequest},
};
use authority::Offered;
use bytes::Bytes;
use mfg::{Movement, Terms};
use pki::Sha256;
use prost::Message as _;
use records::{Act, Attempt, keys, once, read, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Record, Rule, TallyMove};

use super::{Orders, approve::check_digest, draft, entry};

/// Most open offers that a refusal names.
const MOST_SHOWN: usize = 8;

impl Orders {
    /// Makes a new version of an order; nothing is offered of it until that is approved.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`, `ORDER_CANCELLED`, `TERMS_DIGEST_MISMATCH`, `ORDER_PROGRAM_FIXED`, every refusal of the terms,
    /// `ORDER_HAS_OPEN_OFFERS`, `ORDER_BELOW_HANDED_OVER`, `REQUEST_ID_REUSED`.
    pub(crate) fn amend(&self, act: &Act, request: &AmendOrderRequest) -> Result<wire_order::Order, Refusal> {
        let digest = content_digest(request);
        let before = |record: &Record| self.repeated_amendment(act, request, &digest, record);
        once(self.authority.store(), act, before, |attempt| self.new_version(act, request, &digest, attempt))
    }

    fn new_version(
        &self,
        act: &Act,
        request: &AmendOrderRequest,
        digest: &Bytes,
        attempt: Attempt<'_>,
    ) -> Result<wire_order::Order, Refusal> {
        let draft = request.draft.as_ref().ok_or_else(|| Refusal::malformed("draft", "is missing"))?;
        let before = self.on_record(&request.order)?;
        before.check_not_cancelled()?;
        let replaced = before.terms()?;
        check_digest(&request.order, &replaced, &request.expected_terms_digest)?;
        let document = replaced.document();
        if draft.order != document.order.as_str() || draft.program != document.program.id.as_str() {
            return Err(Refusal::new(
                "ORDER_PROGRAM_FIXED",
                format!("order {} builds program {}, whatever its version", request.order, document.program.id),
            )
            .with("order", &request.order));
        }
        let version = draft::next_version(document.order_version)?;
        let terms = draft::terms(self, draft, act.at, version)?;
        let offered = self.authority.offered_from(&request.order)?;
        check_no_open_offers(&request.order, &offered)?;
        self.check_covers_handed_over(&request.order, &terms, &offered)?;
        let mut unit = act.unit(Fact::OrderAmended(OrderAmended {
            order: request.order.clone(),
            terms: Bytes::copy_from_slice(terms.bytes().as_bytes()),
            draft_digest: digest.clone(),
            amends_at: before.at.as_u64(),
        }));
        unit.claims = vec![Claim { key: keys::order(&request.order), rule: Rule::At(before.at) }, offered.relied_on];
        unit.entry = Some(entry(&request.order)?);
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &request.order))?;
        self.authority.lots.withdraw(&request.order);
        self.get(&request.order)
    }

    /// The answer to a repeated amendment: the order as it stands now.
    fn repeated_amendment(
        &self,
        act: &Act,
        request: &AmendOrderRequest,
        digest: &Bytes,
        record: &Record,
    ) -> Result<wire_order::Order, Refusal> {
        if let Fact::OrderAmended(before) = read(record)?.1
            && before.order == request.order
            && before.draft_digest == *digest
        {
            return self.get(&request.order);
        }
        Err(reused(act, "content"))
    }

    /// What was handed over must stay covered by what is authorised.
    fn check_covers_handed_over(&self, order: &str, terms: &Terms, offered: &Offered) -> Result<(), Refusal> {
        let Some(authorised) = terms.authorised().units() else { return Ok(()) };
        let tally = self.authority.store().tally(&keys::lot(order)).map_err(|e| refuse_store(&e))?;
        let handed_over = tally.map(|tally| tally.handed_over()).unwrap_or_default();
        if !offered.unlimited_handed_over && u64::from(authorised) >= handed_over {
            return Ok(());
        }
        let over = if offered.unlimited_handed_over { "an unlimited lot".to_owned() } else { handed_over.to_string() };
        Err(Refusal::new(
            "ORDER_BELOW_HANDED_OVER",
            format!("order {order} would authorise {authorised} units, and {over} is handed over"),
        )
        .with("order", order)
        .with("handed_over", over))
    }

    /// Cancels what is not handed off.
    ///
    /// # Errors
    /// `ORDER_UNKNOWN`, `ORDER_CANCELLED`, `ORDER_HAS_OPEN_OFFERS`, `REQUEST_ID_REUSED`.
    pub(crate) fn cancel(&self, act: &Act, order: &str) -> Result<wire_order::Order, Refusal> {
        let cancelled = |record: &Record| match read(record)? {
            (_, Fact::OrderCancelled(before)) if before.order == order => self.get(order),
            _ => Err(reused(act, "content")),
        };
        once(self.authority.store(), act, cancelled, |attempt| {
            let before = self.on_record(order)?;
            before.check_not_cancelled()?;
            let offered = self.authority.offered_from(order)?;
            check_no_open_offers(order, &offered)?;
            let cancelled = OrderCancelled { order: order.to_owned(), before_at: before.at.as_u64() };
            let mut unit = act.unit(Fact::OrderCancelled(cancelled));
            unit.claims = vec![Claim { key: keys::order(order), rule: Rule::At(before.at) }, offered.relied_on];
            unit.entry = Some(entry(order)?);
            unit.moves = self.closing(order)?;
            attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, order))?;
            self.authority.lots.withdraw(order);
            self.get(order)
        })
    }

    /// A version that was approved has a tally, which ends.
    fn closing(&self, order: &str) -> Result<Vec<TallyMove>, Refusal> {
        let lot = keys::lot(order);
        let tally = self.authority.store().tally(&lot).map_err(|e| refuse_store(&e))?;
        Ok(tally.map(|_| TallyMove { lot, movement: Movement::Close }).into_iter().collect())
    }
}

/// SHA-256 of everything in the request but its id.
fn content_digest(request: &AmendOrderRequest) -> Bytes {
    let content = AmendOrderRequest { request_id: String::new(), ..request.clone() };
    wire::digest(&Sha256::of(&content.encode_to_vec()))
}

fn check_no_open_offers(order: &str, offered: &Offered) -> Result<(), Refusal> {
    if offered.open.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = offered.open.iter().map(String::as_str).take(MOST_SHOWN).collect();
    let more = if offered.open.len() > MOST_SHOWN { " and more" } else { "" };
    let lots = format!("{}{more}", shown.join(", "));
    Err(Refusal::new("ORDER_HAS_OPEN_OFFERS", format!("lots {lots} of order {order} are offered"))
        .with("order", order)
        .with("lots", lots))
}
