//! The seam between the device protocols (`wire`) and everything that decides (`judge`, `registry`).
//!
//! `wire` knows sockets and sessions and asks [`Admission`]; the registry knows devices and asks [`Sessions`] for what only a live
//! session can do. Neither knows the other's insides.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use api::Refusal;
use bytes::Bytes;
use pki::{Sha256, UnixTime};
use tokio::sync::watch;

/// Most certificates that a device may present.
pub const MAX_PRESENTED: usize = 10;
/// Most octets of all presented certificates together.
pub const MAX_PRESENTED_OCTETS: usize = 16 * 1024;
/// Most octets of a claimed device id that is looked at: as many as an id may have.
pub const MAX_CLAIMED: usize = 128;

/// What a device presented in its TLS handshake: DER, leaf first. Bounded, and otherwise unjudged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedChain(Vec<Bytes>);

impl PresentedChain {
    /// The certificates as they came.
    ///
    /// # Errors
    /// `CHAIN_NOT_PRESENTED` for none, `CHAIN_TOO_LARGE` beyond [`MAX_PRESENTED`] or [`MAX_PRESENTED_OCTETS`].
    pub fn new(certificates: Vec<Bytes>) -> Result<Self, Refusal> {
        if certificates.is_empty() {
            return Err(Refusal::new("CHAIN_NOT_PRESENTED", "the device presented no certificate"));
        }
        let octets: usize = certificates.iter().map(Bytes::len).sum();
        if certificates.len() > MAX_PRESENTED || octets > MAX_PRESENTED_OCTETS {
            let message = format!(
                "the device presented {} certificates of {octets} octets; at most {MAX_PRESENTED} of {MAX_PRESENTED_OCTETS} are read",
                certificates.len()
            );
            return Err(Refusal::new("CHAIN_TOO_LARGE", message));
        }
        Ok(Self(certificates))
    }

    /// DER, leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[Bytes] {
        &self.0
    }
}

/// By which protocol a device connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MQTT 3.1.1 over TLS.
    Mqtt,
    /// MQTT 3.1.1 over a WebSocket.
    MqttWebSocket,
    /// AMQP 1.0 over TLS.
    Amqp,
    /// AMQP 1.0 over a WebSocket.
    AmqpWebSocket,
    /// HTTPS, a request at a time.
    Https,
}

impl Protocol {
    /// As it is printed and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttWebSocket => "mqtt-ws",
            Self::Amqp => "amqp",
            Self::AmqpWebSocket => "amqp-ws",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A device that was let in, with what its session may have to be judged by again. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub(crate) device: Arc<str>,
    pub(crate) claimed: Arc<str>,
    pub(crate) session: u64,
    pub(crate) protocol: Protocol,
    pub(crate) from: SocketAddr,
    pub(crate) certificate: Sha256,
    pub(crate) not_after: UnixTime,
    pub(crate) judged_by: Arc<JudgedBy>,
}

/// What the judgement rested on: when any of it is withdrawn, so is the admission.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JudgedBy {
    /// A path to a registered CA.
    Path {
        /// Name of the registered CA.
        ca: String,
        /// SHA-256 of the registered CA's certificate.
        anchor: Sha256,
        /// SHA-256 of every CA key of the path and of what was presented, the anchor's included.
        keys: Vec<Sha256>,
    },
    /// The thumbprint that the device's record names.
    Thumbprint {
        /// SHA-256 of every CA key that was presented.
        keys: Vec<Sha256>,
    },
}

impl Admitted {
    /// The device id, as the registry knows it.
    #[must_use]
    pub fn device(&self) -> &Arc<str> {
        &self.device
    }

    /// The id as the device wrote it: under Countersign's rules it may differ from [`Self::device`] in case.
    #[must_use]
    pub fn claimed(&self) -> &str {
        &self.claimed
    }

    /// Number of this admission, unique within the process; a later one of the same device is greater.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// By which protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// From where.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// When the device's certificate ends; a session does not outlive it.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }
}

/// A device-to-cloud message. Names and values are decoded; their order is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// System properties by their short names, without `$.`: mid, cid, uid, ct, ce, to, exp, on, ifid.
    pub system: Vec<(String, String)>,
    /// The application's own properties.
    pub properties: Vec<(String, String)>,
    /// The payload.
    pub body: Bytes,
}

/// A cloud-to-device message that waits for its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudMessage {
    /// Number in the device's queue; names it when it is settled.
    pub sequence: u64,
    /// When it was sent.
    pub at: UnixTime,
    /// How often it was handed to the device before.
    pub delivered: u32,
    /// The message, `mid` and `to` among its system properties.
    pub message: Message,
}

/// What a device did with a cloud-to-device message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It is done with it (MQTT PUBACK, AMQP accepted).
    Complete,
    /// It will not have it (AMQP rejected).
    Reject,
    /// It wants it again (AMQP released, or the session ended before it was settled).
    Abandon,
}

