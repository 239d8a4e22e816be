//! An open session: one task that reads, keeps, pushes and answers, and ends for a reason.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::Refusal;
use device_wire::{
    mqtt::{self, Clean, Packet, PacketId, Will},
    topic::Up,
};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use service::net::BoxFuture;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{Subscriptions, fault};
use crate::{
    admission::{Admitted, Message, MethodAnswer, Settlement},
    wire::{
        guest::{House, Permits},
        limits,
        line::{Line, LineError},
        properties,
        sessions::{End, Seat},
    },
};

/// A message that is being kept, with the id to acknowledge then.
pub(super) type Keeping = BoxFuture<'static, (Option<PacketId>, Result<(), Refusal>)>;

/// A message of the device's queue that was pushed and is not acknowledged.
pub(super) struct Held {
    pub(super) packet: PacketId,
    /// Its number in the device's queue.
    pub(super) sequence: u64,
}

/// An open session.
pub(super) struct Session {
    pub(super) house: Arc<House>,
    pub(super) admitted: Arc<Admitted>,
    /// The device id as the device writes it in topics.
    pub(super) device: Arc<str>,
    pub(super) line: Line,
    pub(super) seat: Seat,
    /// Most octets of one packet.
    pub(super) limit: usize,
    pub(super) clean: Clean,
    pub(super) will: Option<Will>,
    pub(super) subscriptions: Subscriptions,
    /// When the device was last heard, and how long it may be silent.
    pub(super) heard: Instant,
    pub(super) silence: Duration,
    /// Telemetry under way, in the order in which it must be acknowledged (MQTT 3.1.1 section 4.6).
    pub(super) keeping: FuturesOrdered<Keeping>,
    pub(super) held: Vec<Held>,
    pub(super) last_packet: u16,
    /// Methods that wait for the device's answer.
    pub(super) calls: HashMap<u64, oneshot::Sender<Result<MethodAnswer, Refusal>>>,
    pub(super) last_call: u64,
    pub(super) mail: watch::Receiver<u64>,
    /// The version of the desired properties that the device was last told; None: it did not ask.
    pub(super) desired: Option<u64>,
    pub(super) _permits: Permits,
}

/// Why a session is over.
pub(super) enum Over {
    /// The device said DISCONNECT.
    Said,
    /// The connection is gone.
    Line(LineError),
    /// Nothing was heard in time.
    Silent,
    /// From outside.
    Ended(End),
    /// The hub is stopping.
    Stopping,
    /// The device did what is refused.
    Refused(Refusal),
}

impl From<LineError> for Over {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

impl Session {
    /// Runs to the end.
    pub(super) async fn live(mut self) {
        // What it subscribed to in its last session may have something for it already.
        let mut so_far = self.push().await;
        if so_far.is_ok() {
            // A client need not wait for CONNACK (section 3.1.4): more may have come with its CONNECT, and nothing else announces it.
            so_far = self.hear_all().await;
        }
        let over = loop {
            match so_far {
                Ok(()) => so_far = self.step().await,
                Err(over) => break over,
            }
        };
        self.leave(over).await;
    }

    async fn step(&mut self) -> Result<(), Over> {
        self.line.flush().await?;
        let may_read = self.keeping.len() < limits::count(self.house.limits.max_keeping);
        tokio::select! {
            filled = self.line.fill(), if may_read => {
                filled?;
                self.heard = Instant::now();
            }
            Some((id, kept)) = self.keeping.next(), if !self.keeping.is_empty() => self.kept(id, kept)?,
            Some(call) = self.seat.calls.recv() => self.call(call),
            Ok(()) = self.mail.changed() => self.push().await?,
            end = &mut self.seat.end => return Err(end.map_or(Over::Stopping, Over::Ended)),
            () = sleep_until(self.heard + self.silence), if may_read => return Err(Over::Silent),
            () = self.house.stop.cancelled() => return Err(Over::Stopping),
        }
        self.hear_all().await
    }

