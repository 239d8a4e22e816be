//! What is on record, and what the hub trusts because of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use api::{
    Refusal,
    hub::v1::{CaCertificate, ChainRules, DisabledCaKey, FirstConnect, Verification},
    journal::v1::record::Fact,
};
use mfg::Bundle;
use pki::{Certificate, Sha256};
use records::{Act, Attempt, once, read};
use serde::Deserialize;
use service::Clock;
use store::{Position, Record, Store};
use tokio::sync::watch;

use super::{change::Change, keys};
use crate::judge::{DisabledKey, OnFirstConnect, RegisteredCa, Standing, TrustView, Whose};

/// Whether a hub takes development anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// It does not.
    Production,
    /// It does.
    Development,
}

/// Whether CA certificates may be verified on upload, without a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VerifiedOnUpload {
    /// They may not.
    #[default]
    Refused,
    /// They may: for those who trust every operator with the question of who holds a key.
    Allowed,
}

/// What the configuration decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) stage: Stage,
    pub(crate) verified_on_upload: VerifiedOnUpload,
}

/// Most CA certificates.
pub(super) const MOST_CAS: usize = 100;
/// Most disabled CA keys.
pub(super) const MOST_DISABLED: usize = 1000;

/// The books of a hub.
pub(crate) struct Books {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) policy: Policy,
    /// Where the backup ended that the store was last restored from.
    pub(super) restored_at: Option<Position>,
    view: RwLock<Arc<TrustView>>,
    /// Held while what the view shows is changed, so that views follow one another in the order of the records.
    changing: Mutex<()>,
    revocations: watch::Sender<u64>,
}

impl Books {
    /// Reads what is trusted. Blocks on the store, as everything here does.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>, policy: Policy) -> Result<Self, Refusal> {
        let view = load(store.as_ref(), policy, None)?;
        let restored_at = records::Standing::of(store.as_ref())?.restored_at;
        Ok(Self {
            store,
            restored_at,
            clock,
            policy,
            view: RwLock::new(Arc::new(view)),
            changing: Mutex::new(()),
            revocations: watch::Sender::new(0),
        })
    }

    /// What is trusted now.
    pub(crate) fn view(&self) -> Arc<TrustView> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows what may end sessions.
    pub(crate) fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// Says that sessions may have to end.
    pub(super) fn revoke(&self) {
        self.revocations.send_modify(|count| *count += 1);
    }

    /// Takes a bundle's identity keys and programs for what is known, in place of what was known before.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn know(&self, bundle: Bundle) -> Result<(), Refusal> {
        let _changing = self.changing();
        self.show(Some(Arc::new(bundle)))
    }

    /// That a request, which is kept elsewhere, is none of those on record.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, what the store says.
    pub(super) fn not_used(&self, change: &Change) -> Result<(), Refusal> {
        let act = change.act(self.clock.now());
        match records::replayed(self.store.as_ref(), &act)? {
            None => Ok(()),
            Some(_) => Err(records::reused(&act, "content")),
        }
    }

    /// Begins a change of what is trusted.
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change of what is trusted, once, and has it trusted accordingly; a repetition is answered from its record.
    pub(super) fn make_trusted<T>(
        &self,
        change: &Change,
        before: impl FnOnce(&Act, &Record) -> Result<T, Refusal>,
        make: impl FnOnce(Attempt<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let _changing = self.changing();
        let act = change.act(self.clock.now());
        let made = once(self.store.as_ref(), &act, |record| before(&act, record), make)?;
        self.show(self.view().bundle().cloned())?;
        Ok(made)
    }

    /// Takes what is on record, with this bundle, for what is trusted.
    fn show(&self, bundle: Option<Arc<Bundle>>) -> Result<(), Refusal> {
        let view = load(self.store.as_ref(), self.policy, bundle)?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        self.revoke();
        Ok(())
    }

    /// The CA certificates on record, in the order of their names.
    pub(super) fn cas(&self) -> Result<Vec<(Record, CaCertificate)>, Refusal> {
        list_cas(self.store.as_ref())
    }

    /// The disabled keys on record, in the order of their digests.
    pub(crate) fn disabled_keys(&self) -> Result<Vec<DisabledCaKey>, Refusal> {
        list_disabled(self.store.as_ref())
    }
}

fn load(store: &dyn Store, policy: Policy, bundle: Option<Arc<Bundle>>) -> Result<TrustView, Refusal> {
    let mut cas = Vec::new();
    for (_, ca) in list_cas(store)? {
        let registered = registered(&ca)?;
        // A store that was made in development mode may hold them.
        match policy.stage {
            Stage::Production if mfg::oid::is_development_anchor(&registered.certificate) => {
                tracing::error!(reason = "DEVELOPMENT_ANCHOR", ca = ca.name, "a registered ca is not used");
            }
            Stage::Production | Stage::Development => cas.push(registered),
        }
    }
    let mut disabled = BTreeMap::new();
    for key in list_disabled(store)? {
        if let Some(digest) = Sha256::from_slice(&key.key_sha256) {
            disabled.insert(*digest.as_bytes(), DisabledKey { why: key.why });
        }
    }
    Ok(TrustView::new(cas, disabled, bundle))
}

/// A CA certificate as the judgement sees it.
fn registered(ca: &CaCertificate) -> Result<RegisteredCa, Refusal> {
    let certificate = Certificate::parse(&ca.certificate).map_err(|error| {
        Refusal::new("JOURNAL_DAMAGED", format!("the ca certificate {} on record: {error}", ca.name))
    })?;
    Ok(RegisteredCa {
        name: ca.name.clone(),
        certificate,
        whose: match ca.rules() {
            ChainRules::Unspecified | ChainRules::Countersign => Whose::Countersign,
            ChainRules::Plain => Whose::Plain,
        },
        standing: match ca.verification() {
            Verification::Unspecified | Verification::Unverified => Standing::Unverified,
            Verification::Verified => Standing::Verified,
        },
        on_first_connect: match ca.first_connect() {
            FirstConnect::Unspecified | FirstConnect::Refuse => OnFirstConnect::Refuse,
            FirstConnect::Register => OnFirstConnect::Register,
        },
    })
}

fn list_cas(store: &dyn Store) -> Result<Vec<(Record, CaCertificate)>, Refusal> {
    let mut cas = Vec::new();
    for record in list_all(store, keys::CAS)? {
        if let (_, Fact::HubCaChanged(changed)) = read(&record)?
            && !changed.deleted
            && let Some(ca) = changed.ca_certificate
        {
            cas.push((record, ca));
        }
    }
    Ok(cas)
}

fn list_disabled(store: &dyn Store) -> Result<Vec<DisabledCaKey>, Refusal> {
    let mut keys = Vec::new();
    for record in list_all(store, keys::CA_KEYS)? {
        if let (_, Fact::HubCaKeyChanged(changed)) = read(&record)?
            && changed.disabled
            && let Some(key) = changed.key
        {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Every record of a collection, those of deleted things included.
fn list_all(store: &dyn Store, collection: &str) -> Result<Vec<Record>, Refusal> {
    let mut all = Vec::new();
    records::every(store, collection, |_, record| {
        all.push(record.clone());
        Ok(())
    })?;
    Ok(all)
}
