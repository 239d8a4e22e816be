//! The hub: half of the clients are stations whose devices are registered there and send, half are operators who keep devices.

use std::{collections::BTreeMap, process::Command, sync::Arc};

use api::{
    hub::v1::{
        Authentication, CaSigned, CreateDeviceRequest, Device, DeviceStatus, GetDeviceRequest, GetDeviceResponse,
        ListDevicesRequest, ListTelemetryRequest, NewDevice, SetDeviceStatusRequest, TelemetryFilter,
        authentication::Kind, device_service_client::DeviceServiceClient,
        telemetry_service_client::TelemetryServiceClient,
    },
    provisioning::v1::{ConfirmWrittenRequest, GetUnitRequest, GetUnitResponse, ProvisionResponse, UnitState},
};
use bytes::Bytes;
use issuance::{KeyKind, SoftwareKey, make_csr};
use pki::{Sha256, pem};
use prost::Message as _;
use simulator::{BRAND, World};

use crate::{
    book::Entries,
    deed::{Deed, Desk},
    ground::{FACTORY, Ground, HUB, LINE, SIGNER, Work, facts, with_both_indexes},
    inject::BINARY,
    story::{Act, Heard, Look, Sending, Story, Tellers, message_name, request_id},
};

/// Messages that a device sends.
const MESSAGES: u32 = 5;
/// The device that the journey itself makes.
const BEFORE: &str = "sn0000001";

pub(crate) struct Registry;

impl Work for Registry {
    const NAME: &'static str = "hub";
    const HOPS: u32 = 1;
    const HAS_HUB: bool = true;

    async fn prepare(world: &World) -> Tellers {
        prove_root(world);
        let hub_ca = std::fs::read_to_string(world.hub_ca_path()).unwrap();
        let anchors: Vec<Vec<u8>> = pem::certificates(&hub_ca).unwrap().iter().map(|ca| ca.der().to_vec()).collect();
        let begin = move |client: usize, story| -> Box<dyn Story> {
            if client.is_multiple_of(2) {
                return Box::new(Kept { client, story, step: 0 });
            }
            let key = SoftwareKey::generate(KeyKind::P256).unwrap();
            let anchors = anchors.clone();
            Box::new(Built { client, story, step: 0, key, anchors, chain: Vec::new() })
        };
        Tellers { begin: Arc::new(begin), desks: &[Desk::AliceAtHub, Desk::Station], fresh: 6 }
    }

    async fn agree(ground: &Ground, books: &[Entries]) {
        let mut wanted = BTreeMap::from([(BEFORE.to_owned(), DeviceStatus::Enabled)]);
        for client in &ground.clients {
            for story in 0..client.begun() {
                let status = if client.number.is_multiple_of(2) { ends_as(story) } else { DeviceStatus::Enabled };
                wanted.insert(id(client.number, story), status);
            }
        }
        let known = devices(&ground.world).await;
        let found: BTreeMap<_, _> = known.iter().map(|device| (device.device_id.clone(), device.status())).collect();
        assert_eq!(found.len(), known.len(), "a device is there twice");
        assert_eq!(found, wanted, "the register is what was acknowledged");
        assert_messages(ground, books).await;
    }

    fn agree_on_disk(ground: &Ground, _: &[Entries]) {
        for (manufacturer, kind) in [(BRAND, HUB), (FACTORY, SIGNER), (FACTORY, LINE)] {
            with_both_indexes(&ground.store(manufacturer, kind), |store| facts(store).len());
        }
    }
}

/// Every message that a device was told the hub has, the hub has, as often as it was told so.
async fn assert_messages(ground: &Ground, books: &[Entries]) {
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for name in books.iter().flat_map(Entries::names).filter(|name| name.starts_with("message.")) {
        *told.entry(name.rsplit_once('.').unwrap().0).or_default() += 1;
    }
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    let mut telemetry = TelemetryServiceClient::new(Desk::AliceAtHub.channel(&ground.world));
    let mut page_token = String::new();
    loop {
        let filter = Some(TelemetryFilter::default());
        let request = ListTelemetryRequest { filter, page_size: 500, page_token };
        let page = telemetry.list_telemetry(request).await.unwrap().into_inner();
        for message in page.messages {
            let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
            let number = u32::try_from(body["messageId"].as_u64().unwrap()).unwrap();
            *kept.entry(message_name(&message.device_id, number)).or_default() += 1;
        }
        page_token = page.next_page_token;
        if page.at_end {
            break;
        }
    }
    let lost: Vec<_> = told.iter().filter(|(name, times)| kept.get(**name).unwrap_or(&0) < times).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    println!("{} messages of devices acknowledged, 0 lost", told.values().sum::<usize>());
}

async fn devices(world: &World) -> Vec<Device> {
    let mut client = DeviceServiceClient::new(Desk::AliceAtHub.channel(world));
    let (mut devices, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = client.list_devices(ListDevicesRequest { page_size: 300, page_token }).await.unwrap().into_inner();
        devices.extend(page.devices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return devices;
        }
    }
}

/// The brand's root vouches at the hub for everything below it.
fn prove_root(world: &World) {
    world.write_profiles().unwrap();
    let profile = world.brand.folder().join("as-alice.toml");
    let proven = Command::new(BINARY).args(["hub", "ca", "prove", "root", "--as"]).arg(profile).output().unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
}

