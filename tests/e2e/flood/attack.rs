//! What somebody can do at a port who does not want to be served: with a certificate that is known there, or without.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use simulator::Organisation;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_WINDOW, PING, PREFACE, RST_STREAM, field, frame,
    greeting, header, hear, request,
};
use crate::identity::believing_as;

/// How often an attacker who is thrown out comes again.
const TRIES: usize = 20;
/// Between two octets of somebody slow.
const SLOW: Duration = Duration::from_millis(20);
/// The octets that fit into one frame.
const FRAME: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Connections that say nothing; more than handshakes may be under way.
    Silence,
    /// A handshake in single octets.
    SlowHandshake,
    /// A known peer that begins no HTTP/2.
    NoPreface,
    /// The headers of a request in single octets.
    SlowHeaders,
    /// Headers without an end.
    EndlessHeaders,
    /// Streams that are opened and taken back at once.
    RapidReset,
    /// Calls whose answers are never read, as many as a connection may have.
    NeverRead,
    /// Pings whose answers are never read.
    UnreadPings,
    /// Messages that say they are of 4 GiB, and begin.
    Oversized,
    /// Connections to the probes' port that ask nothing; more than it takes.
    SilentProbes,
}

impl Attack {
    pub(super) const ALL: [Self; 10] = [
        Self::Silence,
        Self::SlowHandshake,
        Self::NoPreface,
        Self::SlowHeaders,
        Self::EndlessHeaders,
        Self::RapidReset,
        Self::NeverRead,
        Self::UnreadPings,
        Self::Oversized,
        Self::SilentProbes,
    ];

    /// At one time.
    pub(super) fn connections(self) -> usize {
        match self {
            Self::Silence => 400,
            Self::SlowHandshake | Self::NoPreface | Self::SlowHeaders => 64,
            Self::EndlessHeaders | Self::RapidReset | Self::UnreadPings => 4,
            Self::NeverRead => 16,
            Self::Oversized => 8,
            Self::SilentProbes => 100,
        }
    }

    /// How many connections, at least, the service ends while others are served; who is only slow has until a limit.
    pub(super) fn thrown_out(self) -> usize {
        match self {
            Self::SlowHandshake | Self::SlowHeaders | Self::NeverRead | Self::UnreadPings => 0,
            // As many as there is no room for.
            Self::Silence => 400 - 256,
            Self::SilentProbes => 100 - 64,
            Self::NoPreface | Self::EndlessHeaders | Self::RapidReset | Self::Oversized => self.connections(),
        }
    }
}

/// A service, and who one is there.
pub(super) struct Target {
    grpc: String,
    probes: String,
    call: &'static str,
    tls: TlsConnector,
}

impl Target {
    pub(super) fn new(grpc: &str, probes: &str, call: &'static str, own: &Organisation, file: &str) -> Self {
        let tls = TlsConnector::from(Arc::new(believing_as(own, file)));
        Self { grpc: grpc.to_owned(), probes: probes.to_owned(), call, tls }
    }

    async fn tcp(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.grpc).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn known(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls.connect(nobody(), self.tcp().await?).await
    }

    /// A connection that greeted.
    async fn greeted(&self, settings: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut stream = self.known().await?;
        stream.write_all(&greeting(settings)).await?;
        Ok(stream)
    }
}

fn nobody() -> ServerName<'static> {
    ServerName::try_from("peer.invalid").unwrap()
}

/// Attackers at work, until they are dropped.
pub(super) struct Attackers {
    attack: Attack,
    progress: Arc<Progress>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Progress {
    in_place: AtomicUsize,
    thrown_out: AtomicUsize,
    changed: Notify,
}

impl Progress {
    fn count(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    async fn until(&self, counter: &AtomicUsize, wanted: usize) {
        loop {
            let changed = self.changed.notified();
            if counter.load(Ordering::SeqCst) >= wanted {
                return;
            }
            changed.await;
        }
    }
}

impl Attackers {
    pub(super) fn start(attack: Attack, target: &Arc<Target>) -> Self {
        let progress = Arc::new(Progress::default());
        let mut tasks = JoinSet::new();
        for _ in 0..attack.connections() {
            let (target, progress) = (Arc::clone(target), Arc::clone(&progress));
            tasks.spawn(async move {
                // Who only sits there takes one place; a crowd of them that ran in circles would be another attack.
                let tries = if matches!(attack, Attack::Silence | Attack::SilentProbes) { 1 } else { TRIES };
                for _ in 0..tries {
                    // Thrown out while connecting is thrown out as well.
                    let _ = attack.once(&target, &progress).await;
                    progress.count(&progress.thrown_out);
                }
            });
        }
        Self { attack, progress, _tasks: tasks }
    }

