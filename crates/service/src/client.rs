//! Channels to other services: our TLS, a known peer, a deadline on every call.

mod peer_channel;
mod unsent;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::AsyncBufReadExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::config::Limits;
use crate::net::{BoxStream, Gathering, Network};
use crate::tls::{Credentials, ExpectedPeer, PeerReason, PeerRefusal};

pub use peer_channel::PeerChannel;
pub(crate) use peer_channel::Reaches;

/// A name that is never looked up nor sent: the peer is known by its SPIFFE id.
const PLACEHOLDER: &str = "peer.invalid";

/// Why a channel cannot be made. Once made, failures are those of its calls.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address is not `host:port`.
    #[error("{address:?} is not host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// TLS cannot be set up.
    #[error("tls cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The transport cannot be set up.
    #[error("the transport cannot be set up")]
    Transport(#[from] tonic::transport::Error),
}

impl ChannelError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "PEER_ADDRESS_REFUSED",
            Self::Tls(_) | Self::Transport(_) => "SETUP_FAILED",
        }
    }
}

/// A channel to the peer `expected` at `address` (`host:port`, with or without `https://`).
///
/// It connects with the first call and again whenever the connection is gone; open connections outlive a reload of
/// the credentials, new ones use what is current. A call without an answer within `request_timeout_ms` fails; a
/// connection attempt has `handshake_timeout_ms`. When the peer is not the expected one, the calls fail with
/// UNAVAILABLE, and [`PeerRefusal::find`](crate::tls::PeerRefusal::find) tells why.
///
/// # Errors
/// [`ChannelError`]; nothing has been connected yet.
pub fn connect(
    network: &Arc<dyn Network>,
    address: &str,
    expected: ExpectedPeer,
    own: &Arc<Credentials>,
    limits: &Limits,
) -> Result<Channel, ChannelError> {
    let address = address.strip_prefix("https://").unwrap_or(address).trim_end_matches('/').to_owned();
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_port {
        return Err(ChannelError::Address { address });
    }
    let dialer = Dialer {
        network: Arc::clone(network),
        address: Arc::from(address),
        tls: TlsConnector::from(own.client_config(expected)?),
        timeout: limits.handshake_timeout(),
    };
    // The connector below knows the address; this one only has to be well-formed, and is the HTTP/2 authority.
    let endpoint = Endpoint::from_shared(format!("https://{PLACEHOLDER}"))?
        .timeout(limits.request_timeout())
        .connect_timeout(limits.handshake_timeout())
        .http2_keep_alive_interval(limits.keepalive_interval())
        .keep_alive_timeout(limits.keepalive_timeout())
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(Gathering::new).map(TokioIo::new) }
    })))
}

#[derive(Clone)]
struct Dialer {
    network: Arc<dyn Network>,
    address: Arc<str>,
    tls: TlsConnector,
    timeout: Duration,
}

impl Dialer {
    async fn dial(&self) -> io::Result<TlsStream<BoxStream>> {
        let attempt = async {
            let stream = self.network.connect(&self.address).await?;
            let name = ServerName::try_from(PLACEHOLDER).map_err(io::Error::other)?;
            let mut stream = self.tls.connect(name, stream).await?;
            first_octets(&mut stream).await?;
            Ok(stream)
        };
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("connecting to {}", self.address))),
        }
    }
}

/// Waits until the server speaks, which it does unasked (RFC 9113, section 3.4). A TLS 1.3 client believes to be through
/// before the server has judged its certificate (RFC 8446, section 4.4.4); the verdict would otherwise hit a call.
async fn first_octets(stream: &mut TlsStream<BoxStream>) -> io::Result<()> {
    let error = match stream.fill_buf().await {
        Ok([]) => io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection at once"),
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => {
            let detail = format!("the peer refused us with the alert {alert:?}; its log says why");
            Err(io::Error::other(PeerRefusal::new(PeerReason::RefusedByPeer, None, detail)))
        }
        _ => Err(error),
    }
}
