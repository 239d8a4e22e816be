//! What the services write into their stores, and by which keys they find it again.
//!
//! The store knows frames, keys and tallies; the protos know messages. Here they meet: [`Act::unit`] turns a fact into a unit,
//! [`read`] turns a record back into a fact, [`keys`] names the key spaces, [`once()`] does what a request asks for at most once,
//! [`wire`] converts between the domain's types and the protos'; [`every()`] visits a whole list, [`page`] and [`scan()`] make pages of
//! lists, and of what is listed nowhere; [`StoreRpc`] lets operators copy the store of any service. It decides nothing about custody.

mod act;
mod commit_queue;
pub mod keys;
mod metrics;
mod once;
mod open;
pub mod page;
mod read;
mod refuse;
mod scan;
mod standing;
mod store_rpc;
pub mod wire;

pub use act::{Act, Caller};
pub use commit_queue::CommitQueue;
pub use once::{Attempt, commit_one, once, reused};
pub use open::{OpenedStore, init_store, open_store};
pub use read::{read, read_at, replayed};
pub use refuse::{named, refuse_conflict, refuse_store};
pub use scan::{every, scan};
pub use standing::{Behind, Standing, Suspended, reconciled_unit, restored_unit, rolled_back_unit};
pub use store_rpc::{Peers, StoreRpc, clock_not_behind, not_suspended};
