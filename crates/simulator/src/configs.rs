//! The configuration files of a world's services and people: the samples of deploy/dev, which are the documentation of every option,
//! with a world's own values in them.

mod sample;

use anyhow::Context as _;
use mfg::terms::HandoffKeyAlgorithm;

use crate::{
    organisation::Organisation,
    plan::{BRAND, Stop},
};
use sample::{Sample, quoted};

/// The brand's operators; all of them must approve an order.
pub(crate) const APPROVERS: [&str; 2] = ["alice", "bob"];

const ROOT_CA: &str = include_str!("../../../deploy/dev/root-ca.toml");
const INTERMEDIATE_CA: &str = include_str!("../../../deploy/dev/intermediate-ca.toml");
const PROVISIONER: &str = include_str!("../../../deploy/dev/provisioner.toml");
const HUB: &str = include_str!("../../../deploy/dev/hub.toml");
const PROFILE: &str = include_str!("../../../deploy/dev/profile.toml");
const ROOT_CEREMONY: &str = include_str!("../../../deploy/ceremony/root.toml");

/// Where a service listens on loopback: the ports of gRPC and of the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) grpc: u16,
    pub(crate) health: u16,
}

impl Ports {
    /// Whichever are free.
    pub(crate) const ANY: Self = Self { grpc: 0, health: 0 };

    /// The address of gRPC.
    pub(crate) fn address(self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }
}

/// Where a hub is open for devices on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevicePorts {
    /// Whichever are free.
    Free,
    /// Those that devices try by themselves: 8883, 5671, 8443.
    Standard,
}

impl DevicePorts {
    /// The addresses of MQTT, AMQP and HTTPS, by their options.
    fn addresses(self) -> [(&'static str, String); 3] {
        [("mqtt", 8883), ("amqp", 5671), ("https", 8443)].map(|(door, standard)| {
            let port = match self {
                Self::Free => 0,
                Self::Standard => standard,
            };
            (door, format!("127.0.0.1:{port}"))
        })
    }
}

/// One organisation that a service talks with.
pub(crate) struct PeerOf<'a> {
    pub(crate) organisation: &'a Organisation,
    pub(crate) roles: &'a [&'a str],
    /// Who they are to the service, in words.
    pub(crate) who: &'a str,
}

/// A service that a person works with.
pub(crate) struct Workplace<'a> {
    pub(crate) role: &'a str,
    pub(crate) of: &'a Organisation,
    pub(crate) address: String,
}

