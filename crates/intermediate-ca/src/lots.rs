//! Lots on disk and on record: noting them at start, making them when they are needed, and telling about them.

use std::{collections::BTreeSet, sync::Arc};

use api::{
    Refusal,
    custody::v1::{self as custody, HandoffFacts, TallyReport},
    journal::v1::{LotAccepting, LotReceived, record::Fact},
    lot::v1::{Lot as WireLot, LotState},
};
use authority::{Authority, Lot, LotIssuer, Noted, Versions};
use bytes::Bytes;
use issuance::{Issuer, LoadOptions, OrderProfiles, SoftwareKey};
use mfg::SignedTerms;
use pki::{
    Certificate, Sha256,
    path::{PathOptions, Purpose, verify_path},
};
use records::{keys, named, read, read_at, refuse_store, wire};
use service::secret::SecretError;
use store::{Position, Receipt, Record, Store};
use tracing::warn;

use crate::{close, receive::Receiver};

/// The name of a lot key's file: the key's digest.
pub(crate) fn key_file(digest: &Sha256) -> String {
    format!("{digest}.key")
}

/// A lot as its newest record tells it.
#[derive(Debug)]
pub(crate) struct LotOnRecord {
    /// Where its key points: what a change must be made against.
    pub(crate) at: Position,
    pub(crate) stage: Stage,
}

/// How far a lot came.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Countersigned; the sender's certificate is awaited.
    Accepting(Box<LotAccepting>),
    /// Open.
    Received(Box<LotReceived>),
    /// Nothing is spent any more; the signed tally is due. With where it was received.
    Closing(Box<LotReceived>, Position),
    /// Its tally is signed and its key destroyed, or about to be.
    Closed(Box<LotReceived>, Box<TallyReport>),
}

impl LotOnRecord {
    /// The lot with this id.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; what the store says.
    pub(crate) fn of(store: &dyn Store, id: &str) -> Result<Self, Refusal> {
        let record = store
            .get(&keys::lot(id))
            .map_err(|e| refuse_store(&e))?
            .ok_or_else(|| Refusal::new("LOT_UNKNOWN", format!("lot {id:?} is not known here")).with("lot", id))?;
        Self::from_record(store, &record)
    }

    /// The lot that a record is about.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when it is about none; what the store says.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(crate) fn from_record(store: &dyn Store, record: &Record) -> Result<Self, Refusal> {
        let damaged = |at: Position| Refusal::new("JOURNAL_DAMAGED", format!("the record at {at} is no lot's"));
        let received = |at: u64| match read_at(store, at)? {
            (_, _, Fact::LotReceived(received)) => Ok(Box::new(received)),
            (record, ..) => Err(damaged(record.position)),
        };
        let stage = match read(record)?.1 {
            Fact::LotAccepting(accepting) => Stage::Accepting(Box::new(accepting)),
            Fact::LotReceived(received) => Stage::Received(Box::new(received)),
            Fact::LotClosing(closing) => {
                Stage::Closing(received(closing.received_at)?, Position::from_u64(closing.received_at))
            }
            Fact::LotClosed(closed) => {
                Stage::Closed(received(closed.received_at)?, Box::new(closed.report.unwrap_or_default()))
            }
            _ => return Err(damaged(record.position)),
        };
        Ok(Self { at: record.position, stage })
    }

    /// Refuses to speak for a lot of which records were lost.
    ///
    /// # Errors
    /// `LOT_NOT_OPEN`.
    pub(crate) fn check_not_retired(&self, authority: &Authority) -> Result<(), Refusal> {
        let Stage::Received(received) = &self.stage else { return Ok(()) };
        let Some(why) = authority.retired(self.at) else { return Ok(()) };
        let id = received.facts.as_ref().map(|facts| facts.lot.as_str()).unwrap_or_default();
        Err(Refusal::new("LOT_NOT_OPEN", format!("lot {id} is retired: {why}")).with("lot", id))
    }

    /// What is or was received.
    ///
    /// # Errors
    /// `LOT_NOT_OPEN` while the sender's certificate is awaited.
    pub(crate) fn check_received(&self, id: &str) -> Result<&LotReceived, Refusal> {
        self.received().ok_or_else(|| authority::not_received(id))
    }

    /// What is or was received; none while it is being accepted.
    pub(crate) fn received(&self) -> Option<&LotReceived> {
        match &self.stage {
            Stage::Accepting(_) => None,
            Stage::Received(received) | Stage::Closing(received, _) | Stage::Closed(received, _) => Some(received),
        }
    }

    /// The lot key's.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when the record has none.
    pub(crate) fn key_digest(&self) -> Result<Sha256, Refusal> {
        let octets = match &self.stage {
            Stage::Accepting(accepting) => &accepting.key_digest,
            Stage::Received(received) | Stage::Closing(received, _) | Stage::Closed(received, _) => {
                &received.key_digest
            }
        };
        let what = || Refusal::new("JOURNAL_DAMAGED", format!("the record at {} names no key", self.at));
        Sha256::from_slice(octets).ok_or_else(what)
    }

    /// What passes from whom.
    pub(crate) fn facts(&self) -> Option<&HandoffFacts> {
        match &self.stage {
            Stage::Accepting(accepting) => accepting.facts.as_ref(),
            Stage::Received(received) | Stage::Closing(received, _) | Stage::Closed(received, _) => {
                received.facts.as_ref()
            }
        }
    }
}

