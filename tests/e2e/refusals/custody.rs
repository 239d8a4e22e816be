//! Handoffs, at the sender: offering, cancelling, taking an acceptance, hearing of a tally, letting scrapped units come back.

use api::{
    custody::v1::{Acceptance, JournalHead, TallyReport},
    handoff::v1::{
        AcceptHandoffRequest, ApproveReinstatementRequest, CancelHandoffRequest, CompareJournalsRequest,
        OfferHandoffRequest, ReportTallyRequest,
    },
    reason::v1::Reason,
};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey, make_csr};
use simulator::BRAND;

use super::{
    scene::Scene,
    table::{Caller, Row},
};
use crate::{
    custody::{offer, quantity, tally_statement},
    organisations::fresh_key,
    world::{At, FACTORY, TECHNICIAN, Who, fresh_id},
};

const OFFER: &str = "handoff.v1.HandoffService/OfferHandoff";
const CANCEL: &str = "handoff.v1.HandoffService/CancelHandoff";
const ACCEPT: &str = "handoff.v1.HandoffService/AcceptHandoff";
const REPORT: &str = "handoff.v1.HandoffService/ReportTally";
const COMPARE: &str = "handoff.v1.HandoffService/CompareJournals";
const PERMIT: &str = "handoff.v1.HandoffService/ApproveReinstatement";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    [
        offers(scene),
        cancellations(scene),
        acceptances(scene),
        files(scene),
        reports(scene),
        comparisons(scene),
        permissions(scene),
    ]
    .concat()
}

fn offers(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::RootCa);
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let again = |request_id: &str| OfferHandoffRequest {
        request_id: request_id.to_owned(),
        ..offer("open", FACTORY, "f-new", 1)
    };
    vec![
        alice.row(OFFER, "before the last approval", offer("proposed", FACTORY, "f-new", 1), Reason::LotNotOpen),
        alice.row(
            OFFER,
            "of an order that waits for approvals again",
            offer("changed", FACTORY, "f-new", 1),
            Reason::LotNotOpen,
        ),
        alice.row(OFFER, "of a cancelled order", offer("cancelled", FACTORY, "f-new", 1), Reason::OrderCancelled),
        alice.row(OFFER, "of an unknown order", offer("nothing", FACTORY, "f-new", 1), Reason::LotUnknown),
        alice.row(OFFER, "of more than was ordered", offer("open", FACTORY, "f-new", 101), Reason::QuantitySpent),
        alice.row(OFFER, "past a hop", offer("open", TECHNICIAN, "f-new", 1), Reason::OffRoute),
        alice.row(OFFER, "to the brand itself", offer("open", BRAND, "f-new", 1), Reason::OffRoute),
        alice.row(OFFER, "to nobody", offer("open", "nobody", "f-new", 1), Reason::OffRoute),
        alice.row(OFFER, "of a lot id that is on offer", offer("open", FACTORY, "f-offer", 3), Reason::LotExists),
        alice.row(OFFER, "of a lot id of another order", offer("held", FACTORY, "f-offer", 1), Reason::LotExists),
        alice.row(OFFER, "of a lot id that was cancelled", offer("open", FACTORY, "f-cancel", 1), Reason::LotExists),
        alice.row(OFFER, "of a lot id that ran out", offer("open", FACTORY, "f-late", 1), Reason::LotExists),
        alice.row(OFFER, "twice, with other content", again(&scene.ids.brand), Reason::RequestIdReused),
        factory.row(
            OFFER,
            "of more than was received",
            offer("f-open", TECHNICIAN, "t-new", 61),
            Reason::QuantitySpent,
        ),
        factory.row(OFFER, "back to the sender", offer("f-open", BRAND, "t-new", 1), Reason::OffRoute),
        factory.row(
            OFFER,
            "of a lot that is offered and not received",
            offer("f-offer", TECHNICIAN, "t-new", 1),
            Reason::LotUnknown,
        ),
        factory.row(OFFER, "of the brand's order", offer("open", TECHNICIAN, "t-new", 1), Reason::LotUnknown),
        factory.row(OFFER, "of a closed lot", offer("f-closed", TECHNICIAN, "t-new", 1), Reason::LotClosed),
        factory.row(OFFER, "of a lot id that is taken", offer("f-open", TECHNICIAN, "t-open", 1), Reason::LotExists),
        factory.row(
            OFFER,
            "under an id that is used",
            OfferHandoffRequest { request_id: scene.ids.factory.clone(), ..offer("f-open", TECHNICIAN, "t-new", 2) },
            Reason::RequestIdReused,
        ),
    ]
}

