//! What the brand may register, order and approve.

mod approvals;
mod changes;
pub(crate) mod order_ca;
mod orders;
mod registrations;
mod renewal;
mod standing;
