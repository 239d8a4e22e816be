//! The device protocols: sockets, TLS, sessions and what is said over them.
//!
//! [`Wire::open`] binds a door for each protocol. A door finishes the TLS handshake with any client certificate, because a
//! handshake that breaks tells a device nothing; then the protocol asks [`Admission`] and answers in its own words. Who is
//! connected stands in the [`SessionTable`]: one session a device, and a later one ends the earlier.
//!
//! It does not know how a chain is judged, where messages are kept, or any CA. Octets and values are `device-wire`'s.

mod amqp;
mod door;
mod guest;
#[cfg(feature = "hostile")]
pub mod hostile;
mod https;
mod limits;
mod line;
mod mqtt;
mod properties;
mod sessions;
#[cfg(test)]
mod tests;
mod tls;

use std::{io, sync::Arc};

use service::{Clock, net::Network};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;

pub use door::{Addresses, Bound};
pub use https::Caller;
pub use limits::{DeviceLimits, LimitProblem};
pub use sessions::SessionTable;
pub use tls::{DeviceTls, DeviceTlsError};

/// Everything that the doors need.
pub struct Wire {
    /// Where to listen.
    pub network: Arc<dyn Network>,
    /// Who decides.
    pub admission: Arc<dyn Admission>,
    /// Who is connected.
    pub sessions: Arc<SessionTable>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The hub's certificate towards devices.
    pub tls: Arc<DeviceTls>,
    /// The bounds of everything that devices could make grow.
    pub limits: DeviceLimits,
    /// What HTTPS answers beside telemetry; every request carries a [`Caller`] among its extensions.
    pub rest: axum::Router,
    /// Ends every session and closes the doors.
    pub stop: CancellationToken,
}

/// A door that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for devices")]
pub struct OpenError {
    /// Where.
    pub address: String,
    /// What the operating system, or TLS, said.
    pub source: io::Error,
}

impl Wire {
    /// Binds and serves every door that has an address; they are open when this returns.
    ///
    /// # Errors
    /// [`OpenError`]; doors opened before it are closed again.
    pub async fn open(self, addresses: &Addresses) -> Result<Bound, OpenError> {
        door::open(self, addresses).await
    }
}
