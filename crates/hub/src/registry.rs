//! The registry: what the hub knows of CAs and devices, and what it does about it.
//!
//! [`Books`] is what is on record, with one way to change each thing; its functions block on the store. [`Registry`] is what the faces
//! and the device protocols ask: it runs the books on worker threads and adds what lives beside the journal: judgements, telemetry,
//! mailboxes, who is connected.

mod admit;
mod books;
mod ca_keys;
mod cas;
mod change;
mod devices;
mod feed;
mod gate;
mod keys;
mod lots;
mod presence;
mod proof;
mod talk;

pub(crate) use books::{Books, Policy, Stage, VerifiedOnUpload};
pub(crate) use cas::NewCa;
pub(crate) use change::Change;
pub(crate) use devices::StatusChange;
pub(crate) use presence::Presence;
pub(crate) use talk::{Parts, Registry};

#[cfg(test)]
pub(crate) mod tests;
