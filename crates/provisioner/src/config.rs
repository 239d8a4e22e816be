//! `provisioner.toml`. deploy/dev/provisioner.toml is the sample, parsed by a test.

use mfg::{LotId, ManufacturerId};
use serde::Deserialize;
use service::{
    config::{FilePath, IdentitySection, Limits, ListenSection, LogSection, Peer, StoreSection, TraceSection},
    identity::Manufacturer,
};

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
    #[serde(default)]
    pub(crate) trace: TraceSection,
    #[serde(default)]
    pub(crate) line: LineSection,
    pub(crate) signer: SignerSection,
    pub(crate) escrow: EscrowSection,
    /// `[hub]`: where what was written is registered; absent: nowhere.
    pub(crate) hub: Option<HubSection>,
}

/// `[line]`: where units come from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LineSection {
    /// The lots of this line in the order of use, received or not yet: a spent one is followed by the next that is open. Empty: every
    /// open lot of the manufacturer, by id.
    pub(crate) lots: Vec<LotId>,
}

/// `[signer]`: the manufacturer's intermediate-ca.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignerSection {
    /// `host:port` of its gRPC.
    pub(crate) address: String,
}

/// `[hub]`: the hub that devices connect to. It may be away for days: the journal keeps what it has not heard.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HubSection {
    /// Whose hub it is; also one of the `[[peers]]`.
    pub(crate) manufacturer: Manufacturer,
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
