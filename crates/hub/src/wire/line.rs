//! One connection's octets: what has arrived and is not read yet, and what is to be written.

use std::{io, time::Duration};

use bytes::BytesMut;
use service::net::BoxStream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// Octets that are made room for at each read.
const READ_OCTETS: usize = 4 * 1024;
/// What is written at once before the rest is collected.
const LARGE: usize = 64 * 1024;
/// How long, and how much, a closed connection is still listened to: closing with octets unread resets the connection, and the last
/// answer with it (RFC 1122 section 4.2.2.13).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 256 * 1024;
/// How long the last answer may take, whatever the patience was.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection with its buffers.
pub(super) struct Line {
    stream: BoxStream,
    /// What has arrived and is not read yet. Whoever reads it bounds it.
    pub(super) arrived: BytesMut,
    /// What is to be written.
    pub(super) out: BytesMut,
    patience: Duration,
}

/// Why nothing can be said or heard any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The device closed the connection without a word.
    #[error("the device closed the connection")]
    Closed,
    /// The device does not take what is written to it.
    #[error("the device did not take what was written for {} ms", .0.as_millis())]
    Slow(Duration),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
}

impl Line {
    pub(super) fn new(stream: BoxStream, patience: Duration) -> Self {
        Self { stream, arrived: BytesMut::new(), out: BytesMut::new(), patience }
    }

    /// Waits for more to arrive. Safe to drop and call again.
    pub(super) async fn fill(&mut self) -> Result<(), LineError> {
        self.arrived.reserve(READ_OCTETS);
        match self.stream.read_buf(&mut self.arrived).await {
            Ok(0) => Err(LineError::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(LineError::Closed),
            Err(error) => Err(LineError::Broken(error)),
        }
    }

    /// Writes what is to be written.
    pub(super) async fn flush(&mut self) -> Result<(), LineError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = self.out.split();
        let written = timeout(self.patience, async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LineError::Broken(error)),
            Err(_) => Err(LineError::Slow(self.patience)),
        }
    }

    /// Writes what is to be written if it has become much.
    pub(super) async fn flush_if_large(&mut self) -> Result<(), LineError> {
        if self.out.len() < LARGE { Ok(()) } else { self.flush().await }
    }

    /// Writes what is left, says goodbye, and waits a moment for the other side to do the same.
    pub(super) async fn close(mut self) {
        self.patience = self.patience.min(FAREWELL);
        if self.flush().await.is_err() {
            return;
        }
        let _ = timeout(LINGER, async {
            let _ = self.stream.shutdown().await;
            let mut unread = 0;
            while unread < LINGER_OCTETS {
                self.arrived.clear();
                if self.fill().await.is_err() {
                    return;
                }
                unread += self.arrived.len();
            }
        })
        .await;
    }
}