fn cancellations(scene: &Scene) -> Vec<Row> {
    let alice = Caller::of(scene.chain, Who::Alice, At::RootCa);
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let cancel = |lot: &str| CancelHandoffRequest { request_id: fresh_id(), lot: lot.to_owned() };
    let reused = CancelHandoffRequest { request_id: scene.ids.brand.clone(), lot: "f-offer".to_owned() };
    vec![
        alice.row(CANCEL, "of what was accepted", cancel("f-open"), Reason::HandoffAlreadyAccepted),
        alice.row(CANCEL, "of what was accepted and closed", cancel("f-closed"), Reason::HandoffAlreadyAccepted),
        alice.row(CANCEL, "twice", cancel("f-cancel"), Reason::HandoffWithdrawn),
        alice.row(CANCEL, "of what ran out", cancel("f-late"), Reason::HandoffWithdrawn),
        alice.row(CANCEL, "of nothing", cancel("nothing"), Reason::LotUnknown),
        alice.row(CANCEL, "of the next sender's offer", cancel("t-offer"), Reason::LotUnknown),
        alice.row(CANCEL, "under an id that is used", reused, Reason::RequestIdReused),
        factory.row(CANCEL, "of the brand's offer", cancel("f-offer"), Reason::LotUnknown),
        factory.row(CANCEL, "of what was accepted", cancel("t-open"), Reason::HandoffAlreadyAccepted),
    ]
}

fn acceptances(scene: &Scene) -> Vec<Row> {
    let receiver = Caller::of(scene.chain, Who::FactoryCa, At::RootCa);
    let stranger = Caller::of(scene.chain, Who::TechnicianCa, At::RootCa);
    let [good, cancelled, late, second] = &scene.accept;
    let own = good.acceptance.clone().unwrap();
    let with = |acceptance| AcceptHandoffRequest { request_id: fresh_id(), acceptance, ..good.clone() };
    let mut rows = vec![
        receiver.row(ACCEPT, "of a cancelled offer", cancelled.clone(), Reason::HandoffWithdrawn),
        receiver.row(ACCEPT, "of an offer that ran out", late.clone(), Reason::HandoffWithdrawn),
        receiver.row(ACCEPT, "of what was accepted with another key", second.clone(), Reason::HandoffAlreadyAccepted),
        receiver.row(
            ACCEPT,
            "of nothing",
            AcceptHandoffRequest { lot: "nothing".to_owned(), ..good.clone() },
            Reason::LotUnknown,
        ),
        receiver.row(
            ACCEPT,
            "signed for another handoff",
            with(cancelled.acceptance.clone()),
            Reason::AcceptanceInvalid,
        ),
        receiver.row(
            ACCEPT,
            "signed for another lot key",
            AcceptHandoffRequest { csr: Bytes::from(make_csr(&fresh_key(), "f-offer").unwrap()), ..good.clone() },
            Reason::AcceptanceInvalid,
        ),
        receiver.row(
            ACCEPT,
            "not signed",
            with(Some(Acceptance { signature: Bytes::new(), ..own.clone() })),
            Reason::AcceptanceInvalid,
        ),
        receiver.row(ACCEPT, "without an acceptance", with(None), Reason::RequestMalformed),
        receiver.row(
            ACCEPT,
            "of a request that is truncated",
            AcceptHandoffRequest { csr: good.csr.slice(..good.csr.len() - 1), ..good.clone() },
            Reason::CsrMalformed,
        ),
        receiver.row(
            ACCEPT,
            "for a key of the next manufacturer's kind",
            AcceptHandoffRequest {
                csr: Bytes::from(
                    make_csr(&SoftwareKey::generate(issuance::KeyKind::P384).unwrap(), "f-offer").unwrap(),
                ),
                ..good.clone()
            },
            Reason::CsrKeyNotAllowed,
        ),
        receiver.row(
            ACCEPT,
            "under an id that is used",
            AcceptHandoffRequest { request_id: scene.ids.receiver.clone(), ..good.clone() },
            Reason::RequestIdReused,
        ),
        // The right role of another manufacturer: it does not even learn that there is an offer.
        stranger.row(
            ACCEPT,
            "by another manufacturer, with what the receiver signed",
            good.clone(),
            Reason::LotUnknown,
        ),
    ];
    // A stranger's key; the next manufacturer's, whom the terms name as well; the brand's.
    for key in [fresh_key(), scene.chain.identity_key(TECHNICIAN), scene.chain.identity_key(BRAND)] {
        let signature = Bytes::from(key.sign(b"whatever").unwrap());
        let digest = Bytes::copy_from_slice(key.public_key().sha256().as_bytes());
        let theirs = Acceptance { identity_key_digest: digest, signature: signature.clone() };
        rows.push(receiver.row(
            ACCEPT,
            "by a key that is not the receiver's",
            with(Some(theirs)),
            Reason::AcceptanceKeyUnknown,
        ));
        let claimed = Acceptance { signature, ..own.clone() };
        rows.push(receiver.row(
            ACCEPT,
            "by another key under the receiver's name",
            with(Some(claimed)),
            Reason::AcceptanceInvalid,
        ));
    }
    rows
}

