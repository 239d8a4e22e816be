//! `hub.toml`. deploy/dev/hub.toml is the sample, parsed by a test.

use mfg::ManufacturerId;
use serde::Deserialize;
use service::config::{
    FilePath, IdentitySection, Limits, ListenSection, LogSection, Peer, ServiceConfig, StoreSection, TraceSection,
};

use crate::{
    registry::{Stage, VerifiedOnUpload},
    ring::Bounds,
    telemetry::TelemetryBounds,
    wire::{Addresses, DeviceLimits},
};

/// The configuration of a hub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose hub this is.
    pub(crate) manufacturer: ManufacturerId,
    /// `production` refuses development anchors; `development` takes them.
    pub(crate) mode: Stage,
    pub(crate) identity: IdentitySection,
    pub(crate) listen: HubListen,
    pub(crate) store: StoreSection,
    #[serde(default)]
    pub(crate) peers: Vec<Peer>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) log: LogSection,
    #[serde(default)]
    pub(crate) trace: TraceSection,
    pub(crate) device_tls: DeviceTlsSection,
    #[serde(default)]
    pub(crate) devices: DeviceLimits,
    #[serde(default)]
    pub(crate) trust: TrustSection,
    #[serde(default)]
    pub(crate) policy: PolicySection,
    pub(crate) telemetry: TelemetrySection,
    pub(crate) judgements: JudgementsSection,
    pub(crate) mailboxes: MailboxesSection,
}

/// `[listen]`: where operators, lines, probes and devices come in. Port 0 takes a free port.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WrittenListen")]
pub(crate) struct HubListen {
    pub(crate) shared: ListenSection,
    pub(crate) devices: Addresses,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListen {
    /// `host:port` of gRPC with mutual TLS, for operators and lines.
    grpc: String,
    /// `host:port` of the plaintext probes.
    health: String,
    /// `host:port` of MQTT; 0.0.0.0:8883 when absent, not opened when empty.
    #[serde(default = "mqtt")]
    mqtt: String,
    /// `host:port` of AMQP; 0.0.0.0:5671 when absent, not opened when empty.
    #[serde(default = "amqp")]
    amqp: String,
    /// `host:port` of HTTPS; 0.0.0.0:8443 when absent, not opened when empty.
    #[serde(default = "https")]
    https: String,
}

impl From<WrittenListen> for HubListen {
    fn from(written: WrittenListen) -> Self {
        let door = |address: String| Some(address).filter(|address| !address.is_empty());
        Self {
            shared: ListenSection { grpc: written.grpc, health: written.health },
            devices: Addresses { mqtt: door(written.mqtt), amqp: door(written.amqp), https: door(written.https) },
        }
    }
}

fn mqtt() -> String {
    "0.0.0.0:8883".to_owned()
}

fn amqp() -> String {
    "0.0.0.0:5671".to_owned()
}

fn https() -> String {
    "0.0.0.0:8443".to_owned()
}

/// `[device_tls]`: who the hub is towards devices. They check its DNS name, and know nothing of the service PKI.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceTlsSection {
    /// PEM: the server certificate, then its intermediates.
    pub(crate) certificate: FilePath,
    /// PEM: its private key, PKCS#8, mode 0600 or encrypted.
    pub(crate) key: FilePath,
    /// A file of mode 0600 that holds the passphrase of `key`. None: the key is not encrypted.
    #[serde(default)]
    pub(crate) key_passphrase_file: Option<FilePath>,
}

/// `[trust]`: what is known beside the registered CA certificates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TrustSection {
    /// bundle.json of the brand: identity keys, so that acceptances are checked, and programs. Its anchors are not used: a CA vouches
    /// for devices only when it is registered and verified.
    pub(crate) bundle: Option<FilePath>,
}

/// `[policy]`: what the organisation decides.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicySection {
    /// Whether an operator may upload a CA certificate as verified, without proving to hold its key: `refused` (default) or `allowed`.
    pub(crate) verified_on_upload: VerifiedOnUpload,
}

/// `[telemetry]`: what devices sent, and how much of it is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetrySection {
    /// The folder of its log; made when absent.
    pub(crate) directory: FilePath,
    /// Mebibytes that are kept in total. 64.
    #[serde(default = "telemetry_mib")]
    pub(crate) total_mib: u16,
    /// Messages that are kept of one device. 1000.
    #[serde(default = "per_device")]
    pub(crate) per_device: u32,
    /// Messages that one device may send within a second. 5000.
    #[serde(default = "per_device_second")]
    pub(crate) per_device_second: u32,
}

