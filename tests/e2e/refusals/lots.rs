//! Lots, at the receiver: receiving by wire and by files, scrapping blanks, bringing units back, closing.

use api::{
    custody::v1::Reinstatement,
    handoff::v1::{AcceptHandoffResponse, GetOfferResponse},
    lot::v1::{
        AcceptOfferRequest, CloseLotRequest, OpenLotRequest, ReceiveLotRequest, ReinstateUnitsRequest,
        ScrapBlanksRequest,
    },
    reason::v1::Reason,
};
use bytes::Bytes;
use simulator::BRAND;

use super::{
    scene::Scene,
    table::{Caller, Row},
};
use crate::{
    custody::quantity,
    world::{At, FACTORY, Who, fresh_id},
};

const RECEIVE: &str = "lot.v1.LotService/ReceiveLot";
const ACCEPT: &str = "lot.v1.LotService/AcceptOffer";
const OPEN: &str = "lot.v1.LotService/OpenLot";
const SCRAP: &str = "lot.v1.LotService/ScrapBlanks";
const BACK: &str = "lot.v1.LotService/ReinstateUnits";
const CLOSE: &str = "lot.v1.LotService/CloseLot";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    [received(scene), offer_files(scene), answer_files(scene), scrapped(scene), reinstated(scene), closed(scene)]
        .concat()
}

fn received(scene: &Scene) -> Vec<Row> {
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let technician = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let receive = |lot: &str, from: &str| ReceiveLotRequest {
        request_id: fresh_id(),
        lot: lot.to_owned(),
        from: from.to_owned(),
    };
    let reused = |id: &str| ReceiveLotRequest { request_id: id.to_owned(), ..receive("t-offer", FACTORY) };
    vec![
        factory.row(RECEIVE, "of a cancelled offer", receive("f-cancel", BRAND), Reason::HandoffWithdrawn),
        factory.row(RECEIVE, "of an offer that ran out", receive("f-late", BRAND), Reason::HandoffWithdrawn),
        factory.row(RECEIVE, "of nothing", receive("nothing", BRAND), Reason::LotUnknown),
        technician.row(RECEIVE, "of what is no lot id", receive("RN", FACTORY), Reason::LabelInvalid),
        technician.row(RECEIVE, "of what is offered to another", receive("f-offer", FACTORY), Reason::LotUnknown),
        technician.row(
            RECEIVE,
            "from somebody who is no sender here",
            receive("f-offer", BRAND),
            Reason::UpstreamUnknown,
        ),
        technician.row(
            RECEIVE,
            "of a lot id that came from another sender",
            receive("t-open", BRAND),
            Reason::LotExists,
        ),
        technician.row(RECEIVE, "under an id that is used", reused(&scene.ids.technician), Reason::RequestIdReused),
    ]
}

/// Offers that came as files.
fn offer_files(scene: &Scene) -> Vec<Row> {
    let technician = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let good = &scene.offer_file;
    let accept = |offer: GetOfferResponse| AcceptOfferRequest { request_id: fresh_id(), offer: Some(offer) };
    let unsigned = GetOfferResponse { signature: Bytes::new(), ..good.clone() };
    let mut larger = good.clone();
    larger.handoff.as_mut().unwrap().facts.as_mut().unwrap().quantity = quantity(9);
    let mut later = good.clone();
    later.handoff.as_mut().unwrap().expires_at.as_mut().unwrap().seconds += 86_400;
    let mut truncated = good.clone();
    let terms = truncated.terms.as_mut().unwrap();
    terms.terms = terms.terms.slice(..terms.terms.len() - 1);
    // Whole terms, with the brand's signature, and of another order than the offer's facts commit to.
    let mut elsewhere = good.clone();
    let terms = elsewhere.terms.as_mut().unwrap();
    terms.terms.clone_from(&scene.held.terms);
    terms.signature.clone_from(scene.held.brand_signature.as_ref().unwrap());
    let mut unapproved = good.clone();
    unapproved.terms.as_mut().unwrap().signature = Bytes::from_static(b"nobody");
    vec![
        technician.row(
            ACCEPT,
            "without an offer",
            AcceptOfferRequest { request_id: fresh_id(), offer: None },
            Reason::RequestMalformed,
        ),
        technician.row(ACCEPT, "of a file that is not signed", accept(unsigned), Reason::OfferSignatureInvalid),
        technician.row(ACCEPT, "of a file with more units", accept(larger), Reason::OfferSignatureInvalid),
        technician.row(ACCEPT, "of a file that would run out later", accept(later), Reason::OfferSignatureInvalid),
        technician.row(ACCEPT, "of a file with truncated terms", accept(truncated), Reason::TermsMalformed),
        technician.row(
            ACCEPT,
            "of a file with terms that do not match their digest",
            accept(elsewhere),
            Reason::TermsDigestMismatch,
        ),
        technician.row(
            ACCEPT,
            "of a file with terms that the brand did not sign",
            accept(unapproved),
            Reason::TermsApprovalInvalid,
        ),
        technician.row(
            ACCEPT,
            "under an id that is used",
            AcceptOfferRequest { request_id: scene.ids.technician.clone(), offer: Some(good.clone()) },
            Reason::RequestIdReused,
        ),
        factory.row(ACCEPT, "of a file for another manufacturer", accept(good.clone()), Reason::OfferMismatch),
    ]
}