/// What is there at start.
#[derive(Debug)]
pub(crate) struct AtStart {
    /// Received lots, closed ones included.
    pub(crate) lots: usize,
    /// Key files that no lot on record has: a crash between a key and its record leaves one, and nobody knows of it. It is not
    /// destroyed: when an older journal was put in place by mistake, it is the key of a lot that only the newer one knows.
    pub(crate) stray_keys: Vec<String>,
}

/// Notes every received lot, at start; each is made when it is asked for. Finishes closing those that a crash left half closed, and destroys
/// the keys of those that sign nothing more.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when a lot's record does not read; `KEY_...` when a closed lot's key cannot be destroyed.
pub(crate) fn note_all(receiver: &Arc<Receiver>) -> Result<AtStart, Refusal> {
    let authority = &receiver.authority;
    let weak = Arc::downgrade(receiver);
    authority.lots.make_with(Box::new(move |id| match weak.upgrade() {
        Some(receiver) => made(&receiver, id),
        None => Ok(Versions::default()),
    }));
    let (mut noted, mut keys) = (0, BTreeSet::new());
    records::every(authority.store(), "lots", |id, record| {
        let lot = LotOnRecord::from_record(authority.store(), record)?;
        let key = key_file(&lot.key_digest()?);
        let is_open = match &lot.stage {
            Stage::Accepting(_) => {
                keys.insert(key);
                authority.lots.wait_for(id);
                return Ok(());
            }
            Stage::Received(_) => authority.retired(lot.at).is_none(),
            Stage::Closing(..) => {
                close::finish(receiver, id)?;
                false
            }
            Stage::Closed(..) => false,
        };
        authority.lots.note(id, if is_open { Noted::Open } else { Noted::Ended });
        if is_open {
            keys.insert(key);
        } else {
            receiver.lot_keys.destroy(&key).map_err(named(SecretError::reason))?;
        }
        noted += 1;
        Ok(())
    })?;
    let mut stray_keys = receiver.lot_keys.names().map_err(named(SecretError::reason))?;
    stray_keys.retain(|name| !keys.contains(name));
    for file in &stray_keys {
        warn!(file, "a lot key belongs to no lot on record: remove it, if the journal here is the newest");
    }
    Ok(AtStart { lots: noted, stray_keys })
}

/// What is known of a lot. One whose key cannot be loaded still answers retries, and says why it cannot sign.
fn made(receiver: &Receiver, id: &str) -> Result<Versions, Refusal> {
    let authority = &receiver.authority;
    let lot = LotOnRecord::of(authority.store(), id)?;
    let Some(received) = lot.received() else { return Ok(Versions::default()) };
    let terms = received.terms.clone().unwrap_or_default();
    let terms = SignedTerms::verify(&terms.terms, &terms.signature, &authority.bundle())
        .map_err(named(mfg::TermsRefusal::reason))?;
    let issuer = match (&lot.stage, authority.retired(lot.at)) {
        (Stage::Accepting(_) | Stage::Closing(..) | Stage::Closed(..), _) => LotIssuer::Closed,
        (Stage::Received(_), Some(why)) => LotIssuer::Gone(why),
        (Stage::Received(_), None) => match load(receiver, received, terms.clone()) {
            Ok(lot) => return Ok(Versions { current: Some(lot), ..Versions::default() }),
            Err(refusal) => {
                warn!(lot = id, %refusal, "a lot cannot sign");
                LotIssuer::Gone(refusal.to_string())
            }
        },
    };
    Ok(Versions { current: Some(described(receiver, received, terms, issuer)?), ..Versions::default() })
}

