//! The issuing authority: what root-ca and intermediate-ca have in common.
//!
//! An authority has *lots*. At an intermediate-ca a lot was handed over by a sender; at the root-ca a production order is the lot
//! that the first handoffs are taken from. From a lot, units are handed on (`handoff`) or become devices (`device`, through the [`Line`]). Both go
//! through one cycle: draft -> recorded (durable) -> signed -> result recorded (durable) -> answered; see docs/ISSUANCE.md.
//!
//! A journal that was put back is found by what others saw of it (`compare`); a store that was restored issues nothing until its peers have told
//! what they know (`reconcile`).
//!
//! It knows no network and no configuration; its clock is given to it, and doubted (`clock`). Start at [`Authority`].

mod authority;
mod clock;
mod compare;
mod complete;
mod device;
mod handoff;
mod key;
mod line;
mod lots;
mod manifests;
mod metrics;
mod possession;
mod reconcile;
mod rpc;
mod signing;

pub use authority::{Authority, Seams};
pub use complete::complete_open_intents;
pub use device::{DeviceOrder, InDoubt, IssuedDevice, Occasion, Written, check_why};
pub use handoff::{AcceptOrder, Accepted, OfferOrder, Offered, release_expired_offers};
pub use key::load_key;
pub use line::{Line, LineLimits};
pub use lots::{Lot, LotIssuer, Lots, MakeLot, Noted, Versions, make_lots, not_received};
pub use metrics::tell_lots;
pub use possession::OwnCa;
pub use reconcile::Heard;
pub use rpc::{HandoffRpc, IssuanceRpc, ManifestRpc, PossessionRpc};
