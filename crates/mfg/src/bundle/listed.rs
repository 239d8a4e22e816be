//! What a bundle says about manufacturers beyond the identity keys that they have and had.

use pki::{Certificate, Sha256, UnixTime, pem};
use serde::{Deserialize, Serialize};

use super::{Bundle, BundleRefusal};
use crate::id::ManufacturerId;

/// Most CA certificates of one manufacturer's services.
pub const MAX_SERVICE_CAS: usize = 16;
/// Most roles of one manufacturer's services.
pub const MAX_ROLES: usize = 16;
/// Most identity keys that one manufacturer ever had.
pub const MAX_RETIRED_KEYS: usize = 128;

/// What the brand says about one manufacturer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleManufacturer {
    /// Who.
    pub id: ManufacturerId,
    /// Whether it may receive lots.
    pub state: State,
    /// Who its services and people say they are, if that is registered.
    pub services: Option<ServiceIdentity>,
    /// Those of its identity keys that it does not sign with any more.
    pub retired_keys: Vec<RetiredKey>,
}

/// Whether a manufacturer may receive lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It may.
    Active,
    /// No new offer to it, no acceptance by it. What was built before is genuine.
    Suspended,
}

/// The service identities of one manufacturer: what its peers configure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceIdentity {
    /// The trust domain in its SPIFFE ids.
    pub trust_domain: String,
    /// The CA certificates of that trust domain; possibly none.
    pub cas: Vec<Certificate>,
    /// The roles that its services and people have; none: any.
    pub roles: Vec<String>,
}

/// An identity key that its manufacturer does not sign with any more. It stays registered: what it signed stays provable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredKey {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub sha256: Sha256,
    /// When it was replaced.
    pub retired_at: UnixTime,
    /// Why.
    pub why: Retirement,
}

/// Why an identity key was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retirement {
    /// Its holder consented with that very key.
    Rotated,
    /// It is lost, perhaps in other hands: it accepts nothing any more.
    Lost,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManufacturerDocument {
    id: ManufacturerId,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    services: Option<ServicesDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired_keys: Vec<RetiredKeyDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServicesDocument {
    trust_domain: String,
    cas: Vec<String>,
    roles: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetiredKeyDocument {
    sha256: String,
    retired_at: String,
    why: Retirement,
}

impl Bundle {
    /// Whether the bundle says that a manufacturer is suspended.
    #[must_use]
    pub fn is_suspended(&self, manufacturer: &ManufacturerId) -> bool {
        self.manufacturers.iter().any(|m| m.id == *manufacturer && m.state == State::Suspended)
    }

    /// How an identity key of a manufacturer was retired, if it was.
    #[must_use]
    pub fn retirement(&self, manufacturer: &ManufacturerId, key: &Sha256) -> Option<&RetiredKey> {
        self.manufacturers
            .iter()
            .filter(|m| m.id == *manufacturer)
            .flat_map(|m| &m.retired_keys)
            .find(|retired| retired.sha256 == *key)
    }
}

impl ManufacturerDocument {
    pub(super) fn read(self) -> Result<BundleManufacturer, BundleRefusal> {
        let Self { id, state, services, retired_keys } = self;
        let malformed = || BundleRefusal::Manufacturer(id.clone());
        if retired_keys.len() > MAX_RETIRED_KEYS {
            return Err(malformed());
        }
        let services = services.map(ServicesDocument::read).transpose().map_err(|_| malformed())?;
        let retired_keys: Option<Vec<RetiredKey>> = retired_keys.iter().map(RetiredKeyDocument::read).collect();
        Ok(BundleManufacturer { state, services, retired_keys: retired_keys.ok_or_else(malformed)?, id })
    }
}

/// A part of a manufacturer's entry that does not read.
struct Malformed;

impl ServicesDocument {
    fn read(self) -> Result<ServiceIdentity, Malformed> {
        let Self { trust_domain, cas, roles } = self;
        if cas.len() > MAX_SERVICE_CAS || roles.len() > MAX_ROLES {
            return Err(Malformed);
        }
        let cas = cas.iter().map(|text| super::read_anchor(text)).collect::<Result<_, _>>().map_err(|_| Malformed)?;
        Ok(ServiceIdentity { trust_domain, cas, roles })
    }
}

impl RetiredKeyDocument {
    fn read(&self) -> Option<RetiredKey> {
        let sha256 = Sha256::parse(&self.sha256).ok()?;
        let retired_at = UnixTime::parse(&self.retired_at).ok()?;
        Some(RetiredKey { sha256, retired_at, why: self.why })
    }
}

impl From<&BundleManufacturer> for ManufacturerDocument {
    fn from(manufacturer: &BundleManufacturer) -> Self {
        let services = manufacturer.services.as_ref().map(|services| ServicesDocument {
            trust_domain: services.trust_domain.clone(),
            cas: services.cas.iter().map(|ca| pem::encode(super::CERTIFICATE, ca.der())).collect(),
            roles: services.roles.clone(),
        });
        let retired = |key: &RetiredKey| RetiredKeyDocument {
            sha256: key.sha256.to_string(),
            retired_at: key.retired_at.to_string(),
            why: key.why,
        };
        let retired_keys = manufacturer.retired_keys.iter().map(retired).collect();
        Self { id: manufacturer.id.clone(), state: manufacturer.state, services, retired_keys }
    }
}
