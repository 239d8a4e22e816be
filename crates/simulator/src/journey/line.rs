//! The line: a station asks for units by stream and by unary call, writes them, and confirms what it wrote.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use api::{
    Refusal,
    custody::v1::Tally,
    provisioning::v1::{
        ConfirmWrittenRequest, KeyAlgorithm, PreflightRequest, ProvisionRequest, ProvisionStreamRequest, ServerMadeKey,
        Unit, UnitRequest, provision_stream_response::Result as Item,
        provisioning_service_client::ProvisioningServiceClient, unit_request::Key,
    },
};
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use pki::{Certificate, Sha256};
use service::identity::Role;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::Channel;

use super::{Journey, Narrator};
use crate::{clients::Clients, device_files::DeviceFiles, folder::Folder, organisation::write_key, plan::Plan};

/// Every so many devices one gets a key that the provisioner makes, by unary call; the others make their own, by stream.
const SERVER_MADE_EVERY: usize = 5;
/// Requests on the stream that may wait for an answer.
const WINDOW: usize = 128;

/// A station at the last manufacturer's line.
pub(super) struct Line {
    client: ProvisioningServiceClient<Channel>,
    lot: String,
}

/// What the line made.
pub(super) struct Made {
    /// In the order of the plan.
    pub(super) devices: Vec<(String, Certificate)>,
    /// From the first request to the last confirmation.
    pub(super) took: Duration,
}

impl Journey<'_> {
    /// The station of the last manufacturer.
    pub(super) async fn line(&self) -> anyhow::Result<Line> {
        let (stop, own) = self.world.last()?;
        let address = &self.world.service(own.id(), "provisioner")?.grpc;
        let channel = Clients::load(own, "station", &[own])?.channel(address, own.id(), Role::Provisioner)?;
        Ok(Line { client: ProvisioningServiceClient::new(channel), lot: stop.lot.clone() })
    }
}

impl Line {
    /// Provisions every device of the plan, writes its files, and confirms them.
    pub(super) async fn provision(
        &self,
        plan: &Plan,
        world: &Folder,
        root: &Certificate,
        narrator: &mut dyn Narrator,
    ) -> anyhow::Result<Made> {
        let devices = world.sub("devices")?;
        let ids: Vec<String> = plan.device_ids().collect();
        let all = u32::try_from(ids.len())?;
        let begin = Instant::now();
        let mut units = self
            .by_stream(plan, &devices, ids.iter().enumerate().filter(|(n, _)| !is_server_made(*n)).map(|(_, id)| id))
            .await?;
        for (_, id) in ids.iter().enumerate().filter(|(number, _)| is_server_made(*number)) {
            units.insert(id.clone(), self.by_unary(plan, id).await?);
        }
        let mut made = Vec::new();
        for (done, id) in (1..).zip(&ids) {
            let unit = units.remove(id).with_context(|| format!("unit {id} was not answered"))?;
            let leaf = self.write_and_confirm(plan, &devices.sub(id)?, root, &unit).await?;
            made.push((id.clone(), leaf));
            narrator.devices_provisioned(done, all);
        }
        Ok(Made { devices: made, took: begin.elapsed() })
    }

