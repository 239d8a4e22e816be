//! `intermediate-ca.toml`. deploy/dev/intermediate-ca.toml is the sample, parsed by a test.

use issuance::Stage;
use mfg::ManufacturerId;
use serde::Deserialize;
use service::{
    config::{FilePath, IdentitySection, Limits, ListenSection, LogSection, Peer, StoreSection, TraceSection},
    identity::{Manufacturer, Role},
};

/// The configuration of an intermediate-ca.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose lots these are.
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
    pub(crate) custody: CustodySection,
    #[serde(default)]
    pub(crate) signing: SigningSection,
    /// `[[upstreams]]`: who hands lots to us.
    #[serde(default)]
    pub(crate) upstreams: Vec<UpstreamSection>,
}

/// `[custody]`: what receiving lots needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustodySection {
    /// PKCS#8 of the identity key that countersigns handoffs, mode 0600 or encrypted.
    pub(crate) identity_key: FilePath,
    /// A file of mode 0600 that holds the passphrase of `identity_key`. None: the key is not encrypted.
    #[serde(default)]
    pub(crate) identity_key_passphrase_file: Option<FilePath>,
    /// bundle.json: the trust anchors and the registered identity keys.
    pub(crate) bundle: FilePath,
    /// The folder of lot keys, mode 0700; made when absent. In no backup.
    pub(crate) lot_keys: FilePath,
    /// Seconds between two reports of every open lot's tally to its sender; a closing lot is reported at once.
    #[serde(default = "quarter_of_an_hour")]
    pub(crate) report_every_seconds: u64,
}

const fn quarter_of_an_hour() -> u64 {
    900
}

/// `[signing]`: how certificates are issued.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SigningSection {
    /// First octet of certificate serials, 1 to 127; two instances that sign under one key need different ones.
    pub(crate) instance: u8,
    /// Worker threads; 0: one per core.
    pub(crate) workers: usize,
    /// Requests that may wait.
    pub(crate) queue: usize,
}

impl Default for SigningSection {
    fn default() -> Self {
        Self { instance: 1, workers: 0, queue: 1024 }
    }
}

/// One sender.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamSection {
    /// The sender; also one of the `[[peers]]`.
    pub(crate) manufacturer: Manufacturer,
    /// `root-ca` or `intermediate-ca`.
    pub(crate) role: Role,
    /// `host:port` of its gRPC.
    pub(crate) address: String,
}

service::shared_sections!(Config);
