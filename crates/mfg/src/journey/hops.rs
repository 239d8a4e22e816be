//! The handoffs of a path, each compared with the certificate above it.

use pki::{Certificate, DnsName, ObjectIdentifier, Subtree, UnixTime};

use crate::bundle::Bundle;
use crate::handoff::{Handoff, HandoffRefusal, Hop};
use crate::journey::{JourneyReason, JourneyRefusal};
use crate::oid::OidArc;
use crate::subtree::{handoff_common_name, subtree};

/// One handoff certificate as read.
pub(super) struct ReadHop<'a> {
    pub(super) certificate: &'a Certificate,
    pub(super) handoff: Handoff,
    pub(super) subtree: DnsName,
}

/// The handoffs, root first, and the arc they share.
pub(super) struct Route<'a> {
    pub(super) arc: OidArc,
    pub(super) hops: Vec<ReadHop<'a>>,
}

/// What the CAs read so far leave to the one below.
struct Above<'a> {
    issuer: &'a Certificate,
    hop: Option<usize>,
    /// The subtree of the issuer, if it must be that of the next hop's parent.
    subtree: Option<DnsName>,
    window: Option<(UnixTime, UnixTime)>,
    path_length: Option<u32>,
}

/// Reads every handoff of a path, root first: none when it has no CA but an order CA. A trust anchor may itself be a lot's CA: then its own handoff is the first.
pub(super) fn read<'a>(
    intermediates: &[&'a Certificate],
    anchor: &'a Certificate,
) -> Result<Option<Route<'a>>, JourneyRefusal> {
    let mut route: Option<Route<'a>> = find_arc(anchor)?.map(|arc| Route { arc, hops: Vec::new() });
    let mut above = Above::anchor(anchor);
    if let Some(route) = &mut route {
        let hop = read_hop(anchor, &route.arc)?;
        above.below_hop(0, &hop);
        route.hops.push(hop);
    }
    for (index, certificate) in intermediates.iter().enumerate() {
        nested_validity(certificate, above.issuer)?;
        let arc = match &route {
            Some(route) => Some(route.arc),
            None => find_arc(certificate)?,
        };
        let Some(arc) = arc else {
            order_ca(index, certificate)?;
            above.below_order_ca(certificate)?;
            continue;
        };
        let route = route.get_or_insert(Route { arc, hops: Vec::new() });
        let hop = read_hop(certificate, &arc)?;
        let sender = above.hop.and_then(|hop| route.hops.get(hop));
        linked(&hop, sender)?;
        above.check(&hop)?;
        above.below_hop(route.hops.len(), &hop);
        route.hops.push(hop);
    }
    Ok(route)
}

/// The arc under which a certificate has its handoff extension.
fn find_arc(certificate: &Certificate) -> Result<Option<OidArc>, JourneyRefusal> {
    let mut arcs = certificate
        .extensions()
        .filter_map(|extension| ObjectIdentifier::from_bytes(extension.oid_octets).ok())
        .filter_map(|oid| OidArc::of_handoff(&oid));
    let arc = arcs.next();
    if arcs.next().is_some() {
        return refused(certificate, JourneyReason::HandoffAmbiguous, "more than one extension may be the handoff");
    }
    Ok(arc)
}

fn order_ca(index: usize, certificate: &Certificate) -> Result<(), JourneyRefusal> {
    // Only the anchor may vouch for a CA that is no handoff; a manufacturer cannot make one.
    if index > 0 {
        return refused(certificate, JourneyReason::HandoffMissing, "carries no handoff extension");
    }
    no_foreign_names(certificate)
}

fn read_hop<'a>(certificate: &'a Certificate, arc: &OidArc) -> Result<ReadHop<'a>, JourneyRefusal> {
    let Some(extension) = certificate.extension(&arc.handoff()) else {
        return refused(certificate, JourneyReason::HandoffMissing, format!("has no extension {}", arc.handoff()));
    };
    if extension.critical {
        return refused(certificate, JourneyReason::PrivateExtensionCritical, "the handoff extension is critical");
    }
    let handoff = Handoff::from_der(extension.value).map_err(|cause| {
        let reason = match cause {
            HandoffRefusal::Version(_) => JourneyReason::HandoffVersionUnknown,
            HandoffRefusal::TooLong(_)
            | HandoffRefusal::Malformed(_)
            | HandoffRefusal::NotDer
            | HandoffRefusal::Id(_)
            | HandoffRefusal::Quantity(_)
            | HandoffRefusal::Hop(_)
            | HandoffRefusal::Digest(_)
            | HandoffRefusal::Signature(_) => JourneyReason::HandoffMalformed,
        };
        refusal(certificate, reason, cause.to_string())
    })?;
    no_foreign_names(certificate)?;
    let subtree = permitted_subtree(certificate)?;
    let hop = ReadHop { certificate, handoff, subtree };
    named_after_its_lot(&hop)?;
    Ok(hop)
}

