//! Mutual TLS 1.3 by SPIFFE id; and, for a hub's doors, TLS that lets every client pass ([`Clients::Anybody`]).
//!
//! The peer's certificate carries exactly one SPIFFE id. Its trust domain selects the one bundle it is verified
//! against; its manufacturer and role must stand in the configured peers. No DNS name is looked at.
//!
//! Invariant: bundles are never pooled: a CA of one trust domain cannot vouch for an id of another.
//! Invariant: no session is resumed, so every connection is judged by the bundles and the clock of its own moment.

mod credentials;
mod leaf;
mod refusal;
mod rustls_adapter;
mod server;
mod trust;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

pub use credentials::{Credentials, CredentialsError};
pub use refusal::{PeerReason, PeerRefusal};
pub(crate) use rustls_adapter::identity_of;
pub use server::{Clients, server_config};
pub use trust::ExpectedPeer;

/// The process's one cryptographic provider, aws-lc-rs; installed as rustls's default at the first call.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let ours = rustls::crypto::aws_lc_rs::default_provider();
        // Someone may have installed one before; ours is passed explicitly everywhere in this crate.
        let _ = ours.clone().install_default();
        Arc::new(ours)
    })
}

fn algorithms() -> &'static WebPkiSupportedAlgorithms {
    &provider().signature_verification_algorithms
}
