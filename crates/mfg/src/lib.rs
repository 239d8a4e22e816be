//! The manufacturing domain: orders and their terms, lots and handoffs, the tally, device states, and what a chain of
//! handoff certificates says.
//!
//! Start with [`handoff`] for what one hop is, [`tally`] for the law of conservation, [`terms`] for what an order
//! permits, and [`journey`] for how all of it is read back from a verified certificate path.
//!
//! What this crate does not know: files, clocks, networks, databases, who registered a key or when. The time is an
//! argument where it matters. Nothing here signs.
//!
//! Invariant: no input, however hostile, panics; every list read has a bound.

pub mod bundle;
pub mod depth;
pub mod device;
mod encode;
pub mod handoff;
pub mod id;
pub mod journey;
pub mod manifest;
pub mod oid;
pub mod possession;
pub mod quantity;
pub mod room;
pub mod statement;
pub mod subtree;
pub mod tally;
pub mod terms;

pub use bundle::{Bundle, BundleRefusal, IdentityKey};
pub use depth::OrderCa;
pub use device::{DeviceEvent, DeviceState, Generation, TransitionRefusal};
pub use handoff::{Acceptance, Consignment, Handoff, HandoffRefusal, Hop};
pub use id::{DeviceId, IdRefusal, LotId, ManufacturerId, OrderId, ProgramId};
pub use journey::{Accepted, Custody, Journey, JourneyReason, JourneyRefusal};
pub use manifest::{Manifest, ManifestRefusal};
pub use oid::OidArc;
pub use possession::{CodeRefusal, VerificationCode};
pub use quantity::{Quantity, Units};
pub use room::RoomRefusal;
pub use statement::{JournalHead, Statement, StatementKind, StatementRefusal};
pub use subtree::subtree;
pub use tally::{Movement, Overdrawn, Phase, Remaining, Shortage, Tally, TallyFields};
pub use terms::{Graph, SignedTerms, Terms, TermsBytes, TermsDocument, TermsRefusal};
