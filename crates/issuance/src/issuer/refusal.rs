//! Why a CA is not taken into service, and why it does not draft.

use mfg::depth::DepthRefusal;
use mfg::{HandoffRefusal, RoomRefusal, StatementRefusal, TermsRefusal};
use pki::UnixTime;
use pki::path::PathRefusal;

use crate::csr::CsrRefusal;
use crate::encode::EncodeRefusal;
use crate::key::KeyError;
use crate::profile::ProfileRefusal;

/// Why a CA was not taken into service.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadRefusal {
    /// Not even its own certificate.
    #[error("the issuer's chain is empty")]
    ChainEmpty,
    /// The private key is not the certificate's.
    #[error("the key does not belong to the issuer's certificate")]
    KeyMismatch,
    /// basicConstraints do not say CA.
    #[error("{0} is not a ca certificate")]
    NotACa(String),
    /// keyUsage without keyCertSign.
    #[error("{0} may not sign certificates")]
    WithoutKeyCertSign(String),
    /// No subjectKeyIdentifier to name it by.
    #[error("the issuer's certificate has no subject key identifier")]
    WithoutKeyId,
    /// The path to the anchor does not verify.
    #[error("the issuer's own path does not verify: {0}")]
    Path(PathRefusal),
    /// Too many intermediates already.
    #[error("the issuer's chain is too deep")]
    Depth(#[from] DepthRefusal),
    /// A certificate outlives one above it.
    #[error("{0} is valid outside the validity of its issuer")]
    ValidityNotNested(String),
    /// A signing window reaches out of one above it.
    #[error("{0} has a signing window that does not lie inside its issuer's")]
    WindowNotNested(String),
    /// An intermediate without exactly one permitted dNSName, or one outside its issuer's.
    #[error("{0} has no single permitted dns subtree inside its issuer's")]
    SubtreeNotNested(String),
    /// Its subtree is not the one that its handoff extension spells.
    #[error("the subtree {0} is not the one that the issuer's handoff extension spells")]
    SubtreeNotSpelled(String),
    /// The handoff extension does not decode.
    #[error("cannot read the issuer's handoff extension: {0}")]
    Handoff(#[from] HandoffRefusal),
    /// The chain holds certificates that are not on its path.
    #[error("the issuer's chain holds certificates that are not on its path")]
    Strangers,
    /// A development anchor in production.
    #[error("the anchor is for development only")]
    DevelopmentAnchor,
    /// The documentation arc in production.
    #[error("the documentation arc is not for production")]
    DocumentationArc,
}

impl LoadRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ChainEmpty => "CHAIN_EMPTY",
            Self::KeyMismatch => "ISSUER_KEY_MISMATCH",
            Self::NotACa(_) => "NOT_A_CA",
            Self::WithoutKeyCertSign(_) => "CA_WITHOUT_KEY_CERT_SIGN",
            Self::WithoutKeyId => "MISSING_SUBJECT_KEY_ID",
            Self::Path(cause) => cause.reason.as_str(),
            Self::Depth(cause) => cause.reason(),
            Self::ValidityNotNested(_) => "VALIDITY_NOT_NESTED",
            Self::WindowNotNested(_) => "SIGNING_WINDOW_NOT_NESTED",
            Self::SubtreeNotNested(_) => "SUBTREE_NOT_NESTED",
            Self::SubtreeNotSpelled(_) => "SUBTREE_INVALID",
            Self::Handoff(cause) => cause.reason(),
            Self::Strangers => "CHAIN_WITH_STRANGERS",
            Self::DevelopmentAnchor => "DEVELOPMENT_ANCHOR",
            Self::DocumentationArc => "DOCUMENTATION_ARC",
        }
    }
}

