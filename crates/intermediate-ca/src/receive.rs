//! Receiving a lot: read the offer, check it, make the lot key, countersign, get the certificate, check the chain, open the lot.
//!
//! Every step is on record before the next begins, so that a repetition goes on where a crash stopped it: the lot key is on disk
//! before the acceptance is on record, and the acceptance is on record before the sender hears of it.

mod check;
mod file;
mod upstream;

use std::{sync::Arc, time::Duration};

use api::{
    Refusal, RequestId,
    journal::v1::{LotAccepting, LotReceived, record::Fact},
};
use authority::Authority;
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::{Acceptance, LotId, ManufacturerId, Movement, Statement, terms::HandoffKeyAlgorithm};
use pki::Sha256;
use records::{Act, Attempt, keys, named, once, refuse_conflict, refuse_store, reused, wire};
use service::secret::{SecretDirectory, SecretError};
use store::{Claim, Entry, Position, Rule, TallyMove};

pub(crate) use check::sender_key;
pub(crate) use upstream::{Upstream, Upstreams};

use crate::{
    lots::{self, LotOnRecord, Stage},
    reports::Reports,
};

/// The receiving side of a manufacturer.
pub(crate) struct Receiver {
    pub(crate) authority: Arc<Authority>,
    pub(crate) lot_keys: SecretDirectory,
    pub(crate) stage: issuance::Stage,
    pub(crate) upstreams: Upstreams,
    pub(crate) reports: Arc<Reports>,
}

impl Receiver {
    /// Receives a lot from its sender. Safe to repeat.
    ///
    /// # Errors
    /// `STORE_SUSPENDED`, `UPSTREAM_UNKNOWN`, `UPSTREAM_UNREACHABLE`, every refusal of the sender, `TERMS_...`, `OFF_ROUTE`, `OFFER_MISMATCH`, what
    /// verifying the chain says, `REQUEST_ID_REUSED`.
    pub(crate) async fn receive(self: &Arc<Self>, act: Act, from: ManufacturerId, lot: LotId) -> Result<(), Refusal> {
        let on_record = match self.on_record(&act, &from, &lot).await? {
            Some(before) => before,
            // What stands against it may be that another try was faster: then the lot is on record by now.
            None => match self.begin(&act, &from, &lot).await {
                Ok(begun) => begun,
                Err(refusal) => self.on_record(&act, &from, &lot).await?.ok_or(refusal)?,
            },
        };
        let (at, accepting) = match on_record.stage {
            Stage::Accepting(accepting) => (on_record.at, *accepting),
            Stage::Received(_) | Stage::Closing(..) | Stage::Closed(..) => return Ok(()),
        };
        let sender = accepting.facts.as_ref().map(|f| f.from.clone()).unwrap_or_default();
        let sender = ManufacturerId::parse(&sender).map_err(named(mfg::IdRefusal::reason))?;
        let answer = self.upstreams.accept(&sender, &lot, &accepting).await?;
        let this = Arc::clone(self);
        self.blocking(move || this.open(&act, at, &accepting, &answer)).await
    }

    /// Reads the offer, and accepts it on record.
    async fn begin(self: &Arc<Self>, act: &Act, from: &ManufacturerId, lot: &LotId) -> Result<LotOnRecord, Refusal> {
        let papers = Arc::new(self.upstreams.offer(from, lot).await?);
        self.fetch_manifest(act, from, lot, &papers).await?;
        self.compare_before(from).await?;
        let this = Arc::clone(self);
        let (act, from, lot) = (act.clone(), from.clone(), lot.clone());
        self.blocking(move || this.accept(&act, &from, &lot, &papers)).await
    }

