//! Ceremonies: a root, or an order CA under an offline root, made from one file that was reviewed before.
//!
//! [`Ceremony::read`] takes the file, [`Ceremony::check`] proves that it can be held without making anything, and
//! [`Ceremony::hold`] makes the key, writes down what will be signed, signs it, and leaves [`Evidence`]. Nothing is ever
//! overwritten. A ceremony that was interrupted is held again with the same file and goes on where it stopped: the same key,
//! the same TBS, one signature.
//!
//! [`keys`] reads and writes key files under a passphrase; the CAs' other tools use it as well.
//!
//! What this crate does not know: terminals (who asks for a passphrase is an argument), clocks, networks, stores. The record
//! that an intent to sign must have is here the TBS in a file beside the evidence, synced before the key is touched.

mod evidence;
mod folder;
mod hold;
mod input;
pub mod keys;
mod make;
mod materials;
mod refusal;

pub use evidence::{CertificateEvidence, Evidence, FileEvidence, IssuerEvidence, KeyEvidence};
pub use hold::{Ceremony, Outline};
pub use input::{Input, IssuerSection, KeySection, OutputSection, Protection};
pub use refusal::CeremonyRefusal;
