//! The middle of the cycle: an intent that is durable is signed, and becomes a result that can be committed.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{Signed, record::Fact},
};
use bytes::Bytes;
use issuance::{CaKey, Draft, SelfCheck};
use mfg::Generation;
use records::{Act, named};
use store::{Claim, Committed, Key, Position, Receipt, Rule, Unit};

use crate::{lots::Lot, possession::OwnCa};

/// Which certificates a result is about: decides the record's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Device,
    Handoff,
    Possession,
}

/// Whose key signs.
pub(crate) enum Signer {
    /// The one CA of a root-ca.
    Own(Arc<OwnCa>),
    /// A lot's CA.
    Lot(Arc<Lot>),
}

impl Signer {
    /// The key, if it is here and may sign.
    ///
    /// # Errors
    /// `LOT_NOT_OPEN`; why the CA of a root-ca could not be loaded.
    pub(crate) fn key(&self) -> Result<&CaKey<Receipt>, Refusal> {
        match self {
            Self::Own(own) => own.key(),
            Self::Lot(lot) => Ok(lot.issuer()?.ca_key()),
        }
    }

    /// The CA's certificate, DER; it is known for longer than its key.
    pub(crate) fn certificate(&self) -> Bytes {
        match self {
            Self::Own(own) => own.certificate.clone(),
            Self::Lot(lot) => lot.chain.first().cloned().unwrap_or_default(),
        }
    }
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
    key: &CaKey<Receipt>,
    subject: Subject,
    act: &Act,
    draft: Draft,
    receipt: Receipt,
    found_by: Vec<Key>,
) -> Result<Outcome, Refusal> {
    let intent_at = receipt.position();
    let recorded = draft.recorded(receipt).map_err(named(issuance::CycleRefusal::reason))?;
    let check = match subject {
        // A CA certificate is verified in any case.
        Subject::Device | Subject::Handoff => SelfCheck::Skip,
        Subject::Possession => SelfCheck::Verify,
    };
    let signed = key.sign(recorded, check).map_err(named(issuance::CycleRefusal::reason))?;
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
        Subject::Possession => Fact::PossessionSigned(signed),
    };
    let mut unit = act.unit(fact);
    unit.completes = Some(intent_at);
    unit.claims.extend(found_by.into_iter().map(|key| Claim { key, rule: Rule::Any }));
    unit
}
