//! The accept loop: TCP, then the TLS handshake within its limits, then over to HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::config::{Limits, count};
use crate::identity::PeerIdentity;
use crate::metrics::{ByReason, Counter, Metrics};
use crate::net::{BoxStream, Listener};
use crate::tls::{self, Credentials, PeerReason, PeerRefusal};

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
    handshakes: Arc<Semaphore>,
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
        handshakes: Arc::new(Semaphore::new(count(limits.max_handshakes))),
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

/// Takes the permits and lets the handshake run by itself, so that no caller can hold up the next.
fn admit(gate: &Arc<Gate>, stream: BoxStream, address: String, sender: &mpsc::Sender<io::Result<PeerStream>>) {
    let connection = Arc::clone(&gate.connections).try_acquire_owned();
    let handshake = Arc::clone(&gate.handshakes).try_acquire_owned();
    let (Ok(connection), Ok(handshake)) = (connection, handshake) else {
        let detail = "too many connections at one time";
        gate.refuse(&PeerRefusal::new(PeerReason::ConnectionLimit, None, detail), &address);
        return;
    };
    let (gate, sender) = (Arc::clone(gate), sender.clone());
    tokio::spawn(async move {
        let outcome = gate.handshake(stream).await;
        drop(handshake);
        match outcome {
            Ok((stream, identity)) => {
                gate.counts.accepted.inc();
                tracing::debug!(address, peer = %identity.id(), "connection accepted");
                let cut = Box::pin(gate.cut.clone().cancelled_owned());
                let stream = PeerStream { stream, peer: PeerConnection { identity }, cut, _permit: connection };
                // Nobody takes it when the process is stopping; it is closed then.
                let _ = sender.send(Ok(stream)).await;
            }
            Err(refusal) => gate.refuse(&refusal, &address),
        }
    });
}

impl Gate {
    async fn handshake(&self, stream: BoxStream) -> Result<(TlsStream<BoxStream>, PeerIdentity), PeerRefusal> {
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.timeout, self.acceptor.accept(stream)) => shaken,
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
        Ok((stream, identity))
    }

    fn refuse(&self, refusal: &PeerRefusal, address: &str) {
        self.counts.refused.count_named(refusal.kind().as_str());
        let presented = refusal.presented();
        tracing::warn!(address, reason = refusal.reason(), presented, %refusal, "connection refused");
    }
}

/// A connection whose peer is known. Holds its place among `max_connections` until it is dropped.
pub(crate) struct PeerStream {
    stream: TlsStream<BoxStream>,
    peer: PeerConnection,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for PeerStream {
    type ConnectInfo = PeerConnection;

    fn connect_info(&self) -> PeerConnection {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // An HTTP/2 connection always has a read pending, so a cut reaches it even when nothing flows.
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
