//! The root-ca: the brand owner's service. It keeps programs, manufacturers and production orders, has orders approved by k of n
//! operators, and makes the first handoff of each order with the root key or an order CA's.
//!
//! It calls nobody upstream and sees no device keys. Handing on is the [`authority`]'s; here is what only the brand does:
//! `registry` (programs, manufacturers), `orders` (terms, approvals), `access` (who may call what). Start at [`RootCa`].

mod access;
mod config;
mod orders;
mod peers;
mod registry;
mod rpc;
mod service;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use service::RootCa;