    /// Devices that make their own key: requests in, units out, as they come.
    async fn by_stream<'a>(
        &self,
        plan: &Plan,
        devices: &Folder,
        ids: impl Iterator<Item = &'a String>,
    ) -> anyhow::Result<HashMap<String, Unit>> {
        let requests =
            ids.map(|id| self.request_with_own_key(plan, devices, id)).collect::<anyhow::Result<Vec<_>>>()?;
        let expected = requests.len();
        let (sender, receiver) = mpsc::channel(WINDOW);
        let sending = tokio::spawn(async move {
            for request in requests {
                if sender
                    .send(ProvisionStreamRequest { request: Some(request), ..ProvisionStreamRequest::default() })
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        let mut answers = self
            .client
            .clone()
            .provision_stream(ReceiverStream::new(receiver))
            .await
            .map_err(|s| Refusal::from_status(&s))?
            .into_inner();
        let mut units = HashMap::new();
        while units.len() < expected {
            match answers.next().await {
                Some(Ok(answer)) => match answer.result {
                    Some(Item::Unit(unit)) => drop(units.insert(unit.device_id.clone(), unit)),
                    Some(Item::Refusal(refusal)) => return Err(Refusal::from_wire(refusal).into()),
                    None => bail!("the provisioner answered nothing"),
                },
                Some(Err(status)) => return Err(Refusal::from_status(&status).into()),
                None => bail!("the stream ended after {} of {expected} units", units.len()),
            }
        }
        sending.await?;
        Ok(units)
    }

    /// The device's own key is on disk before anybody hears of it, so that a repetition asks with the same one.
    fn request_with_own_key(&self, plan: &Plan, devices: &Folder, id: &str) -> anyhow::Result<UnitRequest> {
        let folder = devices.sub(id)?;
        if !folder.has("key.pem") {
            write_key(&folder, "key.pem", &SoftwareKey::generate(KeyKind::P256)?)?;
        }
        let key = SoftwareKey::from_file(&folder.read("key.pem")?)?;
        Ok(self.request(plan, id, Key::Csr(Bytes::from(make_csr(&key, id)?))))
    }

    async fn by_unary(&self, plan: &Plan, id: &str) -> anyhow::Result<Unit> {
        let key = Key::ServerMadeKey(ServerMadeKey { algorithm: KeyAlgorithm::P256.into() });
        let request = ProvisionRequest { request: Some(self.request(plan, id, key)), ..ProvisionRequest::default() };
        let answer = self.client.clone().provision(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        answer.unit.context("the provisioner answered no unit")
    }

    fn request(&self, plan: &Plan, id: &str, key: Key) -> UnitRequest {
        UnitRequest {
            request_id: plan.request_id(&format!("provision {id}")).to_string(),
            device_id: id.to_owned(),
            lot: Some(self.lot.clone()),
            key: Some(key),
            ..UnitRequest::default()
        }
    }

    /// Writes the device's files, reads its certificate back, and confirms it.
    async fn write_and_confirm(
        &self,
        plan: &Plan,
        folder: &Folder,
        root: &Certificate,
        unit: &Unit,
    ) -> anyhow::Result<Certificate> {
        let chain = unit.chain.iter().map(|der| Certificate::parse(der)).collect::<Result<Vec<_>, _>>()?;
        let key = match &unit.private_key {
            Some(key) => SoftwareKey::from_pkcs8(key)?,
            // Made by the device, or delivered before.
            None => SoftwareKey::from_file(&folder.read("key.pem")?)?,
        };
        let pkcs8 = key.to_pkcs8()?;
        DeviceFiles { device_id: &unit.device_id, chain: &chain, root, key: &pkcs8 }.write(folder)?;

        let written = crate::organisation::read_certificate(folder, "device.pem")?;
        let request = ConfirmWrittenRequest {
            request_id: plan.request_id(&format!("confirm {}", unit.device_id)).to_string(),
            device_id: unit.device_id.clone(),
            certificate_sha256: Bytes::copy_from_slice(Sha256::of(written.der()).as_bytes()),
        };
        self.client.clone().confirm_written(request).await.map_err(|s| Refusal::from_status(&s))?;
        Ok(written)
    }

    /// Where the lot's units are now.
    pub(super) async fn tally(&self) -> anyhow::Result<Tally> {
        let request =
            PreflightRequest { station_time: Some(std::time::SystemTime::now().into()), lot: Some(self.lot.clone()) };
        let answer = self.client.clone().preflight(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        answer.tally.context("the provisioner answered no tally")
    }
}

fn is_server_made(number: usize) -> bool {
    number % SERVER_MADE_EVERY == SERVER_MADE_EVERY - 1
}
