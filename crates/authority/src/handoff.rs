//! The sender's side of a handoff: offer, withdraw, and the signature that hands the units over.

mod accept;
mod offer;
mod state;

pub(crate) use accept::AcceptOrder;
pub(crate) use offer::OfferOrder;
