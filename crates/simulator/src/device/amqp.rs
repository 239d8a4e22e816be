//! The device over AMQP 1.0: one session; a link for readings, one for messages, a pair for direct methods.

use bytes::{Bytes, BytesMut};
use device_wire::amqp::{
    Attach, Begin, Close, DeliveryState, Disposition, Flow, Open, PROTOCOL_HEADER, Performative, Role, SenderSettle,
    Transfer, Value,
    frame::{self, Frame},
    message::{Message, Properties},
    terminus,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::{
    Afterwards, DeviceError, DevicePlan, KEEP_ALIVE, PATIENCE, Reading, Told, broken, closed,
    readings::{ALERT, CONTENT_ENCODING, CONTENT_TYPE},
    text,
    tls::Stream,
};

/// Most octets of one frame.
const MAX_FRAME: u32 = 64 * 1024;
/// Transfers that the hub may send before it is told more.
const WINDOW: u32 = 2048;
/// Messages that the hub may send over a link before it is told more.
const CREDIT: u32 = 50;

/// Handles of the links.
const EVENTS: u32 = 0;
const MESSAGES: u32 = 1;
const METHOD_ANSWERS: u32 = 2;
const METHOD_CALLS: u32 = 3;

type Tell<'a> = &'a mut (dyn FnMut(Told) + Send);

pub(super) async fn live(plan: &DevicePlan, stream: Stream, tell: Tell<'_>) -> Result<(), DeviceError> {
    let device = plan.device_id.clone();
    let mut client = Client {
        stream,
        arrived: BytesMut::new(),
        device,
        next_delivery: 0,
        received: 0,
        counts: [0; 4],
        partial: BytesMut::new(),
    };
    client.greet(plan).await?;
    let events = format!("/devices/{}/messages/events", plan.device_id);
    client.attach(EVENTS, Role::Sender, &events, tell).await?;
    tell(Told::Accepted);
    if plan.afterwards == Afterwards::Wait {
        let messages = format!("/devices/{}/messages/devicebound", plan.device_id);
        let methods = format!("/devices/{}/methods/devicebound", plan.device_id);
        client.attach(MESSAGES, Role::Receiver, &messages, tell).await?;
        client.attach(METHOD_ANSWERS, Role::Sender, &methods, tell).await?;
        client.attach(METHOD_CALLS, Role::Receiver, &methods, tell).await?;
    }
    for number in 0..plan.count {
        let reading = Reading::numbered(number);
        client.send_reading(&reading, tell).await?;
        tell(Told::Sent(reading));
    }
    if plan.afterwards == Afterwards::Wait {
        tell(Told::Waiting);
        client.wait(tell).await?;
    }
    client.write(&Performative::Close(Close { error: None }), b"").await?;
    client.stream.shutdown().await.map_err(broken)
}

struct Client {
    stream: Stream,
    arrived: BytesMut,
    device: String,
    next_delivery: u32,
    /// Transfers that came.
    received: u32,
    /// Messages that came or went over each link.
    counts: [u32; 4],
    /// A message of which more is to come.
    partial: BytesMut,
}

impl Client {
    async fn greet(&mut self, plan: &DevicePlan) -> Result<(), DeviceError> {
        self.stream.write_all(&PROTOCOL_HEADER).await.map_err(broken)?;
        let open = Open {
            container_id: format!("countersign-{}", self.device),
            hostname: Some(plan.host.clone()),
            max_frame_size: Some(MAX_FRAME),
            channel_max: Some(0),
            idle_time_out: None,
        };
        self.write(&Performative::Open(open), b"").await?;
        let answered = timeout(PATIENCE, async {
            let strange = |error: device_wire::amqp::Fault| DeviceError::NotUnderstood(error.to_string());
            while frame::decode_header(&mut self.arrived).map_err(strange)?.is_none() {
                self.fill().await?;
            }
            self.next().await
        });
        let answered = answered.await.map_err(|_| DeviceError::NotUnderstood("no answer in time".to_owned()))?;
        let Some(Performative::Open(_)) = answered?.performative else {
            return Err(DeviceError::NotUnderstood("the first frame is not Open".to_owned()));
        };
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: WINDOW,
            outgoing_window: WINDOW,
            handle_max: Some(METHOD_CALLS),
        };
        self.write(&Performative::Begin(begin), b"").await?;
        match self.next().await?.performative {
            Some(Performative::Begin(_)) => Ok(()),
            _ => Err(DeviceError::NotUnderstood("Begin is not answered".to_owned())),
        }
    }

    async fn attach(&mut self, handle: u32, role: Role, address: &str, tell: Tell<'_>) -> Result<(), DeviceError> {
        let (source, target) = match role {
            Role::Sender => (terminus(Role::Sender, &self.device), terminus(Role::Receiver, address)),
            Role::Receiver => (terminus(Role::Sender, address), terminus(Role::Receiver, &self.device)),
        };
        let attach = Attach {
            name: format!("{}-{handle}", self.device),
            handle,
            role,
            sender_settle: SenderSettle::Mixed,
            receiver_settle: Some(0),
            source,
            target,
            initial_delivery_count: (role == Role::Sender).then_some(0),
            max_message_size: None,
            properties: vec![("com.microsoft:api-version".to_owned(), Value::text("2021-04-12"))],
        };
        self.write(&Performative::Attach(Box::new(attach)), b"").await?;
        if role == Role::Receiver {
            self.credit(handle).await?;
        }
        // A link that is refused is attached without a terminus, and the reason comes with Detach (section 2.6.3).
        self.until(tell, |frame| match &frame.performative {
            Some(Performative::Attach(answer)) if answer.handle == handle => {
                let terminus = if role == Role::Sender { &answer.target } else { &answer.source };
                *terminus != Value::Null
            }
            _ => false,
        })
        .await
    }

    async fn credit(&mut self, handle: u32) -> Result<(), DeviceError> {
        let count = self.count(handle);
        let flow = Flow {
            next_incoming_id: Some(self.received),
            incoming_window: WINDOW,
            next_outgoing_id: self.next_delivery,
            outgoing_window: WINDOW,
            handle: Some(handle),
            delivery_count: Some(count),
            link_credit: Some(CREDIT),
            ..Flow::default()
        };
        self.write(&Performative::Flow(flow), b"").await
    }

    async fn send_reading(&mut self, reading: &Reading, tell: Tell<'_>) -> Result<(), DeviceError> {
        let message = Message {
            properties: Properties {
                message_id: Some(Value::text(reading.number.to_string())),
                to: Some(format!("/devices/{}/messages/events", self.device)),
                content_type: Some(CONTENT_TYPE.to_owned()),
                content_encoding: Some(CONTENT_ENCODING.to_owned()),
                ..Properties::default()
            },
            application: vec![(ALERT.to_owned(), Value::text(reading.alert()))],
            body: Bytes::from(reading.body(&self.device).to_string()),
            ..Message::default()
        };
        let id = self.send(EVENTS, &message).await?;
        let mut outcome = None;
        while outcome.is_none() {
            let frame = self.next().await?;
            match &frame.performative {
                Some(Performative::Disposition(Disposition { role: Role::Receiver, first, last, state, .. }))
                    if (*first..=last.unwrap_or(*first)).contains(&id) =>
                {
                    outcome = Some(state.clone());
                }
                _ => self.deal_with(frame, tell).await?,
            }
        }
        match outcome.flatten() {
            Some(DeliveryState::Accepted) => Ok(()),
            other => Err(DeviceError::Refused(format!("the reading was not taken: {other:?}"))),
        }
    }

    /// Sends a message that fits one frame; answers its delivery id.
    async fn send(&mut self, handle: u32, message: &Message) -> Result<u32, DeviceError> {
        let id = self.next_delivery;
        self.next_delivery = id.wrapping_add(1);
        let transfer = Transfer {
            handle,
            delivery_id: Some(id),
            delivery_tag: Some(Bytes::copy_from_slice(&id.to_be_bytes())),
            message_format: Some(0),
            ..Transfer::default()
        };
        self.write(&Performative::Transfer(transfer), &message.encode()).await?;
        Ok(id)
    }

    /// Reads until the frame that is waited for; what comes before it is dealt with.
    async fn until(&mut self, tell: Tell<'_>, wanted: impl Fn(&Frame) -> bool) -> Result<(), DeviceError> {
        loop {
            let frame = self.next().await?;
            if wanted(&frame) {
                return Ok(());
            }
            self.deal_with(frame, tell).await?;
        }
    }

    /// Deals with what comes, until the hub ends it.
    async fn wait(&mut self, tell: Tell<'_>) -> Result<(), DeviceError> {
        loop {
            let frame = tokio::select! {
                frame = self.arrive() => Some(frame?),
                () = sleep(KEEP_ALIVE / 2) => None,
            };
            match frame {
                Some(frame) => self.deal_with(understood(frame)?, tell).await?,
                None => {
                    let mut out = BytesMut::new();
                    frame::encode_empty(&mut out);
                    self.write_octets(&out).await?;
                }
            }
        }
    }

    async fn deal_with(&mut self, frame: Frame, tell: Tell<'_>) -> Result<(), DeviceError> {
        let Some(Performative::Transfer(transfer)) = frame.performative else { return Ok(()) };
        self.received = self.received.wrapping_add(1);
        if self.partial.len() + frame.payload.len() > usize::try_from(MAX_FRAME).unwrap_or(usize::MAX) * 16 {
            return Err(DeviceError::NotUnderstood("a message without end".to_owned()));
        }
        self.partial.extend_from_slice(&frame.payload);
        if transfer.more {
            return Ok(());
        }
        let octets = self.partial.split().freeze();
        let message = Message::decode(octets).map_err(|error| DeviceError::NotUnderstood(error.to_string()))?;
        if let Some(count) = self.counts.get_mut(usize::try_from(transfer.handle).unwrap_or(usize::MAX)) {
            *count = count.wrapping_add(1);
        }
        if transfer.handle == METHOD_CALLS {
            self.answer_method(message, tell).await?;
        } else {
            let texts = message.application.iter().filter_map(|(name, value)| Some((name.clone(), value.to_text()?)));
            tell(Told::Message { body: text(&message.body), properties: texts.collect() });
        }
        if let Some(first) = transfer.delivery_id.filter(|_| !transfer.settled) {
            let state = Some(DeliveryState::Accepted);
            let done = Disposition { role: Role::Receiver, first, last: None, settled: true, state };
            self.write(&Performative::Disposition(done), b"").await?;
        }
        if self.count(transfer.handle).is_multiple_of(CREDIT / 2) {
            self.credit(transfer.handle).await?;
        }
        Ok(())
    }

    async fn answer_method(&mut self, call: Message, tell: Tell<'_>) -> Result<(), DeviceError> {
        let name = call.application.iter().find(|(name, _)| name == "IoThub-methodname");
        let name = name.and_then(|(_, value)| value.to_text()).unwrap_or_default();
        tell(Told::Method { name, payload: text(&call.body) });
        let answer = Message {
            properties: Properties { correlation_id: call.properties.correlation_id, ..Properties::default() },
            application: vec![("IoThub-status".to_owned(), Value::int(200))],
            body: Bytes::from_static(b"{\"result\":\"done\"}"),
            ..Message::default()
        };
        self.send(METHOD_ANSWERS, &answer).await.map(drop)
    }

    fn count(&self, handle: u32) -> u32 {
        usize::try_from(handle).ok().and_then(|at| self.counts.get(at)).copied().unwrap_or(0)
    }

    async fn write(&mut self, performative: &Performative, payload: &[u8]) -> Result<(), DeviceError> {
        let mut out = BytesMut::new();
        frame::encode(0, performative, payload, &mut out);
        self.write_octets(&out).await
    }

    async fn write_octets(&mut self, octets: &[u8]) -> Result<(), DeviceError> {
        self.stream.write_all(octets).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    async fn fill(&mut self) -> Result<(), DeviceError> {
        if self.stream.read_buf(&mut self.arrived).await.map_err(broken)? == 0 { Err(closed()) } else { Ok(()) }
    }

    /// The next frame, in good time.
    async fn next(&mut self) -> Result<Frame, DeviceError> {
        let late = |_| DeviceError::NotUnderstood(format!("no answer within {} s", PATIENCE.as_secs()));
        understood(timeout(PATIENCE, self.arrive()).await.map_err(late)??)
    }

    /// The next frame, whenever it comes. Safe to drop and call again.
    async fn arrive(&mut self) -> Result<Frame, DeviceError> {
        let limit = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
        loop {
            let frame = frame::decode(&mut self.arrived, limit);
            if let Some(frame) = frame.map_err(|error| DeviceError::NotUnderstood(error.to_string()))? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }
}

/// A frame that ends something is a refusal, whenever it comes.
fn understood(frame: Frame) -> Result<Frame, DeviceError> {
    let ended = match &frame.performative {
        Some(Performative::Close(close)) => Some(&close.error),
        Some(Performative::End(end)) => Some(&end.error),
        Some(Performative::Detach(detach)) => Some(&detach.error),
        Some(
            Performative::Open(_)
            | Performative::Begin(_)
            | Performative::Attach(_)
            | Performative::Flow(_)
            | Performative::Transfer(_)
            | Performative::Disposition(_),
        )
        | None => None,
    };
    match ended {
        None => Ok(frame),
        Some(None) => Err(closed()),
        Some(Some(error)) => {
            let words = error.description.clone().unwrap_or_default();
            Err(DeviceError::Refused(format!("{} {words}", error.condition)))
        }
    }
}
