//! The crate from outside: documents forged octet by octet, so that every rule can be broken one at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod building;
mod forge;
mod hostile;
mod keys;
mod refusals;
mod requests;
mod revocation;
