//! A connection that makes one write of what is written to it at one moment.
//!
//! HTTP/2 writes frame by frame, and TLS sends each at once: two writes to the socket for every answer. Here the octets wait until they
//! are flushed, and the flush first lets everybody run who is ready to, because those often have something to add.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most octets that wait; whoever writes more waits until they are sent.
const MOST: usize = 64 * 1024;
/// A connection with nothing to send keeps no more memory than this.
const KEPT: usize = 4 * 1024;

pub(crate) struct Gathering<S> {
    stream: S,
    waiting: Vec<u8>,
    sent: usize,
    /// The others have had their turn since the first of these octets was flushed.
    gathered: bool,
}

impl<S> Gathering<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), sent: 0, gathered: false }
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.waiting.clear();
        self.waiting.shrink_to(KEPT);
        (self.sent, self.gathered) = (0, false);
        Poll::Ready(Ok(()))
    }

    /// How many more octets may wait, once that is any.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= MOST {
            ready!(self.poll_send(context))?;
        }
        Poll::Ready(Ok(MOST.saturating_sub(self.waiting.len())))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(context, &[io::IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context))?;
        let before = self.waiting.len();
        for slice in slices {
            let left = room.saturating_sub(self.waiting.len().saturating_sub(before));
            self.waiting.extend_from_slice(slice.get(..left).unwrap_or(slice));
        }
        Poll::Ready(Ok(self.waiting.len().saturating_sub(before)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() && !std::mem::replace(&mut self.gathered, true) {
            // A task that wakes itself while it runs goes to the end of its worker's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Takes a part of everything and notes the sizes.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        writes: usize,
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
            let taken = octets.len().min(40_000);
            self.taken.extend(octets.iter().take(taken));
            self.writes += 1;
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_goes_in_one_write() {
        let mut connection = Gathering::new(Slow::default());
        connection.write_all(b"one ").await.unwrap();
        let slices = [io::IoSlice::new(b"two "), io::IoSlice::new(b"three")];
        assert_eq!(connection.write_vectored(&slices).await.unwrap(), 9);
        assert_eq!(connection.stream.writes, 0);
        connection.flush().await.unwrap();
        assert_eq!((connection.stream.writes, connection.stream.taken.as_slice()), (1, &b"one two three"[..]));
        connection.flush().await.unwrap();
        assert_eq!(connection.stream.writes, 1);
    }

    #[tokio::test]
    async fn a_flush_lets_the_others_write_first() {
        let mut connection = Gathering::new(Slow::default());
        connection.write_all(b"one").await.unwrap();
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut connection).poll_flush(&mut context).is_pending());
        assert!(Pin::new(&mut connection).poll_write(&mut context, b"two").is_ready());
        assert!(Pin::new(&mut connection).poll_flush(&mut context).is_ready());
        assert_eq!((connection.stream.writes, connection.stream.taken.as_slice()), (1, &b"onetwo"[..]));
    }

    #[tokio::test]
    async fn much_is_sent_in_order_and_little_memory_is_kept() {
        let octets: Vec<u8> = (0..300_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let mut connection = Gathering::new(Slow::default());
        connection.write_all(&octets).await.unwrap();
        assert!(connection.waiting.len() <= MOST);
        connection.shutdown().await.unwrap();
        assert!(connection.stream.taken == octets);
        assert!(connection.waiting.capacity() <= KEPT);
    }
}
