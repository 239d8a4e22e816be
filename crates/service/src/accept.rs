//! The accept loop: TCP, then the TLS handshake within its limits, then over to HTTP/2.

mod peers;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::{Limits, count};
use crate::identity::PeerIdentity;
use crate::metrics::{ByReason, Counter, Metrics};
use crate::net::{BoxStream, Listener};
use crate::places::{Place, Places};
use crate::tls::{self, Credentials, PeerReason, PeerRefusal};
use peers::{Counted, Peers};
use stream::PeerStream;

/// Connections that finished their handshake and wait to be taken over.
const HANDOVER: usize = 64;
/// After a failed accept, typically too many open files: wait instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whom a connection belongs to; tonic puts it into every request of the connection.
#[derive(Debug, Clone)]
pub(crate) struct PeerConnection {
    pub(crate) identity: PeerIdentity,
}

/// Connections since the start.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionCounts {
    accepted: Counter,
    refused: ByReason,
}

impl ConnectionCounts {
    /// Every reason of a handshake stands there from the start.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let accepted = Counter::default();
        metrics.register("connections_accepted", "Connections whose peer is known", accepted.clone());
        let refused = ByReason::register(metrics, "connections_refused", "Connections refused, by published reason");
        PeerReason::ALL.iter().for_each(|reason| refused.mention(reason.as_str()));
        Self { accepted, refused }
    }
}

/// What every handshake needs.
struct Gate {
    acceptor: TlsAcceptor,
    credentials: Arc<Credentials>,
    connections: Arc<Semaphore>,
    handshakes: Places,
    peers: Peers,
    timeout: Duration,
    counts: ConnectionCounts,
    cut: CancellationToken,
}

/// Starts to accept. Stops when the receiver is dropped; `cut` breaks every connection at once.
pub(crate) fn spawn(
    listener: Box<dyn Listener>,
    credentials: &Arc<Credentials>,
    limits: &Limits,
    counts: ConnectionCounts,
    cut: CancellationToken,
) -> Result<mpsc::Receiver<io::Result<PeerStream>>, rustls::Error> {
    let gate = Gate {
        acceptor: TlsAcceptor::from(credentials.server_config()?),
        credentials: Arc::clone(credentials),
        connections: Arc::new(Semaphore::new(count(limits.max_connections))),
        handshakes: Places::new(count(limits.max_handshakes)),
        peers: Peers::new(count(limits.max_connections_per_peer)),
        timeout: limits.handshake_timeout(),
        counts,
        cut,
    };
    let (sender, receiver) = mpsc::channel(HANDOVER);
    tokio::spawn(accept_all(listener, Arc::new(gate), sender));
    Ok(receiver)
}

async fn accept_all(mut listener: Box<dyn Listener>, gate: Arc<Gate>, sender: mpsc::Sender<io::Result<PeerStream>>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => admit(&gate, stream, address, &sender),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Takes the permit and lets the handshake run by itself, so that no caller can hold up the next.
fn admit(gate: &Arc<Gate>, stream: BoxStream, address: String, sender: &mpsc::Sender<io::Result<PeerStream>>) {
    let Ok(connection) = Arc::clone(&gate.connections).try_acquire_owned() else {
        gate.refuse(&too_many("too many connections at one time", None), &address);
        return;
    };
    let handshake = gate.handshakes.take();
    let (gate, sender) = (Arc::clone(gate), sender.clone());
    tokio::spawn(async move {
        let outcome = gate.handshake(stream, &handshake).await;
        drop(handshake);
        match outcome {
            Ok((stream, identity, counted)) => {
                gate.counts.accepted.inc();
                tracing::debug!(address, peer = %identity.id(), "connection accepted");
                let peer = PeerConnection { identity };
                let stream = PeerStream::new(stream, peer, (connection, counted), gate.timeout, gate.cut.clone());
                // Nobody takes it when the process is stopping; it is closed then.
                let _ = sender.send(Ok(stream)).await;
            }
            Err(refusal) => gate.refuse(&refusal, &address),
        }
    });
}

fn too_many(detail: &str, presented: Option<&str>) -> PeerRefusal {
    PeerRefusal::new(PeerReason::ConnectionLimit, presented, detail)
}

impl Gate {
    async fn handshake(
        &self,
        stream: BoxStream,
        place: &Place,
    ) -> Result<(TlsStream<BoxStream>, PeerIdentity, Counted), PeerRefusal> {
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.timeout, self.acceptor.accept(stream)) => shaken,
            () = place.lost().cancelled() => {
                return Err(too_many("others came to shake hands, and this took longest", None));
            }
            () = self.cut.cancelled() => {
                return Err(PeerRefusal::new(PeerReason::HandshakeFailed, None, "this process is stopping"));
            }
        };
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(PeerRefusal::of_handshake(&error)),
            Err(_) => {
                let detail = format!("no handshake within {} ms", self.timeout.as_millis());
                return Err(PeerRefusal::new(PeerReason::HandshakeTimeout, None, detail));
            }
        };
        let identity = tls::identity_of(stream.get_ref().1, &self.credentials)?;
        let id = identity.id().to_string();
        let counted = self.peers.count(id.clone());
        let counted = counted.ok_or_else(|| too_many("too many connections of this peer at one time", Some(&id)))?;
        Ok((stream, identity, counted))
    }

    fn refuse(&self, refusal: &PeerRefusal, address: &str) {
        self.counts.refused.count_named(refusal.kind().as_str());
        let presented = refusal.presented();
        tracing::warn!(address, reason = refusal.reason(), presented, %refusal, "connection refused");
    }
}
