//! Which services a hub's operator calls, and as whom: those of a profile, of a demo that stays, or the hub that the flags name.

use std::path::{Path, PathBuf};

use api::hub::v1::{
    ca_certificate_service_client::CaCertificateServiceClient, device_service_client::DeviceServiceClient,
    hub_service_client::HubServiceClient, judgement_service_client::JudgementServiceClient,
    telemetry_service_client::TelemetryServiceClient,
};
use pki::GeneralName;
use serde::Deserialize;
use service::{
    config::{ConfigDirectory, FilePath, IdentitySection, Peer},
    identity::{Role, SpiffeId},
};
use tonic::transport::Channel;

use super::args::{HubAt, SignerAt};
use crate::{
    failure::{Failure, read_file},
    files,
    profile::{self, Profile},
    reach::Place,
};

/// Where a demo is when nothing else is said.
const DEMO: &str = "./countersign-demo";

/// A hub that can be called.
pub(crate) struct Hub {
    channel: Channel,
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
    /// The hub that is meant; the first call connects.
    pub(super) fn connect(at: &HubAt) -> Result<Self, Failure> {
        Ok(Self { channel: find_hub(at)?.connect()? })
    }

    /// A hub at the other end of a channel.
    pub(crate) fn at(channel: Channel) -> Self {
        Self { channel }
    }

    pub(super) fn itself(&self) -> HubServiceClient<Channel> {
        HubServiceClient::new(self.channel.clone())
    }

    pub(crate) fn cas(&self) -> CaCertificateServiceClient<Channel> {
        CaCertificateServiceClient::new(self.channel.clone())
    }

    pub(crate) fn devices(&self) -> DeviceServiceClient<Channel> {
        DeviceServiceClient::new(self.channel.clone())
    }

    pub(crate) fn judgements(&self) -> JudgementServiceClient<Channel> {
        JudgementServiceClient::new(self.channel.clone())
    }

    pub(crate) fn telemetry(&self) -> TelemetryServiceClient<Channel> {
        TelemetryServiceClient::new(self.channel.clone())
    }
}

fn find_hub(at: &HubAt) -> Result<Place, Failure> {
    match (&at.address, &at.cert, &at.key, &at.service_ca) {
        (Some(address), Some(cert), Some(key), Some(service_ca)) => {
            let own = spiffe_id(cert)?;
            let identity = DemoIdentity { cert: cert.clone(), key: key.clone(), ca: service_ca.clone() };
            Ok(place(address, Role::Hub, own, &identity))
        }
        (None, None, None, None) => find(at.profile.as_deref(), at.demo.as_deref(), Role::Hub, None),
        _ => Err(Failure::usage("--address, --cert, --key and --service-ca belong together")),
    }
}

/// The service whose CA is to prove itself: the one with the lot, or the root-ca.
pub(super) fn find_signer(at: &HubAt, signer: &SignerAt) -> Result<Place, Failure> {
    let role = if signer.lot.is_some() { Role::IntermediateCa } else { Role::RootCa };
    let profile = signer.signer_as.as_deref().or(at.profile.as_deref());
    find(profile, at.demo.as_deref(), role, signer.of.as_deref())
}

/// A service of this role: of the profile, else of the demo, else of the environment's profile, else of the demo in this folder. In a demo
/// there are several organisations.
fn find(profile: Option<&Path>, demo: Option<&Path>, role: Role, of: Option<&str>) -> Result<Place, Failure> {
    let from_environment = std::env::var_os(profile::VARIABLE).map(PathBuf::from);
    let profile = match (profile, demo) {
        (Some(profile), _) => Some(profile.to_owned()),
        (None, Some(_)) => None,
        (None, None) => from_environment,
    };
    match profile {
        Some(file) => {
            let profile = Profile::open(Some(&file))?;
            Ok(Place::of_profile(&profile, profile.service(&[role], None)?))
        }
        None => find_in_demo(demo.unwrap_or(Path::new(DEMO)), role, of),
    }
}

fn find_in_demo(folder: &Path, role: Role, of: Option<&str>) -> Result<Place, Failure> {
    let path = folder.join("demo.json");
    let demo: Demo = serde_json::from_slice(&read_file(&path)?).map_err(|error| Failure::malformed(&path, error))?;
    let fits = |service: &&DemoService| service.role == role.as_str() && of.is_none_or(|of| of == service.manufacturer);
    let service = demo.services.iter().find(fits).ok_or_else(|| {
        let whose = of.map(|of| format!(" of {of}")).unwrap_or_default();
        Failure::malformed(&path, format!("this demo has no {}{whose}", role.as_str()))
    })?;
    let operator = demo.identities.iter().find_map(|(name, identity)| {
        let own = name.starts_with(&format!("{}/", service.manufacturer)).then(|| spiffe_id(&identity.cert).ok());
        own.flatten().filter(|id| id.role == Role::Operator).map(|id| (id, identity))
    });
    let Some((id, identity)) = operator else {
        return Err(Failure::malformed(&path, format!("it names no operator of {}", service.manufacturer)));
    };
    Ok(place(&service.grpc, role, id, identity))
}

/// A service of the organisation that the caller is of. Paths start where the caller stands.
fn place(address: &str, role: Role, own: SpiffeId, identity: &DemoIdentity) -> Place {
    Place {
        address: address.to_owned(),
        identity: IdentitySection::new(FilePath::new(&identity.cert), FilePath::new(&identity.key)),
        peer: Peer {
            manufacturer: own.manufacturer,
            trust_domain: own.trust_domain,
            bundle: FilePath::new(&identity.ca),
            roles: vec![role],
        },
        role,
        directory: ConfigDirectory::new("."),
    }
}

/// Who a service certificate is.
fn spiffe_id(path: &Path) -> Result<SpiffeId, Failure> {
    let certificates = files::certificates(path)?;
    let names = certificates.first().map(|first| first.subject_alt_names()).unwrap_or_default();
    let id = names.iter().find_map(|name| if let GeneralName::Uri(uri) = name { uri.parse().ok() } else { None });
    id.ok_or_else(|| Failure::malformed(path, "is no service certificate: it has no SPIFFE id"))
}
