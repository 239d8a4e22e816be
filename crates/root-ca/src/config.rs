//! `root-ca.toml`. deploy/dev/root-ca.toml is the sample, parsed by a test.

use issuance::Stage;
use mfg::ManufacturerId;
use serde::Deserialize;
use service::config::{FilePath, IdentitySection, Limits, ListenSection, LogSection, Peer, StoreSection, TraceSection};

use crate::orders::TermsProfile;

/// The configuration of a root-ca.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The brand owner.
    pub(crate) manufacturer: ManufacturerId,
    /// `production` refuses development anchors and the documentation OID arc; `development` takes them.
    pub(crate) mode: Stage,
    pub(crate) identity: IdentitySection,
    pub(crate) listen: ListenSection,
    pub(crate) store: StoreSection,
    #[serde(default)]
    pub(crate) peers: Vec<Peer>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) log: LogSection,
    #[serde(default)]
    pub(crate) trace: TraceSection,
    pub(crate) root: RootSection,
    pub(crate) brand: BrandSection,
    pub(crate) approvals: ApprovalsSection,
    /// `[terms]`: what every order's terms take from here.
    pub(crate) terms: TermsProfile,
}

/// `[root]`: the device root, or an order CA under it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootSection {
    /// PEM: the trust anchor.
    pub(crate) anchor: FilePath,
    /// PEM: the order CA's certificate, when the root is offline. Absent: the root signs here.
    pub(crate) order_ca: Option<FilePath>,
    /// PKCS#8 of the signing key, mode 0600 or encrypted.
    pub(crate) key: FilePath,
    /// A file of mode 0600 that holds the passphrase of `key`. None: the key is not encrypted.
    #[serde(default)]
    pub(crate) key_passphrase_file: Option<FilePath>,
    /// First octet of certificate serials, 1 to 127; two instances that sign under one key need different ones.
    #[serde(default = "first_instance")]
    pub(crate) instance: u8,
}

/// `[brand]`: the brand's identity key, which signs terms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrandSection {
    /// PKCS#8, mode 0600.
    pub(crate) identity_key: FilePath,
    /// A file of mode 0600 that holds the passphrase of `identity_key`. None: the key is not encrypted.
    #[serde(default)]
    pub(crate) identity_key_passphrase_file: Option<FilePath>,
}

/// `[approvals]`: who approves orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalsSection {
    /// How many different operators must approve.
    pub(crate) required: usize,
    /// Who may.
    pub(crate) operators: Vec<OperatorSection>,
}

/// One operator who may approve orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorSection {
    /// The name at the end of the operator's SPIFFE id.
    pub(crate) name: String,
    /// PEM: the public key that approvals are verified with.
    pub(crate) approval_key: FilePath,
}

const fn first_instance() -> u8 {
    1
}

service::shared_sections!(Config);
