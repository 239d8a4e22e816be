//! The registry as the faces see it: the books on worker threads, and everything that lives beside the journal.

use std::sync::{Arc, OnceLock, atomic::AtomicU64};

use api::{
    Refusal,
    hub::v1::{Connection, ExplainedJudgement, Judgement, Outcome, RegisterDevicesResponse, Registration, Twin},
};
use bytes::Bytes;
use pki::UnixTime;
use records::{Act, Caller, CommitQueue, wire};
use service::{Clock, Workers, metrics::Metrics};
use tokio::sync::Semaphore;

use super::{books::Books, change::Change, presence::Presence};
use crate::{
    admission::{MethodAnswer, MethodCall, Sessions},
    mailbox::{Mailbox, Mailboxes, NewMessage, oldest_delivered, write_twin},
    metrics::{DeviceCounts, Judging},
    telemetry::{Filter, Page, Telemetry},
    why::{self, JudgementLog},
};

/// Most judgements in one answer.
const MOST_JUDGEMENTS: usize = 100;

/// What a registry is made of.
pub(crate) struct Parts {
    pub(crate) books: Arc<Books>,
    pub(crate) commits: CommitQueue,
    pub(crate) log: Arc<JudgementLog>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workers: Workers,
    /// Whose hub this is.
    pub(crate) manufacturer: String,
    /// How long a message waits for its device.
    pub(crate) message_hours: u32,
}

/// The registry.
pub(crate) struct Registry {
    pub(super) parts: Parts,
    /// Chains that are judged at one time: judging is computing, and more at once are only slower.
    pub(super) judging: Semaphore,
    pub(super) last_session: AtomicU64,
    sessions: OnceLock<Arc<dyn Sessions>>,
    counts: DeviceCounts,
}

impl Registry {
    /// A registry; `judging` is how many chains are judged at one time.
    pub(crate) fn new(parts: Parts, judging: usize) -> Self {
        Self {
            parts,
            judging: Semaphore::new(judging.max(1)),
            last_session: AtomicU64::new(0),
            sessions: OnceLock::new(),
            counts: DeviceCounts::default(),
        }
    }

    /// Says who knows the live sessions; once, before anybody calls.
    pub(crate) fn set_sessions(&self, sessions: Arc<dyn Sessions>) {
        let _ = self.sessions.set(sessions);
    }

