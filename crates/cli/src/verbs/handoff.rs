//! Handoffs as files: what a sender and a receiver without a wire between them give each other.

use std::path::Path;

use api::{
    custody::v1::{Reinstatement, TallyReport},
    handoff::v1::{
        AcceptHandoffRequest, AcceptHandoffResponse, ApproveReinstatementResponse, GetOfferRequest, GetOfferResponse,
        ReportTallyRequest, ReportTallyResponse, handoff_file::Content,
    },
    lot::v1::{
        AcceptOfferRequest, AcceptOfferResponse, GetTallyReportRequest, GetTallyReportResponse, Lot, OpenLotRequest,
        OpenLotResponse, ReinstateUnitsRequest, ReinstateUnitsResponse,
    },
};
use mfg::{Handoff, OidArc};
use pki::Certificate;
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use serde_json::json;

use super::{
    answer::{Answer, as_json, in_words},
    care, request,
    session::{Session, descriptors},
    table::Given,
};
use crate::{failure::Failure, handoff_file as file};

const GET_OFFER: &str = "countersign.handoff.v1.HandoffService/GetOffer";
const ACCEPT: &str = "countersign.handoff.v1.HandoffService/AcceptHandoff";
const REPORT: &str = "countersign.handoff.v1.HandoffService/ReportTally";
const ACCEPT_OFFER: &str = "countersign.lot.v1.LotService/AcceptOffer";
const OPEN_LOT: &str = "countersign.lot.v1.LotService/OpenLot";
const REINSTATE: &str = "countersign.lot.v1.LotService/ReinstateUnits";
const GET_REPORT: &str = "countersign.lot.v1.LotService/GetTallyReport";

/// `handoff export`: the offer of a lot.
pub(super) fn export(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let lot = given.required("LOT")?;
    let out = new_file(given)?;
    let offer: GetOfferResponse = session.ask(GET_OFFER, &GetOfferRequest { lot: lot.to_owned() })?;
    file::write(out, Content::Offer(offer))?;
    Ok(wrote(out, "offer", lot, "the receiver takes it: countersign lot import"))
}

/// `handoff import`: an acceptance, which is answered by a file; or a tally report.
pub(super) fn import(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let path = Path::new(given.required("FILE")?);
    match file::read(path)? {
        Content::Acceptance(acceptance) => {
            let out = new_file(given)?;
            if given.is_dry_run() {
                return Ok(dry(path, "hand in the acceptance", &acceptance.lot));
            }
            let lot = acceptance.lot.clone();
            let answer: AcceptHandoffResponse = session.ask::<AcceptHandoffRequest, _>(ACCEPT, &acceptance)?;
            file::write(out, Content::Answer(answer))?;
            Ok(wrote(out, "answer", &lot, "the receiver takes it: countersign lot open"))
        }
        Content::TallyReport(report) => {
            if given.is_dry_run() {
                return Ok(dry(path, "hand in the tally report", &report.lot));
            }
            let lot = report.lot.clone();
            let _: ReportTallyResponse = session.ask(REPORT, &ReportTallyRequest { report: Some(report) })?;
            let words = format!("The report of lot {lot} is on record: countersign handoff show {lot}");
            Ok(Answer::new(json!({ "message": "tally report", "lot": lot }), words))
        }
        other @ (Content::Offer(_) | Content::Answer(_) | Content::Reinstatement(_)) => {
            Err(file::unfit(path, &other, "an acceptance or a tally report"))
        }
    }
}

/// `handoff allow-reinstatement`: a permission in a file.
pub(super) fn allow_reinstatement(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let out = new_file(given)?;
    let method = session.method()?;
    let mut message = request::build(&method, given)?;
    request::stamp(&mut message, given)?;
    if given.is_dry_run() {
        return care::dry_run(session, given, &method, &message);
    }
    let answer: ApproveReinstatementResponse = typed(&session.change(&method, &message)?)?;
    let permission = answer.reinstatement.ok_or_else(|| unusual("no permission"))?;
    let lot = permission.lot.clone();
    file::write(out, Content::Reinstatement(permission))?;
    Ok(wrote(out, "reinstatement", &lot, "the receiver takes it: countersign lot reinstate"))
}

/// `lot import`: accepts an offer that came as a file.
pub(super) fn accept_offer(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let path = Path::new(given.required("FILE")?);
    let out = new_file(given)?;
    let offer = match file::read(path)? {
        Content::Offer(offer) => offer,
        other @ (Content::Acceptance(_) | Content::Answer(_) | Content::TallyReport(_) | Content::Reinstatement(_)) => {
            return Err(file::unfit(path, &other, "an offer"));
        }
    };
    if given.is_dry_run() {
        let facts = offer.handoff.as_ref().and_then(|handoff| handoff.facts.as_ref());
        return Ok(dry(path, "accept the offer", facts.map_or("", |facts| facts.lot.as_str())));
    }
    let request = AcceptOfferRequest { request_id: request::request_id(given)?, offer: Some(offer) };
    let answer: AcceptOfferResponse = session.ask(ACCEPT_OFFER, &request)?;
    let acceptance = answer.acceptance.ok_or_else(|| unusual("no acceptance"))?;
    let lot = acceptance.lot.clone();
    file::write(out, Content::Acceptance(acceptance))?;
    Ok(wrote(out, "acceptance", &lot, "the sender takes it: countersign handoff import"))
}

