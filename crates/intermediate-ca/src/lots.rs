//! Lots on disk and on record: loading them at start, and telling about them.

use std::sync::Arc;

use api::{
    Refusal,
    custody::v1 as custody,
    journal::v1::{LotReceived, record::Fact},
    lot::v1::{Lot as WireLot, LotState},
};
use authority::{Authority, Lot, LotIssuer};
use bytes::Bytes;
use issuance::{Issuer, LoadOptions, OrderProfiles, SoftwareKey};
use mfg::SignedTerms;
use pki::{
    Certificate, Sha256,
    path::{PathOptions, Purpose, verify_path},
};
use records::{keys, named, read, refuse_store, wire};
use service::secret::SecretError;
use store::{Receipt, Record};
use tracing::warn;

use crate::receive::Receiver;

/// Most lots read at once while loading.
const PAGE: usize = 256;

/// The name of a lot key's file: the key's digest.
pub(crate) fn key_file(digest: &Sha256) -> String {
    format!("{digest}.key")
}

/// Loads every received lot at start. A lot whose key cannot be loaded still answers retries, and says why it cannot sign.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when a lot's record does not read.
pub(crate) fn load_all(receiver: &Receiver) -> Result<usize, Refusal> {
    let authority = &receiver.authority;
    let mut after: Option<String> = None;
    let mut loaded = 0;
    loop {
        let page = authority.store().list("lots", after.as_deref(), PAGE).map_err(|e| refuse_store(&e))?;
        let Some((last, _)) = page.last() else { return Ok(loaded) };
        after = Some(last.clone());
        for (id, record) in &page {
            let Fact::LotReceived(received) = read(record)?.1 else { continue };
            let terms = received.terms.clone().unwrap_or_default();
            let terms = SignedTerms::verify(&terms.terms, &terms.signature, &receiver.bundle)
                .map_err(named(mfg::TermsRefusal::reason))?;
            match load(receiver, &received, terms.clone()) {
                Ok(lot) => authority.lots.put(lot),
                Err(refusal) => {
                    warn!(lot = id, %refusal, "a lot cannot sign");
                    authority.lots.put(described(receiver, &received, terms, LotIssuer::Gone(refusal.to_string()))?);
                }
            }
            loaded += 1;
        }
    }
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
    let path = verify_path(lot_ca, above, &receiver.bundle.anchors, &options)
        .map_err(named(pki::path::PathRefusal::reason))?;
    chain.push(path.anchor().clone());
    Ok(chain)
}

fn described(
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

/// A lot's record as the operators and the line read it.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when the record is no lot's.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(crate) fn to_wire(authority: &Authority, record: &Record) -> Result<WireLot, Refusal> {
    match read(record)?.1 {
        Fact::LotAccepting(accepting) => Ok(WireLot {
            facts: accepting.facts,
            state: LotState::Accepting.into(),
            tally: None,
            chain: Vec::new(),
            issues_devices: false,
        }),
        Fact::LotReceived(received) => {
            let id = received.facts.as_ref().map(|f| f.lot.clone()).unwrap_or_default();
            let tally = authority.store().tally(&keys::lot(&id)).map_err(|e| refuse_store(&e))?;
            let lot = authority.lots.get(&id)?;
            let issues_devices = lot.terms.terms().document().device_issuers.contains(&authority.manufacturer);
            let closed = tally.as_ref().is_some_and(|t| t.phase() == mfg::Phase::Closed);
            Ok(WireLot {
                facts: received.facts,
                state: if closed { LotState::Closed } else { LotState::Open }.into(),
                tally: tally.as_ref().map(wire::tally),
                chain: received.chain,
                issues_devices,
            })
        }
        _ => Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no lot's", record.position))),
    }
}

/// The terms as they travel.
pub(crate) fn terms_to_wire(terms: &SignedTerms) -> custody::SignedTerms {
    custody::SignedTerms {
        terms: Bytes::copy_from_slice(terms.bytes()),
        signature: Bytes::copy_from_slice(terms.signature()),
    }
}