fn no_foreign_names(certificate: &Certificate) -> Result<(), JourneyRefusal> {
    if certificate.subject_alt_names().is_empty() {
        Ok(())
    } else {
        refused(certificate, JourneyReason::ForeignName, "a ca certificate has no alternative names")
    }
}

/// The one permitted dNSName subtree (RFC 5280 section 4.2.1.10), critical or, in the compatibility profile, not.
fn permitted_subtree(certificate: &Certificate) -> Result<DnsName, JourneyRefusal> {
    if let Some(constraints) = certificate.name_constraints()
        && constraints.excluded.is_empty()
        && let [Subtree::Dns(name)] = constraints.permitted.as_slice()
        && let Ok(name) = DnsName::parse(name)
    {
        return Ok(name);
    }
    refused(certificate, JourneyReason::SubtreeInvalid, "not exactly one permitted dns subtree and nothing excluded")
}

fn named_after_its_lot(hop: &ReadHop<'_>) -> Result<(), JourneyRefusal> {
    let consignment = &hop.handoff.consignment;
    let labels = format!("{}.{}.", consignment.lot, consignment.to);
    if !hop.subtree.as_str().starts_with(&labels) {
        let detail = format!("subtree {} does not begin with {labels}", hop.subtree);
        return refused(hop.certificate, JourneyReason::SubtreeInvalid, detail);
    }
    let expected = handoff_common_name(&consignment.lot, &consignment.to, &hop.subtree);
    let subject = hop.certificate.subject();
    let organization = subject.organization().is_some_and(|name| !name.is_empty());
    if !organization || subject.common_names() != [expected.as_str()] {
        let detail = format!("the subject is not one organization with the common name {expected:?}");
        return refused(hop.certificate, JourneyReason::SubjectInvalid, detail);
    }
    Ok(())
}

/// What a hop has to share with the hop above, or how it must begin.
fn linked(hop: &ReadHop<'_>, sender: Option<&ReadHop<'_>>) -> Result<(), JourneyRefusal> {
    let own = &hop.handoff.consignment;
    let rule = |holds: bool, reason, detail: &str| {
        if holds { Ok(()) } else { refused(hop.certificate, reason, detail) }
    };
    let Some(sender) = sender else {
        return rule(own.hop == Hop::FIRST, JourneyReason::HopOutOfOrder, "the first handoff is not hop 1");
    };
    let theirs = &sender.handoff.consignment;
    let counted = theirs.hop.next().is_ok_and(|next| next == own.hop);
    rule(counted, JourneyReason::HopOutOfOrder, "the hop does not follow the one above")?;
    rule(own.from == theirs.to, JourneyReason::HopNotLinked, "the sender is not the receiver of the hop above")?;
    rule(own.program == theirs.program, JourneyReason::ProgramDiffers, "another program than the hop above")?;
    rule(own.order == theirs.order, JourneyReason::OrderDiffers, "another order than the hop above")?;
    rule(own.terms_digest == theirs.terms_digest, JourneyReason::TermsDiffer, "other terms than the hop above")?;
    let same_manifest = hop.handoff.manifest_digest == sender.handoff.manifest_digest;
    rule(same_manifest, JourneyReason::ManifestDiffers, "another manifest than the hop above")?;
    let covered = theirs.quantity.covers(own.quantity);
    rule(covered, JourneyReason::QuantityExceedsLot, "more units than the hop above received")
}

impl<'a> Above<'a> {
    fn anchor(anchor: &'a Certificate) -> Self {
        let path_length = anchor.basic_constraints().and_then(|constraints| constraints.path_len);
        Self { issuer: anchor, hop: None, subtree: None, window: None, path_length }
    }

