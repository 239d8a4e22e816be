//! The device over MQTT 3.1.1.

use bytes::{Bytes, BytesMut};
use device_wire::{
    bag,
    mqtt::{self, Clean, Connect, ConnectCode, Delivery, Packet, PacketId, Publish, QoS, Retain},
    topic::{self, Subscription},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::{
    Afterwards, DeviceError, DevicePlan, KEEP_ALIVE, More, PATIENCE, Reading, Told, broken, closed,
    readings::{ALERT, CONTENT_ENCODING, CONTENT_TYPE},
    text,
    tls::Stream,
};

/// Most octets of one packet that a hub sends.
const MAX_PACKET: usize = 1024 * 1024;
/// What the device asks for when it connects; the hub keeps to it or refuses.
const API_VERSION: &str = "2021-04-12";

type Tell<'a> = &'a mut (dyn FnMut(Told) + Send);

pub(super) async fn live(plan: &DevicePlan, stream: Stream, tell: Tell<'_>) -> Result<(), DeviceError> {
    let mut client = Client::new(plan, stream);
    client.greet(plan).await?;
    tell(Told::Accepted);
    if plan.afterwards == Afterwards::Wait {
        client
            .subscribe(&[Subscription::CloudToDevice, Subscription::Methods, Subscription::TwinDesired], tell)
            .await?;
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
    client.leave().await
}

pub(super) async fn report(plan: &DevicePlan, stream: Stream, patch: &Value) -> Result<u64, DeviceError> {
    let mut client = Client::new(plan, stream);
    client.greet(plan).await?;
    client.subscribe(&[Subscription::TwinResponses], &mut |_| {}).await?;
    let id = client.next_id();
    let publish = Publish {
        topic: "$iothub/twin/PATCH/properties/reported/?$rid=1".to_owned(),
        delivery: Delivery::First(id),
        retain: Retain::No,
        payload: Bytes::from(patch.to_string()),
    };
    client.write(&Packet::Publish(publish)).await?;
    loop {
        let Packet::Publish(answer) = client.next().await? else { continue };
        let version = answer.topic.strip_prefix("$iothub/twin/res/204/").and_then(|q| topic::query(q, "$version"));
        let refused = || DeviceError::Refused(format!("it answered {}", answer.topic));
        let version = version.and_then(|version| version.parse().ok()).ok_or_else(refused)?;
        client.leave().await?;
        return Ok(version);
    }
}

pub(super) async fn take(
    plan: &DevicePlan,
    stream: Stream,
    wanted: &mut (dyn FnMut(&str) -> More + Send),
) -> Result<(), DeviceError> {
    let mut client = Client::new(plan, stream);
    client.greet(plan).await?;
    let mut more = More::Wanted;
    let mut tell = |told| {
        if let Told::Message { body, .. } = told {
            more = wanted(&body);
        }
    };
    client.subscribe(&[Subscription::CloudToDevice], &mut tell).await?;
    while more == More::Wanted {
        let packet = client.next().await?;
        let mut tell = |told| {
            if let Told::Message { body, .. } = told {
                more = wanted(&body);
            }
        };
        client.deal_with(packet, &mut tell).await?;
    }
    client.leave().await
}

struct Client {
    stream: Stream,
    arrived: BytesMut,
    last_id: u16,
    device: String,
}

impl Client {
    fn new(plan: &DevicePlan, stream: Stream) -> Self {
        Self { stream, arrived: BytesMut::new(), last_id: 0, device: plan.device_id.clone() }
    }

    async fn leave(&mut self) -> Result<(), DeviceError> {
        self.write(&Packet::Disconnect).await?;
        self.stream.shutdown().await.map_err(broken)
    }

    async fn greet(&mut self, plan: &DevicePlan) -> Result<(), DeviceError> {
        let username = format!("{}/{}/?api-version={API_VERSION}&DeviceClientType=countersign", plan.host, self.device);
        let keep_alive = u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX);
        let connect = Connect {
            client_id: self.device.clone(),
            clean: Clean::Start,
            keep_alive,
            will: None,
            username: Some(username),
            password: None,
        };
        self.write(&Packet::Connect(connect)).await?;
        let Packet::ConnAck(answer) = self.next().await? else {
            return Err(DeviceError::NotUnderstood("the first packet is not CONNACK".to_owned()));
        };
        match answer.code {
            ConnectCode::Accepted => Ok(()),
            ConnectCode::NotAuthorized => Err(DeviceError::Refused("CONNACK 5, not authorised".to_owned())),
            ConnectCode::UnacceptableProtocol
            | ConnectCode::IdentifierRejected
            | ConnectCode::ServerUnavailable
            | ConnectCode::BadUserNameOrPassword => Err(DeviceError::Refused(format!("CONNACK {:?}", answer.code))),
        }
    }

    async fn subscribe(&mut self, wanted: &[Subscription], tell: Tell<'_>) -> Result<(), DeviceError> {
        let filters = wanted.iter().map(|what| (what.filter(&self.device), QoS::AtLeastOnce)).collect();
        let id = self.next_id();
        self.write(&Packet::Subscribe(id, filters)).await?;
        self.until(tell, |packet| matches!(packet, Packet::SubAck(answered, _) if *answered == id)).await
    }

    async fn send_reading(&mut self, reading: &Reading, tell: Tell<'_>) -> Result<(), DeviceError> {
        let properties = [
            ("$.mid", reading.number.to_string()),
            ("$.ct", CONTENT_TYPE.to_owned()),
            ("$.ce", CONTENT_ENCODING.to_owned()),
            (ALERT, reading.alert().to_owned()),
        ];
        let bag = bag::encode(properties.iter().map(|(name, value)| (*name, value.as_str())));
        let id = self.next_id();
        let publish = Publish {
            topic: topic::events(&self.device, &bag),
            delivery: Delivery::First(id),
            retain: Retain::No,
            payload: Bytes::from(reading.body(&self.device).to_string()),
        };
        self.write(&Packet::Publish(publish)).await?;
        self.until(tell, |packet| *packet == Packet::PubAck(id)).await
    }

    /// Reads until the packet that is waited for; what comes before it is dealt with.
    async fn until(&mut self, tell: Tell<'_>, wanted: impl Fn(&Packet) -> bool) -> Result<(), DeviceError> {
        loop {
            let packet = self.next().await?;
            if wanted(&packet) {
                return Ok(());
            }
            self.deal_with(packet, tell).await?;
        }
    }

    /// Deals with what comes, until the hub ends it.
    async fn wait(&mut self, tell: Tell<'_>) -> Result<(), DeviceError> {
        loop {
            // Twice in the time that was promised, so that a lost moment does not matter.
            let packet = tokio::select! {
                packet = self.arrive() => Some(packet?),
                () = sleep(KEEP_ALIVE / 2) => None,
            };
            match packet {
                Some(packet) => self.deal_with(packet, tell).await?,
                None => self.write(&Packet::PingReq).await?,
            }
        }
    }

    async fn deal_with(&mut self, packet: Packet, tell: Tell<'_>) -> Result<(), DeviceError> {
        let Packet::Publish(publish) = packet else { return Ok(()) };
        let Publish { topic, delivery, payload, .. } = publish;
        let queue = topic::cloud_to_device(&self.device, "");
        if let Some(bag) = topic.strip_prefix(&queue) {
            let properties = bag::decode(bag).map_err(|error| DeviceError::NotUnderstood(error.to_string()))?;
            tell(Told::Message { body: text(&payload), properties });
        } else if let Some((name, query)) = topic.strip_prefix("$iothub/methods/POST/").and_then(|t| t.split_once('/'))
        {
            tell(Told::Method { name: name.to_owned(), payload: text(&payload) });
            let request = topic::query(query, "$rid").unwrap_or_default();
            let answer = Publish {
                topic: format!("$iothub/methods/res/200/?$rid={request}"),
                delivery: Delivery::AtMostOnce,
                retain: Retain::No,
                payload: Bytes::from_static(b"{\"result\":\"done\"}"),
            };
            self.write(&Packet::Publish(answer)).await?;
        } else if topic.starts_with("$iothub/twin/PATCH/properties/desired/") {
            let patch = serde_json::from_slice(&payload);
            tell(Told::Desired(patch.map_err(|error| DeviceError::NotUnderstood(error.to_string()))?));
        }
        match delivery.packet_id() {
            Some(id) => self.write(&Packet::PubAck(id)).await,
            None => Ok(()),
        }
    }

    fn next_id(&mut self) -> PacketId {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        PacketId::new(self.last_id).unwrap_or(PacketId::MIN)
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), DeviceError> {
        let mut out = BytesMut::new();
        mqtt::encode(packet, &mut out);
        self.stream.write_all(&out).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// The next packet, in good time.
    async fn next(&mut self) -> Result<Packet, DeviceError> {
        let late = |_| DeviceError::NotUnderstood(format!("no answer within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, self.arrive()).await.map_err(late)?
    }

    /// The next packet, whenever it comes. Safe to drop and call again.
    async fn arrive(&mut self) -> Result<Packet, DeviceError> {
        loop {
            let packet = mqtt::decode(&mut self.arrived, MAX_PACKET);
            if let Some(packet) = packet.map_err(|error| DeviceError::NotUnderstood(error.to_string()))? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.arrived).await.map_err(broken)? == 0 {
                return Err(closed());
            }
        }
    }
}
