//! A manufacturer: its name, the identity keys that it has and had, who its services say they are, and whether it is suspended.

use api::{
    Refusal,
    journal::v1::record::Fact,
    manufacturer::v1::{IdentityKey, Manufacturer, ManufacturerState, ServiceIdentity},
};
use mfg::{
    ManufacturerId,
    bundle::{self, BundleManufacturer, MAX_SERVICE_CAS, RetiredKey, Retirement, State},
};
use pki::{Certificate, KeyAlgorithm, PublicKey, Sha256, UnixTime, pem};
use prost_types::Timestamp;
use records::{keys, named, wire};
use service::identity::{Role, TrustDomain};
use store::Key;

use super::Registered;

/// X.520 ub-organization-name.
const MAX_ORGANIZATION_NAME: usize = 64;
/// Longest CA bundle of a manufacturer's services, in octets of PEM.
const MAX_SERVICE_BUNDLE: usize = 64 * 1024;

impl Registered for Manufacturer {
    const COLLECTION: &'static str = "manufacturers";
    const UNKNOWN: &'static str = "MANUFACTURER_UNKNOWN";
    const EXISTS: &'static str = "MANUFACTURER_EXISTS";

    fn id(&self) -> &str {
        &self.manufacturer
    }

    fn key(id: &str) -> Key {
        keys::manufacturer(id)
    }

    fn fact(self) -> Fact {
        Fact::ManufacturerRegistered(self)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact is about something else, also one that is added later"
    )]
    fn of(fact: Fact, at: i64) -> Option<Self> {
        match fact {
            Fact::ManufacturerRegistered(registered) => Some(as_registered(registered, at)),
            Fact::ManufacturerChanged(changed) => changed.manufacturer,
            _ => None,
        }
    }

    fn as_asked(&self) -> Self {
        Self {
            manufacturer: self.manufacturer.clone(),
            display_name: self.display_name.clone(),
            identity_key: self.identity_key.clone(),
            service_identity: self.service_identity.clone(),
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        ManufacturerId::parse(&self.manufacturer).map_err(named(mfg::IdRefusal::reason))?;
        let name_length = self.display_name.chars().count();
        if !(1..=MAX_ORGANIZATION_NAME).contains(&name_length) || self.display_name.chars().any(char::is_control) {
            return Err(invalid("display_name", "is not 1 to 64 characters without control characters"));
        }
        read_identity_key("identity_key", &self.identity_key)?;
        self.service_identity.as_ref().map_or(Ok(()), check_services)
    }

    fn only_its_own(&self) -> Result<Option<(Key, &'static str)>, Refusal> {
        let key = PublicKey::parse(&self.identity_key).map_err(named(pki::ParseError::reason))?;
        Ok(Some((keys::identity_key(&key.sha256()), "IDENTITY_KEY_SHARED")))
    }
}

/// What a registration says from its first moment on.
fn as_registered(registered: Manufacturer, at: i64) -> Manufacturer {
    let first = IdentityKey {
        public_key: registered.identity_key.clone(),
        registered_at: Some(Timestamp { seconds: at, nanos: 0 }),
        retired_at: None,
        lost: false,
    };
    Manufacturer { identity_keys: vec![first], state: ManufacturerState::Active.into(), ..registered }
}

pub(super) fn invalid(field: &str, what: impl Into<String>) -> Refusal {
    let what = what.into();
    Refusal::new("MANUFACTURER_INVALID", format!("{field}: {what}")).violation(field, what)
}

/// A key that may countersign handoffs.
///
/// # Errors
/// `MANUFACTURER_INVALID`.
pub(super) fn read_identity_key(field: &str, spki: &[u8]) -> Result<PublicKey, Refusal> {
    let key = PublicKey::parse(spki).map_err(|e| invalid(field, e.to_string()))?;
    match key.algorithm() {
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519 => Ok(key),
        KeyAlgorithm::P521 | KeyAlgorithm::Rsa { .. } => Err(invalid(field, "is none of P-256, P-384 and Ed25519")),
    }
}

/// Checks who services say they are, with the types that judge peers.
///
/// # Errors
/// `MANUFACTURER_INVALID`.
pub(super) fn check_services(services: &ServiceIdentity) -> Result<(), Refusal> {
    if let Err(error) = services.trust_domain.parse::<TrustDomain>() {
        return Err(invalid("service_identity.trust_domain", error.to_string()));
    }
    service_cas(&services.bundle).map_err(|what| invalid("service_identity.bundle", what))?;
    for (index, role) in services.roles.iter().enumerate() {
        let read = role.parse::<Role>().map_err(|e| invalid("service_identity.roles", e.to_string()))?;
        if read == Role::RootCa {
            return Err(invalid("service_identity.roles", "root-ca is the brand's alone"));
        }
        if services.roles.iter().take(index).any(|earlier| earlier == role) {
            return Err(invalid("service_identity.roles", format!("{role} stands twice")));
        }
    }
    Ok(())
}

fn service_cas(text: &str) -> Result<Vec<Certificate>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.len() > MAX_SERVICE_BUNDLE {
        return Err(format!("is longer than {MAX_SERVICE_BUNDLE} octets"));
    }
    let cas = pem::certificates(text).map_err(|e| e.to_string())?;
    if cas.is_empty() || cas.len() > MAX_SERVICE_CAS {
        return Err(format!("holds {} certificates, not 1 to {MAX_SERVICE_CAS}", cas.len()));
    }
    match cas.iter().find(|ca| !ca.is_ca()) {
        Some(other) => Err(format!("{} is no CA certificate", other.subject())),
        None => Ok(cas),
    }
}

/// What bundles say about a manufacturer.
///
/// # Errors
/// `JOURNAL_DAMAGED` when the registration does not read.
pub(crate) fn published(manufacturer: &Manufacturer) -> Result<BundleManufacturer, Refusal> {
    let damaged = |what: String| Refusal::new("JOURNAL_DAMAGED", format!("{}: {what}", manufacturer.manufacturer));
    let services = |services: &ServiceIdentity| {
        Ok(bundle::ServiceIdentity {
            trust_domain: services.trust_domain.clone(),
            cas: service_cas(&services.bundle).map_err(damaged)?,
            roles: services.roles.clone(),
        })
    };
    let retired = |key: &IdentityKey| {
        let retired_at = wire::read_timestamp(key.retired_at.as_ref()?);
        Some(retired_key(key, retired_at))
    };
    Ok(BundleManufacturer {
        id: ManufacturerId::parse(&manufacturer.manufacturer).map_err(|e| damaged(e.to_string()))?,
        state: match manufacturer.state() {
            ManufacturerState::Suspended => State::Suspended,
            ManufacturerState::Active | ManufacturerState::Unspecified => State::Active,
        },
        services: manufacturer.service_identity.as_ref().map(services).transpose()?,
        retired_keys: manufacturer.identity_keys.iter().filter_map(retired).collect(),
    })
}

fn retired_key(key: &IdentityKey, retired_at: UnixTime) -> RetiredKey {
    let why = if key.lost { Retirement::Lost } else { Retirement::Rotated };
    RetiredKey { sha256: Sha256::of(&key.public_key), retired_at, why }
}
