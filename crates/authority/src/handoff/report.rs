//! What receivers say about their lots, and what the sender's operator lets come back.

use api::{
    Refusal,
    custody::v1 as custody,
    journal::v1::{ReinstatementApproved, TallyReported, record::Fact},
};
use bytes::Bytes;
use mfg::{JournalHead, LotId, Statement, Tally};
use pki::Sha256;
use records::{Act, Attempt, keys, named, once, read, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Conflict, Entry, Position, Record, Rule};

use super::state::{Current, Stage};
use crate::{authority::Authority, lots::Lot};

impl Authority {
    /// Signs where the units of a lot are now, with the end of this journal. `certificate` is the lot's handoff certificate.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; what the store or the identity key says.
    pub fn tally_report(&self, lot: &str, certificate: &[u8], tally: &Tally) -> Result<custody::TallyReport, Refusal> {
        let head = self.store().head();
        let journal = JournalHead { position: head.position.as_u64(), chain: head.chain };
        let (digest, now) = (Sha256::of(certificate), self.now());
        let at = u64::try_from(now.as_secs()).unwrap_or_default();
        let statement = Statement::tally_report(&digest, tally, &journal, at);
        Ok(custody::TallyReport {
            lot: lot.to_owned(),
            certificate_sha256: wire::digest(&digest),
            tally: Some(wire::tally(tally)),
            journal_position: journal.position,
            journal_chain: wire::digest(&journal.chain),
            at: Some(wire::timestamp(now)),
            identity_key_digest: wire::digest(&self.identity_key().sha256()),
            signature: Bytes::from(self.sign_statement(&statement)?),
        })
    }

    /// Takes a receiver's report. The highest journal end is kept; the same or an older honest report again changes nothing.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `NOT_YOURS`, `HANDOFF_NOT_SIGNED`, `TALLY_REPORT_INVALID`, `TALLY_REPORT_DIFFERS`, `TALLY_INVALID`,
    /// `JOURNAL_ROLLED_BACK`.
    pub fn take_report(&self, act: &Act, report: &custody::TallyReport) -> Result<(), Refusal> {
        let (current, source) = self.reported_lot(&act.caller.manufacturer, &report.lot)?;
        let certificate = signed_certificate(&current)?;
        let facts = current.facts()?.consignment;
        let tally = wire::read_tally("tally", report.tally.as_ref())?;
        let journal = JournalHead {
            position: report.journal_position,
            chain: wire::read_digest("journal_chain", &report.journal_chain)?,
        };
        let at = report.at.as_ref().map(wire::read_timestamp).ok_or_else(|| Refusal::malformed("at", "is missing"))?;
        let invalid = |what: &str| {
            Refusal::new("TALLY_REPORT_INVALID", format!("the report of lot {} {what}", report.lot))
                .with("lot", &report.lot)
        };
        let digest = Sha256::of(&certificate);
        if report.certificate_sha256 != digest.as_bytes().as_slice() {
            return Err(invalid("is about another certificate"));
        }
        if tally.received() != facts.quantity {
            return Err(Refusal::new(
                "TALLY_REPORT_DIFFERS",
                format!("lot {} has {} units, the report says {}", report.lot, facts.quantity, tally.received()),
            )
            .with("lot", &report.lot));
        }
        let signer = wire::read_digest("identity_key_digest", &report.identity_key_digest)?;
        let key = source
            .terms
            .terms()
            .identity_key(&facts.to, &signer)
            .ok_or_else(|| invalid("names no identity key of its receiver"))?;
        let seconds = u64::try_from(at.as_secs()).map_err(|_| invalid("has an impossible time"))?;
        Statement::tally_report(&digest, &tally, &journal, seconds)
            .verify(key, &report.signature)
            .map_err(named(mfg::StatementRefusal::reason))?;
        self.keep_report(act, report)
    }

    fn reported_lot(&self, reader: &str, lot: &str) -> Result<(Current, std::sync::Arc<Lot>), Refusal> {
        let current = self.current_for(reader, lot)?;
        let source = self.source_of(&current)?;
        Ok((current, source))
    }

    fn keep_report(&self, act: &Act, report: &custody::TallyReport) -> Result<(), Refusal> {
        let compared = match self.last_report(&report.lot)? {
            None => Compared::Newer(Rule::Absent),
            Some((at, last)) => compare(report, &last, at),
        };
        let rolled_back = matches!(compared, Compared::RolledBack { .. });
        let mut unit = act.unit(Fact::TallyReported(TallyReported { report: Some(report.clone()), rolled_back }));
        match &compared {
            Compared::Known => return Ok(()),
            Compared::Newer(rule) => unit.claims = vec![Claim { key: keys::tally_report(&report.lot), rule: *rule }],
            Compared::RolledBack { .. } => {
                let name = format!("{}/{}", report.lot, report.journal_position);
                let entry = Entry::new("rolled-back-journals", &name);
                unit.entry = Some(entry.map_err(named(store::EntryInvalid::reason))?);
            }
        }
        match records::commit_one(self.store(), unit)? {
            // A conflict means that another report of the lot came in between: the receiver's next one is compared with that.
            Ok(_) | Err(Conflict::KeyMoved { .. } | Conflict::KeyTaken { .. }) => {}
            Err(conflict) => return Err(refuse_conflict(&conflict, &report.lot)),
        }
        match compared {
            Compared::Known | Compared::Newer(_) => Ok(()),
            Compared::RolledBack { shown_before } => Err(Refusal::new(
                "JOURNAL_ROLLED_BACK",
                format!(
                    "the receiver of lot {} showed its journal up to {shown_before} before, now up to {}",
                    report.lot, report.journal_position
                ),
            )
            .with("lot", &report.lot)
            .with("shown_before", shown_before)),
        }
    }

