//! Receiving a lot: read the offer, check it, make the lot key, countersign, get the certificate, check the chain, open the lot.
//!
//! Every step is on record before the next begins, so that a repetition goes on where a crash stopped it: the lot key is on disk
//! before the acceptance is on record, and the acceptance is on record before the sender hears of it.

mod check;
mod upstream;

use std::sync::Arc;

use api::{
    Refusal, RequestId,
    journal::v1::{LotAccepting, LotReceived, record::Fact},
};
use authority::Authority;
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, Stage, make_csr};
use mfg::{Acceptance, Bundle, LotId, ManufacturerId, Movement, Statement, terms::HandoffKeyAlgorithm};
use pki::Sha256;
use records::{Act, Once, commit_once, keys, named, read, refuse_conflict, refuse_store, reused, wire};
use service::secret::{SecretDirectory, SecretError};
use store::{Claim, Entry, Position, Record, Rule, TallyMove};

pub(crate) use upstream::Upstreams;

use crate::lots;

/// The receiving side of a manufacturer.
pub(crate) struct Receiver {
    pub(crate) authority: Arc<Authority>,
    pub(crate) identity_key: SoftwareKey,
    pub(crate) lot_keys: SecretDirectory,
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) stage: Stage,
    pub(crate) upstreams: Upstreams,
}

/// How far a lot came.
enum OnRecord {
    Accepting { at: Position, accepting: Box<LotAccepting> },
    Received,
}

impl Receiver {
    /// Receives a lot from its sender. Safe to repeat.
    ///
    /// # Errors
    /// `UPSTREAM_UNKNOWN`, `UPSTREAM_UNREACHABLE`, every refusal of the sender, `TERMS_...`, `OFF_ROUTE`, `OFFER_MISMATCH`, what
    /// verifying the chain says, `REQUEST_ID_REUSED`.
    pub(crate) async fn receive(self: &Arc<Self>, act: Act, from: ManufacturerId, lot: LotId) -> Result<(), Refusal> {
        let (at, accepting) = match self.on_record(&lot).await? {
            Some(OnRecord::Received) => return Ok(()),
            Some(OnRecord::Accepting { at, accepting }) => (at, *accepting),
            None => {
                let papers = self.upstreams.offer(&from, &lot).await?;
                let this = Arc::clone(self);
                let (act, lot) = (act.clone(), lot.clone());
                self.blocking(move || this.accept(&act, &from, &lot, &papers)).await?
            }
        };
        let sender = accepting.facts.as_ref().map(|f| f.from.clone()).unwrap_or_default();
        let sender = ManufacturerId::parse(&sender).map_err(named(mfg::IdRefusal::reason))?;
        let answer = self.upstreams.accept(&sender, &lot, &accepting).await?;
        let this = Arc::clone(self);
        self.blocking(move || this.open(&act, at, &accepting, &answer)).await
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        self.authority.seams.workers.run(work).await
    }

    async fn on_record(self: &Arc<Self>, lot: &LotId) -> Result<Option<OnRecord>, Refusal> {
        let this = Arc::clone(self);
        let key = keys::lot(lot.as_str());
        self.blocking(move || {
            let record = this.authority.store().get(&key).map_err(|e| refuse_store(&e))?;
            record.map(|record| on_record(&record)).transpose()
        })
        .await
    }

