//! What operators do with the store of a service.

use super::table::{Verb, reads};

const GET_STORE: &str = "countersign.store.v1.StoreService/GetStore";

pub(super) const STORE: &[Verb] = &[reads(
    "show",
    "Shows whose store it is and how far its journal has come.",
    "countersign store show --at intermediate-ca",
    &[GET_STORE],
    &[],
)];
