//! The hub: where devices connect with their chains, and learn exactly why not.
//!
//! A device's way in: `wire` finishes the TLS handshake with any client certificate and asks [`admission`]; `registry` reads what is
//! known of the device and has `judge` say, over plain values, whether the chain holds; every refusal is kept with the chain (`why`)
//! before it is answered. `telemetry` keeps what devices send, `mailbox` what waits for them, both within bounds and beside the
//! journal, in files of `ring` and `mailbox`. `rpc` and `rest` are the operators' faces, `rpc` also the lines'.
//!
//! It holds no CA key and never links the code that issues certificates. Start at [`Hub`].

mod access;
pub mod admission;
mod config;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod forge;
mod judge;
mod mailbox;
mod metrics;
mod open_files;
mod registry;
mod rest;
mod ring;
mod rpc;
mod service;
mod telemetry;
mod why;
pub mod wire;

pub use config::Config;
pub use service::Hub;
#[cfg(feature = "hostile")]
pub use wire::hostile;
