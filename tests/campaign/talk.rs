//! Twins and messages to devices: operators and devices change both sides of a twin, operators send messages, some devices take them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use api::hub::v1::{
    Authentication, CreateDeviceRequest, GetDeviceRequest, GetDeviceResponse, GetTwinRequest, GetTwinResponse,
    NewDevice, SendCloudToDeviceMessageRequest, Thumbprints, UpdateDesiredPropertiesRequest, authentication::Kind,
};
use bytes::Bytes;
use pki::{Sha256, pem};
use prost::Message as _;
use serde_json::{Value, json};
use simulator::{
    BRAND, World,
    device::{self, Afterwards, DeviceIdentity, DevicePlan, DeviceProtocol, More},
};
use tonic::Status;

use crate::{
    book::Entries,
    deed::{Deed, Desk},
    ground::{Ground, HUB, Work, facts, with_both_indexes},
    story::{Act, Errand, Heard, Look, Story, Tellers, port, request_id},
};

const CREATE: &str = "/countersign.hub.v1.DeviceService/CreateDevice";
const PATCH: &str = "/countersign.hub.v1.DeviceService/UpdateDesiredProperties";
const SEND: &str = "/countersign.hub.v1.DeviceService/SendCloudToDeviceMessage";
/// Messages that every device is sent.
const MESSAGES: usize = 2;

pub(crate) struct Talk;

impl Work for Talk {
    const NAME: &'static str = "twins and messages";
    const HOPS: u32 = 1;
    const HAS_HUB: bool = true;

    async fn prepare(world: &World) -> Tellers {
        let hub_ca = std::fs::read_to_string(world.hub_ca_path()).unwrap();
        let anchors: Vec<Vec<u8>> = pem::certificates(&hub_ca).unwrap().iter().map(|ca| ca.der().to_vec()).collect();
        let begin = move |client: usize, story| -> Box<dyn Story> {
            let device = Arc::new(Gadget::new(format!("t{client}-{story}"), anchors.clone()));
            Box::new(Talked { client, story, step: 0, device })
        };
        Tellers { begin: Arc::new(begin), desks: &[Desk::AliceAtHub], fresh: 3 }
    }

    /// Every story has ended: the clients have looked at every twin, and their devices were handed what waited for them.
    async fn agree(ground: &Ground, _: &[Entries]) {
        let devices: usize = ground.clients.iter().map(|client| client.begun()).sum();
        println!("{devices} twins, {} messages to devices: 0 changes lost, 0 messages lost", devices * MESSAGES);
    }

    fn agree_on_disk(ground: &Ground, _: &[Entries]) {
        with_both_indexes(&ground.store(BRAND, HUB), |store| facts(store).len());
    }
}

/// What a side of a twin says after so many patches of a story.
fn after(patches: usize) -> Value {
    match patches {
        0 => json!({}),
        1 => json!({"first": {"a": 1, "b": 2}}),
        _ => json!({"first": {"b": 2}, "second": "x"}),
    }
}

/// The patch with this number.
fn patch(number: usize) -> Value {
    match number {
        0 => json!({"first": {"a": 1, "b": 2}}),
        _ => json!({"first": {"a": null}, "second": "x"}),
    }
}

fn message(number: usize) -> String {
    format!("message {number}")
}

fn read(side: &str) -> Value {
    serde_json::from_str(side).unwrap()
}

/// A device with a certificate of its own making.
struct Gadget {
    id: String,
    certificate: Vec<u8>,
    key: String,
    anchors: Vec<Vec<u8>>,
    /// The messages that it was handed, each once, in the order of the first time.
    seen: Mutex<Vec<String>>,
}

impl Gadget {
    fn new(id: String, anchors: Vec<Vec<u8>>) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, id.clone());
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self { id, certificate, key: key.serialize_pem(), anchors, seen: Mutex::default() }
    }

    fn plan(&self, doors: &BTreeMap<String, String>) -> DevicePlan {
        DevicePlan {
            host: "localhost".to_owned(),
            port: port(doors, "mqtt"),
            anchors: self.anchors.clone(),
            identity: DeviceIdentity::from_pem(&pem::encode("CERTIFICATE", &self.certificate), &self.key).unwrap(),
            device_id: self.id.clone(),
            protocol: DeviceProtocol::Mqtt,
            count: 0,
            afterwards: Afterwards::Leave,
        }
    }

    /// Takes messages until it has seen all. What it has settled, and the hub had not put on record, comes once more.
    async fn take(&self, doors: &BTreeMap<String, String>) -> Result<(), Status> {
        let has_all = || self.seen.lock().unwrap().len() == MESSAGES;
        if has_all() {
            return Ok(());
        }
        let mut wanted = |body: &str| {
            let mut seen = self.seen.lock().unwrap();
            if !seen.iter().any(|before| before == body) {
                seen.push(body.to_owned());
            }
            if seen.len() == MESSAGES { More::Enough } else { More::Wanted }
        };
        device::take(&self.plan(doors), &mut wanted).await.map_err(|error| away(&self.id, &error))
    }
}

fn away(device: &str, error: &device::DeviceError) -> Status {
    Status::unavailable(format!("{device}: {error}"))
}

/// A device reports.
struct Report {
    device: Arc<Gadget>,
    number: usize,
}

