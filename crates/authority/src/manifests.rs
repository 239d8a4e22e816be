//! Manifests: kept in the journal in parts, named by their digest, read once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use api::{
    Refusal,
    journal::v1::{ManifestKept, record::Fact},
};
use bytes::Bytes;
use mfg::{DeviceId, Manifest};
use pki::Sha256;
use records::{Act, keys, named, read, refuse_conflict, refuse_store, wire};
use store::{Claim, Conflict, Rule, Store};

use crate::{authority::Authority, lots::Lot};

/// Octets of one part in the journal.
const PART: usize = 1 << 20;

/// The manifests that were read from the journal, by digest.
#[derive(Debug, Default)]
pub(crate) struct Manifests(Mutex<BTreeMap<[u8; 32], Arc<Manifest>>>);

impl Authority {
    /// Keeps a manifest. The same again changes nothing.
    ///
    /// # Errors
    /// `MANIFEST_TOO_LONG`, `MANIFEST_MALFORMED`; what the store says.
    pub fn keep_manifest(&self, act: &Act, octets: &[u8]) -> Result<Arc<Manifest>, Refusal> {
        let manifest = Arc::new(Manifest::parse(octets).map_err(named(mfg::ManifestRefusal::reason))?);
        let digest = manifest.digest();
        let act = Act { request: None, ..act.clone() };
        let parts = u32::try_from(octets.len().div_ceil(PART)).unwrap_or(u32::MAX);
        for (part, octets) in (0..parts).zip(octets.chunks(PART)) {
            let octets = Bytes::copy_from_slice(octets);
            let fact = ManifestKept { sha256: wire::digest(&digest), part, parts, octets };
            let mut unit = act.unit(Fact::ManifestKept(fact));
            unit.claims = vec![Claim { key: keys::manifest(&digest, part), rule: Rule::Absent }];
            match records::commit_one(self.store(), unit)? {
                // Taken: the same part, by its name.
                Ok(_) | Err(Conflict::KeyTaken { .. }) => {}
                Err(conflict) => return Err(refuse_conflict(&conflict, "")),
            }
        }
        self.manifests.note(&manifest);
        Ok(manifest)
    }

    /// The manifest with this digest, if all of it is kept.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED` when its parts make another text.
    pub fn manifest(&self, digest: &Sha256) -> Result<Option<Arc<Manifest>>, Refusal> {
        if let Some(manifest) = self.manifests.known(digest) {
            return Ok(Some(manifest));
        }
        let Some(octets) = kept(self.store(), digest)? else { return Ok(None) };
        let damaged = || Refusal::new("JOURNAL_DAMAGED", format!("the kept manifest {digest} is another"));
        let manifest = Manifest::parse(&octets).map_err(|_| damaged())?;
        if manifest.digest() != *digest {
            return Err(damaged());
        }
        let manifest = Arc::new(manifest);
        self.manifests.note(&manifest);
        Ok(Some(manifest))
    }

    /// The manifest of a handed-on lot, for its receiver or our own people.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `MANIFEST_MISSING`, also where the terms ask for none.
    pub fn manifest_of_handoff(&self, reader: &str, lot: &str) -> Result<Arc<Manifest>, Refusal> {
        let current = self.current_for(reader, lot)?;
        let none = || Refusal::new("MANIFEST_MISSING", format!("no manifest of lot {lot} is here")).with("lot", lot);
        let digest = current.facts()?.manifest_digest.ok_or_else(none)?;
        self.manifest(&digest)?.ok_or_else(none)
    }

    /// Checks a device id against the manifest of its lot's order.
    ///
    /// # Errors
    /// `MANIFEST_MISSING` when the terms ask for one and it is not here, `DEVICE_NOT_ON_MANIFEST`.
    pub(crate) fn check_manifest(&self, lot: &Lot, device_id: &DeviceId) -> Result<(), Refusal> {
        let Some(digest) = lot.terms.terms().manifest_digest() else { return Ok(()) };
        let manifest = self.manifest(&digest)?.ok_or_else(|| {
            Refusal::new("MANIFEST_MISSING", format!("the manifest of lot {} is not here", lot.id)).with("lot", &lot.id)
        })?;
        if manifest.permits(device_id) {
            return Ok(());
        }
        let message = format!("device {device_id} is not on the manifest of lot {}", lot.id);
        Err(Refusal::new("DEVICE_NOT_ON_MANIFEST", message).with("device_id", device_id.as_str()))
    }
}

impl Manifests {
    fn known(&self, digest: &Sha256) -> Option<Arc<Manifest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest.as_bytes()).cloned()
    }

    fn note(&self, manifest: &Arc<Manifest>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(*manifest.digest().as_bytes(), Arc::clone(manifest));
    }
}

fn kept(store: &dyn Store, digest: &Sha256) -> Result<Option<Vec<u8>>, Refusal> {
    let mut octets = Vec::new();
    let mut part = 0_u32;
    loop {
        let record = store.get(&keys::manifest(digest, part)).map_err(|e| refuse_store(&e))?;
        let Some(record) = record else { return Ok(None) };
        let Fact::ManifestKept(kept) = read(&record)?.1 else {
            return Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no manifest", record.position)));
        };
        octets.extend_from_slice(&kept.octets);
        part = part.saturating_add(1);
        if part >= kept.parts || octets.len() > mfg::manifest::MAX_LENGTH {
            return Ok(Some(octets));
        }
    }
}
