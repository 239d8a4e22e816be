//! Receiving a lot without a wire: the same two halves, with files in between.

use api::{
    Refusal,
    custody::v1::HandoffState,
    handoff::v1::{AcceptHandoffRequest, AcceptHandoffResponse, GetOfferResponse},
    journal::v1::LotAccepting,
};
use mfg::{LotId, ManufacturerId};
use records::{Act, named, wire};

use super::{Receiver, check, upstream};
use crate::lots::{LotOnRecord, Stage};

impl Receiver {
    /// Checks an offer that came as a file, and countersigns it. The same offer again gets the same acceptance.
    ///
    /// # Errors
    /// As [`Receiver::receive`], and `OFFER_SIGNATURE_INVALID`, `HANDOFF_WITHDRAWN` (expired), `LOT_NOT_OPEN` (closed meanwhile).
    pub(crate) fn accept_file(&self, act: &Act, offer: GetOfferResponse) -> Result<AcceptHandoffRequest, Refusal> {
        let facts = wire::read_facts("facts", offer.handoff.as_ref().and_then(|h| h.facts.as_ref()))?;
        let (lot, from) = (facts.consignment.lot.clone(), facts.consignment.from.clone());
        if let Some(before) = self.asked_before(act, &from, &lot)? {
            return match before.stage {
                Stage::Accepting(accepting) if same_offer(&accepting, &facts)? => Ok(acceptance(&lot, &accepting)),
                Stage::Accepting(_) | Stage::Received(_) | Stage::Closing(..) | Stage::Closed(..) => {
                    Err(Refusal::new("LOT_EXISTS", format!("lot {lot} was received before")).with("lot", &lot))
                }
            };
        }
        let mut papers = upstream::Offer::from(offer.clone());
        // A file tells what the sender said then; whether it still stands is the sender's to say when the acceptance comes.
        papers.state = HandoffState::Offered;
        let (facts, terms) = check::offer(self, &from, &lot, &papers)?;
        check::carried(self, &facts, &terms, &offer)?;
        let (_, accepting) = self.accept(act, &from, &lot, &papers)?;
        Ok(acceptance(&lot, &accepting))
    }

    /// Checks the sender's answer that came as a file, and opens the lot. The same answer again changes nothing.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; what verifying the chain says; `OFFER_MISMATCH`, `TERMS_...`, `REQUEST_ID_REUSED`.
    pub(crate) fn open_file(&self, act: &Act, lot: &LotId, answer: AcceptHandoffResponse) -> Result<(), Refusal> {
        let current = LotOnRecord::of(self.authority.store(), lot.as_str())?;
        let from = current.facts().map(|facts| facts.from.clone()).unwrap_or_default();
        let from = ManufacturerId::parse(&from).map_err(named(mfg::IdRefusal::reason))?;
        // Also refuses a request id that stands for something else.
        let Some(current) = self.asked_before(act, &from, lot)? else { return Ok(()) };
        match current.stage {
            Stage::Accepting(accepting) => self.open(act, current.at, &accepting, &upstream::Signed::from(answer)),
            Stage::Received(_) | Stage::Closing(..) | Stage::Closed(..) => Ok(()),
        }
    }
}

fn same_offer(accepting: &LotAccepting, facts: &wire::Facts) -> Result<bool, Refusal> {
    Ok(wire::read_facts("facts", accepting.facts.as_ref())? == *facts)
}

fn acceptance(lot: &LotId, accepting: &LotAccepting) -> AcceptHandoffRequest {
    AcceptHandoffRequest {
        request_id: accepting.upstream_request_id.clone(),
        lot: lot.to_string(),
        csr: accepting.csr.clone(),
        acceptance: accepting.acceptance.clone(),
    }
}
