//! What clients want: stories, each a few steps that follow from what was heard before.

use std::{collections::BTreeMap, sync::Arc};

use api::RequestId;
use bytes::Bytes;
use simulator::{
    BRAND, World,
    device::{self, Afterwards, DeviceIdentity, DevicePlan, DeviceProtocol, Told},
};
use tonic::Status;

use crate::deed::{Deed, Desk};

/// The next step of a story.
pub(crate) enum Act {
    /// A call that changes something.
    Ask(Deed),
    /// What a device does over a connection of its own.
    Go(Box<dyn Errand>),
}

/// What a device does over a connection of its own. After a failure all of it is done again.
#[tonic::async_trait]
pub(crate) trait Errand: Send + Sync {
    /// Does it; `acknowledged` hears the name of everything that the hub said it has.
    async fn run(
        &self,
        doors: &BTreeMap<String, String>,
        acknowledged: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), Status>;
}

/// What a story makes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The step is done, and its answer is to stay.
    Done,
    /// The step is done; asked again it would be another one, so that it is looked at and not asked again.
    Seen,
    /// Not yet what was wanted: the step is taken again.
    Again,
}

/// A few steps, one after the other. A step that was not answered is taken again, to the octet.
pub(crate) trait Story: Send {
    /// The next step; none at the end.
    fn next(&mut self) -> Option<Act>;

    /// The answer to the last call.
    fn heard(&mut self, answer: &Bytes) -> Heard;

    /// The device did what it was to do.
    fn sent(&mut self) {}

    /// What a device does when nothing is killed any more, to find what is there for it.
    fn at_last(&self) -> Option<Box<dyn Errand>> {
        None
    }

    /// What must be seen of the steps that are done, whatever became of the one that is not answered. Looked at before anything is asked
    /// again: a request that was acknowledged and forgotten would be carried out once more, and nobody would notice.
    fn looks(&self) -> Vec<Look> {
        Vec::new()
    }
}

/// Something to read, and whether that is how it must be.
pub(crate) struct Look {
    pub(crate) deed: Deed,
    pub(crate) is_so: Box<dyn Fn(&Bytes) -> bool + Send>,
}

impl Look {
    pub(crate) fn new(deed: Deed, is_so: impl Fn(&Bytes) -> bool + Send + 'static) -> Self {
        Self { deed, is_so: Box::new(is_so) }
    }
}

/// Begins the story with this number of the client with that number.
pub(crate) type Begin = dyn Fn(usize, usize) -> Box<dyn Story> + Send + Sync;

/// Which stories there are, and what they need.
#[derive(Clone)]
pub(crate) struct Tellers {
    pub(crate) begin: Arc<Begin>,
    /// Where they ask.
    pub(crate) desks: &'static [Desk],
    /// Stories that a client begins in one round at most; then it repeats what it was told.
    pub(crate) fresh: usize,
}

impl Tellers {
    /// The ports that are open for devices, by protocol.
    pub(crate) fn doors(&self, world: &World) -> BTreeMap<String, String> {
        world.service(BRAND, "hub").map(|hub| hub.further.clone()).unwrap_or_default()
    }
}

/// A device's readings.
pub(crate) struct Sending {
    pub(crate) device_id: String,
    pub(crate) count: u32,
    /// PEM.
    pub(crate) chain: String,
    /// PEM.
    pub(crate) key: String,
    /// The certificates that the hub is believed by, DER.
    pub(crate) anchors: Vec<Vec<u8>>,
}

/// The port that is open for a protocol.
pub(crate) fn port(doors: &BTreeMap<String, String>, protocol: &str) -> u16 {
    doors.get(protocol).and_then(|address| address.rsplit(':').next()).unwrap().parse().unwrap()
}

#[tonic::async_trait]
impl Errand for Sending {
    async fn run(
        &self,
        doors: &BTreeMap<String, String>,
        acknowledged: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), Status> {
        let plan = DevicePlan {
            host: "localhost".to_owned(),
            port: port(doors, "mqtt"),
            anchors: self.anchors.clone(),
            identity: DeviceIdentity::from_pem(&self.chain, &self.key).unwrap(),
            device_id: self.device_id.clone(),
            protocol: DeviceProtocol::Mqtt,
            count: self.count,
            afterwards: Afterwards::Leave,
        };
        let mut tell = |told| {
            if let Told::Sent(reading) = told {
                acknowledged(message_name(&self.device_id, reading.number));
            }
        };
        let sent = device::run(&plan, &mut tell).await;
        sent.map_err(|error| Status::unavailable(format!("{}: {error}", self.device_id)))
    }
}

/// What stands in a book for a message that a hub acknowledged.
pub(crate) fn message_name(device_id: &str, number: u32) -> String {
    format!("message.{device_id}.{number}")
}

/// The request id of a step of a story.
pub(crate) fn request_id(client: usize, story: usize, step: usize) -> String {
    let mut octets = [0; 16];
    for (place, number) in [client, story, step].into_iter().enumerate() {
        octets[4 * place..4 * place + 4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
    }
    RequestId::from_octets(octets).to_string()
}
