//! Whether this journal holds what others saw of it, and what is seen of theirs.
//!
//! A whole folder that was put back to an older state is sound in itself, so others have to find it. Whoever deals with another shows it
//! the newest record of its own journal, signed; the other keeps that, and shows it again at the next contact. A record names the hash chain
//! over everything before it. So a journal that holds what was shown holds all that came before, and one that does not was put back, also
//! when it has grown longer since.

use std::sync::PoisonError;

use api::{
    Refusal,
    custody::v1::JournalHead,
    handoff::v1::{CompareJournalsRequest, CompareJournalsResponse},
    journal::v1::{JournalSeen, record::Fact},
};
use bytes::Bytes;
use mfg::Statement;
use pki::{PublicKey, Sha256};
use records::{Act, Standing, commit_one, keys, named, read, refuse_conflict, refuse_store, rolled_back_unit, wire};
use store::{Claim, Conflict, Entry, Position, Record, Rule, StoreError};
use tracing::{error, warn};

use crate::authority::Authority;

/// The collection of what peers showed, by manufacturer and service.
pub(crate) const SEEN: &str = "seen-journals";
/// The service that calls a sender.
const RECEIVER: &str = "intermediate-ca";

impl Authority {
    /// The newest record of this journal, in this manufacturer's signed word. None while there is none, or while the store is suspended.
    ///
    /// # Errors
    /// What the store or the identity key says.
    pub fn shown_journal(&self) -> Result<Option<JournalHead>, Refusal> {
        if self.standing().suspended.is_some() {
            return Ok(None);
        }
        let Some(newest) = self.store().last().map_err(|e| refuse_store(&e))? else { return Ok(None) };
        let chain = self.store().read(newest).map_err(|e| refuse_store(&e))?.chain;
        let (newest_record, now) = (newest.as_u64(), self.now());
        let at = u64::try_from(now.as_secs()).unwrap_or_default();
        let statement = Statement::journal_head(&self.manufacturer, self.service(), newest_record, &chain, at);
        Ok(Some(JournalHead {
            newest_record,
            chain: wire::digest(&chain),
            at: Some(wire::timestamp(now)),
            identity_key_digest: wire::digest(&self.identity_key().sha256()),
            signature: Bytes::from(self.sign_statement(&statement)?),
        }))
    }

    /// What a service of another manufacturer last showed of its journal.
    ///
    /// # Errors
    /// What the store says.
    pub fn seen_journal(&self, manufacturer: &str, service: &str) -> Result<Option<JournalHead>, Refusal> {
        let record = self.store().get(&keys::seen_journal(manufacturer, service)).map_err(|e| refuse_store(&e))?;
        Ok(record.as_ref().map(read_seen_journal).transpose()?.and_then(|seen| seen.head))
    }

    /// Keeps what a service of another manufacturer shows of its journal.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED`; what the store says.
    pub fn keep_seen(&self, act: &Act, manufacturer: &str, service: &str, head: &JournalHead) -> Result<(), Refusal> {
        check_shown(head)?;
        let seen = JournalSeen {
            manufacturer: manufacturer.to_owned(),
            service: service.to_owned(),
            head: Some(head.clone()),
        };
        let mut unit = act.unit(Fact::JournalSeen(seen));
        unit.claims = vec![Claim { key: keys::seen_journal(manufacturer, service), rule: Rule::Any }];
        let entry = Entry::new(SEEN, &format!("{manufacturer}/{service}"));
        unit.entry = Some(entry.map_err(named(store::EntryInvalid::reason))?);
        commit_one(self.store(), unit)?.map(drop).map_err(|c: Conflict| refuse_conflict(&c, ""))
    }

    /// A receiver compares: judges what it saw of this journal, and keeps what it shows once it has accounted for what was seen before.
    ///
    /// # Errors
    /// `JOURNAL_ROLLED_BACK` when this journal does not hold what the receiver saw; `REQUEST_MALFORMED`; what the store says.
    pub fn compare(&self, act: &Act, request: &CompareJournalsRequest) -> Result<CompareJournalsResponse, Refusal> {
        let receiver = &act.caller.manufacturer;
        request.shown.as_ref().map_or(Ok(()), check_shown)?;
        if let Some(seen) = &request.seen {
            self.judge_seen(receiver, seen)?;
        }
        let seen = self.seen_journal(receiver, RECEIVER)?;
        if let Some(shown) = &request.shown
            && seen == request.accounted
        {
            self.keep_seen(act, receiver, RECEIVER, shown)?;
        }
        Ok(CompareJournalsResponse { shown: self.shown_journal()?, seen })
    }

