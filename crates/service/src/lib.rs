//! The one process shell of root-ca, intermediate-ca, provisioner and hub.
//!
//! It reads the configuration, loads the process's identity, listens with mutual TLS 1.3, decides who may
//! call what, answers the probes, and stops in an orderly way. A service brings its configuration, its gRPC
//! routes, its authorisation table and a hook to close its store; see [`shell::Service`].
//!
//! Invariant: this crate knows nothing of manufacturing: no orders, lots, handoffs or devices.
//! Invariant: no connection reaches a handler without exactly one verified SPIFFE id, and no RPC reaches a
//! handler without a row in the service's [`authorization::Row`] table.
//!
//! Start reading at [`shell`], then [`tls`] (who is the peer) and [`authorization`] (what the peer may do); [`metrics`] and [`trace`] are
//! what an operator sees of it.

mod accept;
pub mod answers;
pub mod authorization;
pub mod client;
pub mod clock;
pub mod config;
pub mod files;
mod guard;
pub mod health;
pub mod identity;
mod memory;
pub mod metrics;
pub mod net;
pub mod places;
pub mod reflection;
pub mod refusal;
pub mod secret;
pub mod shell;
pub mod tls;
pub mod trace;
mod workers;

pub use clock::{Clock, ManualClock, SystemClock};
pub use identity::PeerIdentity;
pub use workers::Workers;

/// Every reason that this crate gives; each must be published.
pub const REASONS: &[&str] = &[
    "CLOSE_FAILED",
    "CONFIG_INVALID",
    "CONNECTION_LIMIT_REACHED",
    "DEADLINE_TOO_SHORT",
    "ENCRYPTED_KEY_MALFORMED",
    "FILE_MALFORMED",
    "FILE_MISSING",
    "FILE_UNREADABLE",
    "INTERNAL",
    "KEY_ENCRYPTION_UNSUPPORTED",
    "KEY_FILE_EXPOSED",
    "KEY_FILE_MALFORMED",
    "KEY_NAME_REFUSED",
    "LISTEN_FAILED",
    "MESSAGE_TOO_LARGE",
    "OWN_CERTIFICATE_EXPIRED",
    "OWN_CERTIFICATE_WITHOUT_IDENTITY",
    "OWN_IDENTITY_CHANGED",
    "OWN_KEY_MISMATCH",
    "PASSPHRASE_EMPTY",
    "PASSPHRASE_MISSING",
    "PASSPHRASE_WRONG",
    "PEER_ADDRESS_REFUSED",
    "PEER_CERTIFICATE_EXPIRED",
    "PEER_CERTIFICATE_INVALID",
    "PEER_HANDSHAKE_FAILED",
    "PEER_HANDSHAKE_TIMEOUT",
    "PEER_NOT_ALLOWED",
    "PEER_TRUST_DOMAIN_UNKNOWN",
    "PEER_WITHOUT_IDENTITY",
    "PORT_IN_USE",
    "QUEUE_FULL",
    "REFUSED_BY_PEER",
    "RPC_NOT_ALLOWED",
    "SERVER_ENDED",
    "SETUP_FAILED",
    "USAGE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_reasons_is_sorted_and_has_those_of_handshakes() {
        assert!(REASONS.is_sorted());
        for reason in tls::PeerReason::ALL {
            assert!(REASONS.contains(&reason.as_str()), "{}", reason.as_str());
        }
    }
}
