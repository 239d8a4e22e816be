//! A device's MQTT session, as lean as a client can be.

use std::{collections::VecDeque, num::NonZeroU16, time::Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{Bytes, BytesMut};
use device_wire::{
    bag,
    mqtt::{self, Clean, ConnAck, Connect, ConnectCode, Delivery, Packet, PacketId, Publish, Retain},
    topic,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fleet::{Device, Stream};
use crate::bench::histogram::Histogram;

/// Most octets of one packet that a hub sends.
const MAX_PACKET: usize = 1024 * 1024;
/// As the SDKs send it.
const BODY: &[u8] = br#"{"deviceId":"sn0000001","messageId":17,"temperature":27.339,"humidity":71.204}"#;

/// An open session.
pub(super) struct Session {
    stream: Stream,
    arrived: BytesMut,
    topic: String,
    /// Messages that wait for their acknowledgement, in the order in which it comes.
    sent: VecDeque<(PacketId, Instant)>,
    last: u16,
}

impl Session {
    /// Connects, and has the hub's answer.
    pub(super) async fn open(device: &Device, door: &str) -> anyhow::Result<Self> {
        let mut stream = device.connect(door).await?;
        let connect = Connect {
            client_id: device.id.clone(),
            clean: Clean::Start,
            keep_alive: 0,
            will: None,
            username: Some(format!("localhost/{}/?api-version=2021-04-12", device.id)),
            password: None,
        };
        let mut out = BytesMut::new();
        mqtt::encode(&Packet::Connect(connect), &mut out);
        stream.write_all(&out).await?;
        let properties =
            [("$.mid", "17"), ("$.ct", "application/json"), ("$.ce", "utf-8"), ("temperatureAlert", "false")];
        let topic = topic::events(&device.id, &bag::encode(properties));
        let mut session = Self { stream, arrived: BytesMut::new(), topic, sent: VecDeque::new(), last: 0 };
        let Packet::ConnAck(ConnAck { code, .. }) = session.next().await? else {
            bail!("the first packet is not CONNACK");
        };
        ensure!(code == ConnectCode::Accepted, "CONNACK {code:?}");
        Ok(session)
    }

    /// Sends telemetry with at most `window` messages unacknowledged until `end`, then waits for the rest. Counts what is acknowledged
    /// from `begin` to `end`.
    pub(super) async fn send(&mut self, window: usize, begin: Instant, end: Instant) -> anyhow::Result<Histogram> {
        let mut acknowledged = Histogram::new();
        let mut out = BytesMut::new();
        loop {
            if Instant::now() < end {
                while self.sent.len() < window {
                    self.publish(&mut out);
                }
                self.stream.write_all(&out.split()).await?;
            } else if self.sent.is_empty() {
                return Ok(acknowledged);
            }
            self.fill().await?;
            let now = Instant::now();
            while let Some(packet) = mqtt::decode(&mut self.arrived, MAX_PACKET)? {
                let (expected, at) = self.sent.pop_front().context("an answer to nothing")?;
                ensure!(
                    packet == Packet::PubAck(expected),
                    "{packet:?} where message {expected} is to be acknowledged"
                );
                if begin <= now && now < end {
                    acknowledged.record(now - at);
                }
            }
        }
    }

    fn publish(&mut self, out: &mut BytesMut) {
        self.last = self.last.checked_add(1).unwrap_or(1);
        let id = NonZeroU16::new(self.last).unwrap_or(NonZeroU16::MIN);
        let publish = Publish {
            topic: self.topic.clone(),
            delivery: Delivery::First(id),
            retain: Retain::No,
            payload: Bytes::from_static(BODY),
        };
        mqtt::encode(&Packet::Publish(publish), out);
        self.sent.push_back((id, Instant::now()));
    }

    async fn next(&mut self) -> anyhow::Result<Packet> {
        loop {
            if let Some(packet) = mqtt::decode(&mut self.arrived, MAX_PACKET)? {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        ensure!(self.stream.read_buf(&mut self.arrived).await? > 0, "the hub closed the connection");
        Ok(())
    }
}
