//! The sender's side of a handoff: offer, withdraw, and the signature that hands the units over.

mod accept;
mod expiry;
mod offer;
mod receiver;
mod report;
mod source;
mod state;

pub use accept::{AcceptOrder, Accepted};
pub(crate) use expiry::Expiries;
pub use expiry::release_expired_offers;
pub use offer::OfferOrder;
pub use source::Offered;