    /// Judges what a peer saw of this journal. A store that does not hold it is suspended from now on, on record.
    ///
    /// # Errors
    /// `JOURNAL_ROLLED_BACK`; `REQUEST_MALFORMED`; what the store says.
    pub fn judge_seen(&self, by: &str, head: &JournalHead) -> Result<(), Refusal> {
        if self.standing().suspended.is_some() || self.accounts_for(by, head)? {
            return Ok(());
        }
        let _turn = self.suspending.lock().unwrap_or_else(PoisonError::into_inner);
        if Standing::of(self.store())?.suspended.is_none() {
            let unit = rolled_back_unit(&self.own_act(), self.store().head(), by, head)?;
            let recorded = commit_one(self.store(), unit)?;
            recorded.map(drop).map_err(|c| refuse_conflict(&c, ""))?;
            let record = head.newest_record;
            error!(reason = "JOURNAL_ROLLED_BACK", by, record, "a peer saw what this journal does not hold");
        }
        self.take_standing()?;
        Err(Refusal::new("JOURNAL_ROLLED_BACK", format!("{by} {}", not_held(head))).with("manufacturer", by))
    }

    /// Whether this journal holds what a peer saw of it, or gave it up; also when it is not this manufacturer's word, from which nothing
    /// follows.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED`; what the store says.
    pub fn accounts_for(&self, by: &str, head: &JournalHead) -> Result<bool, Refusal> {
        let chain = wire::read_digest("seen.chain", &head.chain)?;
        let at =
            head.at.as_ref().map(wire::read_timestamp).ok_or_else(|| Refusal::malformed("seen.at", "is missing"))?;
        let seconds = u64::try_from(at.as_secs()).unwrap_or_default();
        let statement =
            Statement::journal_head(&self.manufacturer, self.service(), head.newest_record, &chain, seconds);
        let key = self.own_key(&wire::read_digest("seen.identity_key_digest", &head.identity_key_digest)?);
        // Nobody is stopped by what others say, only by the own word that they kept.
        if key.is_none_or(|key| statement.verify(&key, &head.signature).is_err()) {
            warn!(
                reason = "JOURNAL_HEAD_INVALID",
                by, "what a peer saw of this journal is not this manufacturer's word"
            );
            return Ok(true);
        }
        let given_up = self.standing().gave_up_at.is_some_and(|gave_up| at <= gave_up);
        Ok(given_up || self.holds(Position::from_u64(head.newest_record), &chain)?)
    }

    /// Whether the record here has this value of the chain after it: then everything before it is the same too.
    fn holds(&self, at: Position, chain: &Sha256) -> Result<bool, Refusal> {
        match self.store().read(at) {
            Ok(record) => Ok(record.chain == *chain),
            Err(StoreError::NoSuchRecord { .. }) => Ok(false),
            Err(other) => Err(refuse_store(&other)),
        }
    }

    /// An identity key that this manufacturer has or had.
    fn own_key(&self, digest: &Sha256) -> Option<PublicKey> {
        let own = &self.manufacturer;
        let is_it = |key: &&PublicKey| key.sha256() == *digest;
        if let Some(key) = Some(self.identity_key()).filter(is_it) {
            return Some(key.clone());
        }
        let bundle = self.bundle();
        if let Some(key) = bundle.identity_keys_of(own).find(is_it) {
            return Some(key.clone());
        }
        self.lots.all().iter().find_map(|lot| lot.terms.terms().identity_key(own, digest).cloned())
    }

    /// The kind of service that this is: a manufacturer may have one of each.
    fn service(&self) -> &'static str {
        if self.own_ca.is_some() { "root-ca" } else { RECEIVER }
    }
}

fn check_shown(head: &JournalHead) -> Result<(), Refusal> {
    wire::read_digest("shown.chain", &head.chain).map(drop)
}

/// What a peer showed, as it stands on record.
pub(crate) fn read_seen_journal(record: &Record) -> Result<JournalSeen, Refusal> {
    let Fact::JournalSeen(seen) = read(record)?.1 else {
        let what = format!("the record at {} is about no journal", record.position);
        return Err(Refusal::new("JOURNAL_DAMAGED", what));
    };
    Ok(seen)
}

/// How many octets a journal with this record has at least.
pub(crate) fn at_least(head: &JournalHead) -> u64 {
    head.newest_record.saturating_add(1)
}

/// What is wrong with a journal that does not hold it.
pub(crate) fn not_held(head: &JournalHead) -> String {
    format!("saw a record at {}, which this journal does not hold", head.newest_record)
}