/// The head of every file, and what all services have.
fn service(text: &str, own: &str, ports: Ports, peers: &[PeerOf<'_>]) -> anyhow::Result<Sample> {
    let mut sample = head(text, own)?;
    sample.set("", "manufacturer", &quoted(own))?;
    sample.set("listen", "grpc", &quoted(&ports.address()))?;
    sample.set("listen", "health", &quoted(&format!("127.0.0.1:{}", ports.health)))?;
    sample.set_entries("peers", peers, |entry, peer| {
        let roles: Vec<String> = peer.roles.iter().map(|role| quoted(role)).collect();
        let organisation = peer.organisation;
        entry.set("manufacturer", &quoted(organisation.id()))?;
        entry.set("trust_domain", &quoted(&organisation.trust_domain()))?;
        entry.set("bundle", &quoted(&service_ca(organisation)))?;
        entry.set_with_words("roles", &format!("[{}]", roles.join(", ")), peer.who)
    })?;
    Ok(sample)
}

fn head(text: &str, own: &str) -> anyhow::Result<Sample> {
    let mut sample = Sample::new(text);
    let made =
        format!("# This one is {own}'s, made from the sample in deploy/dev; paths are those of the folder it lies in.");
    sample.replace_line("# This sample is ", &made).context("the sample does not say whose it is")?;
    sample.replace_words("factory-y", own);
    Ok(sample)
}

/// Every organisation's folder lies beside the others.
fn service_ca(organisation: &Organisation) -> String {
    format!("../{}/service-ca.pem", organisation.id())
}

/// `root-ca.toml`.
pub(crate) fn root_ca(ports: Ports, peers: &[PeerOf<'_>], lot_keys: HandoffKeyAlgorithm) -> anyhow::Result<String> {
    let mut sample = service(ROOT_CA, BRAND, ports, peers)?;
    let lot_keys = match lot_keys {
        HandoffKeyAlgorithm::P256 => "p256",
        HandoffKeyAlgorithm::P384 => "p384",
        HandoffKeyAlgorithm::Ed25519 => "ed25519",
    };
    sample.set("terms", "handoff_key", &quoted(lot_keys))?;
    sample.set("terms", "device_keys", r#"["p256", "p384", "ed25519", "rsa2048", "rsa3072"]"#)?;
    sample.set("approvals", "required", &APPROVERS.len().to_string())?;
    sample.set_entries("approvals.operators", &APPROVERS, |entry, name| {
        entry.set("name", &quoted(name))?;
        entry.set("approval_key", &quoted(&format!("{name}.approval.pub")))
    })?;
    Ok(sample.into_text())
}

/// `intermediate-ca.toml`.
pub(crate) fn intermediate_ca(
    own: &Organisation,
    ports: Ports,
    upstream: (&str, &str, &str),
    peers: &[PeerOf<'_>],
) -> anyhow::Result<String> {
    let mut sample = service(INTERMEDIATE_CA, own.id(), ports, peers)?;
    sample.set_entries("upstreams", &[upstream], |entry, (manufacturer, role, address)| {
        entry.set("manufacturer", &quoted(manufacturer))?;
        entry.set("role", &quoted(role))?;
        entry.set("address", &quoted(address))
    })?;
    Ok(sample.into_text())
}

/// `provisioner.toml`. What is written is registered at the brand's hub, if its address is given.
pub(crate) fn provisioner(
    own: &Organisation,
    ports: Ports,
    (signer, hub): (&str, Option<&str>),
    peers: &[PeerOf<'_>],
) -> anyhow::Result<String> {
    let mut sample = service(PROVISIONER, own.id(), ports, peers)?;
    sample.set("signer", "address", &quoted(signer))?;
    if let Some(address) = hub {
        sample.switch_on("hub")?;
        sample.set("hub", "manufacturer", &quoted(BRAND))?;
        sample.set("hub", "address", &quoted(address))?;
    }
    Ok(sample.into_text())
}

/// `hub.toml`.
pub(crate) fn hub(ports: Ports, devices: DevicePorts, peers: &[PeerOf<'_>]) -> anyhow::Result<String> {
    let mut sample = service(HUB, BRAND, ports, peers)?;
    for (door, address) in devices.addresses() {
        sample.set("listen", door, &quoted(&address))?;
    }
    Ok(sample.into_text())
}

/// A hub's configuration with what a measurement needs: operators may upload a CA as verified, and a device may send as much as it can.
pub(crate) fn hub_for_measuring(config: &str) -> anyhow::Result<String> {
    let mut sample = Sample::new(config);
    sample.set("policy", "verified_on_upload", &quoted("allowed"))?;
    sample.set("telemetry", "per_device_second", "1000000")?;
    Ok(sample.into_text())
}

/// A configuration that keeps the addresses that its service has bound, by their options, where it had taken free ports.
pub(crate) fn keep_addresses<'a>(config: &str, bound: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    bound.fold(config.to_owned(), |config, (option, address)| {
        config.replace(&format!("{option} = \"127.0.0.1:0\""), &format!("{option} = {address:?}"))
    })
}

/// What a person's commands read: who they are and which services they work with. `file` names their certificate and key.
pub(crate) fn profile(own: &Organisation, file: &str, workplaces: &[Workplace<'_>]) -> anyhow::Result<String> {
    let mut sample = head(PROFILE, own.id())?;
    sample.set("identity", "certificate", &quoted(&format!("{file}.pem")))?;
    sample.set("identity", "key", &quoted(&format!("{file}.key")))?;
    if own.folder().has(&format!("{file}.approval.key")) {
        sample.set("approval", "key", &quoted(&format!("{file}.approval.key")))?;
    } else {
        sample.remove_table("approval")?;
    }
    sample.set_entries("services", workplaces, |entry, place| {
        entry.set("role", &quoted(place.role))?;
        entry.set("manufacturer", &quoted(place.of.id()))?;
        entry.set("address", &quoted(&place.address))?;
        entry.set("trust_domain", &quoted(&place.of.trust_domain()))?;
        entry.set("bundle", &quoted(&service_ca(place.of)))
    })?;
    Ok(sample.into_text())
}

/// The input of the ceremony that makes a world's development root.
pub(crate) fn root_ceremony(brand: &str, certificate: &str) -> anyhow::Result<String> {
    let mut sample = Sample::new(ROOT_CEREMONY);
    sample.set("", "title", &quoted(&format!("{brand} development device root")))?;
    sample.set("", "witnesses", "[]")?;
    sample.set("root", "organization", &quoted(brand))?;
    sample.set("root", "common_name", &quoted(&format!("{brand} Development Device Root")))?;
    sample.set("output", "certificate", &quoted(certificate))?;
    Ok(sample.into_text())
}

/// The ports of a chain that is started by hand: the root-ca's, then those of the manufacturer at `index`.
pub(crate) const ROOT_CA_PORTS: Ports = Ports { grpc: 7101, health: 7102 };
/// The hub's.
pub(crate) const HUB_PORTS: Ports = Ports { grpc: 7401, health: 7402 };
/// The only provisioner's.
pub(crate) const PROVISIONER_PORTS: Ports = Ports { grpc: 7301, health: 7302 };

/// The intermediate-ca's of the manufacturer at `index` on the route.
pub(crate) fn intermediate_ca_ports(index: usize) -> Ports {
    let offset = u16::try_from(index).unwrap_or(u16::MAX).saturating_mul(10);
    Ports { grpc: 7201_u16.saturating_add(offset), health: 7202_u16.saturating_add(offset) }
}

/// Who stands before and behind a manufacturer on the route, in words.
pub(crate) fn sender_of(stop: &Stop) -> (&str, &'static str) {
    (&stop.from, if stop.from == BRAND { "root-ca" } else { "intermediate-ca" })
}
