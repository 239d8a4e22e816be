//! What is known of a receiver beyond the order's terms: whether it is suspended, who it says it is, which keys it lost.
//!
//! At a root-ca the registry is in the store; elsewhere the brand's bundle says it.

use api::{
    Refusal,
    journal::v1::record::Fact,
    manufacturer::v1::{Manufacturer, ManufacturerState},
};
use mfg::{
    Acceptance, ManufacturerId,
    bundle::{BundleManufacturer, Retirement, State},
};
use pki::Sha256;
use records::{Caller, keys, read, refuse_store};
use store::{Claim, Rule};

use crate::authority::Authority;

/// A receiver as the brand sees it now.
pub(super) struct Receiver {
    id: ManufacturerId,
    suspended: bool,
    trust_domain: Option<String>,
    lost_keys: Vec<Sha256>,
    /// What a decision about it relies on, where the registry is in this store.
    pub(super) relied_on: Option<Claim>,
}

impl Authority {
    /// What is known of a receiver.
    ///
    /// # Errors
    /// What the store says; `JOURNAL_DAMAGED` when the registry does not read.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    pub(super) fn receiver(&self, id: &ManufacturerId) -> Result<Receiver, Refusal> {
        let key = keys::manufacturer(id.as_str());
        let Some(record) = self.store().get(&key).map_err(|e| refuse_store(&e))? else {
            return Ok(Receiver::published(id, self.bundle().manufacturers.iter().find(|said| said.id == *id)));
        };
        let registered = match read(&record)?.1 {
            Fact::ManufacturerRegistered(registered) => Some(registered),
            Fact::ManufacturerChanged(changed) => changed.manufacturer,
            _ => None,
        };
        let registered = registered.ok_or_else(|| {
            Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no manufacturer's", record.position))
        })?;
        let relied_on = Some(Claim { key, rule: Rule::Unchanged(record.position) });
        Ok(Receiver { relied_on, ..Receiver::registered(id, &registered) })
    }
}

impl Receiver {
    fn registered(id: &ManufacturerId, registered: &Manufacturer) -> Self {
        let lost = registered.identity_keys.iter().filter(|key| key.lost);
        Self {
            id: id.clone(),
            suspended: registered.state() == ManufacturerState::Suspended,
            trust_domain: registered.service_identity.as_ref().map(|services| services.trust_domain.clone()),
            lost_keys: lost.map(|key| Sha256::of(&key.public_key)).collect(),
            relied_on: None,
        }
    }

    fn published(id: &ManufacturerId, said: Option<&BundleManufacturer>) -> Self {
        let lost = said.into_iter().flat_map(|m| &m.retired_keys).filter(|key| key.why == Retirement::Lost);
        Self {
            id: id.clone(),
            suspended: said.is_some_and(|m| m.state == State::Suspended),
            trust_domain: said.and_then(|m| m.services.as_ref()).map(|services| services.trust_domain.clone()),
            lost_keys: lost.map(|key| key.sha256).collect(),
            relied_on: None,
        }
    }

    /// Refuses a receiver that the brand suspended.
    ///
    /// # Errors
    /// `MANUFACTURER_SUSPENDED`.
    pub(super) fn check_active(&self) -> Result<(), Refusal> {
        if self.suspended {
            return Err(Refusal::new("MANUFACTURER_SUSPENDED", format!("the brand suspended {}", self.id))
                .with("manufacturer", &self.id));
        }
        Ok(())
    }

    /// Refuses an acceptance that the receiver may not make: while suspended, from another trust domain than the one registered for
    /// it, or by a key that was declared lost.
    ///
    /// # Errors
    /// `MANUFACTURER_SUSPENDED`, `TRUST_DOMAIN_MISMATCH`, `IDENTITY_KEY_LOST`.
    pub(super) fn check_acceptance(&self, caller: &Caller, acceptance: &Acceptance) -> Result<(), Refusal> {
        self.check_active()?;
        // The sender's own people, who hand in a file, are not the receiver.
        if caller.manufacturer == self.id.as_str()
            && let Some(domain) = &self.trust_domain
            && !caller.by.starts_with(&format!("spiffe://{domain}/"))
        {
            return Err(Refusal::new(
                "TRUST_DOMAIN_MISMATCH",
                format!("{} is registered with trust domain {domain}, and {} came", self.id, caller.by),
            )
            .with("manufacturer", &self.id)
            .with("trust_domain", domain));
        }
        if self.lost_keys.contains(&acceptance.identity_key_digest) {
            return Err(Refusal::new("IDENTITY_KEY_LOST", format!("{} declared this identity key lost", self.id))
                .with("manufacturer", &self.id)
                .with("key_sha256", acceptance.identity_key_digest));
        }
        Ok(())
    }
}