/// Answers that came as files.
fn answer_files(scene: &Scene) -> Vec<Row> {
    let technician = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let answer = &scene.answer_file;
    let open = |lot: &str, answer: AcceptHandoffResponse| OpenLotRequest {
        request_id: fresh_id(),
        lot: lot.to_owned(),
        answer: Some(answer),
    };
    let none = AcceptHandoffResponse { chain: Vec::new(), ..answer.clone() };
    let headless = AcceptHandoffResponse { chain: answer.chain[1..].to_vec(), ..answer.clone() };
    let shorter = AcceptHandoffResponse { chain: answer.chain[..1].to_vec(), ..answer.clone() };
    let mut torn = answer.clone();
    torn.chain[0] = torn.chain[0].slice(..100);
    vec![
        technician.row(
            OPEN,
            "without an answer",
            OpenLotRequest { request_id: fresh_id(), lot: "t-file".to_owned(), answer: None },
            Reason::RequestMalformed,
        ),
        technician.row(OPEN, "without a certificate", open("t-file", none), Reason::OfferMismatch),
        technician.row(OPEN, "without the lot's certificate", open("t-file", headless), Reason::OfferMismatch),
        technician.row(OPEN, "with a truncated certificate", open("t-file", torn), Reason::MalformedCertificate),
        technician.row(OPEN, "with the answer for another lot", open("t-file", answer.clone()), Reason::OfferMismatch),
        technician.row(OPEN, "of a lot that was not accepted", open("t-offer", answer.clone()), Reason::LotUnknown),
        technician.row(
            OPEN,
            "twice, with another answer",
            OpenLotRequest { answer: Some(shorter), ..open("t-done", answer.clone()) },
            Reason::LotExists,
        ),
        technician.row(
            OPEN,
            "under an id that is used",
            OpenLotRequest { request_id: scene.ids.technician.clone(), ..open("t-file", answer.clone()) },
            Reason::RequestIdReused,
        ),
    ]
}

fn scrapped(scene: &Scene) -> Vec<Row> {
    let technician = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let scrap = |lot: &str, units| ScrapBlanksRequest {
        request_id: fresh_id(),
        lot: lot.to_owned(),
        units,
        why: "warped".to_owned(),
    };
    vec![
        technician.row(SCRAP, "of no units", scrap("t-open", 0), Reason::NoUnits),
        technician.row(SCRAP, "of more than remain", scrap("t-open", 21), Reason::QuantitySpent),
        technician.row(SCRAP, "of a spent lot", scrap("t-spent", 1), Reason::QuantitySpent),
        technician.row(SCRAP, "of a closed lot", scrap("t-closed", 1), Reason::LotClosed),
        technician.row(SCRAP, "of a lot that is not open yet", scrap("t-file", 1), Reason::LotNotOpen),
        technician.row(SCRAP, "of nothing", scrap("nothing", 1), Reason::LotUnknown),
        technician.row(
            SCRAP,
            "under an id that is used",
            ScrapBlanksRequest { request_id: scene.ids.technician.clone(), ..scrap("t-open", 1) },
            Reason::RequestIdReused,
        ),
        factory.row(SCRAP, "of another manufacturer's lot", scrap("t-open", 1), Reason::LotUnknown),
    ]
}

