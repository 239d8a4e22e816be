//! "May I believe this leaf?": building and judging certification paths (RFC 5280 section 6).
//!
//! Read in this order: this page is the question and the answer, `reason` names the refusals, `search` finds chains of
//! valid signatures, `judge` holds one chain to the rules, with `constraints` for names, `reference` for the name that
//! was asked for and `revocation` for revocation lists.

mod checks;
mod constraints;
mod judge;
mod reason;
mod reference;
mod revocation;
mod search;

pub use checks::{KnownSignatures, SignatureChecks};
pub use reason::{PathReason, PathRefusal};
pub use reference::ReferenceName;

use crate::certificate::Certificate;
use crate::revocation_list::RevocationList;
use crate::time::UnixTime;

/// What a path is wanted for.
#[derive(Clone, Debug)]
pub struct PathOptions<'a> {
    /// The moment at which everything must be valid.
    pub at: UnixTime,
    /// What the leaf's key is to be used for.
    pub purpose: Purpose,
    /// The name that the leaf must bear.
    pub name: Option<ReferenceName>,
    /// Revocation lists. One that is signed by a CA of the path must be in order and must not list what that CA
    /// issued; a CA without a list here is not asked for one.
    pub crls: &'a [RevocationList],
    /// The most intermediates, those that are self-issued aside.
    pub max_depth: Option<u32>,
    /// Whose rules.
    pub rules: Rules,
}

/// What a leaf's key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To authenticate a TLS client.
    Client,
    /// To authenticate a TLS server.
    Server,
    /// Not asked.
    Any,
}

/// Whose rules a path is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rules {
    /// RFC 5280 alone.
    Plain,
    /// RFC 5280, but nameConstraints may be non-critical, for devices that cannot parse them otherwise (they are
    /// enforced all the same), and the leaf for a client or server is no CA.
    Countersign,
}

/// A path that was verified. Only [`verify_path`] makes one.
#[derive(Clone, Debug)]
pub struct Path {
    leaf: Certificate,
    intermediates: Vec<Certificate>,
    anchor: Certificate,
}

impl Path {
    /// The certificate that was asked about.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// From the leaf's issuer upwards; without the anchor, and empty when the anchor issued the leaf.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        &self.anchor
    }

    /// The CA that issued the leaf.
    pub fn issuer(&self) -> &Certificate {
        self.intermediates.first().unwrap_or(&self.anchor)
    }
}

impl PathOptions<'_> {
    /// Options for this moment and purpose: no name, no revocation lists, no depth limit, Countersign's rules.
    pub fn new(at: UnixTime, purpose: Purpose) -> PathOptions<'static> {
        PathOptions { at, purpose, name: None, crls: &[], max_depth: None, rules: Rules::Countersign }
    }
}

/// More candidates than this are refused.
pub const MAX_CANDIDATES: usize = 64;
/// More intermediates than this are not tried in one path.
pub const MAX_INTERMEDIATES: usize = 10;
/// More signatures than this are not checked for one question.
pub const MAX_SIGNATURE_CHECKS: usize = 64;

/// Looks for a path from `leaf` to one of `anchors` through some of `candidates`, which may come in any order, and holds
/// it to the rules. An anchor is a certificate and is judged like one: its validity, its constraints.
///
/// Takes at most [`MAX_SIGNATURE_CHECKS`] signature checks, four for a chain of three intermediates.
///
/// # Errors
/// The reason of the path that came furthest, or [`PathReason::PathSearchExhausted`].
pub fn verify_path(
    leaf: &Certificate,
    candidates: &[Certificate],
    anchors: &[Certificate],
    options: &PathOptions<'_>,
) -> Result<Path, PathRefusal> {
    verify_path_within(leaf, candidates, anchors, options, &mut SignatureChecks::new())
}

/// As [`verify_path`], for whoever asks several questions about the same certificates: `checks` bounds them all together, and
/// remembers what came of each check.
///
/// # Errors
/// As [`verify_path`].
pub fn verify_path_within(
    leaf: &Certificate,
    candidates: &[Certificate],
    anchors: &[Certificate],
    options: &PathOptions<'_>,
    checks: &mut SignatureChecks<'_>,
) -> Result<Path, PathRefusal> {
    search::search(leaf, candidates, anchors, options, checks)
}
