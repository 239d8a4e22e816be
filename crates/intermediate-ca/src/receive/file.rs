//! Receiving a lot without a wire: the same two halves, with files in between.

use api::{
    Refusal,
    custody::v1::HandoffState,
    handoff::v1::{AcceptHandoffRequest, AcceptHandoffResponse, GetOfferResponse},
    journal::v1::{LotAccepting, record::Fact},
};
use mfg::{LotId, ManufacturerId};
use records::{Act, named, read, reused, wire};

use super::{Receiver, check, upstream};
use crate::lots::{LotOnRecord, Stage};

impl Receiver {
    /// Checks an offer that came as a file, and countersigns it. The same offer again is checked again, and gets the same acceptance.
    ///
    /// # Errors
    /// As [`Receiver::receive`], and `OFFER_SIGNATURE_INVALID`, `HANDOFF_WITHDRAWN` (expired), `LOT_EXISTS` (another offer, or received
    /// meanwhile).
    pub(crate) fn accept_file(&self, act: &Act, offer: GetOfferResponse) -> Result<AcceptHandoffRequest, Refusal> {
        let facts = wire::read_facts("facts", offer.handoff.as_ref().and_then(|h| h.facts.as_ref()))?;
        let (lot, from) = (facts.consignment.lot.clone(), facts.consignment.from.clone());
        let before = self.asked_before(act, &from, &lot)?;
        let mut papers = upstream::Offer::from(offer.clone());
        // A file tells what the sender said then; whether it still stands is the sender's to say when the acceptance comes.
        papers.state = HandoffState::Offered;
        let (facts, terms) = check::offer(self, &from, &lot, &papers)?;
        papers.carried_until = Some(check::carried(self, &facts, &terms, &offer)?);
        let before = before.map_or_else(|| self.accept(act, &from, &lot, &papers), Ok)?;
        match (self.accepted_as(act)?, before.stage) {
            (Some(accepting), _) => {
                let before = wire::read_facts("facts", accepting.facts.as_ref())?;
                before
                    .difference(&facts)
                    .map_or_else(|| Ok(acceptance(&lot, &accepting)), |what| Err(reused(act, what)))
            }
            (None, Stage::Accepting(accepting)) => {
                let before = wire::read_facts("facts", accepting.facts.as_ref())?;
                let Some(what) = before.difference(&facts) else { return Ok(acceptance(&lot, &accepting)) };
                Err(exists(&lot, &format!("was accepted with another {what}")))
            }
            (None, Stage::Received(_) | Stage::Closing(..) | Stage::Closed(..)) => {
                Err(exists(&lot, "was received before"))
            }
        }
    }

    /// The acceptance that this very request made: it is answered for ever, also when the lot is open or closed by now.
    fn accepted_as(&self, act: &Act) -> Result<Option<LotAccepting>, Refusal> {
        let before = records::replayed(self.authority.store(), act)?.map(|record| read(&record)).transpose()?;
        match before {
            Some((_, Fact::LotAccepting(accepting))) => Ok(Some(accepting)),
            _ => Ok(None),
        }
    }

    /// Checks the sender's answer that came as a file, and opens the lot. The same answer again changes nothing.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; what verifying the chain says; `OFFER_MISMATCH`, `TERMS_...`, `LOT_EXISTS` (opened with another answer),
    /// `REQUEST_ID_REUSED`.
    pub(crate) fn open_file(&self, act: &Act, lot: &LotId, answer: AcceptHandoffResponse) -> Result<(), Refusal> {
        let current = LotOnRecord::of(self.authority.store(), lot.as_str())?;
        let from = current.facts().map(|facts| facts.from.clone()).unwrap_or_default();
        let from = ManufacturerId::parse(&from).map_err(named(mfg::IdRefusal::reason))?;
        // Also refuses a request id that stands for something else.
        let Some(current) = self.asked_before(act, &from, lot)? else { return Ok(()) };
        match current.stage {
            Stage::Accepting(accepting) => self.open(act, current.at, &accepting, &upstream::Signed::from(answer)),
            Stage::Received(received) | Stage::Closing(received, _) | Stage::Closed(received, _) => {
                let answer = upstream::Signed::from(answer);
                let before = received.terms.as_ref().map(|terms| &terms.terms);
                let what = match () {
                    () if answer.chain != received.chain => "certificate",
                    () if before != Some(&answer.terms) => "terms",
                    () => return Ok(()),
                };
                Err(match records::replayed(self.authority.store(), act)? {
                    Some(_) => reused(act, what),
                    None => exists(lot, &format!("was opened with another {what}")),
                })
            }
        }
    }
}

fn exists(lot: &LotId, what: &str) -> Refusal {
    Refusal::new("LOT_EXISTS", format!("lot {lot} {what}")).with("lot", lot)
}

fn acceptance(lot: &LotId, accepting: &LotAccepting) -> AcceptHandoffRequest {
    AcceptHandoffRequest {
        request_id: accepting.upstream_request_id.clone(),
        lot: lot.to_string(),
        csr: accepting.csr.clone(),
        acceptance: accepting.acceptance.clone(),
    }
}