    /// Until everybody is connected, and did what they came for as far as they can.
    pub(super) async fn in_place(&self) {
        self.progress.until(&self.progress.in_place, self.attack.connections()).await;
    }

    /// Until as many were thrown out as must be.
    pub(super) async fn thrown_out(&self) {
        self.progress.until(&self.progress.thrown_out, self.attack.thrown_out()).await;
    }
}

impl Attack {
    /// Attacks over one connection, for as long as it is let.
    async fn once(self, target: &Target, progress: &Progress) -> std::io::Result<()> {
        let in_place = || progress.count(&progress.in_place);
        match self {
            Self::Silence => {
                let mut stream = target.tcp().await?;
                in_place();
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Self::SilentProbes => {
                let mut stream = TcpStream::connect(&target.probes).await?;
                in_place();
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Self::SlowHandshake => {
                let mut hello = Vec::new();
                let mut client = ClientConnection::new(Arc::clone(target.tls.config()), nobody()).unwrap();
                client.write_tls(&mut hello)?;
                let mut stream = target.tcp().await?;
                in_place();
                slowly(&mut stream, &hello).await?;
            }
            Self::NoPreface => {
                let mut stream = target.known().await?;
                stream.write_all(&PREFACE[..PREFACE.len() - 1]).await?;
                in_place();
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Self::SlowHeaders => {
                let mut stream = target.greeted(&[]).await?;
                stream.write_all(&header(FRAME, HEADERS, END_HEADERS, 1)).await?;
                in_place();
                slowly(&mut stream, &request(target.call)).await?;
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Self::EndlessHeaders => endless_headers(target, &in_place).await?,
            Self::RapidReset => rapid_reset(target, &in_place).await?,
            Self::NeverRead => {
                let mut stream = target.greeted(&NO_WINDOW).await?;
                for number in (1..).step_by(2).take(256) {
                    stream.write_all(&frame(HEADERS, END_HEADERS, number, &request(target.call))).await?;
                    stream.write_all(&frame(DATA, END_STREAM, number, &[0; 5])).await?;
                }
                in_place();
                std::future::pending::<()>().await;
            }
            Self::UnreadPings => {
                let mut stream = target.greeted(&[]).await?;
                let pings = frame(PING, 0, 0, &[7; 8]).repeat(1000);
                in_place();
                loop {
                    stream.write_all(&pings).await?;
                }
            }
            Self::Oversized => oversized(target, &in_place).await?,
        }
        Ok(())
    }
}

async fn slowly(stream: &mut (impl tokio::io::AsyncWrite + Unpin), octets: &[u8]) -> std::io::Result<()> {
    for octet in octets {
        stream.write_all(&[*octet]).await?;
        stream.flush().await?;
        // Being slow is the attack.
        tokio::time::sleep(SLOW).await;
    }
    Ok(())
}

async fn endless_headers(target: &Target, in_place: &impl Fn()) -> std::io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(target.greeted(&[]).await?);
    in_place();
    let more = field("x-more", &"m".repeat(100)).repeat(100);
    let writes = async {
        writing.write_all(&frame(HEADERS, 0, 1, &request(target.call))).await?;
        loop {
            writing.write_all(&frame(CONTINUATION, 0, 1, &more)).await?;
        }
    };
    tokio::select! {
        written = writes => written,
        _ = hear(&mut reading, &[GOAWAY]) => Ok(()),
    }
}

async fn rapid_reset(target: &Target, in_place: &impl Fn()) -> std::io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(target.greeted(&[]).await?);
    in_place();
    let writes = async {
        for first in (1..).step_by(400) {
            let mut burst = Vec::new();
            for number in (first..first + 400).step_by(2) {
                burst.extend(frame(HEADERS, END_HEADERS, number, &request(target.call)));
                burst.extend(frame(RST_STREAM, 0, number, &[0, 0, 0, 8]));
            }
            writing.write_all(&burst).await?;
        }
        Ok(())
    };
    tokio::select! {
        written = writes => written,
        _ = hear(&mut reading, &[GOAWAY]) => Ok(()),
    }
}

async fn oversized(target: &Target, in_place: &impl Fn()) -> std::io::Result<()> {
    let mut stream = target.greeted(&[]).await?;
    in_place();
    for number in (1..).step_by(2).take(50) {
        stream.write_all(&frame(HEADERS, END_HEADERS, number, &request(target.call))).await?;
        let mut message = vec![0, 0xff, 0xff, 0xff, 0xf0];
        message.resize(FRAME, 0x30);
        stream.write_all(&frame(DATA, 0, number, &message)).await?;
        // Answered before the message is there.
        if !hear(&mut stream, &[HEADERS, RST_STREAM]).await {
            return Ok(());
        }
    }
    Ok(())
}