#[tonic::async_trait]
impl Errand for Report {
    async fn run(
        &self,
        doors: &BTreeMap<String, String>,
        acknowledged: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), Status> {
        let version = device::report(&self.device.plan(doors), &patch(self.number)).await;
        version.map_err(|error| away(&self.device.id, &error))?;
        acknowledged(format!("reported.{}.{}", self.device.id, self.number));
        Ok(())
    }
}

/// A device takes what waits for it: all that it was sent, in order.
struct Take(Arc<Gadget>);

#[tonic::async_trait]
impl Errand for Take {
    async fn run(&self, doors: &BTreeMap<String, String>, _: &mut (dyn FnMut(String) + Send)) -> Result<(), Status> {
        self.0.take(doors).await?;
        assert_eq!(*self.0.seen.lock().unwrap(), (0..MESSAGES).map(message).collect::<Vec<_>>(), "{}", self.0.id);
        Ok(())
    }
}

/// What is done in the steps of a story.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Desire(usize),
    Send(usize),
    Report(usize),
    Take,
}

const STEPS: [Step; 8] = [
    Step::Create,
    Step::Desire(0),
    Step::Send(0),
    Step::Report(0),
    Step::Desire(1),
    Step::Send(1),
    Step::Report(1),
    Step::Take,
];

/// A device that operators talk with. Every second one takes its messages; the others find them at the end.
struct Talked {
    client: usize,
    story: usize,
    step: usize,
    device: Arc<Gadget>,
}

impl Talked {
    /// How many steps of a kind are done.
    fn done(&self, is_it: impl Fn(Step) -> bool) -> usize {
        STEPS.iter().take(self.step).filter(|step| is_it(**step)).count()
    }
}

impl Story for Talked {
    fn next(&mut self) -> Option<Act> {
        let (request_id, device_id) = (request_id(self.client, self.story, self.step), self.device.id.clone());
        let deed = match *STEPS.get(self.step)? {
            Step::Create => {
                let primary = Sha256::of(&self.device.certificate).as_bytes().to_vec().into();
                let kind = Some(Kind::Thumbprints(Thumbprints { primary, secondary: Bytes::new() }));
                let authentication = Some(Authentication { kind });
                let device = Some(NewDevice { device_id, authentication, ..NewDevice::default() });
                Deed::new(Desk::AliceAtHub, CREATE, &CreateDeviceRequest { request_id, device })
            }
            Step::Desire(number) => {
                let patch = patch(number).to_string();
                let request = UpdateDesiredPropertiesRequest { device_id, patch, desired_version: None };
                Deed::new(Desk::AliceAtHub, PATCH, &request)
            }
            Step::Send(number) => {
                let body = Bytes::from(message(number));
                let request = SendCloudToDeviceMessageRequest { request_id, device_id, body, ..Default::default() };
                Deed::new(Desk::AliceAtHub, SEND, &request)
            }
            Step::Report(number) => {
                return Some(Act::Go(Box::new(Report { device: Arc::clone(&self.device), number })));
            }
            Step::Take if self.story.is_multiple_of(2) => {
                return Some(Act::Go(Box::new(Take(Arc::clone(&self.device)))));
            }
            Step::Take => return None,
        };
        Some(Act::Ask(deed))
    }

    fn heard(&mut self, _: &Bytes) -> Heard {
        let heard = if matches!(STEPS[self.step], Step::Desire(_)) { Heard::Seen } else { Heard::Done };
        self.step += 1;
        heard
    }

    fn sent(&mut self) {
        self.step += 1;
    }

    fn at_last(&self) -> Option<Box<dyn Errand>> {
        Some(Box::new(Take(Arc::clone(&self.device))))
    }

    /// What was acknowledged is there, and nothing more than the step that is under way.
    fn looks(&self) -> Vec<Look> {
        if self.step == 0 {
            return Vec::new();
        }
        let next = STEPS.get(self.step).copied();
        let desired = self.done(|step| matches!(step, Step::Desire(_)));
        let reported = self.done(|step| matches!(step, Step::Report(_)));
        let sent = self.done(|step| matches!(step, Step::Send(_)));
        let may_be = |done: usize, is_next: bool| [after(done), after(done + usize::from(is_next))];
        let sides = (
            may_be(desired, matches!(next, Some(Step::Desire(_)))),
            may_be(reported, matches!(next, Some(Step::Report(_)))),
        );
        let is_so = move |answer: &Bytes| {
            let twin = GetTwinResponse::decode(answer.clone()).unwrap().twin.unwrap();
            sides.0.contains(&read(&twin.desired)) && sides.1.contains(&read(&twin.reported))
        };
        let request = GetTwinRequest { device_id: self.device.id.clone() };
        let twin = Deed::new(Desk::AliceAtHub, "/countersign.hub.v1.DeviceService/GetTwin", &request);
        let waiting: BTreeSet<usize> = match next {
            Some(Step::Send(_)) => [sent, sent + 1].into(),
            // It takes them, or has taken them.
            Some(Step::Take) | None if self.story.is_multiple_of(2) => (0..=sent).collect(),
            Some(_) | None => [sent].into(),
        };
        let all_wait = move |answer: &Bytes| {
            let connection = GetDeviceResponse::decode(answer.clone()).unwrap().connection.unwrap();
            waiting.contains(&usize::try_from(connection.cloud_to_device_messages).unwrap())
        };
        let request = GetDeviceRequest { device_id: self.device.id.clone() };
        let queue = Deed::new(Desk::AliceAtHub, "/countersign.hub.v1.DeviceService/GetDevice", &request);
        vec![Look::new(twin, is_so), Look::new(queue, all_wait)]
    }
}