/// `lot open`: the sender's answer opens the lot that its certificate names.
pub(super) fn open_lot(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let path = Path::new(given.required("FILE")?);
    let answer = match file::read(path)? {
        Content::Answer(answer) => answer,
        other @ (Content::Offer(_) | Content::Acceptance(_) | Content::TallyReport(_) | Content::Reinstatement(_)) => {
            return Err(file::unfit(path, &other, "a sender's answer"));
        }
    };
    let lot = lot_of(&answer).ok_or_else(|| Failure::malformed(path, "the first certificate is of no lot"))?;
    if given.is_dry_run() {
        return Ok(dry(path, "open the lot", &lot));
    }
    let request = OpenLotRequest { request_id: request::request_id(given)?, lot, answer: Some(answer) };
    let answer: OpenLotResponse = session.ask(OPEN_LOT, &request)?;
    show(answer.lot)
}

/// `lot reinstate`: scrapped units come back by the permission in a file.
pub(super) fn reinstate(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let path = Path::new(given.required("FILE")?);
    let permission: Reinstatement = match file::read(path)? {
        Content::Reinstatement(permission) => permission,
        other @ (Content::Offer(_) | Content::Acceptance(_) | Content::Answer(_) | Content::TallyReport(_)) => {
            return Err(file::unfit(path, &other, "a reinstatement"));
        }
    };
    let blanks = given.text("blanks").unwrap_or("0");
    let blanks: u32 = blanks.parse().map_err(|_| Failure::usage(format!("--blanks {blanks}: want a number")))?;
    let device_ids: Vec<String> = given.texts("device").into_iter().map(str::to_owned).collect();
    if given.is_dry_run() {
        return Ok(dry(path, "let units come back to", &permission.lot));
    }
    let request = ReinstateUnitsRequest {
        request_id: request::request_id(given)?,
        lot: permission.lot.clone(),
        permission: Some(permission),
        blanks,
        device_ids,
    };
    let answer: ReinstateUnitsResponse = session.ask(REINSTATE, &request)?;
    show(answer.lot)
}

/// `lot report`: a signed tally report in a file.
pub(super) fn report(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let lot = given.required("LOT")?;
    let out = new_file(given)?;
    let answer: GetTallyReportResponse = session.ask(GET_REPORT, &GetTallyReportRequest { lot: lot.to_owned() })?;
    let report: TallyReport = answer.report.ok_or_else(|| unusual("no report"))?;
    file::write(out, Content::TallyReport(report))?;
    Ok(wrote(out, "tally report", lot, "the sender takes it: countersign handoff import"))
}

/// `--out`: refused before anything is asked, when something lies there.
fn new_file<'a>(given: &'a Given<'_>) -> Result<&'a Path, Failure> {
    let out = Path::new(given.text("out").ok_or_else(|| Failure::usage("--out is missing: an answer goes there"))?);
    if out.symlink_metadata().is_ok() {
        return Err(Failure::named("OUTPUT_EXISTS", format!("{} is there already", out.display())));
    }
    Ok(out)
}

fn wrote(out: &Path, message: &str, lot: &str, next: &str) -> Answer {
    let words = format!("Wrote the {message} of lot {lot} to {}; {next}", out.display());
    Answer::new(json!({ "message": message, "lot": lot, "file": out }), words)
}

fn dry(path: &Path, what: &str, lot: &str) -> Answer {
    care::would(
        format!("Would {what} of lot {lot} in {}", path.display()),
        json!({ "verb": what, "lot": lot, "file": path }),
    )
}

fn unusual(what: &str) -> Failure {
    Failure::named("INTERNAL", format!("the service answered {what}"))
}

/// The lot that the first certificate of an answer makes a CA for.
fn lot_of(answer: &AcceptHandoffResponse) -> Option<String> {
    let certificate = Certificate::parse(answer.chain.first()?).ok()?;
    certificate.extensions().find_map(|extension| {
        let oid = pki::ObjectIdentifier::from_bytes(extension.oid_octets).ok()?;
        OidArc::of_handoff(&oid)?;
        let handoff = Handoff::from_der(extension.value).ok()?;
        Some(handoff.consignment.lot.to_string())
    })
}

/// A message whose type is known, from one that was called by name.
fn typed<A: Message + Default>(message: &DynamicMessage) -> Result<A, Failure> {
    A::decode(prost::bytes::Bytes::from(message.encode_to_vec())).map_err(|_| unusual("another message"))
}

fn show(lot: Option<Lot>) -> Result<Answer, Failure> {
    let lot = lot.ok_or_else(|| unusual("no lot"))?;
    let descriptor = descriptors().get_message_by_name("countersign.lot.v1.OpenLotResponse");
    let mut message = DynamicMessage::new(descriptor.ok_or_else(|| unusual("no lot"))?);
    let inner = descriptors().get_message_by_name("countersign.lot.v1.Lot").ok_or_else(|| unusual("no lot"))?;
    let decoded = DynamicMessage::decode(inner, prost::bytes::Bytes::from(lot.encode_to_vec()));
    message.set_field_by_name("lot", Value::Message(decoded.map_err(|_| unusual("no lot"))?));
    Ok(Answer::new(as_json(&message), in_words(&message)))
}