/// Acceptances that came as files, as the sender's operator imports them.
fn files(scene: &Scene) -> Vec<Row> {
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let good = &scene.acceptance_file;
    let mut forged = AcceptHandoffRequest { request_id: fresh_id(), ..good.clone() };
    forged.acceptance.as_mut().unwrap().signature = Bytes::from_static(b"nobody");
    let elsewhere = |lot: &str| AcceptHandoffRequest { request_id: fresh_id(), lot: lot.to_owned(), ..good.clone() };
    vec![
        factory.row(ACCEPT, "of a file that was changed", forged, Reason::AcceptanceInvalid),
        factory.row(ACCEPT, "of a file for another offer", elsewhere("t-offer"), Reason::CsrAsksForNames),
        factory.row(ACCEPT, "of a file for a lot that is no handoff", elsewhere("f-open"), Reason::LotUnknown),
        factory.row(ACCEPT, "of a file for an accepted handoff", elsewhere("t-open"), Reason::CsrAsksForNames),
        factory.row(
            ACCEPT,
            "of a file whose offer was cancelled on its way",
            scene.withdrawn_acceptance.clone(),
            Reason::HandoffWithdrawn,
        ),
    ]
}

fn reports(scene: &Scene) -> Vec<Row> {
    let receiver = Caller::of(scene.chain, Who::TechnicianCa, At::FactoryCa);
    let brand = Caller::of(scene.chain, Who::FactoryCa, At::RootCa);
    let report = &scene.report;
    let key = scene.chain.identity_key(TECHNICIAN);
    let tell = |report: TallyReport| ReportTallyRequest { report: Some(report) };
    let signed = |mut report: TallyReport| {
        report.signature = key.sign(tally_statement(&report).to_be_signed()).unwrap().into();
        tell(report)
    };
    let changed = TallyReport { journal_position: report.journal_position + 1, ..report.clone() };
    let mut more = report.clone();
    more.tally.as_mut().unwrap().received = quantity(500);
    let elsewhere = TallyReport { certificate_sha256: vec![1; 32].into(), ..report.clone() };
    let of = |lot: &str| TallyReport { lot: lot.to_owned(), ..report.clone() };
    vec![
        receiver.row(REPORT, "without a report", ReportTallyRequest { report: None }, Reason::RequestMalformed),
        receiver.row(REPORT, "that was changed", tell(changed), Reason::TallyReportInvalid),
        receiver.row(REPORT, "of more than was handed over", signed(more), Reason::TallyReportDiffers),
        receiver.row(REPORT, "of another certificate", signed(elsewhere), Reason::TallyReportInvalid),
        receiver.row(REPORT, "of another lot", tell(of("t-spent")), Reason::TallyReportInvalid),
        receiver.row(REPORT, "of nothing", tell(of("nothing")), Reason::LotUnknown),
        receiver.row(REPORT, "of a handoff that is not signed", tell(of("t-offer")), Reason::HandoffNotSigned),
        brand.row(REPORT, "by a manufacturer about another's lot", tell(report.clone()), Reason::LotUnknown),
    ]
}

fn comparisons(scene: &Scene) -> Vec<Row> {
    let (shown, seen) = (JournalHead::default(), JournalHead { chain: vec![1; 32].into(), ..JournalHead::default() });
    let of_none = CompareJournalsRequest { shown: Some(shown), ..CompareJournalsRequest::default() };
    let of_no_time = CompareJournalsRequest { seen: Some(seen), ..CompareJournalsRequest::default() };
    [Caller::of(scene.chain, Who::TechnicianCa, At::FactoryCa), Caller::of(scene.chain, Who::FactoryCa, At::RootCa)]
        .iter()
        .flat_map(|receiver| {
            [
                receiver.row(COMPARE, "with the head of no journal", of_none.clone(), Reason::RequestMalformed),
                receiver.row(COMPARE, "with what was seen at no time", of_no_time.clone(), Reason::RequestMalformed),
            ]
        })
        .collect()
}

fn permissions(scene: &Scene) -> Vec<Row> {
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let alice = Caller::of(scene.chain, Who::Alice, At::RootCa);
    let permit =
        |request_id: String, lot: &str, units| ApproveReinstatementRequest { request_id, lot: lot.to_owned(), units };
    vec![
        factory.row(
            PERMIT,
            "of more units than the lot has",
            permit(fresh_id(), "t-open", 21),
            Reason::ReinstatementTooLarge,
        ),
        factory.row(PERMIT, "of no units", permit(fresh_id(), "t-open", 0), Reason::NoUnits),
        factory.row(
            PERMIT,
            "for a handoff that is not signed",
            permit(fresh_id(), "t-offer", 1),
            Reason::HandoffNotSigned,
        ),
        factory.row(PERMIT, "for a cancelled handoff", permit(fresh_id(), "t-cancel", 1), Reason::HandoffNotSigned),
        factory.row(PERMIT, "for a lot of its own", permit(fresh_id(), "f-open", 1), Reason::LotUnknown),
        factory.row(
            PERMIT,
            "under an id that is used",
            permit(scene.ids.factory.clone(), "t-open", 1),
            Reason::RequestIdReused,
        ),
        alice.row(PERMIT, "by the sender of the lot above", permit(fresh_id(), "t-open", 1), Reason::LotUnknown),
    ]
}
