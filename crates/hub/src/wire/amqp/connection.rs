//! An open connection: one task that reads, keeps, pushes and answers, and ends for a reason.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::Refusal;
use device_wire::amqp::{
    Begin, Close, DeliveryState, Disposition, End as EndSession, ErrorCondition, Performative, Role,
    frame::{self, Frame},
};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use service::net::BoxFuture;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    fault,
    greet::{CHANNEL_MAX, MAX_FRAME},
    link::Channel,
};
use crate::{
    admission::{Admitted, MethodAnswer, Settlement},
    wire::{
        guest::{House, Permits, Visitor},
        limits,
        line::{Line, LineError},
        sessions::{End, Seat},
    },
};

/// Transfers that a device may send before it is told more.
pub(super) const WINDOW: u32 = 2048;
/// Without a wish of the device's, nobody needs to hear from us.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A message that is being kept: where its delivery came from, and whether an answer is wanted.
pub(super) struct Kept {
    pub(super) channel: u16,
    pub(super) delivery: u32,
    pub(super) settled: bool,
    pub(super) outcome: Result<(), Refusal>,
}

/// An open connection.
pub(super) struct Connection {
    pub(super) house: Arc<House>,
    pub(super) admitted: Arc<Admitted>,
    /// To have another device's name judged, should one be attached to.
    pub(super) visitor: Visitor,
    pub(super) line: Line,
    pub(super) seat: Seat,
    pub(super) channels: HashMap<u16, Channel>,
    /// Most octets of one frame that the device takes.
    pub(super) max_frame: u32,
    /// How often the device wants to hear something.
    pub(super) heartbeat: Option<Duration>,
    pub(super) heard: Instant,
    pub(super) said: Instant,
    pub(super) keeping: FuturesOrdered<BoxFuture<'static, Kept>>,
    /// Methods that wait for the device's answer.
    pub(super) calls: HashMap<u64, oneshot::Sender<Result<MethodAnswer, Refusal>>>,
    pub(super) last_call: u64,
    pub(super) mail: watch::Receiver<u64>,
    /// The version of the desired properties that the device was last told; None: it did not ask.
    pub(super) desired: Option<u64>,
    /// A message of its queue found no room in the device's window; until the next Flow nothing is taken from the queue.
    pub(super) stalled: bool,
    pub(super) refused_links: u32,
    pub(super) _permits: Permits,
}

/// Why a connection is over.
pub(super) enum Over {
    /// The device said Close.
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
    /// The device keeps attaching to what is not its own; each time is on record.
    Unauthorized(Refusal),
}

impl From<LineError> for Over {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

impl Connection {
    /// Runs to the end.
    pub(super) async fn live(mut self) {
        // A client may go on without waiting for our Open (section 2.4.1): more may have come with its own, and nothing else announces it.
        let mut so_far = self.hear_all().await;
        let over = loop {
            match so_far {
                Ok(()) => so_far = self.step().await,
                Err(over) => break over,
            }
        };
        self.leave(over).await;
    }

    async fn step(&mut self) -> Result<(), Over> {
        if !self.line.out.is_empty() {
            self.line.flush().await?;
            self.said = Instant::now();
        }
        let may_read = self.keeping.len() < limits::count(self.house.limits.max_keeping);
        let silence = self.house.limits.idle();
        tokio::select! {
            filled = self.line.fill(), if may_read => {
                filled?;
                self.heard = Instant::now();
            }
            Some(kept) = self.keeping.next(), if !self.keeping.is_empty() => self.kept(kept),
            Some(call) = self.seat.calls.recv() => self.call(call),
            Ok(()) = self.mail.changed() => self.push().await?,
            end = &mut self.seat.end => return Err(end.map_or(Over::Stopping, Over::Ended)),
            () = sleep_until(self.said + self.heartbeat.unwrap_or(NEVER)) => frame::encode_empty(&mut self.line.out),
            () = sleep_until(self.heard + silence), if may_read => return Err(Over::Silent),
            () = self.house.stop.cancelled() => return Err(Over::Stopping),
        }
        self.hear_all().await
    }

    /// Everything that has arrived.
    async fn hear_all(&mut self) -> Result<(), Over> {
        // What is kept at once makes room for frames that have arrived already and that no further read would announce.
        loop {
            self.read_frames().await?;
            let Some(Some(kept)) = self.keeping.next().now_or_never() else { return Ok(()) };
            self.kept(kept);
            while let Some(Some(kept)) = self.keeping.next().now_or_never() {
                self.kept(kept);
            }
        }
    }

    async fn read_frames(&mut self) -> Result<(), Over> {
        let limit = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
        while self.keeping.len() < limits::count(self.house.limits.max_keeping) {
            let frame = frame::decode(&mut self.line.arrived, limit);
            match frame.map_err(|found| Over::Refused(fault::octets(found)))? {
                Some(frame) => self.hear(frame).await?,
                None => return Ok(()),
            }
            self.line.flush_if_large().await?;
            self.seat.check().map_err(Over::Ended)?;
        }
        Ok(())
    }