fn id(client: usize, story: usize) -> String {
    format!("h{client}-{story}")
}

/// How the operators leave a device of a story.
fn ends_as(story: usize) -> DeviceStatus {
    status_after(story, 3)
}

/// How a device of a story is after so many steps, or after all of them if there are not so many.
fn status_after(story: usize, steps: usize) -> DeviceStatus {
    let is_disabled = match story % 3 {
        0 => false,
        1 => steps >= 2,
        _ => steps == 2,
    };
    if is_disabled { DeviceStatus::Disabled } else { DeviceStatus::Enabled }
}

/// A device as operators keep it: created, every third one disabled, every third one enabled again after that.
struct Kept {
    client: usize,
    story: usize,
    step: usize,
}

impl Story for Kept {
    fn next(&mut self) -> Option<Act> {
        let (request_id, device_id) = (request_id(self.client, self.story, self.step), id(self.client, self.story));
        let status = match (self.step, self.story % 3) {
            (0, _) => {
                let authentication = Some(Authentication { kind: Some(Kind::CaSigned(CaSigned {})) });
                let device = Some(NewDevice { device_id, authentication, ..NewDevice::default() });
                let request = CreateDeviceRequest { request_id, device };
                let deed = Deed::new(Desk::AliceAtHub, "/countersign.hub.v1.DeviceService/CreateDevice", &request);
                return Some(Act::Ask(deed));
            }
            (1, 1 | 2) => DeviceStatus::Disabled,
            (2, 2) => DeviceStatus::Enabled,
            _ => return None,
        };
        let status_reason = "counted".to_owned();
        let request =
            SetDeviceStatusRequest { request_id, device_id, status: status.into(), status_reason, etag: None };
        Some(Act::Ask(Deed::new(Desk::AliceAtHub, "/countersign.hub.v1.DeviceService/SetDeviceStatus", &request)))
    }

    fn heard(&mut self, _: &Bytes) -> Heard {
        self.step += 1;
        Heard::Done
    }

    fn looks(&self) -> Vec<Look> {
        let story = self.story;
        // After the last step that was answered, or after the one that is under way.
        let statuses = [self.step, self.step + 1].map(|steps| status_after(story, steps));
        let request = GetDeviceRequest { device_id: id(self.client, story) };
        let read = Deed::new(Desk::AliceAtHub, "/countersign.hub.v1.DeviceService/GetDevice", &request);
        let is_so = move |answer: &Bytes| {
            let device = GetDeviceResponse::decode(answer.clone()).unwrap().device.unwrap();
            statuses.contains(&device.status())
        };
        if self.step == 0 { Vec::new() } else { vec![Look::new(read, is_so)] }
    }
}

/// A device that the line builds: provisioned, written, registered by the line, and then it sends.
struct Built {
    client: usize,
    story: usize,
    step: usize,
    key: SoftwareKey,
    anchors: Vec<Vec<u8>>,
    chain: Vec<Bytes>,
}

impl Built {
    fn sending(&self, device_id: String) -> Sending {
        let chain: String = self.chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
        let key = pem::encode("PRIVATE KEY", &self.key.to_pkcs8().unwrap());
        Sending { device_id, count: MESSAGES, chain, key, anchors: self.anchors.clone() }
    }
}

impl Story for Built {
    fn next(&mut self) -> Option<Act> {
        let (request_id, device_id) = (request_id(self.client, self.story, self.step), id(self.client, self.story));
        Some(match self.step {
            0 => {
                let csr = Bytes::from(make_csr(&self.key, &device_id).unwrap());
                Act::Ask(Deed::provision(request_id, device_id, csr))
            }
            1 => {
                let certificate_sha256 = Sha256::of(&self.chain[0]).as_bytes().to_vec().into();
                let request = ConfirmWrittenRequest { request_id, device_id, certificate_sha256 };
                // The unit goes on to REGISTERED by itself; that it was written stays.
                let written = "/countersign.provisioning.v1.ProvisioningService/ConfirmWritten";
                Act::Ask(Deed::new(Desk::Station, written, &request).keeping(|_| Bytes::new()))
            }
            2 => {
                let request = GetUnitRequest { device_id };
                let unit = "/countersign.provisioning.v1.ProvisioningService/GetUnit";
                // Once it is registered, it stays so.
                Act::Ask(Deed::new(Desk::Station, unit, &request).keeping(|answer| state(answer).into()))
            }
            3 => Act::Go(Box::new(self.sending(device_id))),
            _ => return None,
        })
    }

    fn heard(&mut self, answer: &Bytes) -> Heard {
        match self.step {
            0 => self.chain = ProvisionResponse::decode(answer.clone()).unwrap().unit.unwrap().chain,
            2 if state(answer) != UnitState::Registered.as_str_name() => return Heard::Again,
            _ => {}
        }
        self.step += 1;
        Heard::Done
    }

    fn sent(&mut self) {
        self.step += 1;
    }
}

fn state(answer: &Bytes) -> &'static str {
    GetUnitResponse::decode(answer.clone()).unwrap().unit.unwrap().state().as_str_name()
}
