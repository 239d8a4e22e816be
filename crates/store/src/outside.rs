//! What this crate takes from `pki` and `mfg`, in one place.

pub(crate) use mfg::tally::{Movement, Overdrawn, Tally, TallyFields};
pub(crate) use pki::Sha256;