/// `[judgements]`: who was let in and who was refused, with the presented chains.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgementsSection {
    /// The folder of their log; made when absent.
    pub(crate) directory: FilePath,
    /// Mebibytes that are kept in total. 64.
    #[serde(default = "judgements_mib")]
    pub(crate) total_mib: u16,
}

/// `[mailboxes]`: twins, and messages that wait for devices.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailboxesSection {
    /// The folder of the devices' files; made when absent.
    pub(crate) directory: FilePath,
    /// Hours that a message waits for its device. 48.
    #[serde(default = "message_hours")]
    pub(crate) message_hours: u32,
}

const fn telemetry_mib() -> u16 {
    64
}

const fn per_device() -> u32 {
    1000
}

const fn per_device_second() -> u32 {
    5000
}

const fn judgements_mib() -> u16 {
    64
}

const fn message_hours() -> u32 {
    48
}

impl Config {
    /// What parsing alone cannot see.
    ///
    /// # Errors
    /// What is wrong, with the field's name.
    pub(crate) fn problem(&self) -> Option<String> {
        if let Err(problem) = self.devices.check() {
            return Some(problem.to_string());
        }
        let bounds = [
            ("telemetry.total_mib", u32::from(self.telemetry.total_mib), 1, 16_384),
            ("telemetry.per_device", self.telemetry.per_device, 1, 100_000),
            ("telemetry.per_device_second", self.telemetry.per_device_second, 1, 1_000_000),
            ("judgements.total_mib", u32::from(self.judgements.total_mib), 1, 16_384),
            ("mailboxes.message_hours", self.mailboxes.message_hours, 1, 24 * 30),
        ];
        let wrong = bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value));
        wrong.map(|(field, value, least, most)| format!("{field}: {value} is not within {least} to {most}"))
    }

    pub(crate) fn telemetry_bounds(&self) -> TelemetryBounds {
        TelemetryBounds {
            log: bounds(self.telemetry.total_mib),
            per_device: usize::try_from(self.telemetry.per_device).unwrap_or(usize::MAX),
            per_device_second: self.telemetry.per_device_second,
        }
    }

    pub(crate) fn judgement_bounds(&self) -> Bounds {
        bounds(self.judgements.total_mib)
    }
}

/// A log of so many mebibytes in sixteen segments, so that a sixteenth of it goes at a time.
fn bounds(mib: u16) -> Bounds {
    const SEGMENTS: u32 = 16;
    Bounds { segment_octets: u32::from(mib) * (1024 * 1024 / SEGMENTS), segments: SEGMENTS as usize }
}

impl ServiceConfig for Config {
    fn identity(&self) -> &IdentitySection {
        &self.identity
    }

    fn peers(&self) -> &[Peer] {
        &self.peers
    }

    fn listen(&self) -> &ListenSection {
        &self.listen.shared
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn log(&self) -> &LogSection {
        &self.log
    }

    fn trace(&self) -> &TraceSection {
        &self.trace
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SAMPLE: &str = include_str!("../../../deploy/dev/hub.toml");

    fn parse(text: &str) -> Result<Config, service::config::ConfigError> {
        service::config::parse(text, std::path::Path::new("hub.toml"))
    }

    #[test]
    fn the_sample_is_a_configuration() {
        let config = parse(SAMPLE).unwrap();
        assert_eq!(config.problem(), None);
        assert_eq!(config.listen.devices.mqtt.as_deref(), Some("0.0.0.0:8883"));
    }

    #[test]
    fn unknown_fields_and_senseless_bounds_are_refused_by_name() {
        for section in ["listen", "device_tls", "devices", "trust", "policy", "telemetry", "judgements", "mailboxes"] {
            let text = SAMPLE.replace(&format!("[{section}]"), &format!("[{section}]\nunheard_of = 1"));
            assert!(parse(&text).unwrap_err().to_string().contains("unheard_of"), "{section}");
        }
        let text = SAMPLE.replace("per_device = 1000", "per_device = 0");
        assert!(parse(&text).unwrap().problem().unwrap().contains("telemetry.per_device"));
        let text = SAMPLE.replace("amqp = \"0.0.0.0:5671\"", "amqp = \"\"");
        assert_eq!(parse(&text).unwrap().listen.devices.amqp, None);
    }
}