/// A device's twin: two JSON objects, each with a version that grows by one with each change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// What the back end wants, a JSON object.
    pub desired: serde_json::Map<String, serde_json::Value>,
    /// Version of `desired`, from 1.
    pub desired_version: u64,
    /// What the device says, a JSON object.
    pub reported: serde_json::Map<String, serde_json::Value>,
    /// Version of `reported`, from 1.
    pub reported_version: u64,
}

/// A change of desired properties, to be pushed to a session that asked for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPatch {
    /// A JSON merge patch (RFC 7396).
    pub patch: serde_json::Map<String, serde_json::Value>,
    /// Version of the desired properties after it.
    pub version: u64,
}

/// What the device protocols ask of the registry.
#[tonic::async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Judges a presented chain for a claimed device id (at most [`MAX_CLAIMED`] octets are looked at). Every refusal is on record with
    /// the chain before it is answered.
    async fn admit(
        &self,
        presented: &PresentedChain,
        claimed: &str,
        protocol: Protocol,
        from: SocketAddr,
    ) -> Result<Admitted, Refusal>;

    /// Puts on record a refusal that the session layer decided before it came to [`Self::admit`]: no chain, an endless one, a bad
    /// user name. The chain is what was presented, cut to the bounds of [`PresentedChain`].
    async fn refused(
        &self,
        presented: &[Bytes],
        claimed: &str,
        protocol: Protocol,
        from: SocketAddr,
        refusal: &Refusal,
    );

    /// Counts a connection that ended before anybody could say who it is: no room, no TLS. Strangers are not put on record.
    fn turned_away(&self, refusal: &Refusal);

    /// Grows with every change that may end sessions: a device or a key disabled, a certificate superseded, a CA deleted. Whoever holds
    /// sessions asks [`Self::still_admitted`] for each of them after a change.
    fn revocations(&self) -> watch::Receiver<u64>;

    /// Whether an admission would be given again; a refusal is on record, and the session is to be closed.
    async fn still_admitted(&self, admitted: &Admitted) -> Result<(), Refusal>;

    /// The session is open: the device shows as connected.
    async fn connected(&self, admitted: &Admitted);

    /// The session is over. A session that was taken over by a later one changes nothing.
    async fn disconnected(&self, admitted: &Admitted, why: &str);

    /// Keeps a message; returns when it is durable.
    async fn telemetry(&self, admitted: &Admitted, message: Message) -> Result<(), Refusal>;

    /// The device's twin.
    async fn twin(&self, admitted: &Admitted) -> Result<Twin, Refusal>;

    /// Merges a patch (JSON octets, an object; RFC 7396) into the reported properties; answers their new version.
    async fn patch_reported(&self, admitted: &Admitted, patch: &[u8]) -> Result<u64, Refusal>;

    /// What the device's last session that was to be resumed was subscribed to (MQTT 3.1.1 section 3.1.2.4), as it was given to
    /// [`Self::keep_subscriptions`], also before a restart: some clients subscribe once and never again. None where there was none.
    async fn subscriptions(&self, admitted: &Admitted) -> Result<Option<u32>, Refusal>;

    /// Keeps what the device is subscribed to; None forgets it.
    async fn keep_subscriptions(&self, admitted: &Admitted, subscriptions: Option<u32>) -> Result<(), Refusal>;

    /// Grows with everything that a session of this device may have to push: a message in its queue, a change of desired properties.
    fn mail(&self, admitted: &Admitted) -> watch::Receiver<u64>;

    /// The changes of desired properties after a version, oldest first. When they are no longer all at hand, one patch that is the
    /// whole object.
    async fn desired_after(&self, admitted: &Admitted, version: u64) -> Result<Vec<DesiredPatch>, Refusal>;

    /// The next message that no session holds; it is then held by this session until it is settled or the session ends.
    async fn next_message(&self, admitted: &Admitted) -> Result<Option<CloudMessage>, Refusal>;

    /// Settles a message that this session holds.
    async fn settle(&self, admitted: &Admitted, sequence: u64, settlement: Settlement) -> Result<(), Refusal>;
}

/// A direct method call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodCall {
    /// Its name.
    pub name: String,
    /// JSON octets.
    pub payload: Bytes,
    /// How long the device may take to answer.
    pub timeout: Duration,
}

/// A device's answer to a direct method call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodAnswer {
    /// The device's status; 200 by habit.
    pub status: i32,
    /// JSON octets.
    pub payload: Bytes,
}

/// What the registry asks of the device protocols.
#[tonic::async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Calls a method on the device's live session.
    ///
    /// `DEVICE_NOT_CONNECTED` when there is no session that takes methods, `METHOD_TIMEOUT` when the device does not answer.
    async fn invoke(&self, device: &str, call: MethodCall) -> Result<MethodAnswer, Refusal>;

    /// How many sessions are open.
    fn count(&self) -> usize;
}
