//! What identity keys sign. Each statement is signed over `countersign/<kind>/v1`, a zero octet, and its DER, so that
//! a signature under one kind never reads as another.

use pki::{PublicKey, Sha256};

use crate::encode;
use crate::handoff::{Acceptance, Consignment};
use crate::id::{ManufacturerId, OrderId, ProgramId};
use crate::tally::{Tally, TallyFields};

/// The kinds of statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// The brand approves an order's terms.
    TermsApproval,
    /// One of the brand's operators approves an order's terms.
    OrderApproval,
    /// A receiver accepts a lot.
    Acceptance,
    /// A sender offers a lot; for offers that travel as files.
    Offer,
    /// A receiver says where the units of its lot are.
    TallyReport,
    /// A sender's operator lets scrapped units come back.
    Reinstatement,
    /// A manufacturer replaces its identity key.
    KeyRotation,
    /// A manufacturer shows a peer how far a journal of its own has come.
    JournalHead,
}

impl StatementKind {
    fn domain(self) -> &'static [u8] {
        match self {
            Self::TermsApproval => b"countersign/terms-approval/v1\0",
            Self::OrderApproval => b"countersign/order-approval/v1\0",
            Self::Acceptance => b"countersign/acceptance/v1\0",
            Self::Offer => b"countersign/offer/v1\0",
            Self::TallyReport => b"countersign/tally-report/v1\0",
            Self::Reinstatement => b"countersign/reinstatement/v1\0",
            Self::KeyRotation => b"countersign/key-rotation/v1\0",
            Self::JournalHead => b"countersign/journal-head/v1\0",
        }
    }
}

/// The end of a journal, as its owner shows it to others. A later one that is lower means that the journal was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHead {
    /// Octets in the journal.
    pub position: u64,
    /// The hash chain's value there.
    pub chain: Sha256,
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
            StatementKind::Offer => "OFFER_SIGNATURE_INVALID",
            StatementKind::TallyReport => "TALLY_REPORT_INVALID",
            StatementKind::Reinstatement => "REINSTATEMENT_INVALID",
            StatementKind::KeyRotation => "KEY_ROTATION_INVALID",
            StatementKind::JournalHead => "JOURNAL_HEAD_INVALID",
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

    /// The sender offers `consignment` until `expires_at`, in seconds since 1970. `OfferStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn offer(consignment: &Consignment, expires_at: u64) -> Self {
        let mut content = Vec::with_capacity(256);
        consignment.write(&mut content);
        encode::integer(&mut content, expires_at);
        Self::of(StatementKind::Offer, &encode::sequence(&content))
    }

    /// The receiver says where the units of a lot are. `TallyReportStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn tally_report(lot: &Sha256, tally: &Tally, journal: &JournalHead, at: u64) -> Self {
        let mut content = Vec::with_capacity(192);
        encode::element(&mut content, encode::OCTET_STRING, lot.as_bytes());
        let fields = TallyFields::from(*tally);
        let TallyFields { received, provisioned, written, handed_over, reserved, scrapped, closed, scrapped_devices } =
            fields;
        let counts = [received, provisioned, written, handed_over, reserved, scrapped, closed, scrapped_devices];
        for count in counts.into_iter().chain([journal.position]) {
            encode::integer(&mut content, count);
        }
        encode::element(&mut content, encode::OCTET_STRING, journal.chain.as_bytes());
        encode::integer(&mut content, at);
        Self::of(StatementKind::TallyReport, &encode::sequence(&content))
    }

    /// The sender lets `units` scrapped units of a lot come back. `ordinal` counts the approvals of the lot from 1, so that none
    /// is used twice. `ReinstatementStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn reinstatement(lot: &Sha256, ordinal: u32, units: u32) -> Self {
        let mut content = Vec::with_capacity(64);
        encode::element(&mut content, encode::OCTET_STRING, lot.as_bytes());
        encode::integer(&mut content, ordinal.into());
        encode::integer(&mut content, units.into());
        Self::of(StatementKind::Reinstatement, &encode::sequence(&content))
    }

    /// A manufacturer replaces its identity key: signed by the new key to prove that it is held, and by the former one to consent.
    /// Both keys are named by the SHA-256 of their SubjectPublicKeyInfo. `KeyRotationStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn key_rotation(manufacturer: &ManufacturerId, former: &Sha256, new: &Sha256) -> Self {
        let mut content = Vec::with_capacity(112);
        encode::text(&mut content, manufacturer.as_str());
        encode::element(&mut content, encode::OCTET_STRING, former.as_bytes());
        encode::element(&mut content, encode::OCTET_STRING, new.as_bytes());
        Self::of(StatementKind::KeyRotation, &encode::sequence(&content))
    }

    /// The journal of one of a manufacturer's services holds a record, with this value of the hash chain after it. `at` is in seconds since
    /// 1970. `JournalHeadStatement` of docs/handoff.asn1.
    #[must_use]
    pub fn journal_head(
        manufacturer: &ManufacturerId,
        service: &str,
        newest_record: u64,
        chain: &Sha256,
        at: u64,
    ) -> Self {
        let mut content = Vec::with_capacity(112);
        encode::text(&mut content, manufacturer.as_str());
        encode::text(&mut content, service);
        encode::integer(&mut content, newest_record);
        encode::element(&mut content, encode::OCTET_STRING, chain.as_bytes());
        encode::integer(&mut content, at);
        Self::of(StatementKind::JournalHead, &encode::sequence(&content))
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
    /// The kind's own: [`StatementRefusal::reason`].
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