    fn check(&self, hop: &ReadHop<'_>) -> Result<(), JourneyRefusal> {
        let consignment = &hop.handoff.consignment;
        if let Some(parent) = &self.subtree {
            let nested = subtree(parent, &consignment.lot, &consignment.to);
            if nested.as_ref() != Ok(&hop.subtree) {
                let detail = format!("subtree {} is not that of the lot under {parent}", hop.subtree);
                return refused(hop.certificate, JourneyReason::SubtreeInvalid, detail);
            }
        }
        self.check_path_length(hop.certificate)?;
        let (from, until) = window(hop.certificate).ok_or_else(|| {
            refusal(hop.certificate, JourneyReason::SigningWindowMissing, "has no complete privateKeyUsagePeriod")
        })?;
        let inside = self.window.is_none_or(|(first, last)| first <= from && until <= last);
        if from > until || !inside {
            let detail = "the signing window does not lie inside the one above";
            return refused(hop.certificate, JourneyReason::SigningWindowNotNested, detail);
        }
        Ok(())
    }

    fn check_path_length(&self, certificate: &Certificate) -> Result<(), JourneyRefusal> {
        let own = certificate.basic_constraints().and_then(|constraints| constraints.path_len);
        match (own, self.path_length) {
            (Some(_), None) => Ok(()),
            (Some(own), Some(above)) if own < above => Ok(()),
            (Some(_), Some(_)) => {
                refused(certificate, JourneyReason::PathLengthNotNested, "the path length is not below the issuer's")
            }
            (None, _) => refused(certificate, JourneyReason::PathLengthNotNested, "has no path length"),
        }
    }

    fn below_hop(&mut self, index: usize, hop: &ReadHop<'a>) {
        self.below(hop.certificate);
        self.hop = Some(index);
        self.subtree = Some(hop.subtree.clone());
    }

    fn below_order_ca(&mut self, certificate: &'a Certificate) -> Result<(), JourneyRefusal> {
        self.subtree = Some(permitted_subtree(certificate)?);
        self.below(certificate);
        Ok(())
    }

    fn below(&mut self, certificate: &'a Certificate) {
        self.issuer = certificate;
        self.window = window(certificate).or(self.window);
        self.path_length = certificate.basic_constraints().and_then(|constraints| constraints.path_len);
    }
}

fn window(certificate: &Certificate) -> Option<(UnixTime, UnixTime)> {
    let period = certificate.private_key_usage_period()?;
    Some((period.not_before?, period.not_after?))
}

/// The validity of a certificate lies inside its issuer's.
pub(super) fn nested_validity(certificate: &Certificate, issuer: &Certificate) -> Result<(), JourneyRefusal> {
    if issuer.not_before() <= certificate.not_before() && certificate.not_after() <= issuer.not_after() {
        Ok(())
    } else {
        refused(certificate, JourneyReason::ValidityNotNested, "is valid outside its issuer's validity")
    }
}

/// The program is one that the bundle lists, if it lists any, with its base name and arc.
pub(super) fn known_program(route: &Route<'_>, bundle: &Bundle) -> Result<(), JourneyRefusal> {
    let Some(first) = route.hops.first() else { return Ok(()) };
    let consignment = &first.handoff.consignment;
    if bundle.programs.is_empty() {
        return Ok(());
    }
    let Some(program) = bundle.program(&consignment.program) else {
        let detail = format!("the bundle lists programs, but not {}", consignment.program);
        return refused(first.certificate, JourneyReason::ProgramUnknown, detail);
    };
    let based = if consignment.hop == Hop::FIRST {
        subtree(&program.base_name, &consignment.lot, &consignment.to).as_ref() == Ok(&first.subtree)
    } else {
        first.subtree.is_within(&program.base_name)
    };
    if !based || program.oid_arc != route.arc {
        let detail = format!("program {} has base name {} and arc {}", program.id, program.base_name, program.oid_arc);
        return refused(first.certificate, JourneyReason::ProgramNotAsRegistered, detail);
    }
    Ok(())
}

fn refused<T>(
    certificate: &Certificate,
    reason: JourneyReason,
    detail: impl Into<String>,
) -> Result<T, JourneyRefusal> {
    Err(refusal(certificate, reason, detail))
}

fn refusal(certificate: &Certificate, reason: JourneyReason, detail: impl Into<String>) -> JourneyRefusal {
    JourneyRefusal::new(reason, format!("{}: {}", certificate.subject(), detail.into()))
}
