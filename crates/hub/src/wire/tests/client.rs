//! The other end: TLS as a device does it, and packets one by one.

use std::{fmt, sync::Arc, time::Duration};

use bytes::BytesMut;
use device_wire::{
    amqp::{
        self, Attach, Begin, Flow, Open, Performative, Role, SenderSettle, Transfer, Value,
        frame::{self, Frame},
        message::Message,
        terminus,
    },
    mqtt::{self, Clean, ConnAck, Connect, ConnectCode, Delivery, Packet, PacketId, Publish, QoS, Resumed, Retain},
};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::world::{Identity, World};

/// No answer takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection with TLS.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    arrived: BytesMut,
}

impl Client {
    pub(crate) async fn connect(world: &World, address: &str, identity: Option<&Identity>) -> Self {
        let version = &rustls::version::TLS13;
        Self::connect_with(world, address, identity, version).await.expect("TLS")
    }

    pub(crate) async fn connect_with(
        world: &World,
        address: &str,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<Self> {
        Self::dial(&world.server, address, identity, version).await
    }

    /// Connects to whoever shows this certificate.
    pub(crate) async fn dial(
        server: &CertificateDer<'static>,
        address: &str,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(server.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some(of) => builder.with_client_auth_cert(of.chain.clone(), of.key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream, arrived: BytesMut::new() })
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Writes as long as the hub takes it.
    pub(crate) async fn try_write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// Writes what it has and closes its side; the hub may have closed before.
    pub(crate) async fn write_and_close(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets).await;
        let _ = self.stream.shutdown().await;
    }

    /// More octets; false when the hub closed the connection.
    pub(crate) async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.arrived)).await.expect("the hub says nothing");
        read.is_ok_and(|octets| octets > 0)
    }

    pub(crate) async fn closed(&mut self) {
        assert!(self.arrived.is_empty(), "unread: {:?}", self.arrived);
        assert!(!self.fill().await, "still open, and says {:?}", self.arrived);
    }

    /// One answer of HTTP with its body, as its Content-Length says.
    pub(crate) async fn answer(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.arrived).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    self.arrived.clear();
                    return text;
                }
            }
            assert!(self.fill().await, "the hub closed the connection after {text:?}");
        }
    }

    /// Everything until the hub closes.
    pub(crate) async fn rest(&mut self) -> String {
        while self.fill().await {}
        String::from_utf8_lossy(&self.arrived).into_owned()
    }
}

/// An MQTT client.
pub(crate) struct Mqtt(pub(crate) Client);

impl Mqtt {
    /// Connects as the device and is let in.
    pub(crate) async fn open(world: &World, device: &str, clean: Clean) -> (Self, Resumed) {
        let identity = world.device(device);
        let mut client = Self(Client::connect(world, world.bound.mqtt.as_ref().unwrap(), Some(&identity)).await);
        let answer = client.greet(connect(device, clean)).await.unwrap();
        assert_eq!(answer.code, ConnectCode::Accepted);
        (client, answer.resumed)
    }

    pub(crate) async fn greet(&mut self, connect: Connect) -> Option<ConnAck> {
        self.send(Packet::Connect(connect)).await;
        match self.next().await {
            Some(Packet::ConnAck(answer)) => Some(answer),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        mqtt::encode(&packet, &mut out);
        self.0.write(&out).await;
    }

    pub(crate) async fn publish(&mut self, topic: &str, id: Option<u16>, payload: &str) {
        let delivery = id.and_then(PacketId::new).map_or(Delivery::AtMostOnce, Delivery::First);
        let (topic, payload) = (topic.to_owned(), payload.to_owned().into());
        self.send(Packet::Publish(Publish { topic, delivery, retain: Retain::No, payload })).await;
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> Packet {
        self.send(Packet::Subscribe(PacketId::new(1).unwrap(), vec![(filter.to_owned(), qos)])).await;
        self.next().await.unwrap()
    }

    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = mqtt::decode(&mut self.0.arrived, 1 << 20).unwrap() {
                return Some(packet);
            }
            if !self.0.fill().await {
                return None;
            }
        }
    }