/// Why a CA does not draft a certificate. Nothing was signed, nothing needs a record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IssueRefusal {
    /// Its pathLenConstraint, or one above, leaves no room for the CAs below.
    #[error("{needed} ca certificates are needed below the issuer, its path length leaves {left}")]
    PathLengthSpent {
        /// What the certificate and the longest route below it need.
        needed: u32,
        /// What is left.
        left: u32,
    },
    /// More than six intermediates.
    #[error("the chain would be too deep")]
    Depth(#[from] DepthRefusal),
    /// The new subtree is not inside the issuer's.
    #[error("the subtree {0} is not inside the issuer's")]
    SubtreeNotNested(String),
    /// The new certificate would outlive its issuer.
    #[error("the validity does not lie inside the issuer's")]
    ValidityNotNested,
    /// The new key could sign when its issuer may not.
    #[error("the signing window does not lie inside the issuer's")]
    WindowNotNested,
    /// The issuer may not sign now.
    #[error("the issuer's signing window does not include {0}")]
    WindowClosed(UnixTime),
    /// The issuer is not valid now.
    #[error("the issuer is not valid at {0}")]
    IssuerExpired(UnixTime),
    /// The profile's CA does not live as long as the devices below it.
    #[error("the ca would not be valid as long as the devices below it")]
    DevicesOutliveCa,
    /// The lot belongs to another order.
    #[error("the {0} is not the issuer's")]
    OrderMismatch(&'static str),
    /// The sender named in the handoff is not the issuer's owner.
    #[error("the issuer belongs to {owner}, the handoff names {named} as sender")]
    SenderMismatch {
        /// Who may send.
        owner: String,
        /// Who is named.
        named: String,
    },
    /// The hop number does not follow the issuer's.
    #[error("hop {named} does not follow hop {own}")]
    HopMismatch {
        /// The issuer's hop, 0 for the first handoff's issuer.
        own: u8,
        /// What the handoff says.
        named: u8,
    },
    /// More than the issuer's own lot.
    #[error("the handoff's quantity is larger than the issuer's own lot")]
    QuantityNotNested,
    /// The receiver did not accept this.
    #[error("the handoff's acceptance does not verify")]
    Acceptance(#[from] StatementRefusal),
    /// Signed with another key than the registered one.
    #[error("the handoff was accepted with a key that is not the receiver's registered identity key")]
    AcceptanceKeyUnknown,
    /// The terms do not permit it.
    #[error("the terms do not permit it")]
    Terms(#[from] TermsRefusal),
    /// The name does not fit.
    #[error("the dns name does not fit")]
    Room(#[from] RoomRefusal),
    /// The key policy does not allow the key.
    #[error("the key may not be certified")]
    Key(#[from] CsrRefusal),
    /// The receiver's display name does not fit a subject.
    #[error("the receiver's name does not fit a subject")]
    Name(#[source] ProfileRefusal),
    /// Devices are named under a lot's subtree, never directly under an anchor.
    #[error("an anchor issues no device certificates")]
    NoDevicesHere,
    /// An order CA stands directly under the anchor.
    #[error("only an anchor issues an order ca")]
    NoOrderCaHere,
    /// The recorded TBS is not of this issuer.
    #[error("the recorded certificate does not name this issuer")]
    IssuerMismatch,
    /// The profile of verification certificates makes something else.
    #[error("the profile of verification certificates is wrong")]
    Profile(#[from] ProfileRefusal),
    /// The key that is certified and thrown away could not be made.
    #[error("making a key for a verification certificate failed")]
    NobodysKey(#[from] KeyError),
    /// The encoder failed.
    #[error("the certificate could not be encoded")]
    Encode(#[from] EncodeRefusal),
}

impl IssueRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PathLengthSpent { .. } => "PATH_LENGTH_SPENT",
            Self::Depth(cause) => cause.reason(),
            Self::SubtreeNotNested(_) => "SUBTREE_NOT_NESTED",
            Self::ValidityNotNested => "VALIDITY_NOT_NESTED",
            Self::WindowNotNested => "SIGNING_WINDOW_NOT_NESTED",
            Self::WindowClosed(_) => "SIGNING_WINDOW_CLOSED",
            Self::IssuerExpired(_) => "ISSUER_EXPIRED",
            Self::DevicesOutliveCa => "DEVICES_OUTLIVE_CA",
            Self::OrderMismatch(_) => "ORDER_MISMATCH",
            Self::SenderMismatch { .. } => "SENDER_MISMATCH",
            Self::HopMismatch { .. } => "HOP_MISMATCH",
            Self::QuantityNotNested => "QUANTITY_NOT_NESTED",
            Self::Acceptance(cause) => cause.reason(),
            Self::AcceptanceKeyUnknown => "ACCEPTANCE_KEY_UNKNOWN",
            Self::Terms(cause) => cause.reason(),
            Self::Room(cause) => cause.reason(),
            Self::Key(cause) => cause.reason(),
            Self::Name(cause) => cause.reason(),
            Self::NoDevicesHere => "NO_DEVICES_HERE",
            Self::NoOrderCaHere => "NO_ORDER_CA_HERE",
            Self::IssuerMismatch => "ISSUER_MISMATCH",
            Self::Profile(cause) => cause.reason(),
            Self::NobodysKey(cause) => cause.reason(),
            Self::Encode(cause) => cause.reason(),
        }
    }
}
