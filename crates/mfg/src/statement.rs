//! What identity keys sign. Each statement is signed over `countersign/<kind>/v1`, a zero octet, and its DER, so that
//! a signature under one kind never reads as another.

use pki::{PublicKey, Sha256};

use crate::encode;
use crate::handoff::{Acceptance, Consignment};
use crate::id::{ManufacturerId, OrderId, ProgramId};

/// The kinds of statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// The brand approves an order's terms.
    TermsApproval,
    /// One of the brand's operators approves an order's terms.
    OrderApproval,
    /// A receiver accepts a lot.
    Acceptance,
}

impl StatementKind {
    fn domain(self) -> &'static [u8] {
        match self {
            Self::TermsApproval => b"countersign/terms-approval/v1\0",
            Self::OrderApproval => b"countersign/order-approval/v1\0",
            Self::Acceptance => b"countersign/acceptance/v1\0",
        }
    }
}

/// The exact octets to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    kind: StatementKind,
    octets: Vec<u8>,
}

/// A signature that does not prove its statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not prove the {kind:?} statement")]
pub struct StatementRefusal {
    /// What was to be proven.
    pub kind: StatementKind,
}

impl StatementRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.kind {
            StatementKind::TermsApproval => "TERMS_APPROVAL_INVALID",
            StatementKind::OrderApproval => "ORDER_APPROVAL_INVALID",
            StatementKind::Acceptance => "ACCEPTANCE_INVALID",
        }
    }
}

impl Statement {
    /// The receiver accepts `consignment` under the lot key whose SubjectPublicKeyInfo is `lot_key_spki` (DER).
    ///
    /// `AcceptanceStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn acceptance(lot_key_spki: &[u8], consignment: &Consignment) -> Self {
        let mut content = Vec::with_capacity(lot_key_spki.len().saturating_add(256));
        content.extend_from_slice(lot_key_spki);
        consignment.write(&mut content);
        Self::of(StatementKind::Acceptance, &encode::sequence(&content))
    }

    /// The brand approves the terms with this digest. `TermsApprovalStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn terms_approval(
        program: &ProgramId,
        order: &OrderId,
        order_version: u32,
        brand: &ManufacturerId,
        terms_digest: &Sha256,
    ) -> Self {
        let mut content = Vec::with_capacity(192);
        encode::text(&mut content, program.as_str());
        encode::text(&mut content, order.as_str());
        encode::integer(&mut content, order_version.into());
        encode::text(&mut content, brand.as_str());
        encode::element(&mut content, encode::OCTET_STRING, terms_digest.as_bytes());
        Self::of(StatementKind::TermsApproval, &encode::sequence(&content))
    }

    /// One of the brand's operators approves an order with the terms of this digest. `OrderApprovalStatement` of
    /// docs/handoff.asn1.
    #[must_use]
    pub fn order_approval(order: &OrderId, terms_digest: &Sha256) -> Self {
        let mut content = Vec::with_capacity(80);
        encode::text(&mut content, order.as_str());
        encode::element(&mut content, encode::OCTET_STRING, terms_digest.as_bytes());
        Self::of(StatementKind::OrderApproval, &encode::sequence(&content))
    }

    fn of(kind: StatementKind, der: &[u8]) -> Self {
        Self { kind, octets: [kind.domain(), der].concat() }
    }

    /// What kind of statement this is.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The octets that the identity key signs, with the algorithm that fits the key.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.octets
    }

    /// Checks a signature by `key`, made with the algorithm that fits the key.
    ///
    /// # Errors
    /// `ACCEPTANCE_INVALID`, `TERMS_APPROVAL_INVALID` or `ORDER_APPROVAL_INVALID`, by kind.
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), StatementRefusal> {
        key.verify(key.default_signature_algorithm(), &self.octets, signature)
            .map_err(|_| StatementRefusal { kind: self.kind })
    }
}

impl Acceptance {
    /// Checks this acceptance of `consignment` for a lot key, against one identity key of the receiver.
    ///
    /// # Errors
    /// `ACCEPTANCE_INVALID`, also when another key signed.
    pub fn verify(
        &self,
        lot_key_spki: &[u8],
        consignment: &Consignment,
        identity_key: &PublicKey,
    ) -> Result<(), StatementRefusal> {
        if self.identity_key_digest != identity_key.sha256() {
            return Err(StatementRefusal { kind: StatementKind::Acceptance });
        }
        Statement::acceptance(lot_key_spki, consignment).verify(identity_key, &self.signature)
    }
}
