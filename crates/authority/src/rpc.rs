//! The gRPC faces of an authority: they read requests, run the work on worker threads, and write answers. They decide nothing.

mod handoff;
mod issuance;
mod manifest;
mod possession;

pub use handoff::HandoffRpc;
pub use issuance::IssuanceRpc;
pub use manifest::ManifestRpc;
pub use possession::PossessionRpc;
