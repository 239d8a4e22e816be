//! How deep a chain may be.

/// Most intermediates in a chain, an order CA included: rustls-webpki refuses a seventh.
pub const MAX_INTERMEDIATES: u8 = 6;

/// A chain that standard verifiers would refuse for its depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chain of {intermediates} intermediates, at most {MAX_INTERMEDIATES} are accepted everywhere")]
pub struct DepthRefusal {
    /// How many there would be.
    pub intermediates: usize,
}

impl DepthRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "CHAIN_TOO_DEEP"
    }
}

/// Whether a brand's root signs first handoffs itself, or through an online order CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderCa {
    /// An order CA stands between root and first handoff, and counts as an intermediate.
    Present,
    /// The root signs the first handoff.
    Absent,
}

/// Checks a chain of so many handoffs, below an order CA or not.
///
/// # Errors
/// `CHAIN_TOO_DEEP`.
pub fn check(handoffs: usize, order_ca: OrderCa) -> Result<(), DepthRefusal> {
    let intermediates = match order_ca {
        OrderCa::Present => handoffs.saturating_add(1),
        OrderCa::Absent => handoffs,
    };
    if intermediates > usize::from(MAX_INTERMEDIATES) { Err(DepthRefusal { intermediates }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_ca_counts() {
        assert!(check(6, OrderCa::Absent).is_ok());
        assert!(check(5, OrderCa::Present).is_ok());
        assert_eq!(check(7, OrderCa::Absent).map_err(|r| r.reason()), Err("CHAIN_TOO_DEEP"));
        assert_eq!(check(6, OrderCa::Present), Err(DepthRefusal { intermediates: 7 }));
    }
}
