//! Devices that can connect: certificates issued by the world's line, and TLS that presents them.

use std::{collections::HashMap, io, sync::Arc};

use anyhow::{Context as _, bail};
use api::{
    Refusal,
    provisioning::v1::{
        ProvisionStreamRequest, Unit, UnitRequest, provision_stream_response::Result as Item,
        provisioning_service_client::ProvisioningServiceClient, unit_request::Key,
    },
};
use issuance::{KeyKind, SoftwareKey, make_csr};
use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use service::identity::Role;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::Channel;

use crate::{bench::requests::fresh_request_id, clients::Clients, world::World};

/// Requests on the stream that may wait for an answer.
const WINDOW: usize = 256;
/// What the hub's certificate is for.
const HOST: &str = "localhost";

pub(super) type Stream = TlsStream<TcpStream>;

/// One device.
pub(super) struct Device {
    pub(super) id: String,
    tls: TlsConnector,
}

/// All devices of a measurement.
pub(super) struct Fleet {
    devices: Vec<Arc<Device>>,
}

impl Fleet {
    /// Has the line issue so many devices.
    pub(super) async fn provision(world: &World, count: u32) -> anyhow::Result<Self> {
        let (mut keys, requests) = requests(world, "sn", count)?;
        let hub_ca = std::fs::read(world.hub_ca_path())?;
        let verifier = verifier(&hub_ca)?;
        let mut devices = Vec::with_capacity(requests.len());
        for unit in issue(station(world)?, requests).await? {
            let key = keys.remove(&unit.device_id).context("a unit that nobody asked for")?;
            devices.push(Arc::new(Device { tls: connector(&verifier, &unit, &key)?, id: unit.device_id }));
        }
        Ok(Self { devices })
    }

    pub(super) fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }
}

impl Device {
    /// Connects to `door`, with a handshake that presents the whole chain.
    pub(super) async fn connect(&self, door: &str) -> io::Result<Stream> {
        let tcp = TcpStream::connect(door).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        self.tls.connect(name, tcp).await
    }
}

/// A station at the line.
pub(super) fn station(world: &World) -> anyhow::Result<Channel> {
    let (_, own) = world.last()?;
    let address = &world.service(own.id(), "provisioner")?.grpc;
    Clients::load(own, "station", &[own])?.channel(address, own.id(), Role::Provisioner)
}

/// Has the line issue so many units whose ids begin like this; nobody keeps their keys.
pub(super) async fn issued(world: &World, prefix: &str, count: u32) -> anyhow::Result<Vec<Unit>> {
    issue(station(world)?, requests(world, prefix, count)?.1).await
}

type Requests = (HashMap<String, SoftwareKey>, Vec<UnitRequest>);

fn requests(world: &World, prefix: &str, count: u32) -> anyhow::Result<Requests> {
    let (stop, _) = world.last()?;
    let (mut keys, mut requests) = (HashMap::new(), Vec::new());
    for number in 0..count {
        let (id, key) = (format!("{prefix}{number:07}"), SoftwareKey::generate(KeyKind::P256)?);
        let csr = make_csr(&key, &id)?;
        requests.push(UnitRequest {
            request_id: fresh_request_id()?.to_string(),
            device_id: id.clone(),
            lot: Some(stop.lot.clone()),
            key: Some(Key::Csr(csr.into())),
            ..UnitRequest::default()
        });
        keys.insert(id, key);
    }
    Ok((keys, requests))
}

async fn issue(channel: Channel, requests: Vec<UnitRequest>) -> anyhow::Result<Vec<Unit>> {
    let expected = requests.len();
    let (sender, receiver) = mpsc::channel(WINDOW);
    let sending = tokio::spawn(async move {
        for request in requests {
            let request = ProvisionStreamRequest { request: Some(request), ..ProvisionStreamRequest::default() };
            if sender.send(request).await.is_err() {
                break;
            }
        }
    });
    let answers = ProvisioningServiceClient::new(channel).provision_stream(ReceiverStream::new(receiver)).await;
    let mut answers = answers.map_err(|s| Refusal::from_status(&s))?.into_inner();
    let mut units = Vec::with_capacity(expected);
    while units.len() < expected {
        let answer = answers.next().await.with_context(|| format!("{} of {expected} units came", units.len()))?;
        match answer.map_err(|s| Refusal::from_status(&s))?.result {
            Some(Item::Unit(unit)) => units.push(unit),
            Some(Item::Refusal(refusal)) => return Err(Refusal::from_wire(refusal).into()),
            None => bail!("the provisioner answered nothing"),
        }
    }
    sending.await?;
    Ok(units)
}

/// Believes the hub's own CA.
fn verifier(hub_ca: &[u8]) -> anyhow::Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    for ca in pki::pem::certificates(std::str::from_utf8(hub_ca)?)? {
        roots.add(CertificateDer::from(ca.der().to_vec()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

fn connector(verifier: &Arc<WebPkiServerVerifier>, unit: &Unit, key: &SoftwareKey) -> anyhow::Result<TlsConnector> {
    let chain = unit.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8()?.to_vec()));
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(Arc::clone(verifier))
        .with_client_auth_cert(chain, key)?;
    Ok(TlsConnector::from(Arc::new(config)))
}
