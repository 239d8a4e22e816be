//! Why a valid path is no journey.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a path that RFC 5280 accepts is no Countersign chain.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum JourneyReason {
            $($(#[$doc])* $variant,)*
        }

        impl JourneyReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The published name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// More than six intermediates.
    ChainTooDeep = "CHAIN_TOO_DEEP",
    /// No handoff extension where one must stand: nowhere, or an intermediate below the first has none.
    HandoffMissing = "HANDOFF_MISSING",
    /// A handoff extension that cannot be read.
    HandoffMalformed = "HANDOFF_MALFORMED",
    /// A handoff extension of an unknown version.
    HandoffVersionUnknown = "HANDOFF_VERSION_UNKNOWN",
    /// More than one extension that may be the handoff.
    HandoffAmbiguous = "HANDOFF_AMBIGUOUS",
    /// A critical handoff or generation extension: nothing private is ever critical.
    PrivateExtensionCritical = "PRIVATE_EXTENSION_CRITICAL",
    /// A handoff extension in a device certificate.
    HandoffMisplaced = "HANDOFF_MISPLACED",
    /// Hop numbers do not count up from 1.
    HopOutOfOrder = "HOP_OUT_OF_ORDER",
    /// The sender of a hop is not the receiver of the hop above.
    HopNotLinked = "HOP_NOT_LINKED",
    /// Hops of different programs.
    ProgramDiffers = "PROGRAM_DIFFERS",
    /// Hops of different orders.
    OrderDiffers = "ORDER_DIFFERS",
    /// Hops under different terms.
    TermsDiffer = "TERMS_DIFFER",
    /// Hops with different manifests.
    ManifestDiffers = "MANIFEST_DIFFERS",
    /// A hop hands on more than its sender received.
    QuantityExceedsLot = "QUANTITY_EXCEEDS_LOT",
    /// A CA whose permitted names are not exactly those of its lot.
    SubtreeInvalid = "SUBTREE_INVALID",
    /// A CA certificate with alternative names.
    ForeignName = "FOREIGN_NAME",
    /// A handoff certificate whose subject does not name its lot and receiver.
    SubjectInvalid = "SUBJECT_INVALID",
    /// A handoff certificate without a path length, or with one that its issuer's does not allow.
    PathLengthNotNested = "PATH_LENGTH_NOT_NESTED",
    /// A certificate valid outside its issuer's validity.
    ValidityNotNested = "VALIDITY_NOT_NESTED",
    /// A handoff certificate without a complete signing window.
    SigningWindowMissing = "SIGNING_WINDOW_MISSING",
    /// A signing window outside the one above.
    SigningWindowNotNested = "SIGNING_WINDOW_NOT_NESTED",
    /// A leaf that is or may act as a CA.
    DeviceIsCa = "DEVICE_IS_CA",
    /// A leaf with other usages than digitalSignature and clientAuth.
    DeviceUsageInvalid = "DEVICE_USAGE_INVALID",
    /// A leaf whose common name is no device id.
    DeviceIdInvalid = "DEVICE_ID_INVALID",
    /// A leaf whose alternative names are not exactly the device's DNS name.
    DeviceNameInvalid = "DEVICE_NAME_INVALID",
    /// A leaf without generation.
    GenerationMissing = "GENERATION_MISSING",
    /// A leaf whose generation cannot be read.
    GenerationInvalid = "GENERATION_INVALID",
    /// The bundle lists programs, and not this one.
    ProgramUnknown = "PROGRAM_UNKNOWN",
    /// The bundle gives this program another base name or OID arc.
    ProgramNotAsRegistered = "PROGRAM_NOT_AS_REGISTERED",
    /// The acceptance does not prove that the receiver accepted this lot under this key.
    AcceptanceInvalid = "ACCEPTANCE_INVALID",
    /// The acceptance names an identity key that is not registered for the receiver.
    AcceptanceKeyUnknown = "ACCEPTANCE_KEY_UNKNOWN",
}

impl fmt::Display for JourneyReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A path that is no journey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct JourneyRefusal {
    /// The rule that it breaks.
    pub reason: JourneyReason,
    /// Where and how, in words.
    pub detail: String,
}

impl JourneyRefusal {
    pub(crate) fn new(reason: JourneyReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason.as_str()
    }
}
