//! `provisioner.toml`. deploy/dev/provisioner.toml is the sample, parsed by a test.

use mfg::ManufacturerId;
use serde::Deserialize;
use service::config::{FilePath, IdentitySection, Limits, ListenSection, LogSection, Peer, StoreSection};

/// The configuration of a provisioner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose line this is.
    pub(crate) manufacturer: ManufacturerId,
    pub(crate) identity: IdentitySection,
    pub(crate) listen: ListenSection,
    pub(crate) store: StoreSection,
    #[serde(default)]
    pub(crate) peers: Vec<Peer>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) log: LogSection,
    pub(crate) signer: SignerSection,
    pub(crate) escrow: EscrowSection,
}

/// `[signer]`: the manufacturer's intermediate-ca.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignerSection {
    /// `host:port` of its gRPC.
    pub(crate) address: String,
}

/// `[escrow]`: server-made device keys until their unit is confirmed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscrowSection {
    /// The folder of wrapped keys, mode 0700; made when absent.
    pub(crate) directory: FilePath,
    /// The wrapping key: 32 random octets, mode 0600.
    pub(crate) wrapping_key: FilePath,
}

service::shared_sections!(Config);
