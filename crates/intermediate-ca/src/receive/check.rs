//! What the receiver checks by itself: the sender is not trusted to have done it.

use api::{Refusal, journal::v1::LotAccepting};
use bytes::Bytes;
use mfg::{LotId, ManufacturerId, SignedTerms, journey};
use pki::{
    Certificate,
    path::{Path, PathOptions, Purpose, verify_path},
};
use records::{named, wire};

use super::{Receiver, is_key, upstream};

/// Checks an offer before anything is made for it: it is for us, from the sender that we asked, under terms that the brand signed,
/// on their route, with names that fit.
pub(super) fn offer(
    receiver: &Receiver,
    from: &ManufacturerId,
    lot: &LotId,
    papers: &upstream::Offer,
) -> Result<(wire::Facts, SignedTerms), Refusal> {
    let facts = wire::read_facts("facts", papers.facts.as_ref())?;
    let consignment = &facts.consignment;
    let mismatch = |what: &str| {
        Refusal::new("OFFER_MISMATCH", format!("the offer of lot {lot} names another {what}")).with("lot", lot)
    };
    if consignment.lot != *lot {
        return Err(mismatch("lot"));
    }
    if consignment.to != receiver.authority.manufacturer {
        return Err(mismatch("receiver"));
    }
    if consignment.from != *from {
        return Err(mismatch("sender"));
    }
    let terms = verified_terms(receiver, &facts, &papers.terms, &papers.terms_signature)?;
    terms
        .terms()
        .check_offer(&consignment.from, &consignment.to, &consignment.lot, consignment.quantity)
        .map_err(named(mfg::TermsRefusal::reason))?;
    if facts.manifest_digest != terms.terms().document().manifest_digest {
        return Err(mismatch("manifest"));
    }
    // The certificates above us must be what they should be before we make a key under them.
    if let Some((first, above)) = papers.issuer_chain.split_first() {
        let path = verified_path(receiver, first, above)?;
        journey::read_issuer(&path, Some(&receiver.bundle)).map_err(named(mfg::JourneyRefusal::reason))?;
    }
    Ok((facts, terms))
}

/// Checks what the sender signed, before it is stored: the whole path to a trust anchor by our own verifier, and that it says exactly
/// what we accepted, for our key.
pub(super) fn signed(
    receiver: &Receiver,
    facts: &wire::Facts,
    accepting: &LotAccepting,
    answer: &upstream::Signed,
) -> Result<(SignedTerms, journey::Custody), Refusal> {
    let lot = &facts.consignment.lot;
    let terms = verified_terms(receiver, facts, &answer.terms, &answer.terms_signature)?;
    let (first, above) = answer
        .chain
        .split_first()
        .ok_or_else(|| Refusal::new("OFFER_MISMATCH", format!("the sender answered no certificate for lot {lot}")))?;
    let path = verified_path(receiver, first, above)?;
    let custody = journey::read_custody(&path, Some(&receiver.bundle)).map_err(named(mfg::JourneyRefusal::reason))?;
    let mismatch =
        |what: &str| Refusal::new("OFFER_MISMATCH", format!("the certificate of lot {lot} carries another {what}"));
    if !is_key(&accepting.key_digest, &custody.public_key.sha256()) {
        return Err(mismatch("key"));
    }
    if custody.handoff.consignment != facts.consignment {
        return Err(mismatch("consignment"));
    }
    if custody.subtree != facts.subtree {
        return Err(mismatch("subtree"));
    }
    let acceptance = wire::read_acceptance("acceptance", accepting.acceptance.as_ref())?;
    if custody.handoff.acceptance != acceptance {
        return Err(mismatch("acceptance"));
    }
    Ok((terms, custody))
}

fn verified_terms(
    receiver: &Receiver,
    facts: &wire::Facts,
    bytes: &Bytes,
    signature: &Bytes,
) -> Result<SignedTerms, Refusal> {
    let terms = SignedTerms::verify(bytes, signature, &receiver.bundle).map_err(named(mfg::TermsRefusal::reason))?;
    let consignment = &facts.consignment;
    if terms.digest() != consignment.terms_digest {
        return Err(Refusal::new(
            "TERMS_DIGEST_MISMATCH",
            format!("the terms of lot {} are not those of the handoff", consignment.lot),
        ));
    }
    let document = terms.terms().document();
    if document.order != consignment.order || document.program.id != consignment.program {
        return Err(Refusal::new(
            "OFFER_MISMATCH",
            format!("the terms of lot {} are of another order", consignment.lot),
        ));
    }
    Ok(terms)
}

/// Verifies a CA's path to a trust anchor of our bundle.
fn verified_path(receiver: &Receiver, first: &Bytes, above: &[Bytes]) -> Result<Path, Refusal> {
    let parse = |der: &Bytes| Certificate::parse(der).map_err(named(pki::ParseError::reason));
    let ca = parse(first)?;
    let candidates = above.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let options = PathOptions::new(receiver.authority.now(), Purpose::Any);
    verify_path(&ca, &candidates, &receiver.bundle.anchors, &options).map_err(named(pki::path::PathRefusal::reason))
}
