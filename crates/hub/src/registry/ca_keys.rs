//! CA keys that are cut off: by the digest of the public key, so that no reissued certificate brings them back.

use api::{
    Refusal,
    hub::v1::DisabledCaKey,
    journal::v1::{HubCaKeyChanged, record::Fact},
};
use pki::{Sha256, hex};
use records::{Attempt, named, read, refuse_conflict, refuse_store, wire};
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
        self.change_key(change, |attempt| {
            let held = self.disabled_keys()?;
            if held.len() >= MOST_DISABLED && !held.iter().any(|other| other.key_sha256 == disabled.key_sha256) {
                let message = format!("{MOST_DISABLED} ca keys are disabled");
                return Err(Refusal::new("DISABLED_KEY_LIMIT_REACHED", message));
            }
            let fact = HubCaKeyChanged { key: Some(disabled), disabled: true, request_digest: change.digest() };
            let disabled = self.write_key(key, fact, attempt)?;
            tracing::warn!(reason = "CA_DISABLED", key_sha256 = %key, by = change.caller.by, "a ca key was disabled");
            Ok(disabled)
        })
    }

    /// Lets a CA key in again.
    ///
    /// # Errors
    /// `CA_KEY_NOT_DISABLED`.
    pub(crate) fn enable_ca_key(&self, change: &Change, key: &Sha256) -> Result<(), Refusal> {
        let enable = |attempt: Attempt<'_>| {
            let held = self.disabled_keys()?.into_iter().find(|held| held.key_sha256 == key.as_bytes().as_slice());
            let Some(held) = held else {
                let message = format!("the ca key {key} is not disabled");
                return Err(Refusal::new("CA_KEY_NOT_DISABLED", message).with("key_sha256", key));
            };
            let fact = HubCaKeyChanged { key: Some(held), disabled: false, request_digest: change.digest() };
            let enabled = self.write_key(key, fact, attempt)?;
            tracing::warn!(key_sha256 = %key, by = change.caller.by, "a ca key was enabled");
            Ok(enabled)
        };
        self.change_key(change, enable).map(drop)
    }

    /// Makes a change of one key, and has it trusted accordingly; a repetition gets the key as the change left it.
    fn change_key(
        &self,
        change: &Change,
        make: impl FnOnce(Attempt<'_>) -> Result<DisabledCaKey, Refusal>,
    ) -> Result<DisabledCaKey, Refusal> {
        self.make_trusted(change, |_, record| key_of_repetition(change, record), make)
    }

    fn write_key(&self, key: &Sha256, fact: HubCaKeyChanged, attempt: Attempt<'_>) -> Result<DisabledCaKey, Refusal> {
        let answer = fact.key.clone().unwrap_or_default();
        let before = self.store.get(&keys::ca_key(key)).map_err(|e| refuse_store(&e))?;
        let mut unit = attempt.act().unit(Fact::HubCaKeyChanged(fact));
        let rule = before.map_or(Rule::Absent, |record| Rule::At(record.position));
        unit.claims = vec![Claim { key: keys::ca_key(key), rule }];
        let name = hex::encode(key.as_bytes());
        unit.entry = Some(Entry::new(keys::CA_KEYS, &name).map_err(named(store::EntryInvalid::reason))?);
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &name))?;
        Ok(answer)
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
