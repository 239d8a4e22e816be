//! The intermediate-ca: one manufacturer's service. It receives lots from its senders, hands lots on, and issues device
//! certificates for its own line.
//!
//! Handing on and issuing are the [`authority`]'s; here is what only a receiver does: `receive` (offer, check, lot key, acceptance,
//! certificate, check again, open; by wire or by file), `lots` (keys and records of lots), `units` (scrap, and what comes back), `close`,
//! `reports` (to the senders), `peers` (what they know of the journal after a restore), `bundle` (whom it trusts, taken again when its file changes), `access` (who may call what). Start at [`IntermediateCa`].
//!
//! Invariant: a lot key exists on disk and in memory only; no record, log or answer carries it.

mod access;
mod bundle;
mod close;
mod compare;
mod config;
mod lots;
mod peers;
mod receive;
mod reports;
mod rpc;
mod service;
#[cfg(test)]
mod tests;
mod units;

pub use config::Config;
pub use service::IntermediateCa;
