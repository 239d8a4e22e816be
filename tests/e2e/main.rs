//! What the services refuse and what they promise, asked of running services through their gRPC faces.
//!
//! Start at [`world::Chain`]: a brand, two manufacturers and a line as real processes, shared by all tests. Each test makes its own
//! order in it ([`custody::Custody`]), so that it stands alone and can say that nothing of it was changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod brand;
mod custody;
mod day;
mod devices;
mod finish;
mod flood;
mod handoff;
mod identity;
mod issue;
mod limits;
mod line;
mod metrics;
mod operated;
mod organisations;
mod overdrawn;
mod refusals;
mod retry;
mod rotation;
mod suspended;
mod trace;
mod world;