    /// Asks the books, on a thread of their own.
    ///
    /// # Errors
    /// What the books answer; `SHUTTING_DOWN`.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Books) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let books = Arc::clone(&self.parts.books);
        self.parts.workers.run(move || question(&books)).await
    }

    /// Takes events of a line's feed.
    ///
    /// # Errors
    /// As [`Books::register`].
    pub(crate) async fn register(
        &self,
        caller: Caller,
        feed: String,
        registrations: Vec<Registration>,
    ) -> Result<RegisterDevicesResponse, Refusal> {
        self.ask(move |books| books.register(&caller, &feed, &registrations)).await
    }

    /// What is known of a device's connection.
    ///
    /// # Errors
    /// `MAILBOX_DAMAGED`.
    pub(crate) async fn connection(&self, device: &str) -> Result<Connection, Refusal> {
        let waiting = self.with_mailbox(device, |mailbox| mailbox.waiting()).await?;
        Ok(Connection { cloud_to_device_messages: waiting, ..self.parts.presence.of(device) })
    }

    /// The latest judgements over a claimed id, explained, newest first.
    ///
    /// # Errors
    /// `LOG_FAILED`.
    pub(crate) async fn judgements(&self, claimed: String, most: usize) -> Result<Vec<ExplainedJudgement>, Refusal> {
        let log = Arc::clone(&self.parts.log);
        let most = most.min(MOST_JUDGEMENTS);
        let found = self.parts.workers.run(move || log.latest(&claimed, most)).await?;
        Ok(found.into_iter().map(why::explained).collect())
    }

    /// A device's twin.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `MAILBOX_DAMAGED`.
    pub(crate) async fn device_twin(&self, device: String) -> Result<Twin, Refusal> {
        self.known(&device).await?;
        self.with_mailbox(&device, |mailbox| write_twin(&mailbox.twin()?)).await
    }

    /// Merges a patch into the desired properties of a device's twin.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `TWIN_PATCH_INVALID`, `TWIN_TOO_LARGE`, `ETAG_STALE`.
    pub(crate) async fn patch_desired(
        &self,
        device: String,
        patch: String,
        seen: Option<u64>,
    ) -> Result<Twin, Refusal> {
        self.known(&device).await?;
        self.with_mailbox(&device, move |mailbox| write_twin(&mailbox.patch_desired(patch.as_bytes(), seen)?)).await
    }

    /// Queues a message for a device, under a request.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `REQUEST_ID_REUSED`, `DEVICE_QUEUE_FULL`, `MESSAGE_TOO_LARGE`.
    pub(crate) async fn queue(&self, change: Change, device: String, message: NewMessage) -> Result<u64, Refusal> {
        self.ask(move |books| books.not_used(&change)).await?;
        self.known(&device).await?;
        let (now, oldest) = (self.now(), self.oldest_message());
        self.with_mailbox(&device, move |mailbox| mailbox.queue(message, now, oldest)).await
    }

    /// Calls a method on a device's live session.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `DEVICE_NOT_CONNECTED`, `METHOD_TIMEOUT`.
    pub(crate) async fn invoke(&self, device: String, call: MethodCall) -> Result<MethodAnswer, Refusal> {
        self.known(&device).await?;
        match self.sessions.get() {
            Some(sessions) => sessions.invoke(&device, call).await,
            None => Err(Refusal::new("DEVICE_NOT_CONNECTED", format!("no session of {device} is open"))),
        }
    }

    /// A page of telemetry.
    ///
    /// # Errors
    /// `LOG_FAILED`.
    pub(crate) async fn telemetry_page(
        &self,
        from: crate::ring::Position,
        filter: Filter,
        most: usize,
    ) -> Result<Page, Refusal> {
        let telemetry = Arc::clone(&self.parts.telemetry);
        self.parts.workers.run(move || telemetry.page(from, &filter, most)).await
    }

    /// The kept telemetry, to be followed.
    pub(crate) fn kept_telemetry(&self) -> &Arc<Telemetry> {
        &self.parts.telemetry
    }

    /// Deletes what waits for a device that was forgotten.
    ///
    /// # Errors
    /// `STORE_IO`.
    pub(crate) async fn delete_mailbox(&self, device: String) -> Result<(), Refusal> {
        let mailboxes = Arc::clone(&self.parts.mailboxes);
        self.parts.workers.run(move || mailboxes.delete(&device)).await
    }

    /// How many sessions are open.
    pub(crate) fn open_sessions(&self) -> usize {
        self.parts.presence.count()
    }

    /// Tells at `metrics` what devices do.
    pub(crate) fn tell(&self, metrics: &Metrics) {
        self.counts.tell(metrics, &self.parts.presence);
    }

    pub(super) fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }

    /// The hub's own act, now.
    pub(super) fn own_act(&self) -> Act {
        Act { at: self.now(), caller: Caller::service(&self.parts.manufacturer), request: None }
    }

    pub(super) fn oldest_message(&self) -> UnixTime {
        oldest_delivered(self.now(), self.parts.message_hours)
    }

    pub(super) async fn with_mailbox<T: Send + 'static>(
        &self,
        device: &str,
        work: impl FnOnce(&Mailbox) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let mailbox = self.parts.mailboxes.of(device);
        self.parts.workers.run(move || work(&mailbox)).await
    }

    pub(super) fn count_admitted(&self) {
        self.counts.admitted();
    }

    pub(super) fn count_turned_away(&self, refusal: &Refusal) {
        self.counts.turned_away(refusal);
    }

    pub(super) fn judging_time(&self) -> Judging {
        self.counts.judging()
    }

    pub(super) fn count_telemetry(&self) {
        self.counts.message();
    }

    /// Keeps a refusal with what was presented; it is durable when this returns.
    pub(super) async fn keep_refusal(
        &self,
        chain: &[Bytes],
        claimed: &str,
        protocol: &str,
        from: String,
        refusal: &Refusal,
    ) {
        let now = self.now();
        self.counts.refused(refusal);
        let judgement = Judgement {
            at: Some(wire::timestamp(now)),
            claimed: claimed.to_owned(),
            outcome: Outcome::Refused.into(),
            reason: refusal.reason().to_owned(),
            message: refusal.message().to_owned(),
            metadata: refusal.to_wire().metadata,
            protocol: protocol.to_owned(),
            from,
            chain: chain.to_vec(),
            repeated_before: 0,
        };
        // The log stops the process when it cannot keep anything; the device is refused in any case.
        if let Err(error) = self.parts.log.refused(judgement, now).await {
            tracing::error!(reason = error.reason(), message = error.message(), "a refusal was not kept");
        }
    }

    async fn known(&self, device: &str) -> Result<(), Refusal> {
        let id = device.to_owned();
        self.ask(move |books| books.device_on_record(&id).map(drop)).await
    }
}
