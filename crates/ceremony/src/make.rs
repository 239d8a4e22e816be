//! The certificate of a ceremony: drafted, written down, signed. The same steps for a root and for an order CA.

use std::{fs, path::Path, sync::Arc};

use issuance::{
    Draft, Entropy, Instance, Issuer, KeyPolicy, LoadOptions, OrderCaRequest, Receipt, RootMaker, SelfCheck,
    SerialSource, SigningKey, Stage,
    csr::SubjectKey,
    profile::{OrderCaProfile, RootProfile},
};
use mfg::oid;
use pki::{Certificate, Sha256, UnixTime};

use crate::{
    folder::{self, Readers},
    refusal::CeremonyRefusal,
};

/// Proof that a ceremony's TBS is in a file and synced: the file was read back.
pub(crate) struct OnDisk(Sha256);

impl OnDisk {
    fn read_back(file: &Path) -> Result<Self, CeremonyRefusal> {
        let octets = fs::read(file).map_err(|e| CeremonyRefusal::io(file, e))?;
        Ok(Self(Sha256::of(&octets)))
    }
}

impl Receipt for OnDisk {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

/// What is about to sign: a root itself, or the root above an order CA.
pub(crate) enum Maker {
    Root { maker: Box<RootMaker<OnDisk>>, profile: Box<RootProfile> },
    OrderCa { issuer: Box<Issuer<OnDisk>>, profile: Box<OrderCaProfile>, key: SubjectKey, now: UnixTime },
}

impl Maker {
    pub(crate) fn root(
        key: Arc<dyn SigningKey>,
        policy: &KeyPolicy,
        profile: RootProfile,
    ) -> Result<Self, CeremonyRefusal> {
        let maker = Box::new(RootMaker::new(key, policy, profile.clone())?);
        Ok(Self::Root { maker, profile: Box::new(profile) })
    }

    pub(crate) fn order_ca(
        root: Certificate,
        root_key: Arc<dyn SigningKey>,
        profile: OrderCaProfile,
        key: SubjectKey,
        now: UnixTime,
    ) -> Result<Self, CeremonyRefusal> {
        let options = LoadOptions { stage: stage_of(&root), oid_arc: profile.document().oid_arc, now };
        let issuer = Box::new(Issuer::load(vec![root], root_key, &options)?);
        Ok(Self::OrderCa { issuer, profile: Box::new(profile), key, now })
    }

    pub(crate) fn profile_hash(&self) -> Sha256 {
        match self {
            Self::Root { profile, .. } => profile.hash(),
            Self::OrderCa { profile, .. } => profile.hash(),
        }
    }

    /// Drafts the certificate: every rule is asked, nothing is signed.
    pub(crate) fn draft(&self, entropy: Arc<dyn Entropy>) -> Result<Draft, CeremonyRefusal> {
        // A root signs few certificates, all of them here; services that sign under the same key take other octets.
        let serial = SerialSource::new(Instance::of(1)?, entropy).next_serial()?;
        Ok(match self {
            Self::Root { maker, .. } => maker.draft(serial)?,
            Self::OrderCa { issuer, profile, key, now } => {
                issuer.draft_order_ca(OrderCaRequest { key, profile, serial, now: *now })?
            }
        })
    }

    fn resume(&self, tbs: Vec<u8>) -> Result<Draft, CeremonyRefusal> {
        let hash = self.profile_hash();
        Ok(match self {
            Self::Root { maker, .. } => maker.resume(tbs, hash)?,
            Self::OrderCa { issuer, .. } => issuer.resume(tbs, hash)?,
        })
    }

    /// The certificate over the TBS in `record`, written there first if there is none.
    pub(crate) fn make(&self, record: &Path, entropy: Arc<dyn Entropy>) -> Result<Certificate, CeremonyRefusal> {
        let draft = match folder::read_if_there(record)? {
            Some(tbs) => self.resume(tbs)?,
            None => {
                let draft = self.draft(entropy)?;
                folder::write_new(record, draft.tbs(), Readers::Everybody)?;
                draft
            }
        };
        let recorded = draft.recorded(OnDisk::read_back(record)?)?;
        let signed = match self {
            Self::Root { maker, .. } => maker.sign(recorded)?,
            Self::OrderCa { issuer, .. } => issuer.sign(recorded, SelfCheck::Verify)?,
        };
        signed.into_certificate().map_err(|e| CeremonyRefusal::malformed(record, e))
    }
}

/// A development root's certificates are for trying things out.
pub(crate) fn stage_of(root: &Certificate) -> Stage {
    if oid::is_development_anchor(root) { Stage::Development } else { Stage::Production }
}
