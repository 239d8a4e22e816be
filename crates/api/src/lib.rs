//! The wire: every gRPC service and message of Countersign, generated from `proto/`, and the published reasons.
//!
//! Nothing here decides anything. Start at [`Refusal`], or at the package you call, e.g. [`provisioning::v1`].
//! The protos are compiled at build time without protoc; their comments are the documentation of every field.

mod octets;
pub mod reason_table;
mod refusal;
mod request_id;
mod rpc_names;

pub use octets::Octets;
pub use refusal::{DOMAIN, MAX_FACT, MAX_FACTS, MAX_MESSAGE, MAX_NAME, Refusal};
pub use request_id::RequestId;
pub use rpc_names::rpc_names;

// Generated: its names and lengths are the protos', not ours to lint.
#[allow(
    missing_docs,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm
)]
mod packages {
    tonic::include_proto!("packages");
}

pub use packages::countersign::{
    custody, handoff, hub, issuance, journal, lot, manifest, manufacturer, order, possession, program, provisioning,
    reason, store,
};

/// The descriptors of every package, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
