//! A connection whose peer is known, as HTTP/2 reads and writes it.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::PeerConnection;
use super::peers::Counted;
use crate::net::{BoxStream, Gathering};

/// Octets of HTTP/2's connection preface (RFC 9113 section 3.4): until they are there, nobody else watches the time.
const PREFACE: usize = 24;

/// A connection whose peer is known. Holds its places among the connections until it is dropped.
pub(crate) struct PeerStream {
    stream: Gathering<TlsStream<BoxStream>>,
    peer: PeerConnection,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    opening: Option<Opening>,
    _places: (OwnedSemaphorePermit, Counted),
}

/// What is left of the preface, and of the time for it.
struct Opening {
    octets: usize,
    late: Pin<Box<Sleep>>,
}

impl PeerStream {
    /// `cut` breaks it at once; HTTP/2 must begin `within` this time.
    pub(super) fn new(
        stream: TlsStream<BoxStream>,
        peer: PeerConnection,
        places: (OwnedSemaphorePermit, Counted),
        within: Duration,
        cut: CancellationToken,
    ) -> Self {
        let opening = Opening { octets: PREFACE, late: Box::pin(tokio::time::sleep(within)) };
        let stream = Gathering::new(stream);
        Self { stream, peer, cut: Box::pin(cut.cancelled_owned()), opening: Some(opening), _places: places }
    }
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
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(opening) = &mut self.opening else { return read };
        opening.octets = opening.octets.saturating_sub(buf.filled().len() - before);
        if opening.octets == 0 {
            self.opening = None;
        } else if read.is_pending() && opening.late.as_mut().poll(cx).is_ready() {
            tracing::warn!(peer = %self.peer.identity.id(), "connection closed: HTTP/2 did not begin on it");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
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
