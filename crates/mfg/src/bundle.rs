//! bundle.json: the trust anchors, the registered identity keys, the programs of one verifier, and the state of manufacturers.
//!
//! `{"version":1,"anchors":[PEM],"identity_keys":[{"manufacturer","public_key": PEM}],`
//! `"programs":[{"id","base_name","oid_arc"}],"manufacturers":[{"id","state": "active"|"suspended",`
//! `"services":{"trust_domain","cas":[PEM],"roles":[]},"retired_keys":[{"sha256","retired_at","why": "rotated"|"lost"}]}]}`.
//! `manufacturers` and what stands in it besides id and state may be left out. Unknown fields are refused.

mod listed;

use pki::{Certificate, DnsName, ParseError, PublicKey, pem};
use serde::{Deserialize, Serialize};

pub use listed::{
    BundleManufacturer, MAX_RETIRED_KEYS, MAX_ROLES, MAX_SERVICE_CAS, RetiredKey, Retirement, ServiceIdentity, State,
};

use crate::id::{ManufacturerId, ProgramId};
use crate::oid::OidArc;
use listed::ManufacturerDocument;

/// The only version of the bundle.
pub const VERSION: u32 = 1;
/// Longest bundle read, in octets.
pub const MAX_LENGTH: usize = 8 * 1024 * 1024;
/// Most entries in each of its lists.
pub const MAX_ENTRIES: usize = 4096;

const CERTIFICATE: &str = "CERTIFICATE";
const PUBLIC_KEY: &str = "PUBLIC KEY";

/// What a verifier trusts and knows.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Trust anchors.
    pub anchors: Vec<Certificate>,
    /// Identity keys that the brand registered; a manufacturer may have several, in succession.
    pub identity_keys: Vec<IdentityKey>,
    /// Programs under these anchors. If any is listed, a chain of another program is refused.
    pub programs: Vec<BundleProgram>,
    /// What the brand says about manufacturers. It changes nothing about chains: what was built is genuine.
    pub manufacturers: Vec<BundleManufacturer>,
}

/// One registered identity key.
#[derive(Clone, Debug)]
pub struct IdentityKey {
    /// Whose it is.
    pub manufacturer: ManufacturerId,
    /// The key.
    pub public_key: PublicKey,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleProgram {
    /// The program.
    pub id: ProgramId,
    /// The DNS name under which all its devices are named.
    pub base_name: DnsName,
    /// The arc of its private extensions.
    pub oid_arc: OidArc,
}

/// Why bytes are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleRefusal {
    /// Longer than [`MAX_LENGTH`] or a list longer than [`MAX_ENTRIES`].
    #[error("the bundle is too long to be read")]
    TooLong,
    /// Not the JSON of a bundle; unknown fields included.
    #[error("cannot read or write the bundle")]
    Malformed(#[source] serde_json::Error),
    /// A version that this code does not know.
    #[error("bundle version {0}, only {VERSION} is known")]
    Version(u32),
    /// An anchor is no certificate.
    #[error("cannot read anchor {index} of the bundle")]
    Anchor {
        /// Which one, from 0.
        index: usize,
        /// Why.
        #[source]
        cause: ParseError,
    },
    /// An identity key is no public key.
    #[error("cannot read an identity key of {manufacturer}")]
    IdentityKey {
        /// Whose.
        manufacturer: ManufacturerId,
        /// Why.
        #[source]
        cause: ParseError,
    },
    /// An entry of a manufacturer that does not read.
    #[error("cannot read what the bundle says about {0}")]
    Manufacturer(ManufacturerId),
    /// Two manufacturers with one key: an acceptance by one would prove the other's.
    #[error("{0} and another manufacturer have the same identity key")]
    KeyShared(ManufacturerId),
    /// Two entries for one program.
    #[error("program {0} stands twice, with different content")]
    ProgramDiffers(ProgramId),
    /// The base name of a program is no DNS name.
    #[error("the base name {0:?} is no dns name")]
    BaseName(String),
}

impl BundleRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "BUNDLE_TOO_LONG",
            Self::Malformed(_) | Self::BaseName(_) | Self::Manufacturer(_) => "BUNDLE_MALFORMED",
            Self::Version(_) => "BUNDLE_VERSION_UNKNOWN",
            Self::Anchor { .. } => "BUNDLE_ANCHOR_INVALID",
            Self::IdentityKey { .. } => "BUNDLE_IDENTITY_KEY_INVALID",
            Self::KeyShared(_) => "BUNDLE_IDENTITY_KEY_SHARED",
            Self::ProgramDiffers(_) => "BUNDLE_PROGRAM_DIFFERS",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    anchors: Vec<String>,
    identity_keys: Vec<KeyDocument>,
    programs: Vec<ProgramDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    manufacturers: Vec<ManufacturerDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    manufacturer: ManufacturerId,
    public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramDocument {
    id: ProgramId,
    base_name: String,
    oid_arc: OidArc,
}

impl Bundle {
    /// Reads bundle.json.
    ///
    /// # Errors
    /// Every [`BundleRefusal`].
    pub fn parse(json: &[u8]) -> Result<Self, BundleRefusal> {
        if json.len() > MAX_LENGTH {
            return Err(BundleRefusal::TooLong);
        }
        let document: Document = serde_json::from_slice(json).map_err(BundleRefusal::Malformed)?;
        if document.version != VERSION {
            return Err(BundleRefusal::Version(document.version));
        }
        let Document { anchors, identity_keys, programs, manufacturers, version: _ } = &document;
        let lengths = [anchors.len(), identity_keys.len(), programs.len(), manufacturers.len()];
        if lengths.into_iter().any(|length| length > MAX_ENTRIES) {
            return Err(BundleRefusal::TooLong);
        }
        let mut bundle = Self::default();
        for (index, text) in document.anchors.iter().enumerate() {
            bundle.anchors.push(read_anchor(text).map_err(|cause| BundleRefusal::Anchor { index, cause })?);
        }
        for KeyDocument { manufacturer, public_key } in document.identity_keys {
            let public_key = read_key(&public_key)
                .map_err(|cause| BundleRefusal::IdentityKey { manufacturer: manufacturer.clone(), cause })?;
            bundle.identity_keys.push(IdentityKey { manufacturer, public_key });
        }
        for ProgramDocument { id, base_name, oid_arc } in document.programs {
            let base_name = DnsName::parse(&base_name).map_err(|_| BundleRefusal::BaseName(base_name))?;
            bundle.programs.push(BundleProgram { id, base_name, oid_arc });
        }
        bundle.manufacturers =
            document.manufacturers.into_iter().map(ManufacturerDocument::read).collect::<Result<_, _>>()?;
        bundle.check()?;
        Ok(bundle)
    }

