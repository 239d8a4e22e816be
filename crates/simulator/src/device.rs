//! A simulated device: connects to a hub with its chain as the tutorial's device does, sends readings, and waits for messages.
//!
//! [`run`] is the whole life of one. It is a client of the wire alone: what it sends is what any device would send, over MQTT, AMQP or
//! HTTPS. It is no SDK, and knows nothing of a hub's insides.

mod amqp;
mod https;
mod identity;
mod mqtt;
mod readings;
mod tls;

use std::{io, time::Duration};

use serde_json::Value;

pub use identity::{DeviceIdentity, IdentityError};
pub use readings::Reading;

/// No answer of a hub takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two signs of life of a device that waits.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// By which protocol a device connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceProtocol {
    /// MQTT 3.1.1 over TLS.
    Mqtt,
    /// AMQP 1.0 over TLS.
    Amqp,
    /// HTTPS: it sends, and nothing can be sent to it.
    Https,
}

impl DeviceProtocol {
    /// The port that a hub listens on by default.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 8883,
            Self::Amqp => 5671,
            Self::Https => 8443,
        }
    }
}

/// What a device does after its readings are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It says goodbye.
    Leave,
    /// It waits for messages until it is told to stop.
    Wait,
}

/// What a device is to do.
#[derive(Debug)]
pub struct DevicePlan {
    /// The hub's host, as its certificate names it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Certificates that the hub's certificate is believed by, DER.
    pub anchors: Vec<Vec<u8>>,
    /// What the device presents.
    pub identity: DeviceIdentity,
    /// The device id that it claims.
    pub device_id: String,
    /// How it connects.
    pub protocol: DeviceProtocol,
    /// How many readings it sends.
    pub count: u32,
    /// What it does then.
    pub afterwards: Afterwards,
}

/// What a device tells of itself, in the order in which it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The hub let it in.
    Accepted,
    /// The hub has this reading.
    Sent(Reading),
    /// A message came from the cloud.
    Message {
        /// Its body, as text where it is text.
        body: String,
        /// Its properties.
        properties: Vec<(String, String)>,
    },
    /// A direct method was called, and answered with status 200.
    Method {
        /// Its name.
        name: String,
        /// What came with it.
        payload: String,
    },
    /// Desired properties changed.
    Desired(Value),
    /// It waits for messages now.
    Waiting,
}

/// Why a device came no further.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The hub refused it, or ended its session. Devices are not told more than their protocol has words for.
    #[error("the hub refused the device: {0}")]
    Refused(String),
    /// The hub's own certificate is not believed.
    #[error("the hub's certificate is not believed")]
    HubNotBelieved(#[source] io::Error),
    /// Nobody answers there.
    #[error("the hub at {address} cannot be reached")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the hub broke")]
    Broken(#[source] io::Error),
    /// The hub answers what nobody understands.
    #[error("the hub's answer is not understood: {0}")]
    NotUnderstood(String),
    /// The device's certificate and key cannot be used.
    #[error("the device's certificate and key cannot be used")]
    Identity(#[from] IdentityError),
}

impl DeviceError {
    /// The published name of what happened.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "REFUSED_BY_HUB",
            Self::HubNotBelieved(_) => "PEER_CERTIFICATE_INVALID",
            Self::Unreachable { .. } | Self::Broken(_) => "UPSTREAM_UNREACHABLE",
            Self::NotUnderstood(_) => "PACKET_MALFORMED",
            Self::Identity(error) => error.reason(),
        }
    }
}

/// Lives one device's life and tells about it. Drop the future to stop a device that waits.
///
/// # Errors
/// [`DeviceError`]
pub async fn run(plan: &DevicePlan, tell: &mut (dyn FnMut(Told) + Send)) -> Result<(), DeviceError> {
    let stream = tls::connect(plan).await?;
    match plan.protocol {
        DeviceProtocol::Mqtt => mqtt::live(plan, stream, tell).await,
        DeviceProtocol::Amqp => amqp::live(plan, stream, tell).await,
        DeviceProtocol::Https => https::live(plan, stream, tell).await,
    }
}

/// Reports properties of its twin, over MQTT; answers their version. They are durable at the hub when this returns.
///
/// # Errors
/// [`DeviceError`]
pub async fn report(plan: &DevicePlan, patch: &Value) -> Result<u64, DeviceError> {
    mqtt::report(plan, tls::connect(plan).await?, patch).await
}

/// Takes messages over MQTT, and settles each, for as long as `wanted` wants another one of them after it has seen the last.
///
/// # Errors
/// [`DeviceError`]; none comes for a long time.
pub async fn take(plan: &DevicePlan, wanted: &mut (dyn FnMut(&str) -> More + Send)) -> Result<(), DeviceError> {
    mqtt::take(plan, tls::connect(plan).await?, wanted).await
}

/// Whether a device waits for one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// It does.
    Wanted,
    /// It has what it wants.
    Enough,
}

/// A text for people, whatever the octets.
fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// What a hub's closing means to a device that expects an answer.
fn closed() -> DeviceError {
    DeviceError::Refused("it closed the connection".to_owned())
}

/// What a broken connection means: a hub that resets has refused, as far as the device can tell.
fn broken(error: io::Error) -> DeviceError {
    let ended = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    if ended.contains(&error.kind()) { closed() } else { DeviceError::Broken(error) }
}
