//! The sections that every service's configuration has.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::FieldProblem;
use crate::identity::{Manufacturer, Role, TrustDomain};

/// A path as it was written. Only [`ConfigDirectory::path`](super::ConfigDirectory::path) says where it leads,
/// so that no relative path is ever taken from the wrong folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// The path `path`, as if it had been written in the file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// What stands in the file.
    #[must_use]
    pub fn as_written(&self) -> &Path {
        &self.0
    }
}

/// `[identity]`: who this process is towards its peers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitySection {
    /// PEM: the service certificate, then its intermediates.
    pub certificate: FilePath,
    /// PEM: its private key, PKCS#8, mode 0600 or encrypted.
    pub key: FilePath,
    /// A file of mode 0600 that holds the passphrase of `key`. None: the key is not encrypted.
    #[serde(default)]
    pub key_passphrase_file: Option<FilePath>,
}

impl IdentitySection {
    /// The identity in a certificate file and a key file that is not encrypted.
    #[must_use]
    pub fn new(certificate: FilePath, key: FilePath) -> Self {
        Self { certificate, key, key_passphrase_file: None }
    }
}

/// `[[peers]]`: an organisation that may connect, or be connected to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The organisation.
    pub manufacturer: Manufacturer,
    /// The trust domain that its ids carry.
    pub trust_domain: TrustDomain,
    /// PEM: the CA certificates that vouch for that trust domain, and for no other.
    pub bundle: FilePath,
    /// The roles accepted from it.
    pub roles: Vec<Role>,
}

/// `[listen]`: where to listen. Port 0 takes a free port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenSection {
    /// `host:port` of gRPC with mutual TLS.
    pub grpc: String,
    /// `host:port` of the plaintext probes: health, /livez, /readyz, /metrics and nothing else.
    pub health: String,
}

/// `[log]`: what is written to stderr.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `human` (default) or `json`.
    pub format: LogFormat,
    /// A level or a filter, for example `info` (default) or `info,hub=debug`. `RUST_LOG` overrides it.
    pub level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Human, level: "info".to_owned() }
    }
}

/// `[trace]`: where the spans of requests are sent. Nobody traces without it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSection {
    /// `http://host:port` of a collector that takes OTLP over gRPC, without TLS: an agent on the same host. None: no spans.
    pub otlp: Option<String>,
    /// One in so many requests that begin a trace is kept; what a caller decided is followed. 1.
    pub one_in: u32,
}

impl Default for TraceSection {
    fn default() -> Self {
        Self { otlp: None, one_in: 1 }
    }
}

impl TraceSection {
    pub(super) fn check(&self) -> Result<(), FieldProblem> {
        if self.one_in == 0 {
            return Err(FieldProblem::new("trace.one_in", "0 is no share: leave out otlp to trace nothing"));
        }
        let Some(address) = &self.otlp else { return Ok(()) };
        let is_plain = address.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("http") && uri.port().is_some() && uri.path() == "/" && uri.query().is_none()
        });
        if is_plain {
            Ok(())
        } else {
            Err(FieldProblem::new("trace.otlp", format!("{address:?} is not http://host:port")))
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[store]`: where a service keeps its data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The store's folder, made by `--init-store` and by nothing else.
    pub directory: FilePath,
}

/// A peer is one organisation of one trust domain, and a trust domain has one bundle.
pub(super) fn check_peers(peers: &[Peer]) -> Result<(), FieldProblem> {
    for (index, peer) in peers.iter().enumerate() {
        let earlier = || peers.iter().take(index).filter(|other| other.trust_domain == peer.trust_domain);
        if earlier().any(|other| other.manufacturer == peer.manufacturer) {
            let problem = format!("{} of {} is configured twice", peer.manufacturer, peer.trust_domain);
            return Err(FieldProblem::new(format!("peers[{index}]"), problem));
        }
        if earlier().any(|other| other.bundle != peer.bundle) {
            let problem = format!("{} has another bundle above; a trust domain has one", peer.trust_domain);
            return Err(FieldProblem::new(format!("peers[{index}].bundle"), problem));
        }
        if peer.roles.is_empty() {
            return Err(FieldProblem::new(format!("peers[{index}].roles"), "empty: this peer could do nothing"));
        }
    }
    Ok(())
}
