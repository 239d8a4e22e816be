//! The doors: accept, finish the handshake within the limits, hand over to the protocol.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api::Refusal;
use service::{
    net::{BoxStream, Listener},
    places::Places,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    OpenError, Wire, amqp,
    guest::{Guest, House, Permits, Visitor},
    https, limits, mqtt, sessions, tls,
};
use crate::admission::Protocol;

/// After a failed accept, typically too many open files: wait instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long an honest device may take until it is known, also in a crowd. Who takes longer makes room when it is wanted.
const SLOW: Duration = Duration::from_secs(2);
/// The only application protocol over HTTPS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Where to listen; a door without an address stays closed. `host:port`, port 0 for a free one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// MQTT over TLS.
    pub mqtt: Option<String>,
    /// AMQP over TLS.
    pub amqp: Option<String>,
    /// HTTPS.
    pub https: Option<String>,
}

/// The addresses actually bound.
pub type Bound = Addresses;

/// What a door needs beside the house.
struct Gate {
    house: Arc<House>,
    acceptor: TlsAcceptor,
    protocol: Protocol,
    connections: Arc<Semaphore>,
    strangers: Places,
    web: https::Web,
}

impl Gate {
    /// Whoever does not come as far as TLS has no name to be asked for by: it is counted, and in the log.
    fn turn_away(&self, from: SocketAddr, refusal: &Refusal) {
        let (protocol, reason, message) = (self.protocol, refusal.reason(), refusal.message());
        tracing::info!(%from, %protocol, reason, message, "connection refused");
        self.house.admission.turned_away(refusal);
    }
}

pub(super) async fn open(wire: Wire, addresses: &Addresses) -> Result<Bound, OpenError> {
    let house = Arc::new(House {
        admission: wire.admission,
        sessions: wire.sessions,
        clock: wire.clock,
        limits: wire.limits,
        stop: wire.stop,
    });
    let connections = Arc::new(Semaphore::new(limits::count(house.limits.max_connections)));
    let strangers = Places::new(limits::count(house.limits.max_strangers));
    let plans = [
        (Protocol::Mqtt, &addresses.mqtt, &[][..]),
        (Protocol::Amqp, &addresses.amqp, &[][..]),
        (Protocol::Https, &addresses.https, &[HTTP_1_1][..]),
    ];
    let mut open = Vec::new();
    for (protocol, address, application) in plans {
        let Some(address) = address else {
            open.push(None);
            continue;
        };
        let refused = |source| OpenError { address: address.clone(), source };
        let config = wire.tls.server_config(application).map_err(io::Error::other).map_err(refused)?;
        let listener = wire.network.listen(address).await.map_err(refused)?;
        open.push(Some((protocol, TlsAcceptor::from(config), listener)));
    }
    // Nothing is served before everything is bound, so that a failure leaves nothing behind.
    let web = https::Web::new(&house, wire.rest);
    let mut bound = open.into_iter().map(|door| {
        let (protocol, acceptor, listener) = door?;
        let local = listener.local_address();
        let (connections, strangers) = (Arc::clone(&connections), strangers.clone());
        let gate = Gate { house: Arc::clone(&house), acceptor, protocol, connections, strangers, web: web.clone() };
        tokio::spawn(accept_all(listener, Arc::new(gate)));
        tracing::info!(%protocol, address = local, "bound for devices");
        Some(local)
    });
    let bound = Bound { mqtt: bound.next().flatten(), amqp: bound.next().flatten(), https: bound.next().flatten() };
    tokio::spawn(sessions::watch(house));
    Ok(bound)
}

async fn accept_all(mut listener: Box<dyn Listener>, gate: Arc<Gate>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gate.house.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => receive(&gate, stream, &address),
            Err(error) => {
                tracing::warn!(%error, "accepting a device's connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Takes the permits and lets the handshake run by itself, so that no device can hold up the next.
fn receive(gate: &Arc<Gate>, stream: BoxStream, address: &str) {
    // Only a network inside the process has addresses that are none of the Internet's.
    let from = address.parse().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let Ok(connection) = Arc::clone(&gate.connections).try_acquire_owned() else {
        return gate.turn_away(from, &too_many("as many connections are open as devices.max_connections allows"));
    };
    let Some(stranger) = gate.strangers.take_from_the_slow(gate.house.limits.greeting().min(SLOW)) else {
        return gate.turn_away(from, &too_many("as many devices come in as devices.max_strangers allows"));
    };
    let permits = Permits { stranger: Some(stranger), _connection: connection };
    let gate = Arc::clone(gate);
    tokio::spawn(async move {
        let stop = gate.house.stop.clone();
        let Some(guest) = handshake(&gate, stream, from, permits).await else { return };
        match gate.protocol {
            Protocol::Mqtt | Protocol::MqttWebSocket => mqtt::serve(Arc::clone(&gate.house), guest).await,
            Protocol::Amqp | Protocol::AmqpWebSocket => amqp::serve(Arc::clone(&gate.house), guest).await,
            Protocol::Https => tokio::select! {
                () = gate.web.serve(guest) => {}
                () = stop.cancelled() => {}
            },
        }
    });
}

fn too_many(message: &str) -> Refusal {
    Refusal::new("CONNECTION_LIMIT_REACHED", message)
}

async fn handshake(gate: &Gate, stream: BoxStream, from: SocketAddr, permits: Permits) -> Option<Guest> {
    let shaken = tokio::select! {
        shaken = timeout(gate.house.limits.greeting(), gate.acceptor.accept(stream)) => shaken,
        () = permits.lost() => {
            gate.turn_away(from, &too_many("others came to shake hands, and this took longest"));
            return None;
        }
        () = gate.house.stop.cancelled() => return None,
    };
    let refusal = match shaken {
        Ok(Ok(stream)) => {
            let presented = tls::presented(stream.get_ref().1);
            let visitor = Visitor { presented: Arc::from(presented), from, protocol: gate.protocol };
            return Some(Guest { stream: Box::new(stream), visitor, permits });
        }
        Ok(Err(error)) => Refusal::new("PEER_HANDSHAKE_FAILED", error.to_string()),
        Err(_) => Refusal::new("PEER_HANDSHAKE_TIMEOUT", "TLS is not up within devices.greeting_ms"),
    };
    gate.turn_away(from, &refusal);
    None
}
