//! A judgement in words: what the reason means, what was presented, what to do about this very chain.

use api::{
    hub::v1::{ExplainedJudgement, Judgement, Outcome},
    reason_table,
};
use mfg::{Handoff, OidArc, Quantity};
use pki::{Certificate, GeneralName, ObjectIdentifier};

/// A judgement with everything that can be said about it.
pub(crate) fn explained(judgement: Judgement) -> ExplainedJudgement {
    let chain: Vec<Result<Certificate, String>> =
        judgement.chain.iter().map(|der| Certificate::parse(der).map_err(|error| error.to_string())).collect();
    let explanation = match judgement.outcome() {
        Outcome::Refused => reason_table::explain(&judgement.reason),
        Outcome::Unspecified | Outcome::Admitted | Outcome::Ended => None,
    };
    ExplainedJudgement {
        meaning: explanation.map(|e| e.meaning.to_owned()).unwrap_or_default(),
        remedy: explanation.map(|e| e.remedy.to_owned()).unwrap_or_default(),
        advice: advice(&judgement, &chain),
        chain: chain.iter().enumerate().map(|(place, certificate)| line(place + 1, certificate)).collect(),
        judgement: Some(judgement),
    }
}

/// One certificate on one line.
fn line(place: usize, certificate: &Result<Certificate, String>) -> String {
    match certificate {
        Err(problem) => format!("{place}. unreadable: {problem}"),
        Ok(certificate) => {
            let kind = if certificate.is_ca() { "ca" } else { "leaf" };
            format!(
                "{place}. {kind} {}, issued by {}, valid {} to {}{}{}",
                certificate.subject(),
                certificate.issuer(),
                certificate.not_before(),
                certificate.not_after(),
                names(certificate),
                handoff(certificate).unwrap_or_default()
            )
        }
    }
}

fn names(certificate: &Certificate) -> String {
    let dns = certificate.subject_alt_names().iter();
    let dns: Vec<&str> =
        dns.filter_map(|name| if let GeneralName::Dns(name) = name { Some(name.as_str()) } else { None }).collect();
    if dns.is_empty() { String::new() } else { format!(", names {}", dns.join(" ")) }
}

fn handoff(certificate: &Certificate) -> Option<String> {
    let arc = certificate
        .extensions()
        .filter_map(|extension| ObjectIdentifier::from_bytes(extension.oid_octets).ok())
        .find_map(|oid| OidArc::of_handoff(&oid))?;
    let extension = certificate.extension(&arc.handoff())?;
    let consignment = Handoff::from_der(extension.value).ok()?.consignment;
    let quantity = match consignment.quantity {
        Quantity::Units(units) => format!("{} units", units.get()),
        Quantity::Unlimited => "unlimited".to_owned(),
    };
    Some(format!(
        ", hop {}: {} handed lot {} ({quantity}) to {}",
        consignment.hop, consignment.from, consignment.lot, consignment.to
    ))
}

/// What the chain itself tells beyond its reason.
fn advice(judgement: &Judgement, chain: &[Result<Certificate, String>]) -> String {
    let read: Vec<&Certificate> = chain.iter().filter_map(|certificate| certificate.as_ref().ok()).collect();
    let Some(leaf) = read.first() else { return String::new() };
    match judgement.reason.as_str() {
        "UNKNOWN_ISSUER" if read.len() == 1 => format!(
            "The device sent its own certificate alone, and no registered CA issued it. Give the device SDK the file with the whole \
             chain (the leaf, then every intermediate), or register its issuer: {}.",
            leaf.issuer()
        ),
        "UNKNOWN_ISSUER" => match top(&read) {
            Some(top) => format!(
                "The topmost certificate that leads up from the device is {}. Register its issuer {} at the hub, or one of the CAs \
                 that the device sent.",
                top.subject(),
                top.issuer()
            ),
            None => String::new(),
        },
        "DEVICE_ID_MISMATCH" if leaf.is_ca() => {
            "The first certificate is a CA: the chain file begins with the device's own certificate.".to_owned()
        }
        "HANDOFF_MISSING" if read.iter().all(|certificate| handoff(certificate).is_none()) => {
            "No certificate of this chain is a handoff. If it is a chain of another maker, register its CA as plain: countersign hub \
             ca add --plain."
                .to_owned()
        }
        "EXPIRED" | "NOT_YET_VALID" | "ANCHOR_EXPIRED" | "ANCHOR_NOT_YET_VALID" => {
            "The hub judges by its own clock; the judgement says when it was.".to_owned()
        }
        _ => String::new(),
    }
}

/// The certificate that the presented ones lead up to from the leaf.
fn top<'a>(read: &[&'a Certificate]) -> Option<&'a Certificate> {
    let mut current = *read.first()?;
    for _ in 0..read.len() {
        let above = read.iter().find(|above| above.subject() == current.issuer() && **above != current);
        match above {
            Some(above) => current = above,
            None => break,
        }
    }
    Some(current)
}