    async fn hear(&mut self, frame: Frame) -> Result<(), Over> {
        let Frame { channel, performative, payload } = frame;
        let Some(performative) = performative else { return Ok(()) };
        match performative {
            Performative::Open(_) => Err(Over::Refused(fault::unexpected("a second Open"))),
            Performative::Begin(begin) => self.begin(channel, &begin),
            Performative::Attach(attach) => self.attach(channel, *attach).await,
            Performative::Flow(flow) => self.flow(channel, flow).await,
            Performative::Transfer(transfer) => self.transfer(channel, transfer, payload).await,
            Performative::Disposition(disposition) => self.disposition(channel, disposition).await,
            Performative::Detach(detach) => self.detach(channel, &detach),
            Performative::End(_) => {
                // After the answer nothing can be said over this channel.
                self.keep_the_last().await;
                self.end_channel(channel).await;
                self.say(channel, &Performative::End(EndSession { error: None }));
                Ok(())
            }
            Performative::Close(_) => Err(Over::Said),
        }
    }

    fn begin(&mut self, number: u16, begin: &Begin) -> Result<(), Over> {
        if number > CHANNEL_MAX || self.channels.contains_key(&number) {
            return Err(Over::Refused(fault::unexpected("a channel beyond channel-max, or one that is open")));
        }
        let channel = Channel {
            next_outgoing: 0,
            next_delivery: 0,
            next_incoming: begin.next_outgoing_id,
            window: begin.incoming_window,
            unreported: 0,
            links: HashMap::new(),
            held: HashMap::new(),
        };
        self.channels.insert(number, channel);
        let answer = Begin {
            remote_channel: Some(number),
            next_outgoing_id: 0,
            incoming_window: WINDOW,
            outgoing_window: WINDOW,
            handle_max: Some(super::attach::HANDLE_MAX),
        };
        self.say(number, &Performative::Begin(answer));
        Ok(())
    }

    /// The session's deliveries are nobody's any more.
    async fn end_channel(&mut self, number: u16) {
        let Some(channel) = self.channels.remove(&number) else { return };
        for sequence in channel.held.into_values() {
            self.settle(sequence, Settlement::Abandon).await;
        }
    }

    /// A message is durable, or was refused: the delivery's sender learns which.
    fn kept(&mut self, kept: Kept) {
        if kept.settled {
            return;
        }
        let state = match kept.outcome {
            Ok(()) => DeliveryState::Accepted,
            Err(refusal) => DeliveryState::Rejected(Some(fault::condition(&refusal))),
        };
        let (first, role) = (kept.delivery, Role::Receiver);
        let disposition = Disposition { role, first, last: None, settled: true, state: Some(state) };
        self.say(kept.channel, &Performative::Disposition(disposition));
    }

    pub(super) async fn settle(&mut self, sequence: u64, settlement: Settlement) {
        if let Err(refusal) = self.house.admission.settle(&self.admitted, sequence, settlement).await {
            tracing::info!(device = %self.admitted.device(), reason = refusal.reason(), "message not settled");
        }
    }

    pub(super) fn say(&mut self, channel: u16, performative: &Performative) {
        frame::encode(channel, performative, b"", &mut self.line.out);
    }

    /// Waits for everything that is being kept, and says what came of it.
    async fn keep_the_last(&mut self) {
        while let Some(kept) = self.keeping.next().await {
            self.kept(kept);
        }
    }

    async fn leave(mut self, over: Over) {
        match over {
            // What a device said before it went is kept, also when it went in the same breath.
            Over::Said | Over::Line(_) | Over::Silent => self.keep_the_last().await,
            Over::Ended(_) | Over::Stopping | Over::Refused(_) | Over::Unauthorized(_) => {}
        }
        let (why, error) = self.last_words(over).await;
        for number in 0..=CHANNEL_MAX {
            self.end_channel(number).await;
        }
        self.say(0, &Performative::Close(Close { error }));
        tracing::info!(device = %self.admitted.device(), protocol = %self.admitted.protocol(), why, "session ended");
        self.house.admission.disconnected(&self.admitted, why).await;
        drop(self.seat);
        self.line.close().await;
    }

    /// The name of this end, and what the device is told of it.
    async fn last_words(&mut self, over: Over) -> (&'static str, Option<ErrorCondition>) {
        let told = |condition: &str, description: &str| {
            let description = Some(description.to_owned());
            Some(ErrorCondition { condition: condition.to_owned(), description, info: Vec::new() })
        };
        match over {
            Over::Said => ("DISCONNECTED_BY_DEVICE", None),
            Over::Line(error) => {
                tracing::debug!(device = %self.admitted.device(), %error, "connection lost");
                ("CONNECTION_LOST", None)
            }
            Over::Silent => ("KEEP_ALIVE_EXPIRED", told("amqp:resource-limit-exceeded", "nothing was heard in time")),
            Over::Ended(End::TakenOver) => {
                ("SESSION_TAKEN_OVER", told("amqp:connection:forced", "a later connection of the device took over"))
            }
            Over::Ended(End::Withdrawn(refusal)) => (refusal.reason(), Some(fault::unauthorized(&refusal))),
            Over::Stopping => ("SHUTTING_DOWN", told("amqp:connection:forced", "the hub is stopping")),
            Over::Unauthorized(refusal) => (refusal.reason(), Some(fault::unauthorized(&refusal))),
            Over::Refused(refusal) => {
                self.house.refused_in_session(&self.admitted, &refusal).await;
                (refusal.reason(), Some(fault::condition(&refusal)))
            }
        }
    }
}