fn reinstated(scene: &Scene) -> Vec<Row> {
    let technician = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let back = |permission: &Reinstatement, blanks: u32, devices: &[&str]| ReinstateUnitsRequest {
        request_id: fresh_id(),
        lot: "t-open".to_owned(),
        permission: Some(permission.clone()),
        blanks,
        device_ids: devices.iter().map(|id| (*id).to_owned()).collect(),
    };
    let good = back(&scene.unused, 2, &[]);
    let raised = Reinstatement { units: 3, ..scene.unused.clone() };
    let renumbered = Reinstatement { ordinal: scene.unused.ordinal + 1, ..scene.unused.clone() };
    let in_lot = |lot: &str| ReinstateUnitsRequest { lot: lot.to_owned(), ..good.clone() };
    vec![
        technician.row(
            BACK,
            "without a permission",
            ReinstateUnitsRequest { permission: None, ..good.clone() },
            Reason::RequestMalformed,
        ),
        technician.row(BACK, "by a permission that was raised", back(&raised, 3, &[]), Reason::ReinstatementInvalid),
        technician.row(
            BACK,
            "by a permission that was renumbered",
            back(&renumbered, 2, &[]),
            Reason::ReinstatementInvalid,
        ),
        technician.row(BACK, "by a permission that was used", back(&scene.used, 1, &[]), Reason::ReinstatementUsed),
        technician.row(BACK, "by a permission for another lot", in_lot("t-spent"), Reason::ReinstatementInvalid),
        technician.row(
            BACK,
            "of fewer units than permitted",
            back(&scene.unused, 1, &[]),
            Reason::ReinstatementDiffers,
        ),
        technician.row(BACK, "of a device that is unknown", back(&scene.unused, 1, &["d-new"]), Reason::DeviceUnknown),
        technician.row(
            BACK,
            "of a device that is not scrapped",
            back(&scene.unused, 1, &["d-issued"]),
            Reason::NotScrapped,
        ),
        technician.row(
            BACK,
            "of another lot's device",
            back(&scene.unused, 1, &["d-spent"]),
            Reason::DeviceOfAnotherLot,
        ),
        technician.row(BACK, "to a lot that is not open yet", in_lot("t-file"), Reason::LotNotOpen),
        technician.row(BACK, "to a closed lot", in_lot("t-closed"), Reason::ReinstatementInvalid),
        technician.row(BACK, "to an unknown lot", in_lot("nothing"), Reason::LotUnknown),
        technician.row(
            BACK,
            "under an id that is used",
            ReinstateUnitsRequest { request_id: scene.ids.technician.clone(), ..good },
            Reason::RequestIdReused,
        ),
    ]
}

fn closed(scene: &Scene) -> Vec<Row> {
    let technician = Caller::of(scene.chain, Who::TechnicianOperator, At::TechnicianCa);
    let factory = Caller::of(scene.chain, Who::FactoryOperator, At::FactoryCa);
    let close = |lot: &str| CloseLotRequest { request_id: fresh_id(), lot: lot.to_owned() };
    vec![
        technician.row(CLOSE, "with units in doubt", close("t-open"), Reason::UnitsInDoubt),
        technician.row(CLOSE, "of a spent lot with its unit in doubt", close("t-spent"), Reason::UnitsInDoubt),
        technician.row(CLOSE, "before it is open", close("t-file"), Reason::LotNotOpen),
        technician.row(CLOSE, "of nothing", close("nothing"), Reason::LotUnknown),
        technician.row(
            CLOSE,
            "under an id that is used",
            CloseLotRequest { request_id: scene.ids.technician.clone(), ..close("t-done") },
            Reason::RequestIdReused,
        ),
        factory.row(CLOSE, "with offers open", close("f-open"), Reason::OffersOutstanding),
        factory.row(CLOSE, "of another manufacturer's lot", close("t-done"), Reason::LotUnknown),
    ]
}
