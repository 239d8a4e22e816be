//! What the receiver checks by itself: the sender is not trusted to have done it.

use api::{Refusal, custody::v1::HandoffState, handoff::v1::GetOfferResponse, journal::v1::LotAccepting};
use bytes::Bytes;
use mfg::{Bundle, LotId, ManufacturerId, SignedTerms, Statement, Terms, journey};
use pki::{
    Certificate, DnsName, PublicKey, Sha256, UnixTime,
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
    still_open(lot, papers.state)?;
    let terms = verified_terms(receiver, &facts, &papers.terms, &papers.terms_signature)?;
    terms
        .terms()
        .check_offer(&consignment.from, &consignment.to, &consignment.lot, consignment.quantity)
        .map_err(named(mfg::TermsRefusal::reason))?;
    if facts.manifest_digest != terms.terms().document().manifest_digest {
        return Err(mismatch("manifest"));
    }
    let (hops, above) = sender_stands(receiver, from, papers, terms.terms())?;
    if consignment.hop.get() != hops.saturating_add(1) {
        return Err(mismatch("hop"));
    }
    let subtree = mfg::subtree::subtree(&above, lot, &consignment.to).map_err(named(mfg::RoomRefusal::reason))?;
    if facts.subtree != subtree {
        return Err(mismatch("subtree"));
    }
    Ok((facts, terms))
}

/// Where the sender stands: how many hops from the brand, and under which names. The certificates above us must be what they should be
/// before we make a key under them.
fn sender_stands(
    receiver: &Receiver,
    from: &ManufacturerId,
    papers: &upstream::Offer,
    terms: &Terms,
) -> Result<(u8, DnsName), Refusal> {
    let custody = match papers.issuer_chain.split_first() {
        Some((first, above)) => {
            let path = verified_path(receiver, first, above)?;
            journey::read_issuer(&path, Some(&receiver.authority.bundle()))
                .map_err(named(mfg::JourneyRefusal::reason))?
        }
        None => None,
    };
    // The root itself, or an order CA, which hands over nothing.
    let Some(custody) = custody else { return Ok((0, terms.document().program.base_name.clone())) };
    let held = &custody.handoff.consignment;
    if held.to != *from {
        return Err(Refusal::new("OFFER_MISMATCH", format!("{from} offers from a lot that {} received", held.to)));
    }
    Ok((held.hop.get(), custody.subtree))
}

/// The identity key of a sender with this digest: of the brand from the bundle, of everybody else from the terms.
pub(crate) fn sender_key<'a>(
    bundle: &'a Bundle,
    terms: &'a Terms,
    from: &'a ManufacturerId,
    digest: &Sha256,
) -> Option<&'a PublicKey> {
    if *from == terms.document().brand {
        return bundle.identity_keys_of(from).find(|key| key.sha256() == *digest);
    }
    terms.identity_key(from, digest)
}

/// Checks what proves an offer that came as a file, the sender's signature; answers when the offer runs out.
pub(super) fn carried(
    receiver: &Receiver,
    facts: &wire::Facts,
    terms: &SignedTerms,
    offer: &GetOfferResponse,
) -> Result<UnixTime, Refusal> {
    let consignment = &facts.consignment;
    let invalid = |what: &str| {
        Refusal::new("OFFER_SIGNATURE_INVALID", format!("the offer of lot {} {what}", consignment.lot))
            .with("lot", &consignment.lot)
    };
    let expires_at = offer
        .handoff
        .as_ref()
        .and_then(|handoff| handoff.expires_at.as_ref())
        .map(wire::read_timestamp)
        .ok_or_else(|| Refusal::malformed("offer", "does not say when it ends"))?;
    let digest = wire::read_digest("identity_key_digest", &offer.identity_key_digest)?;
    let bundle = receiver.authority.bundle();
    let key = sender_key(&bundle, terms.terms(), &consignment.from, &digest)
        .ok_or_else(|| invalid("names no identity key of its sender"))?;
    let seconds = u64::try_from(expires_at.as_secs()).map_err(|_| invalid("has an impossible end"))?;
    Statement::offer(consignment, seconds)
        .verify(key, &offer.signature)
        .map_err(named(mfg::StatementRefusal::reason))?;
    Ok(expires_at)
}

/// Nothing is made for an offer that has run out, as far as its file tells; over a wire the sender says.
pub(super) fn not_expired(receiver: &Receiver, lot: &LotId, papers: &upstream::Offer) -> Result<(), Refusal> {
    if papers.carried_until.is_some_and(|until| receiver.authority.now() > until) {
        return Err(Refusal::new("HANDOFF_WITHDRAWN", format!("the offer of lot {lot} has expired")).with("lot", lot));
    }
    Ok(())
}

/// Nothing is made for an offer that is over. One that is accepted already was accepted with a key that is not on record here.
fn still_open(lot: &LotId, state: HandoffState) -> Result<(), Refusal> {
    let refusal =
        |reason, what: &str| Err(Refusal::new(reason, format!("the offer of lot {lot} {what}")).with("lot", lot));
    match state {
        HandoffState::Offered => Ok(()),
        HandoffState::Cancelled | HandoffState::Expired => refusal("HANDOFF_WITHDRAWN", "was withdrawn or has expired"),
        HandoffState::Accepted | HandoffState::Signed => {
            refusal("HANDOFF_ALREADY_ACCEPTED", "is accepted, with a key that is not on record here")
        }
        HandoffState::Voided => refusal("HANDOFF_VOIDED", "was accepted and can never be signed"),
        HandoffState::Unspecified => refusal("OFFER_MISMATCH", "is in no state that is known here"),
    }
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
    let custody =
        journey::read_custody(&path, Some(&receiver.authority.bundle())).map_err(named(mfg::JourneyRefusal::reason))?;
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
    let terms = SignedTerms::verify(bytes, signature, &receiver.authority.bundle())
        .map_err(named(mfg::TermsRefusal::reason))?;
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
    verify_path(&ca, &candidates, &receiver.authority.bundle().anchors, &options)
        .map_err(named(pki::path::PathRefusal::reason))
}
