//! Reaching a hub as its operator.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use api::hub::v1::{
    ca_certificate_service_client::CaCertificateServiceClient, device_service_client::DeviceServiceClient,
    hub_service_client::HubServiceClient, judgement_service_client::JudgementServiceClient,
    telemetry_service_client::TelemetryServiceClient,
};
use pki::GeneralName;
use serde::Deserialize;
use service::{
    SystemClock,
    client::connect,
    config::{ConfigDirectory, FilePath, IdentitySection, Limits, Peer},
    identity::{Role, SpiffeId},
    net::{Network, TcpNetwork},
    tls::{Credentials, ExpectedPeer},
};
use tonic::transport::Channel;

use super::args::HubAt;
use crate::{
    failure::{Failure, read_file},
    files,
};

/// A hub that can be called.
pub(super) struct Hub {
    channel: Channel,
}

/// Where the hub is and who calls.
struct Found {
    address: String,
    certificate: PathBuf,
    key: PathBuf,
    service_ca: PathBuf,
}

/// What is read of demo.json.
#[derive(Deserialize)]
struct Demo {
    services: Vec<DemoService>,
    identities: std::collections::BTreeMap<String, DemoIdentity>,
}

#[derive(Deserialize)]
struct DemoService {
    role: String,
    manufacturer: String,
    grpc: String,
}

#[derive(Deserialize)]
struct DemoIdentity {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl Hub {
    /// Makes the channel; the first call connects.
    pub(super) fn connect(at: &HubAt) -> Result<Self, Failure> {
        let found = find(at)?;
        let own = spiffe_id(&found.certificate)?;
        let identity =
            IdentitySection { certificate: FilePath::new(&found.certificate), key: FilePath::new(&found.key) };
        let peer = Peer {
            manufacturer: own.manufacturer.clone(),
            trust_domain: own.trust_domain,
            bundle: FilePath::new(&found.service_ca),
            roles: vec![Role::Hub],
        };
        // Paths on a command line start where the caller stands.
        let directory = ConfigDirectory::new(".");
        let credentials = Credentials::load(&identity, &[peer], &directory, Arc::new(SystemClock))
            .map_err(|error| unusable(error.reason(), &error))?;
        let network: Arc<dyn Network> = Arc::new(TcpNetwork);
        let expected = ExpectedPeer { manufacturer: own.manufacturer, role: Role::Hub };
        let channel = connect(&network, &found.address, expected, &credentials, &Limits::default())
            .map_err(|error| unusable(error.reason(), &error))?;
        Ok(Self { channel })
    }

    pub(super) fn itself(&self) -> HubServiceClient<Channel> {
        HubServiceClient::new(self.channel.clone())
    }

    pub(super) fn cas(&self) -> CaCertificateServiceClient<Channel> {
        CaCertificateServiceClient::new(self.channel.clone())
    }

    pub(super) fn devices(&self) -> DeviceServiceClient<Channel> {
        DeviceServiceClient::new(self.channel.clone())
    }

    pub(super) fn judgements(&self) -> JudgementServiceClient<Channel> {
        JudgementServiceClient::new(self.channel.clone())
    }

    pub(super) fn telemetry(&self) -> TelemetryServiceClient<Channel> {
        TelemetryServiceClient::new(self.channel.clone())
    }
}

fn find(at: &HubAt) -> Result<Found, Failure> {
    match (&at.address, &at.cert, &at.key, &at.service_ca) {
        (Some(address), Some(certificate), Some(key), Some(service_ca)) => Ok(Found {
            address: address.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
            service_ca: service_ca.clone(),
        }),
        (None, None, None, None) => find_in_demo(&at.demo),
        _ => Err(Failure::usage("--address, --cert, --key and --service-ca belong together")),
    }
}

fn find_in_demo(folder: &Path) -> Result<Found, Failure> {
    let path = folder.join("demo.json");
    let demo: Demo = serde_json::from_slice(&read_file(&path)?).map_err(|error| Failure::malformed(&path, error))?;
    let hub = demo.services.into_iter().find(|service| service.role == "hub");
    let hub = hub.ok_or_else(|| Failure::malformed(&path, "this demo has no hub"))?;
    let mut identities = demo.identities.into_iter();
    let operator = identities.find(|(name, identity)| {
        name.starts_with(&format!("{}/", hub.manufacturer))
            && spiffe_id(&identity.cert).is_ok_and(|id| id.role == Role::Operator)
    });
    let Some((_, operator)) = operator else {
        return Err(Failure::malformed(&path, format!("it names no operator of {}", hub.manufacturer)));
    };
    Ok(Found { address: hub.grpc, certificate: operator.cert, key: operator.key, service_ca: operator.ca })
}

/// Who a service certificate is.
fn spiffe_id(path: &Path) -> Result<SpiffeId, Failure> {
    let certificates = files::certificates(path)?;
    let names = certificates.first().map(|first| first.subject_alt_names()).unwrap_or_default();
    let id = names.iter().find_map(|name| if let GeneralName::Uri(uri) = name { uri.parse().ok() } else { None });
    id.ok_or_else(|| Failure::malformed(path, "is no service certificate: it has no SPIFFE id"))
}

fn unusable(reason: &'static str, error: &dyn std::error::Error) -> Failure {
    let message = api::Refusal::from_error(reason, error).message().to_owned();
    match reason {
        "FILE_MISSING" | "FILE_UNREADABLE" => Failure::unavailable(reason, message),
        _ => Failure::named(reason, message),
    }
}
