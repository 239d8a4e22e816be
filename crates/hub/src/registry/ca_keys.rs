//! CA keys that are cut off: by the digest of the public key, so that no reissued certificate brings them back.

use api::{
    Refusal,
    hub::v1::DisabledCaKey,
    journal::v1::{HubCaKeyChanged, record::Fact},
};
use pki::{Sha256, hex};
use records::{Once, commit_once, named, read, refuse_conflict, refuse_store, wire};
use store::{Claim, Entry, Record, Rule};

use super::{
    books::{Books, MOST_DISABLED},
    change::Change,
    devices::check_why,
    keys,
};

impl Books {
    /// Cuts a CA key off; sessions below it end. A key that is disabled already stays so, with the new reason.
    ///
    /// # Errors
    /// `DISABLED_KEY_LIMIT_REACHED`, `REQUEST_MALFORMED`.
    pub(crate) fn disable_ca_key(&self, change: &Change, key: &Sha256, why: &str) -> Result<DisabledCaKey, Refusal> {
        check_why("why", why)?;
        let disabled = DisabledCaKey {
            key_sha256: wire::digest(key),
            why: why.to_owned(),
            disabled_at: Some(wire::timestamp(self.clock.now())),
            by: change.caller.by.clone(),
        };
        let changing = self.changing();
        let held = self.disabled_keys()?;
        if held.len() >= MOST_DISABLED && !held.iter().any(|other| other.key_sha256 == disabled.key_sha256) {
            let message = format!("{MOST_DISABLED} ca keys are disabled");
            return Err(Refusal::new("DISABLED_KEY_LIMIT_REACHED", message));
        }
        let answer = self.write_key(
            change,
            key,
            HubCaKeyChanged { key: Some(disabled), disabled: true, request_digest: change.digest() },
        )?;
        tracing::warn!(reason = "CA_DISABLED", key_sha256 = %key, by = change.caller.by, "a ca key was disabled");
        self.reload(&changing)?;
        Ok(answer)
    }

    /// Lets a CA key in again.
    ///
    /// # Errors
    /// `CA_KEY_NOT_DISABLED`.
    pub(crate) fn enable_ca_key(&self, change: &Change, key: &Sha256) -> Result<(), Refusal> {
        if let Some(before) = records::replayed(self.store.as_ref(), &change.caller, change.request)? {
            return key_of_repetition(change, &before).map(drop);
        }
        let changing = self.changing();
        let held = self.disabled_keys()?.into_iter().find(|held| held.key_sha256 == key.as_bytes().as_slice());
        let Some(held) = held else {
            let message = format!("the ca key {key} is not disabled");
            return Err(Refusal::new("CA_KEY_NOT_DISABLED", message).with("key_sha256", key));
        };
        let enabled = HubCaKeyChanged { key: Some(held), disabled: false, request_digest: change.digest() };
        self.write_key(change, key, enabled)?;
        tracing::warn!(key_sha256 = %key, by = change.caller.by, "a ca key was enabled");
        self.reload(&changing)
    }

    fn write_key(&self, change: &Change, key: &Sha256, fact: HubCaKeyChanged) -> Result<DisabledCaKey, Refusal> {
        let act = change.act(self.clock.now());
        let answer = fact.key.clone().unwrap_or_default();
        let before = self.store.get(&keys::ca_key(key)).map_err(|e| refuse_store(&e))?;
        let mut unit = act.unit(Fact::HubCaKeyChanged(fact));
        let rule = before.map_or(Rule::Absent, |record| Rule::At(record.position));
        unit.claims = vec![Claim { key: keys::ca_key(key), rule }];
        let name = hex::encode(key.as_bytes());
        unit.entry = Some(Entry::new(keys::CA_KEYS, &name).map_err(named(store::EntryInvalid::reason))?);
        match commit_once(self.store.as_ref(), &act, unit)? {
            Once::Committed(_) => Ok(answer),
            Once::Before(record) => key_of_repetition(change, &record),
            Once::Refused(conflict) => Err(refuse_conflict(&conflict, &name)),
        }
    }
}

fn key_of_repetition(change: &Change, record: &Record) -> Result<DisabledCaKey, Refusal> {
    match read(record)? {
        (_, Fact::HubCaKeyChanged(HubCaKeyChanged { key: Some(key), request_digest, .. })) => {
            change.is_repetition_of(&request_digest)?;
            Ok(key)
        }
        // Any other fact under this id is another request.
        _ => change.is_repetition_of(&[]).map(|()| DisabledCaKey::default()),
    }
}
