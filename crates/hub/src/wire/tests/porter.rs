//! A registry for tests: lets in whom the certificate names, unless told otherwise, and remembers everything.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use api::Refusal;
use bytes::Bytes;
use pki::{Certificate, Sha256, UnixTime};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use crate::admission::{
    Admission, Admitted, CloudMessage, DesiredPatch, JudgedBy, Message, PresentedChain, Protocol, Settlement, Twin,
};

/// What a test waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Connected(String),
    Disconnected(String, String),
    Refused { claimed: String, reason: &'static str, chain: usize },
    TurnedAway(&'static str),
    Telemetry(String, Message),
    Settled(u64, Settlement),
}

pub(crate) struct Porter {
    state: Mutex<State>,
    revocations: watch::Sender<u64>,
    sessions: AtomicU64,
    events: mpsc::UnboundedSender<Event>,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
}

#[derive(Default)]
struct State {
    refuse: HashMap<String, &'static str>,
    withdrawn: HashSet<String>,
    telemetry_refusal: Option<&'static str>,
    boxes: HashMap<String, Mailbox>,
}

struct Mailbox {
    mail: watch::Sender<u64>,
    queue: VecDeque<CloudMessage>,
    held: HashMap<u64, CloudMessage>,
    desired: Map<String, Value>,
    patches: Vec<DesiredPatch>,
    reported: Map<String, Value>,
    reported_version: u64,
    subscriptions: Option<u32>,
}

impl Porter {
    pub(crate) fn new() -> Arc<Self> {
        let (events, heard) = mpsc::unbounded_channel();
        Arc::new(Self {
            state: Mutex::default(),
            revocations: watch::channel(0).0,
            sessions: AtomicU64::new(0),
            events,
            heard: tokio::sync::Mutex::new(heard),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn mailbox<T>(&self, device: &str, with: impl FnOnce(&mut Mailbox) -> T) -> T {
        let mut state = self.state();
        with(state.boxes.entry(device.to_owned()).or_insert_with(|| Mailbox {
            mail: watch::channel(0).0,
            queue: VecDeque::new(),
            held: HashMap::new(),
            desired: Map::new(),
            patches: Vec::new(),
            reported: Map::new(),
            reported_version: 1,
            subscriptions: None,
        }))
    }

    /// The next thing that happened, in order.
    pub(crate) async fn next(&self) -> Event {
        let mut heard = self.heard.lock().await;
        tokio::time::timeout(std::time::Duration::from_secs(20), heard.recv()).await.expect("nothing happened").unwrap()
    }

    pub(crate) fn refuse(&self, device: &str, reason: &'static str) {
        self.state().refuse.insert(device.to_owned(), reason);
    }

    pub(crate) fn refuse_telemetry(&self, reason: &'static str) {
        self.state().telemetry_refusal = Some(reason);
    }

    pub(crate) fn withdraw(&self, device: &str) {
        self.state().withdrawn.insert(device.to_owned());
        self.revocations.send_modify(|revision| *revision += 1);
    }

    pub(crate) fn send(&self, device: &str, sequence: u64, properties: &[(&str, &str)], body: &str) {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let message = Message {
            system: vec![
                pair("mid", &format!("m-{sequence}")),
                pair("to", &format!("/devices/{device}/messages/devicebound")),
            ],
            properties: properties.iter().map(|(name, value)| pair(name, value)).collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        self.mailbox(device, |of| {
            of.queue.push_back(CloudMessage { sequence, at: UnixTime::new(0), delivered: 0, message });
            of.mail.send_modify(|revision| *revision += 1);
        });
    }

    pub(crate) fn desire(&self, device: &str, patch: Value) {
        let Value::Object(patch) = patch else { panic!("not an object") };
        self.mailbox(device, |of| {
            of.desired.extend(patch.clone());
            let version = of.patches.len() as u64 + 2;
            of.patches.push(DesiredPatch { patch, version });
            of.mail.send_modify(|revision| *revision += 1);
        });
    }

    pub(crate) fn reported(&self, device: &str) -> Value {
        self.mailbox(device, |of| json!(of.reported))
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn judge(&self, leaf: &Certificate, claimed: &str) -> Result<(), Refusal> {
        if let Some(reason) = self.state().refuse.get(claimed) {
            return Err(Refusal::new(reason, "as the test wants"));
        }
        if leaf.subject().common_names() != [claimed] {
            return Err(Refusal::new("DEVICE_ID_MISMATCH", "the certificate names another"));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Admission for Porter {
    async fn admit(
        &self,
        presented: &PresentedChain,
        claimed: &str,
        protocol: Protocol,
        from: SocketAddr,
    ) -> Result<Admitted, Refusal> {
        let leaf = Certificate::parse(&presented.certificates()[0]).unwrap();
        if let Err(refusal) = self.judge(&leaf, claimed) {
            self.refused(presented.certificates(), claimed, protocol, from, &refusal).await;
            return Err(refusal);
        }
        Ok(Admitted {
            device: claimed.into(),
            claimed: claimed.into(),
            session: self.sessions.fetch_add(1, Ordering::SeqCst),
            protocol,
            from,
            certificate: Sha256::of(&presented.certificates()[0]),
            not_after: leaf.not_after(),
            judged_by: Arc::new(JudgedBy::Thumbprint { keys: Vec::new() }),
        })
    }

    async fn refused(&self, presented: &[Bytes], claimed: &str, _: Protocol, _: SocketAddr, refusal: &Refusal) {
        let (claimed, reason, chain) = (claimed.to_owned(), refusal.reason(), presented.len());
        self.tell(Event::Refused { claimed, reason, chain });
    }

    fn turned_away(&self, refusal: &Refusal) {
        self.tell(Event::TurnedAway(refusal.reason()));
    }

    fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    async fn still_admitted(&self, admitted: &Admitted) -> Result<(), Refusal> {
        match self.state().withdrawn.contains(&*admitted.device) {
            true => Err(Refusal::new("DEVICE_DISABLED", "as the test wants")),
            false => Ok(()),
        }
    }

    async fn connected(&self, admitted: &Admitted) {
        self.tell(Event::Connected(admitted.device.to_string()));
    }

    async fn disconnected(&self, admitted: &Admitted, why: &str) {
        self.tell(Event::Disconnected(admitted.device.to_string(), why.to_owned()));
    }

    async fn telemetry(&self, admitted: &Admitted, message: Message) -> Result<(), Refusal> {
        let refusal = self.state().telemetry_refusal;
        if let Some(reason) = refusal {
            return Err(Refusal::new(reason, "as the test wants"));
        }
        self.tell(Event::Telemetry(admitted.device.to_string(), message));
        Ok(())
    }

    async fn twin(&self, admitted: &Admitted) -> Result<Twin, Refusal> {
        Ok(self.mailbox(&admitted.device, |of| Twin {
            desired: of.desired.clone(),
            desired_version: of.patches.len() as u64 + 1,
            reported: of.reported.clone(),
            reported_version: of.reported_version,
        }))
    }

    async fn patch_reported(&self, admitted: &Admitted, patch: &[u8]) -> Result<u64, Refusal> {
        let Ok(Value::Object(patch)) = serde_json::from_slice(patch) else {
            return Err(Refusal::new("TWIN_PATCH_INVALID", "not an object"));
        };
        Ok(self.mailbox(&admitted.device, |of| {
            of.reported.extend(patch);
            of.reported_version += 1;
            of.reported_version
        }))
    }

    async fn subscriptions(&self, admitted: &Admitted) -> Result<Option<u32>, Refusal> {
        Ok(self.mailbox(&admitted.device, |of| of.subscriptions))
    }

    async fn keep_subscriptions(&self, admitted: &Admitted, subscriptions: Option<u32>) -> Result<(), Refusal> {
        self.mailbox(&admitted.device, |of| of.subscriptions = subscriptions);
        Ok(())
    }

    fn mail(&self, admitted: &Admitted) -> watch::Receiver<u64> {
        self.mailbox(&admitted.device, |of| of.mail.subscribe())
    }

    async fn desired_after(&self, admitted: &Admitted, version: u64) -> Result<Vec<DesiredPatch>, Refusal> {
        Ok(self.mailbox(&admitted.device, |of| {
            of.patches.iter().filter(|patch| patch.version > version).cloned().collect()
        }))
    }

    async fn next_message(&self, admitted: &Admitted) -> Result<Option<CloudMessage>, Refusal> {
        Ok(self.mailbox(&admitted.device, |of| {
            let message = of.queue.pop_front()?;
            of.held.insert(message.sequence, message.clone());
            Some(message)
        }))
    }

    async fn settle(&self, admitted: &Admitted, sequence: u64, settlement: Settlement) -> Result<(), Refusal> {
        self.mailbox(&admitted.device, |of| {
            if let Some(message) = of.held.remove(&sequence)
                && settlement == Settlement::Abandon
            {
                of.queue.push_front(CloudMessage { delivered: message.delivered + 1, ..message });
                of.mail.send_modify(|revision| *revision += 1);
            }
        });
        self.tell(Event::Settled(sequence, settlement));
        Ok(())
    }
}