    /// Checks the offer, makes the lot key, and puts the acceptance on record. Nobody but us knows of it yet.
    fn accept(
        &self,
        act: &Act,
        from: &ManufacturerId,
        lot: &LotId,
        papers: &upstream::Offer,
    ) -> Result<(Position, LotAccepting), Refusal> {
        let (facts, terms) = check::offer(self, from, lot, papers)?;
        let key = SoftwareKey::generate(kind(terms.terms().document().handoff_key))
            .map_err(named(issuance::KeyError::reason))?;
        let digest = key.public_key().sha256();
        let pkcs8 = key.to_pkcs8().map_err(named(issuance::KeyError::reason))?;
        self.lot_keys.write(&lots::key_file(&digest), &pkcs8).map_err(named(SecretError::reason))?;

        let statement = Statement::acceptance(key.public_key().spki(), &facts.consignment);
        let signature = self.identity_key.sign(statement.to_be_signed()).map_err(named(issuance::KeyError::reason))?;
        let acceptance = Acceptance { identity_key_digest: self.identity_key.public_key().sha256(), signature };
        let mut upstream_request = [0; 16];
        self.authority.seams.entropy.fill(&mut upstream_request).map_err(named(issuance::EntropyRefusal::reason))?;
        let accepting = LotAccepting {
            facts: Some(wire::facts(&facts)),
            key_digest: wire::digest(&digest),
            csr: Bytes::from(make_csr(&key, lot.as_str()).map_err(named(issuance::KeyError::reason))?),
            acceptance: Some(wire::acceptance(&acceptance)),
            upstream_request_id: RequestId::from_octets(upstream_request).to_string(),
        };
        let mut unit = act.unit(Fact::LotAccepting(accepting.clone()));
        unit.claims = vec![Claim { key: keys::lot(lot.as_str()), rule: Rule::Absent }];
        unit.entry = Some(Entry::new("lots", lot.as_str()).map_err(named(store::EntryInvalid::reason))?);
        match commit_once(self.authority.store(), act, unit)? {
            Once::Committed(committed) => Ok((committed.position, accepting)),
            outrun @ (Once::Before(_) | Once::Refused(_)) => {
                self.lot_keys.destroy(&lots::key_file(&digest)).map_err(named(SecretError::reason))?;
                match outrun {
                    Once::Refused(conflict) => Err(refuse_conflict(&conflict, lot.as_str())),
                    Once::Before(_) | Once::Committed(_) => Err(reused(act, "content")),
                }
            }
        }
    }

    /// Checks what the sender signed, opens the lot on record, and starts to sign from it.
    fn open(
        &self,
        act: &Act,
        at: Position,
        accepting: &LotAccepting,
        answer: &upstream::Signed,
    ) -> Result<(), Refusal> {
        let facts = wire::read_facts("facts", accepting.facts.as_ref())?;
        let lot = facts.consignment.lot.clone();
        let (terms, _) = check::signed(self, &facts, accepting, answer)?;
        let received = LotReceived {
            facts: accepting.facts.clone(),
            key_digest: accepting.key_digest.clone(),
            chain: answer.chain.clone(),
            terms: Some(lots::terms_to_wire(&terms)),
        };
        let opened = lots::load(self, &received, terms)?;
        // The service's own act: the request's key stands for the acceptance already.
        let own = Act { request: None, ..act.clone() };
        let mut unit = own.unit(Fact::LotReceived(received));
        unit.claims = vec![Claim { key: keys::lot(lot.as_str()), rule: Rule::At(at) }];
        unit.claims
            .extend(act.request.map(|r| Claim { key: keys::request(&act.caller.manufacturer, r), rule: Rule::Any }));
        unit.moves =
            vec![TallyMove { lot: keys::lot(lot.as_str()), movement: Movement::Open(facts.consignment.quantity) }];
        unit.entry = Some(Entry::new("lots", lot.as_str()).map_err(named(store::EntryInvalid::reason))?);
        match records::commit_one(self.authority.store(), unit)? {
            Ok(_) => {
                self.authority.lots.put(opened);
                Ok(())
            }
            // Somebody else received it meanwhile, with the same key: theirs is on record and as good.
            Err(conflict) => match self.authority.lots.get(lot.as_str()) {
                Ok(_) => Ok(()),
                Err(_) => Err(refuse_conflict(&conflict, lot.as_str())),
            },
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
fn on_record(record: &Record) -> Result<OnRecord, Refusal> {
    match read(record)?.1 {
        Fact::LotAccepting(accepting) => {
            Ok(OnRecord::Accepting { at: record.position, accepting: Box::new(accepting) })
        }
        Fact::LotReceived(_) => Ok(OnRecord::Received),
        _ => Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no lot's", record.position))),
    }
}

fn kind(algorithm: HandoffKeyAlgorithm) -> KeyKind {
    match algorithm {
        HandoffKeyAlgorithm::P256 => KeyKind::P256,
        HandoffKeyAlgorithm::P384 => KeyKind::P384,
        HandoffKeyAlgorithm::Ed25519 => KeyKind::Ed25519,
    }
}

/// Whether a digest on record names this key.
pub(crate) fn is_key(recorded: &[u8], digest: &Sha256) -> bool {
    recorded == digest.as_bytes().as_slice()
}
