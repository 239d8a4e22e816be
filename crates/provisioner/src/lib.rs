//! The provisioner: the line's face. Stations ask for units; it has their certificates issued by the manufacturer's signer, keeps
//! what it did, and knows which units were written to a device.
//!
//! It holds no CA key and never links the issuing engine. `desk` is one unit's way from request to confirmation, `signer` the stream
//! to the intermediate-ca, `escrow` the server-made keys, `lots` where units come from. Start at [`Provisioner`].

mod access;
mod config;
mod desk;
mod escrow;
mod lots;
mod metrics;
mod outbox;
mod peers;
mod rpc;
mod service;
mod signer;
#[cfg(test)]
mod tests;
mod unit;

pub use config::Config;
pub use service::Provisioner;