    pub(crate) async fn next_publish(&mut self) -> Publish {
        match self.next().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn connect(device: &str, clean: Clean) -> Connect {
    let username = Some(format!("localhost/{device}/?api-version=2021-04-12"));
    Connect { client_id: device.to_owned(), clean, keep_alive: 60, will: None, username, password: None }
}

/// An AMQP client with one session.
pub(crate) struct Amqp(pub(crate) Client);

impl Amqp {
    pub(crate) async fn knock(world: &World, device: &str) -> Self {
        let identity = world.device(device);
        Self::greet(Client::connect(world, world.bound.amqp.as_ref().unwrap(), Some(&identity)).await).await
    }

    /// Says who it is and reads the protocol header; the hub's Open is next.
    pub(crate) async fn greet(client: Client) -> Self {
        Self::greet_with(client, &open(512 * 128)).await
    }

    /// As [`Self::greet`], with an Open of the test's.
    pub(crate) async fn greet_with(client: Client, open: &Performative) -> Self {
        let mut client = Self(client);
        client.0.write(&amqp::PROTOCOL_HEADER).await;
        client.send(open).await;
        client.header().await;
        client
    }

    /// Reads the hub's protocol header.
    pub(crate) async fn header(&mut self) {
        while frame::decode_header(&mut self.0.arrived).unwrap().is_none() {
            assert!(self.0.fill().await);
        }
    }

    /// Connects as the device, is let in, and begins a session.
    pub(crate) async fn open(world: &World, device: &str) -> Self {
        Self::knock(world, device).await.begin().await
    }

    /// Reads the hub's Open and begins a session.
    pub(crate) async fn begin(self) -> Self {
        let mut client = self;
        assert!(matches!(client.next().await, Performative::Open(_)));
        client.begin_session().await;
        client
    }

    /// Begins a session.
    pub(crate) async fn begin_session(&mut self) {
        self.send(&Performative::Begin(Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: 2048,
            outgoing_window: 2048,
            handle_max: None,
        }))
        .await;
        assert!(matches!(self.next().await, Performative::Begin(_)));
    }

    pub(crate) async fn send(&mut self, performative: &Performative) {
        let mut out = BytesMut::new();
        frame::encode(0, performative, b"", &mut out);
        self.0.write(&out).await;
    }

    /// Attaches without waiting for the answer.
    pub(crate) async fn attach_unread(&mut self, handle: u32, role: Role, address: &str) {
        let (mut source, mut target) = (Value::Null, Value::Null);
        match role {
            Role::Sender => target = terminus(Role::Receiver, address),
            Role::Receiver => source = terminus(Role::Sender, address),
        }
        let (name, sender_settle) = (format!("link-{handle}-{role:?}"), SenderSettle::Mixed);
        let initial_delivery_count = (role == Role::Sender).then_some(0);
        let attach = Attach {
            name,
            handle,
            role,
            sender_settle,
            receiver_settle: None,
            source,
            target,
            initial_delivery_count,
            max_message_size: None,
            properties: Vec::new(),
        };
        self.send(&Performative::Attach(Box::new(attach))).await;
    }

    pub(crate) async fn attach(&mut self, handle: u32, role: Role, address: &str) -> Performative {
        self.attach_unread(handle, role, address).await;
        let answer = self.next().await;
        if role == Role::Receiver && matches!(answer, Performative::Attach(_)) {
            self.credit(handle, 0, 10).await;
        }
        answer
    }

    pub(crate) async fn credit(&mut self, handle: u32, count: u32, credit: u32) {
        let (delivery_count, link_credit) = (Some(count), Some(credit));
        let flow = Flow {
            handle: Some(handle),
            incoming_window: 2048,
            next_incoming_id: Some(0),
            delivery_count,
            link_credit,
            ..Flow::default()
        };
        self.send(&Performative::Flow(flow)).await;
    }

    pub(crate) async fn transfer(&mut self, handle: u32, delivery: u32, message: &Message) {
        self.transfer_as(0, handle, delivery, message).await;
    }

    pub(crate) async fn transfer_as(&mut self, format: u32, handle: u32, delivery: u32, message: &Message) {
        let mut out = BytesMut::new();
        let octets = message.encode();
        let parts: Vec<&[u8]> = octets.chunks(40).collect();
        for (at, part) in parts.iter().enumerate() {
            let first = at == 0;
            let transfer = Transfer {
                handle,
                delivery_id: first.then_some(delivery),
                delivery_tag: first.then(|| delivery.to_be_bytes().to_vec().into()),
                message_format: first.then_some(format),
                settled: false,
                more: at + 1 < parts.len(),
                aborted: false,
            };
            frame::encode(0, &Performative::Transfer(transfer), part, &mut out);
        }
        self.0.write(&out).await;
    }

    /// The next frame; an empty one says only that the hub is there.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = frame::decode(&mut self.0.arrived, 1 << 20).unwrap() {
                return frame;
            }
            assert!(self.0.fill().await, "the hub closed the connection");
        }
    }

    pub(crate) async fn next(&mut self) -> Performative {
        loop {
            if let Some(performative) = self.frame().await.performative {
                return performative;
            }
        }
    }

    /// The next message, over whatever link; flows before it are skipped.
    pub(crate) async fn next_message(&mut self) -> (Transfer, Message) {
        let mut octets = BytesMut::new();
        let mut first = None;
        loop {
            let frame = self.frame().await;
            match frame.performative {
                Some(Performative::Transfer(transfer)) => {
                    octets.extend_from_slice(&frame.payload);
                    let more = transfer.more;
                    let begun = first.get_or_insert(transfer).clone();
                    if !more {
                        return (begun, Message::decode(octets.freeze()).unwrap());
                    }
                }
                Some(Performative::Flow(_)) | None => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) fn open(max_frame_size: u32) -> Performative {
    open_with(max_frame_size, None)
}

/// Open of a client that wants to hear something within so many milliseconds.
pub(crate) fn open_with(max_frame_size: u32, idle_time_out: Option<u32>) -> Performative {
    Performative::Open(Open {
        container_id: "client".to_owned(),
        hostname: Some("localhost".to_owned()),
        max_frame_size: Some(max_frame_size),
        channel_max: None,
        idle_time_out,
    })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
