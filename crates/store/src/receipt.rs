//! The permission to sign.

use crate::outside::Sha256;
use crate::unit::Position;

/// Proof that the intent to sign exactly these bytes is durable.
///
/// Only the store makes one, from what is on the disk; signing consumes it. It cannot be copied:
///
/// ```compile_fail,E0599
/// fn twice(receipt: store::Receipt) -> (store::Receipt, store::Receipt) {
///     (receipt.clone(), receipt)
/// }
/// ```
///
/// nor made elsewhere:
///
/// ```compile_fail,E0451
/// fn forge(digest: pki::Sha256, position: store::Position) -> store::Receipt {
///     store::Receipt { digest, position }
/// }
/// ```
///
/// ```compile_fail,E0624
/// fn forge(digest: pki::Sha256, position: store::Position) -> store::Receipt {
///     store::Receipt::new(digest, position)
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a receipt that is dropped leaves its intent open"]
pub struct Receipt {
    digest: Sha256,
    position: Position,
}

impl Receipt {
    pub(crate) const fn new(digest: Sha256, position: Position) -> Self {
        Self { digest, position }
    }

    /// Where the open unit stands; the unit that completes it names this position.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Whether this receipt allows signing bytes with this digest.
    #[must_use]
    pub fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.digest == *tbs_digest
    }
}

#[cfg(feature = "issuing")]
impl issuance::Receipt for Receipt {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        Self::covers(self, tbs_digest)
    }
}