/// A received lot, ready to sign with its key from disk.
///
/// # Errors
/// `FILE_MISSING` and its kin for the key, `ISSUER_KEY_MISMATCH` and the issuer's other refusals.
pub(crate) fn load(receiver: &Receiver, received: &LotReceived, terms: SignedTerms) -> Result<Lot, Refusal> {
    let digest = wire::read_digest("key_digest", &received.key_digest)?;
    let pkcs8 = receiver.lot_keys.read(&key_file(&digest)).map_err(named(SecretError::reason))?;
    let key = SoftwareKey::from_pkcs8(pkcs8.expose()).map_err(named(issuance::KeyError::reason))?;
    let options = LoadOptions {
        stage: receiver.stage,
        oid_arc: terms.terms().document().program.oid_arc,
        now: receiver.authority.now(),
    };
    let chain = chain_to_anchor(receiver, received)?;
    let issuer =
        Issuer::<Receipt>::load(chain, Arc::new(key), &options).map_err(named(issuance::LoadRefusal::reason))?;
    described(receiver, received, terms, LotIssuer::Loaded(Box::new(issuer)))
}

/// The lot's CA certificate first, the trust anchor that its chain leads to last.
fn chain_to_anchor(receiver: &Receiver, received: &LotReceived) -> Result<Vec<Certificate>, Refusal> {
    let parse = |der: &Bytes| Certificate::parse(der).map_err(named(pki::ParseError::reason));
    let mut chain = received.chain.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let Some((lot_ca, above)) = chain.split_first() else {
        return Err(Refusal::new("JOURNAL_DAMAGED", "a received lot has no chain"));
    };
    let options = PathOptions::new(receiver.authority.now(), Purpose::Any);
    let path = verify_path(lot_ca, above, &receiver.authority.bundle().anchors, &options)
        .map_err(named(pki::path::PathRefusal::reason))?;
    chain.push(path.anchor().clone());
    Ok(chain)
}

pub(crate) fn described(
    receiver: &Receiver,
    received: &LotReceived,
    terms: SignedTerms,
    issuer: LotIssuer,
) -> Result<Lot, Refusal> {
    let facts = wire::read_facts("facts", received.facts.as_ref())?;
    let id = facts.consignment.lot.to_string();
    let profiles = OrderProfiles::new(Arc::new(terms.terms().clone()), receiver.stage)
        .map_err(named(issuance::ProfileRefusal::reason))?;
    Ok(Lot {
        tally: keys::lot(&id),
        id,
        terms: Arc::new(terms),
        profiles,
        subtree: facts.subtree,
        hops: facts.consignment.hop.get(),
        chain: received.chain.clone(),
        issuer,
    })
}

/// A lot as the operators and the line read it.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when the record is no lot's.
pub(crate) fn to_wire(authority: &Authority, on_record: &LotOnRecord) -> Result<WireLot, Refusal> {
    let facts = on_record.facts().cloned();
    let id = facts.as_ref().map(|f| f.lot.clone()).unwrap_or_default();
    let Some(received) = on_record.received() else {
        return Ok(WireLot { facts, state: LotState::Accepting.into(), ..WireLot::default() });
    };
    let tally = authority.tally(&id)?;
    let lot = authority.lots.get(&id)?;
    let state = match tally.phase() {
        mfg::Phase::Open => LotState::Open,
        mfg::Phase::Closed => LotState::Closed,
    };
    let cannot_sign = match (&lot.issuer, state) {
        (LotIssuer::Gone(why), LotState::Open) => why.clone(),
        (LotIssuer::Gone(_) | LotIssuer::Closed | LotIssuer::Loaded(_), _) => String::new(),
    };
    Ok(WireLot {
        facts,
        cannot_sign,
        state: state.into(),
        tally: Some(wire::tally(&tally)),
        chain: received.chain.clone(),
        issues_devices: lot.terms.terms().document().device_issuers.contains(&authority.manufacturer),
    })
}

/// The terms as they travel.
pub(crate) fn terms_to_wire(terms: &SignedTerms) -> custody::SignedTerms {
    custody::SignedTerms {
        terms: Bytes::copy_from_slice(terms.bytes()),
        signature: Bytes::copy_from_slice(terms.signature()),
    }
}