    /// Checks the offer, and keeps the manifest that its terms ask for, before anything is made for it.
    async fn fetch_manifest(
        self: &Arc<Self>,
        act: &Act,
        from: &ManufacturerId,
        lot: &LotId,
        papers: &Arc<upstream::Offer>,
    ) -> Result<(), Refusal> {
        let (this, offer) = (Arc::clone(self), Arc::clone(papers));
        let (sender, offered) = (from.clone(), lot.clone());
        let missing = move || {
            let (facts, _) = check::offer(&this, &sender, &offered, &offer)?;
            let Some(digest) = facts.manifest_digest else { return Ok(None) };
            Ok(this.authority.manifest(&digest)?.is_none().then_some(digest))
        };
        let Some(digest) = self.blocking(missing).await? else { return Ok(()) };
        let octets = self.upstreams.manifest(from, lot).await?;
        if Sha256::of(&octets) != digest {
            return Err(Refusal::new("OFFER_MISMATCH", format!("the sender of lot {lot} has another manifest"))
                .with("lot", lot));
        }
        let (this, act) = (Arc::clone(self), act.clone());
        self.blocking(move || this.authority.keep_manifest(&act, &octets).map(|_| ())).await
    }

    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        self.authority.seams.workers.run(work).await
    }

    /// How far the lot came; refused when the request, or the lot id, stands for something else here.
    async fn on_record(
        self: &Arc<Self>,
        act: &Act,
        from: &ManufacturerId,
        lot: &LotId,
    ) -> Result<Option<LotOnRecord>, Refusal> {
        let this = Arc::clone(self);
        let (act, from, lot) = (act.clone(), from.clone(), lot.clone());
        self.blocking(move || this.asked_before(&act, &from, &lot)).await
    }

    fn asked_before(&self, act: &Act, from: &ManufacturerId, lot: &LotId) -> Result<Option<LotOnRecord>, Refusal> {
        let store = self.authority.store();
        let asked = |on_record: &LotOnRecord| {
            on_record.facts().is_some_and(|facts| facts.lot == lot.as_str() && facts.from == from.as_str())
        };
        if let Some(record) = records::replayed(store, act)?
            && !LotOnRecord::from_record(store, &record).is_ok_and(|before| asked(&before))
        {
            return Err(reused(act, "content"));
        }
        let Some(record) = store.get(&keys::lot(lot.as_str())).map_err(|e| refuse_store(&e))? else {
            return Ok(None);
        };
        let on_record = LotOnRecord::from_record(store, &record)?;
        if asked(&on_record) {
            return Ok(Some(on_record));
        }
        let from = on_record.facts().map(|facts| facts.from.clone()).unwrap_or_default();
        Err(Refusal::new("LOT_EXISTS", format!("lot {lot} came from {from}")).with("lot", lot))
    }

    /// Puts the acceptance of an offer on record. Nobody but us knows of it yet.
    fn accept(
        &self,
        act: &Act,
        from: &ManufacturerId,
        lot: &LotId,
        papers: &upstream::Offer,
    ) -> Result<LotOnRecord, Refusal> {
        // Whoever was faster, with the same request or another: what is on record is as good.
        let before = || self.asked_before(act, from, lot)?.ok_or_else(|| being_received(lot));
        once(
            self.authority.store(),
            act,
            |_| before(),
            |attempt| {
                let accepted = self.countersign(act, from, lot, papers, attempt)?;
                accepted.map_or_else(before, Ok)
            },
        )
    }

    /// Checks the offer, makes the lot key, and commits the acceptance; none when there is one by now.
    fn countersign(
        &self,
        act: &Act,
        from: &ManufacturerId,
        lot: &LotId,
        papers: &upstream::Offer,
        attempt: Attempt<'_>,
    ) -> Result<Option<LotOnRecord>, Refusal> {
        let (facts, terms) = check::offer(self, from, lot, papers)?;
        check::not_expired(self, lot, papers)?;
        let key = SoftwareKey::generate(kind(terms.terms().document().handoff_key))
            .map_err(named(issuance::KeyError::reason))?;
        let digest = key.public_key().sha256();
        let pkcs8 = key.to_pkcs8().map_err(named(issuance::KeyError::reason))?;
        self.lot_keys.write(&lots::key_file(&digest), &pkcs8).map_err(named(SecretError::reason))?;

        let statement = Statement::acceptance(key.public_key().spki(), &facts.consignment);
        let signature = self.authority.sign_statement(&statement)?;
        let acceptance = Acceptance { identity_key_digest: self.authority.identity_key().sha256(), signature };
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
        let forget = || self.lot_keys.destroy(&lots::key_file(&digest)).map_err(named(SecretError::reason));
        match attempt.commit(unit) {
            Ok(Ok(committed)) => {
                self.authority.lots.wait_for(lot.as_str());
                Ok(Some(LotOnRecord { at: committed.position, stage: Stage::Accepting(Box::new(accepting)) }))
            }
            Ok(Err(_)) => forget().map(|()| None),
            // Nothing is on record, for certain.
            Err(full) if full.reason() == "STORE_FULL" => forget().and(Err(full)),
            Err(unsure) => Err(unsure),
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
        self.try_open(act, at, accepting, answer, &facts).or_else(|refusal| {
            // Somebody else received it meanwhile, with the same key: theirs is on record and as good.
            match LotOnRecord::of(self.authority.store(), lot.as_str())?.stage {
                Stage::Received(_) | Stage::Closing(..) | Stage::Closed(..) => Ok(()),
                Stage::Accepting(_) => Err(refusal),
            }
        })
    }

    fn try_open(
        &self,
        act: &Act,
        at: Position,
        accepting: &LotAccepting,
        answer: &upstream::Signed,
        facts: &wire::Facts,
    ) -> Result<(), Refusal> {
        let lot = &facts.consignment.lot;
        let (terms, _) = check::signed(self, facts, accepting, answer)?;
        let received = LotReceived {
            facts: accepting.facts.clone(),
            key_digest: accepting.key_digest.clone(),
            chain: answer.chain.clone(),
            terms: Some(lots::terms_to_wire(&terms)),
            sender_position: answer.position,
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
        self.authority.lots.put_new(opened);
        records::commit_one(self.authority.store(), unit)?.map(drop).map_err(|c| refuse_conflict(&c, lot.as_str()))
    }
}

fn being_received(lot: &LotId) -> Refusal {
    Refusal::new("IN_PROGRESS", format!("lot {lot} is being received")).retry_after(Duration::from_millis(50))
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