    /// Writes bundle.json.
    ///
    /// # Errors
    /// `BUNDLE_MALFORMED`; not expected, since it holds only strings and a number.
    pub fn to_json(&self) -> Result<String, BundleRefusal> {
        let document = Document {
            version: VERSION,
            anchors: self.anchors.iter().map(|anchor| pem::encode(CERTIFICATE, anchor.der())).collect(),
            identity_keys: self.identity_keys.iter().map(KeyDocument::from).collect(),
            programs: self.programs.iter().map(ProgramDocument::from).collect(),
            manufacturers: self.manufacturers.iter().map(ManufacturerDocument::from).collect(),
        };
        serde_json::to_string_pretty(&document).map_err(BundleRefusal::Malformed)
    }

    /// Adds what another bundle knows; entries that are already here are kept once.
    ///
    /// # Errors
    /// `BUNDLE_IDENTITY_KEY_SHARED`, `BUNDLE_PROGRAM_DIFFERS`.
    pub fn merge(mut self, other: Self) -> Result<Self, BundleRefusal> {
        for anchor in other.anchors {
            if self.anchors.iter().all(|known| known.der() != anchor.der()) {
                self.anchors.push(anchor);
            }
        }
        for key in other.identity_keys {
            let same = |known: &IdentityKey| {
                known.manufacturer == key.manufacturer && known.public_key.spki() == key.public_key.spki()
            };
            if !self.identity_keys.iter().any(same) {
                self.identity_keys.push(key);
            }
        }
        for program in other.programs {
            if !self.programs.contains(&program) {
                self.programs.push(program);
            }
        }
        for manufacturer in other.manufacturers {
            if !self.manufacturers.contains(&manufacturer) {
                self.manufacturers.push(manufacturer);
            }
        }
        self.check()?;
        Ok(self)
    }

    /// The registered identity keys of a manufacturer.
    pub fn identity_keys_of<'a>(&'a self, manufacturer: &'a ManufacturerId) -> impl Iterator<Item = &'a PublicKey> {
        self.identity_keys.iter().filter(move |key| key.manufacturer == *manufacturer).map(|key| &key.public_key)
    }

    /// The program with this id.
    #[must_use]
    pub fn program(&self, id: &ProgramId) -> Option<&BundleProgram> {
        self.programs.iter().find(|program| program.id == *id)
    }

    fn check(&self) -> Result<(), BundleRefusal> {
        let mut owners = std::collections::BTreeMap::new();
        for key in &self.identity_keys {
            let owner = owners.entry(*key.public_key.sha256().as_bytes()).or_insert(&key.manufacturer);
            if *owner != &key.manufacturer {
                return Err(BundleRefusal::KeyShared(key.manufacturer.clone()));
            }
        }
        let mut programs = std::collections::BTreeSet::new();
        for program in &self.programs {
            if !programs.insert(&program.id) {
                return Err(BundleRefusal::ProgramDiffers(program.id.clone()));
            }
        }
        Ok(())
    }
}

impl From<&IdentityKey> for KeyDocument {
    fn from(key: &IdentityKey) -> Self {
        let public_key = pem::encode(PUBLIC_KEY, key.public_key.spki());
        Self { manufacturer: key.manufacturer.clone(), public_key }
    }
}

impl From<&BundleProgram> for ProgramDocument {
    fn from(program: &BundleProgram) -> Self {
        let base_name = program.base_name.as_str().to_owned();
        Self { id: program.id.clone(), base_name, oid_arc: program.oid_arc }
    }
}

fn read_anchor(text: &str) -> Result<Certificate, ParseError> {
    Certificate::parse(pem::single(text, CERTIFICATE)?.der())
}

fn read_key(text: &str) -> Result<PublicKey, ParseError> {
    PublicKey::parse(pem::single(text, PUBLIC_KEY)?.der())
}
