//! The middle of the cycle: an intent that is durable is signed, and becomes a result that can be committed.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{Signed, record::Fact},
};
use bytes::Bytes;
use issuance::{Draft, SelfCheck};
use mfg::Generation;
use records::{Act, named};
use store::{Claim, Committed, Key, Position, Receipt, Rule, Unit};

use crate::lots::Lot;

/// Which certificates a result is about: decides the record's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Device,
    Handoff,
}

/// A drafted certificate with the unit that records the intent to sign it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) lot: Arc<Lot>,
    pub(crate) subject: Subject,
    pub(crate) act: Act,
    pub(crate) draft: Draft,
    /// The intent; its `intent` digest is the draft's.
    pub(crate) unit: Unit,
    /// The keys that find the result afterwards.
    pub(crate) found_by: Vec<Key>,
    /// Of the device's certificate.
    pub(crate) generation: Generation,
}

/// A signed certificate with the unit that records the result. Nobody may see the certificate before that unit is durable.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) certificate: Bytes,
    pub(crate) unit: Unit,
}

/// Signs a durable intent.
///
/// # Errors
/// `INTERNAL` when the receipt does not cover the draft or the key fails; the intent stays open and is completed by a retry or at
/// the next start.
pub(crate) fn sign(
    lot: &Lot,
    subject: Subject,
    act: &Act,
    draft: Draft,
    receipt: Receipt,
    found_by: Vec<Key>,
) -> Result<Outcome, Refusal> {
    let intent_at = receipt.position();
    let recorded = draft.recorded(receipt).map_err(named(issuance::CycleRefusal::reason))?;
    let signed = lot.issuer()?.sign(recorded, SelfCheck::Skip).map_err(named(issuance::CycleRefusal::reason))?;
    let signature = Bytes::copy_from_slice(signed.signature());
    let unit = result_unit(subject, act, intent_at, signature, found_by);
    Ok(Outcome { certificate: Bytes::from(signed.into_der()), unit })
}

/// The receipt of a committed intent.
///
/// # Errors
/// `INTERNAL` when the store gave none: the unit had no intent.
pub(crate) fn receipt_of(committed: Committed) -> Result<Receipt, Refusal> {
    committed.receipt.ok_or_else(|| Refusal::new("INTERNAL", "the store gave no receipt for an intent"))
}

fn result_unit(subject: Subject, act: &Act, intent_at: Position, signature: Bytes, found_by: Vec<Key>) -> Unit {
    let signed = Signed { intent_at: intent_at.as_u64(), signature };
    let fact = match subject {
        Subject::Device => Fact::DeviceSigned(signed),
        Subject::Handoff => Fact::HandoffSigned(signed),
    };
    let mut unit = act.unit(fact);
    unit.completes = Some(intent_at);
    unit.claims.extend(found_by.into_iter().map(|key| Claim { key, rule: Rule::Any }));
    unit
}
