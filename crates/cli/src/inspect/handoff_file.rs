//! Handoff files: which message, about which lot, for whom.

use api::custody::v1::{HandoffFacts, SignedTerms, quantity::Amount};
use api::handoff::v1::handoff_file::Content;
use pki::{Certificate, CertificateRequest, Sha256, UnixTime, hex};
use serde_json::{Value, json};

use super::{Facts, Finding, Kind};
use crate::handoff_file::{MessageKind, parse};

/// What the message in a handoff file's armour says. Nothing of it is verified here: its receiver does that.
pub(super) fn message(octets: &[u8]) -> Result<Finding, String> {
    let content = parse(octets).map_err(str::to_owned)?;
    let kind = MessageKind::of(&content);
    let mut facts: Facts = vec![("message", json!(kind.as_str())), ("taken by", json!(kind.taken_by()))];
    match &content {
        Content::Offer(offer) => {
            let handoff = offer.handoff.as_ref();
            handoff.and_then(|handoff| handoff.facts.as_ref()).into_iter().for_each(|of| facts.extend(custody(of)));
            let expires = handoff.and_then(|handoff| handoff.expires_at.as_ref()).map(|at| at.seconds);
            facts.push(("expires", expires.map_or(Value::Null, |at| json!(UnixTime::new(at).to_string()))));
            facts.extend(terms(offer.terms.as_ref()));
            facts.push(("issuer chain", certificates(&offer.issuer_chain)));
        }
        Content::Acceptance(acceptance) => {
            facts.push(("lot", json!(acceptance.lot)));
            let key = CertificateRequest::parse(&acceptance.csr).map(|csr| csr.public_key().sha256().to_string());
            facts.push(("lot key sha256", key.map_or(Value::Null, Value::from)));
            let by = acceptance.acceptance.as_ref().map(|by| hex::encode(&by.identity_key_digest));
            facts.push(("signed by key sha256", by.map_or(Value::Null, Value::from)));
        }
        Content::Answer(answer) => {
            facts.push(("chain", certificates(&answer.chain)));
            facts.extend(terms(answer.terms.as_ref()));
        }
        Content::TallyReport(report) => {
            facts.push(("lot", json!(report.lot)));
            facts.push(("handoff certificate sha256", json!(hex::encode(&report.certificate_sha256))));
            if let Some(tally) = &report.tally {
                facts.push(("provisioned", json!(tally.provisioned)));
                facts.push(("handed over", json!(tally.handed_over)));
                facts.push(("scrapped", json!(tally.scrapped)));
                facts.push(("remaining", tally.remaining.map_or_else(|| json!("unlimited"), Value::from)));
                facts.push(("closed", json!(tally.closed)));
            }
            facts.push(("journal position", json!(report.journal_position)));
        }
        Content::Reinstatement(permission) => {
            facts.push(("lot", json!(permission.lot)));
            facts.push(("handoff certificate sha256", json!(hex::encode(&permission.certificate_sha256))));
            facts.push(("ordinal", json!(permission.ordinal)));
            facts.push(("units", json!(permission.units)));
        }
    }
    Ok(Finding {
        kind: Kind::HandoffFile,
        what: format!("a handoff file with a handoff's {}", kind.as_str()),
        facts: vec![facts],
    })
}

fn custody(of: &HandoffFacts) -> Facts {
    let quantity = match of.quantity.as_ref().and_then(|quantity| quantity.amount.as_ref()) {
        Some(Amount::Units(units)) => json!(units),
        Some(Amount::Unlimited(_)) | None => json!("unlimited"),
    };
    vec![
        ("program", json!(of.program)),
        ("order", json!(of.order)),
        ("from", json!(of.from)),
        ("to", json!(of.to)),
        ("lot", json!(of.lot)),
        ("quantity", quantity),
        ("hop", json!(of.hop)),
        ("subtree", json!(of.subtree)),
    ]
}

fn terms(terms: Option<&SignedTerms>) -> Facts {
    let digest = terms.map(|terms| Sha256::of(&terms.terms).to_string());
    vec![("terms digest", digest.map_or(Value::Null, Value::from))]
}

fn certificates(all: &[bytes::Bytes]) -> Value {
    let subject = |der: &bytes::Bytes| match Certificate::parse(der) {
        Ok(found) => format!("{}, sha256 {}", found.subject(), found.sha256()),
        Err(error) => format!("no certificate: {error}"),
    };
    all.iter().map(subject).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use api::{custody::v1::Reinstatement, handoff::v1::HandoffFile};
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_handoff_file_says_which_message_it_holds_and_who_takes_it() {
        let permission = Reinstatement { lot: "t7".to_owned(), ordinal: 2, units: 3, ..Reinstatement::default() };
        let file = HandoffFile { content: Some(Content::Reinstatement(permission)) };
        let found = message(&file.encode_to_vec()).unwrap();
        let facts = found.facts.concat();
        assert!(facts.contains(&("message", json!("reinstatement"))));
        assert!(facts.contains(&("taken by", json!("the receiver: countersign lot reinstate"))));
        assert!(facts.contains(&("units", json!(3))));
    }

    #[test]
    fn no_octets_panic_the_reader() {
        for octets in [&b""[..], b"\xff", b"\x0a\x02\x0a\x00", b"\x12\x00", &[0x0a; 100]] {
            let _ = message(octets);
        }
        assert!(message(b"").is_err());
    }
}
