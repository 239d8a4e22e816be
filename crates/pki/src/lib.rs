//! Reads and judges X.509: certificates, certification requests, revocation lists, and the paths they form (RFC 5280).
//!
//! Start with [`Certificate::parse`] for one certificate, and with [`path::verify_path`] for the question "may I
//! believe this leaf?". [`CertificateRequest::parse`] proves possession of the key it asks for.
//!
//! What this crate does not know: files, clocks, networks, databases, PKCS#12, and anything of Countersign's own
//! (orders, lots, handoffs live in `mfg`). The time is an argument; so are the revocation lists. Nothing here signs; private keys pass
//! through [`encrypted_key`] alone, unread.
//!
//! Invariant: no input, however hostile, panics or takes unbounded time. Parsers are linear in their input and refuse
//! what is over-long; the path search counts its steps and its signature checks.

mod asn1;
mod certificate;
mod digest;
mod dns;
pub mod encrypted_key;
mod error;
mod extensions;
mod general_name;
mod key;
mod name;
pub mod path;
pub mod pem;
mod request;
mod revocation_list;
mod serial;
mod signature;
mod time;

pub use certificate::Certificate;
pub use der::oid::ObjectIdentifier;
pub use digest::{HexError, Sha256, hex};
pub use dns::{DnsLabel, DnsName, DnsNameError};
pub use error::{ParseError, ParseReason};
pub use extensions::{
    AuthorityKeyId, BasicConstraints, ExtendedKeyUsage, Extension, KeyUsage, PrivateKeyUsagePeriod, oid,
};
pub use general_name::{GeneralName, NameConstraints, Subtree};
pub use key::{KeyAlgorithm, PublicKey};
pub use name::{Attribute, Name};
pub use request::{CertificateRequest, RequestAttribute};
pub use revocation_list::{RevocationList, RevokedEntry};
pub use serial::CertificateSerial;
pub use signature::{SignatureAlgorithm, SignatureError};
pub use time::{TimeError, UnixTime};
