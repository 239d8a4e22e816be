//! Issues certificates of the device PKI: the only crate that signs them, and the only one that knows rcgen.
//!
//! Start with [`cycle`], one certificate's way from draft to signature, and [`Issuer`], which holds a CA to everything
//! that its chain and the order's terms allow. Around them: [`csr`], the gate that takes a key from a stranger's
//! request and nothing else; [`profile`], what each kind of certificate looks like; [`key`] and [`entropy`], the seams
//! to key modules and to simulated worlds; [`root`] for the anchor; [`service_pki`] for development TLS.
//!
//! What this crate does not know: files, clocks, networks, databases, tallies, who is asking. The time is an argument,
//! and so is the proof that an intent is on record.
//!
//! Invariant: a key of the device PKI signs only a [`cycle::Recorded`], and nothing makes one but a receipt that covers
//! the exact TBS.

mod assemble;
pub mod csr;
pub mod cycle;
mod encode;
pub mod entropy;
mod extension;
pub mod issuer;
pub mod key;
pub mod profile;
pub mod root;
pub mod serial;
pub mod service_pki;
mod signatory;

pub use assemble::{AssembleRefusal, assemble};
pub use csr::{AskedFor, CsrRefusal, KeyPolicy, SubjectKey, gate, make_csr};
pub use cycle::{CycleRefusal, Draft, Receipt, Recorded, SelfCheck, Signed};
pub use encode::EncodeRefusal;
pub use entropy::{Entropy, EntropyRefusal, SeededEntropy, SystemEntropy};
pub use issuer::{
    CaKey, DeviceRequest, HandoffRequest, IssueRefusal, Issuer, LoadOptions, LoadRefusal, OrderCaRequest,
};
pub use key::{KeyError, KeyKind, Passphrase, SigningKey, SoftwareKey};
pub use profile::{OrderProfiles, ProfileRefusal, Stage};
pub use root::{RootMaker, RootRefusal};
pub use serial::{Instance, SerialRefusal, SerialSource};
pub use service_pki::{ServiceCa, ServicePkiRefusal};
