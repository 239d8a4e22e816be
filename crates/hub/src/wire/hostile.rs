//! Sessions of a device that was let in, without TLS and with a registry that lets everybody do everything: what is driven with octets
//! that nobody should send. Built with the feature `hostile` alone.

mod everybody;

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use device_wire::{
    amqp::{Open, PROTOCOL_HEADER, Performative, frame},
    mqtt::{self, Clean, Connect, Packet},
};
use service::SystemClock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{
    DeviceLimits, SessionTable, amqp,
    guest::{Guest, House, Permits, Visitor},
    mqtt as mqtt_door,
};
use crate::admission::{Protocol, Sessions as _};
use everybody::Everybody;

/// The device's id, as its topics and addresses have it.
pub const DEVICE: &str = "d1";
/// What came of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Sessions that are left when all is over; there should be none.
    pub sessions: usize,
    /// What the hub said.
    pub answers: Vec<u8>,
}

/// Octets that may be under way in one direction.
const UNDER_WAY: usize = 16 * 1024;

/// A device connects over MQTT, is let in, says `octets` and closes its side. None: nothing could be driven.
#[must_use]
pub fn mqtt_session(octets: &[u8]) -> Option<Ended> {
    let connect = Connect {
        client_id: DEVICE.to_owned(),
        clean: Clean::Resume,
        keep_alive: 60,
        will: None,
        username: None,
        password: None,
    };
    let mut said = BytesMut::new();
    mqtt::encode(&Packet::Connect(connect), &mut said);
    said.extend_from_slice(octets);
    run(Protocol::Mqtt, said.freeze())
}

/// The same over AMQP, from after Open.
#[must_use]
pub fn amqp_connection(octets: &[u8]) -> Option<Ended> {
    let open = Open {
        container_id: DEVICE.to_owned(),
        hostname: None,
        max_frame_size: None,
        channel_max: None,
        idle_time_out: None,
    };
    let mut said = BytesMut::from(&PROTOCOL_HEADER[..]);
    frame::encode(0, &Performative::Open(open), b"", &mut said);
    said.extend_from_slice(octets);
    run(Protocol::Amqp, said.freeze())
}

fn run(protocol: Protocol, said: Bytes) -> Option<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.ok()?.block_on(converse(protocol, said))
}

async fn converse(protocol: Protocol, said: Bytes) -> Option<Ended> {
    let sessions = SessionTable::new();
    let house = Arc::new(House {
        admission: Arc::new(Everybody::new()),
        sessions: Arc::clone(&sessions),
        clock: Arc::new(SystemClock),
        limits: DeviceLimits { max_message_bytes: 4096, ..DeviceLimits::default() },
        stop: CancellationToken::new(),
    });
    let connection = Arc::new(Semaphore::new(1)).try_acquire_owned().ok()?;
    let (ours, theirs) = tokio::io::duplex(UNDER_WAY);
    let guest = Guest {
        stream: Box::new(theirs),
        visitor: Visitor {
            presented: Arc::from([everybody::certificate()]),
            from: SocketAddr::from(([192, 0, 2, 1], 1)),
            protocol,
        },
        permits: Permits { stranger: None, _connection: connection },
    };
    let serving = async {
        match protocol {
            Protocol::Mqtt | Protocol::MqttWebSocket | Protocol::Https => mqtt_door::serve(house, guest).await,
            Protocol::Amqp | Protocol::AmqpWebSocket => amqp::serve(house, guest).await,
        }
    };
    let (mut hub, mut device) = tokio::io::split(ours);
    let talking = async {
        // The hub may have closed before.
        let _ = device.write_all(&said).await;
        let _ = device.shutdown().await;
    };
    let listening = async {
        let mut answers = Vec::new();
        let _ = hub.read_to_end(&mut answers).await;
        answers
    };
    let ((), (), answers) = tokio::join!(serving, talking, listening);
    Some(Ended { sessions: sessions.count(), answers })
}