    /// What a lot's receiver last reported, with where that stands.
    pub(super) fn last_report(&self, lot: &str) -> Result<Option<(Position, custody::TallyReport)>, Refusal> {
        let Some(record) = self.store().get(&keys::tally_report(lot)).map_err(|e| refuse_store(&e))? else {
            return Ok(None);
        };
        let Fact::TallyReported(TallyReported { report: Some(report), .. }) = read(&record)?.1 else {
            return Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no report", record.position)));
        };
        Ok(Some((record.position, report)))
    }

    /// Lets scrapped units of a handed-over lot come back: signed, and good once.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `HANDOFF_NOT_SIGNED`, `NO_UNITS`, `REINSTATEMENT_TOO_LARGE`, `REQUEST_ID_REUSED`.
    pub fn approve_reinstatement(&self, act: &Act, lot: &LotId, units: u32) -> Result<custody::Reinstatement, Refusal> {
        let before = |record: &Record| match read(record)? {
            (_, Fact::ReinstatementApproved(ReinstatementApproved { reinstatement: Some(before), .. })) => {
                let same = before.lot == lot.as_str() && before.units == units;
                if same { Ok(before) } else { Err(reused(act, "content")) }
            }
            _ => Err(reused(act, "kind of request")),
        };
        once(self.store(), act, before, |attempt| self.new_reinstatement(act, lot, units, attempt))
    }

    fn new_reinstatement(
        &self,
        act: &Act,
        lot: &LotId,
        units: u32,
        attempt: Attempt<'_>,
    ) -> Result<custody::Reinstatement, Refusal> {
        if units == 0 {
            return Err(Refusal::new("NO_UNITS", "a permission is for at least one unit"));
        }
        let current = self.current_for(self.manufacturer.as_str(), lot.as_str())?;
        let certificate = signed_certificate(&current)?;
        let before = self.reinstated(lot.as_str())?;
        let total = before.as_ref().map(|(_, b)| b.total).unwrap_or_default().saturating_add(units);
        if current.facts()?.consignment.quantity.units().is_some_and(|quantity| units > quantity) {
            let message = format!("lot {lot} has fewer units than {units}");
            return Err(Refusal::new("REINSTATEMENT_TOO_LARGE", message).with("lot", lot));
        }
        let last = before.as_ref().and_then(|(_, b)| b.reinstatement.as_ref()).map(|r| r.ordinal).unwrap_or_default();
        let ordinal = last.saturating_add(1);
        let digest = Sha256::of(&certificate);
        let statement = Statement::reinstatement(&digest, ordinal, units);
        let reinstatement = custody::Reinstatement {
            lot: lot.to_string(),
            certificate_sha256: wire::digest(&digest),
            ordinal,
            units,
            identity_key_digest: wire::digest(&self.identity_key().sha256()),
            signature: Bytes::from(self.sign_statement(&statement)?),
        };
        let fact = ReinstatementApproved { reinstatement: Some(reinstatement.clone()), total };
        let mut unit = act.unit(Fact::ReinstatementApproved(fact));
        let rule = before.as_ref().map_or(Rule::Absent, |(at, _)| Rule::At(*at));
        unit.claims = vec![Claim { key: keys::reinstatement_approved(lot.as_str()), rule }];
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, lot.as_str()))?;
        Ok(reinstatement)
    }

    /// The newest permission for a lot, with where it stands.
    pub(super) fn reinstated(&self, lot: &str) -> Result<Option<(Position, ReinstatementApproved)>, Refusal> {
        let Some(record) = self.store().get(&keys::reinstatement_approved(lot)).map_err(|e| refuse_store(&e))? else {
            return Ok(None);
        };
        let Fact::ReinstatementApproved(approved) = read(&record)?.1 else {
            return Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no permission", record.position)));
        };
        Ok(Some((record.position, approved)))
    }
}

/// A report against the one on record.
enum Compared {
    /// It goes on record, against this.
    Newer(Rule),
    /// It says nothing that is not known; reports may arrive late and again.
    Known,
    /// It was signed later and shows less, or shows another journal of the same length.
    RolledBack { shown_before: u64 },
}

fn compare(report: &custody::TallyReport, last: &custody::TallyReport, last_at: Position) -> Compared {
    let seconds = |report: &custody::TallyReport| report.at.as_ref().map(|at| at.seconds).unwrap_or_default();
    let forked = report.journal_position == last.journal_position && report.journal_chain != last.journal_chain;
    let less = report.journal_position < last.journal_position;
    if forked || less && seconds(report) > seconds(last) {
        Compared::RolledBack { shown_before: last.journal_position }
    } else if less || seconds(report) < seconds(last) || report == last {
        Compared::Known
    } else {
        Compared::Newer(Rule::At(last_at))
    }
}

fn signed_certificate(current: &Current) -> Result<Bytes, Refusal> {
    let not_signed = || Refusal::new("HANDOFF_NOT_SIGNED", "the handoff has no certificate yet");
    match &current.stage {
        Stage::Accepted { intent, signature: Some(signature), .. } => issuance::assemble(&intent.tbs, signature)
            .map(Bytes::from)
            .map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e)),
        Stage::Accepted { signature: None, .. } | Stage::Voided { .. } | Stage::Offered | Stage::Withdrawn { .. } => {
            Err(not_signed())
        }
    }
}
