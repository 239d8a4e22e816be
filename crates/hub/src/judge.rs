//! The judgement over a presented chain: plain values in, a verdict or a named refusal out. No I/O, no clock.
//!
//! `view` is what the hub trusts at one moment, [`chain`] holds a presented chain to it, [`device`] holds the verdict to what the hub
//! knows of the device. Two steps, because the first needs no record and the second no cryptography. [`memory`] spares the first what
//! it found good before.

mod chain;
mod device;
mod memory;
mod thumbprint;
mod view;

pub(crate) use chain::{Presented, Verdict, VerdictHop, judge, key_refusal};
pub(crate) use device::{Entitlement, entitle, status_refusal};
pub(crate) use thumbprint::judge_thumbprint;
pub(crate) use view::{DisabledKey, OnFirstConnect, RegisteredCa, Standing, TrustView, Whose};

#[cfg(test)]
mod tests;
