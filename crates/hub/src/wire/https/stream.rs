//! A connection of the web server, watched for silence.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use service::net::{BoxFuture, BoxStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{Caller, casing::Watcher};
use crate::wire::guest::{Guest, Permits};

/// How long a connection may say nothing, between requests and within one, and how long the head of a request may take.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// A connection. Holds its place among `max_connections` until it is dropped.
pub(super) struct WebStream {
    stream: BoxStream,
    caller: Caller,
    watcher: Watcher,
    silence: Pin<Box<Sleep>>,
    /// Ends when others take this stranger's place; none once it did.
    lost: Option<BoxFuture<'static, ()>>,
    _permits: Permits,
}

impl WebStream {
    pub(super) fn new(guest: Guest) -> Self {
        let Guest { stream, visitor, mut permits } = guest;
        let lost = Box::pin(permits.lost());
        let stranger = Arc::new(Mutex::new(permits.stranger.take()));
        let watcher = Watcher::default();
        let caller = Caller { visitor, casing: watcher.casing(), last: Arc::default(), stranger };
        Self { stream, caller, watcher, silence: Box::pin(sleep(SILENCE)), lost: Some(lost), _permits: permits }
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for WebStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
            self.watcher.watch(buf.filled().get(before..).unwrap_or_default());
            return read;
        }
        self.poll_end(cx).map(Err)
    }
}

impl WebStream {
    /// Why the connection is closed although it neither says nor takes anything. Also while it does not take what is written: nothing is
    /// read from it then.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(lost) = &mut self.lost
            && lost.as_mut().poll(cx).is_ready()
        {
            self.lost = None;
            let from = self.caller.from();
            tracing::info!(%from, reason = "CONNECTION_LIMIT_REACHED", "others came, and this one is not known: closed");
            return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
        }
        self.silence.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl AsyncWrite for WebStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if written.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
            return written;
        }
        self.poll_end(cx).map(Err)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() { flushed } else { self.poll_end(cx).map(Err) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