    /// Everything that has arrived.
    async fn hear_all(&mut self) -> Result<(), Over> {
        // What is kept at once makes room for packets that have arrived already and that no further read would announce.
        loop {
            self.read_packets().await?;
            let Some(Some((id, kept))) = self.keeping.next().now_or_never() else { return Ok(()) };
            self.kept(id, kept)?;
            while let Some(Some((id, kept))) = self.keeping.next().now_or_never() {
                self.kept(id, kept)?;
            }
        }
    }

    async fn read_packets(&mut self) -> Result<(), Over> {
        while self.keeping.len() < limits::count(self.house.limits.max_keeping) {
            let packet = mqtt::decode(&mut self.line.arrived, self.limit);
            match packet.map_err(|found| Over::Refused(fault::packet(found)))? {
                Some(packet) => self.hear(packet).await?,
                None => return Ok(()),
            }
            self.line.flush_if_large().await?;
            self.seat.check().map_err(Over::Ended)?;
        }
        Ok(())
    }

    /// A message is durable, or was refused: MQTT 3.1.1 has no way to refuse one message, so the session ends.
    fn kept(&mut self, id: Option<PacketId>, kept: Result<(), Refusal>) -> Result<(), Over> {
        kept.map_err(Over::Refused)?;
        if let Some(id) = id {
            mqtt::encode(&Packet::PubAck(id), &mut self.line.out);
        }
        Ok(())
    }

    async fn leave(mut self, over: Over) {
        let over = self.keep_the_last(over).await;
        let why = self.last_words(over).await;
        for held in &self.held {
            // It may be gone by now; then nobody needs it back.
            let _ = self.house.admission.settle(&self.admitted, held.sequence, Settlement::Abandon).await;
        }
        tracing::info!(device = %self.admitted.device(), protocol = %self.admitted.protocol(), why, "session ended");
        self.house.admission.disconnected(&self.admitted, why).await;
        drop(self.seat);
        self.line.close().await;
    }

    /// What a device said before it went is kept, also when it went in the same breath. A message that cannot be kept is why the session
    /// ended, then.
    async fn keep_the_last(&mut self, over: Over) -> Over {
        match over {
            Over::Said | Over::Line(_) | Over::Silent => {
                while let Some((id, kept)) = self.keeping.next().await {
                    if let Err(refused) = self.kept(id, kept) {
                        return refused;
                    }
                }
                over
            }
            Over::Ended(_) | Over::Stopping | Over::Refused(_) => over,
        }
    }

    /// What remains to be done for this end, and its name.
    async fn last_words(&mut self, over: Over) -> &'static str {
        let why = match over {
            // Section 3.14.4: a device that says goodbye takes its will back.
            Over::Said => {
                self.will = None;
                "DISCONNECTED_BY_DEVICE"
            }
            Over::Line(error) => {
                tracing::debug!(device = %self.admitted.device(), %error, "connection lost");
                "CONNECTION_LOST"
            }
            Over::Silent => "KEEP_ALIVE_EXPIRED",
            Over::Ended(End::TakenOver) => "SESSION_TAKEN_OVER",
            Over::Ended(End::Withdrawn(refusal)) => {
                // Nothing is taken any more from a device that is cut off.
                self.will = None;
                refusal.reason()
            }
            Over::Stopping => "SHUTTING_DOWN",
            Over::Refused(refusal) => {
                self.house.refused_in_session(&self.admitted, &refusal).await;
                refusal.reason()
            }
        };
        self.execute_will().await;
        why
    }

    async fn execute_will(&mut self) {
        let Some(will) = self.will.take() else { return };
        let Ok(Up::Telemetry { bag }) = Up::parse(&will.topic, &self.device) else { return };
        let Ok(message) = properties::from_bag(bag) else { return };
        let mut message = properties::retained(Message { body: will.message, ..message }, will.retain);
        message.properties.push(("iothub-MessageType".to_owned(), "Will".to_owned()));
        if let Err(refusal) = self.house.admission.telemetry(&self.admitted, message).await {
            tracing::info!(device = %self.admitted.device(), reason = refusal.reason(), "last will refused");
        }
    }
}
