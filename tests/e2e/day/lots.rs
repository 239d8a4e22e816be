//! Lots that close, units that are scrapped before they were anything, and what the sender hears of it.

use std::time::Duration;

use api::{
    custody::v1::{Reinstatement, TallyReport},
    handoff::v1::{ApproveReinstatementRequest, GetHandoffRequest, ReportTallyRequest},
    issuance::v1::{ListInDoubtRequest, Occasion},
    lot::v1::{GetTallyReportRequest, LotState, ReinstateUnitsRequest, ScrapBlanksRequest},
    provisioning::v1::{ScrapUnitRequest, UnitState},
    reason::v1::Reason,
};
use issuance::SigningKey as _;
use pki::Sha256;
use tonic::Code;

use super::{again, closing};
use crate::{
    answers::refused,
    custody::{Custody, offer, tally_statement},
    devices::{Device, Line, Signer, confirmation},
    world::{At, FACTORY, TECHNICIAN, Who, fresh_id},
};

#[tokio::test]
async fn a_lot_closes_when_nothing_is_in_doubt_and_answers_for_ever_what_it_issued() {
    let custody = Custody::at_technician("day-close", "d-clo", 5).await;
    let chain = custody.chain;
    let line = Line::of(chain);
    custody.written("d-clo", "d-clo1").await;
    let (doubtful, signer) = (Device::new("d-clo2"), Signer::of(chain));
    let request = doubtful.at_signer("d-clo");
    let issued = signer.issue(&request).await;
    let mut lots = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    custody.until_written("d-clo", 1).await;
    let before = custody.picture().await;
    refused(lots.close_lot(closing("d-clo")).await, Reason::UnitsInDoubt, Code::FailedPrecondition);
    refused(lots.close_lot(closing("d-none")).await, Reason::LotUnknown, Code::NotFound);
    custody.unchanged(&before).await;
    let in_doubt = ListInDoubtRequest { lot: "d-clo".to_owned(), page_size: 0, page_token: String::new() };
    let listed = signer.0.clone().list_in_doubt(in_doubt).await.unwrap().into_inner().devices;
    assert_eq!(listed.iter().map(|d| d.device_id.as_str()).collect::<Vec<_>>(), ["d-clo2"]);
    let certificate = Sha256::of(&issued.certificate);
    assert_eq!(listed[0].certificate_sha256.as_deref(), Some(certificate.as_bytes().as_slice()));

    let written = api::issuance::v1::WrittenDevice {
        device_id: "d-clo2".to_owned(),
        certificate_sha256: bytes::Bytes::copy_from_slice(certificate.as_bytes()),
    };
    let confirm = api::issuance::v1::ConfirmDevicesRequest { devices: vec![written] };
    assert_eq!(signer.0.clone().confirm_devices(confirm).await.unwrap().into_inner().devices[0].refusal, None);
    let close = closing("d-clo");
    let closed = lots.close_lot(close.clone()).await.unwrap().into_inner();
    let (lot, report) = (closed.lot.clone().unwrap(), closed.report.clone().unwrap());
    assert_eq!(lot.state(), LotState::Closed);
    let tally = report.tally.unwrap();
    assert_eq!((tally.provisioned, tally.written, tally.remaining, tally.closed), (2, 2, Some(0), true));
    proven(&custody, &report, TECHNICIAN);
    assert_eq!(lots.close_lot(close).await.unwrap().into_inner(), closed, "a repetition answers the same");

    assert_eq!(signer.issue(&request).await, issued, "and so does what was issued");
    let late = signer.ask(&Device::new("d-clo3").at_signer("d-clo")).await;
    refused(late, Reason::LotClosed, Code::FailedPrecondition);
    let keys = chain.organisation(TECHNICIAN).folder().path().join("lot-keys");
    let key = Sha256::of(pki::Certificate::parse(&lot.chain[0]).unwrap().public_key().spki());
    assert!(!keys.join(format!("{key}.key")).exists(), "the key of a closed lot is destroyed");
    let rework = line.ask(&again(&Device::new("d-clo1"), Occasion::Rework)).await;
    assert!(rework.is_err(), "nothing is signed any more");
    assert_eq!(heard(&custody, "d-clo").await, report, "the sender hears of it");
}

/// Waits for the report of a closed lot at its sender.
async fn heard(custody: &Custody, lot: &str) -> TallyReport {
    let mut sender = custody.chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let heard = async {
        loop {
            let request = GetHandoffRequest { lot: lot.to_owned() };
            let handoff = sender.get_handoff(request).await.unwrap().into_inner().handoff.unwrap();
            match handoff.report {
                Some(report) if report.tally.unwrap().closed => return report,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the report arrives")
}

/// The receiver's identity key signed the report.
fn proven(custody: &Custody, report: &TallyReport, by: &str) {
    let key = custody.chain.identity_key(by);
    assert_eq!(report.identity_key_digest, key.public_key().sha256().as_bytes().as_slice());
    tally_statement(report).verify(key.public_key(), &report.signature).unwrap();
}

#[tokio::test]
async fn a_report_that_shows_less_than_before_or_lies_is_refused_and_not_believed() {
    let custody = Custody::at_technician("day-report", "d-rpt", 5).await;
    let chain = custody.chain;
    let mut lots = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let request = GetTallyReportRequest { lot: "d-rpt".to_owned() };
    let report = lots.get_tally_report(request).await.unwrap().into_inner().report.unwrap();
    proven(&custody, &report, TECHNICIAN);
    let mut sender = chain.handoffs(Who::TechnicianCa, At::FactoryCa);
    let mut tell = async |report: TallyReport| sender.report_tally(ReportTallyRequest { report: Some(report) }).await;
    tell(report.clone()).await.unwrap();
    tell(report.clone()).await.unwrap();
    let key = chain.identity_key(TECHNICIAN);
    let signed = |mut report: TallyReport| {
        report.signature = key.sign(tally_statement(&report).to_be_signed()).unwrap().into();
        report
    };
    let at = |seconds: i64| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let now = report.at.unwrap().seconds;
    let unsigned = TallyReport { journal_position: report.journal_position + 1, ..report.clone() };
    refused(tell(unsigned).await, Reason::TallyReportInvalid, Code::InvalidArgument);
    let lower = signed(TallyReport { journal_position: 1, at: at(now + 5), ..report.clone() });
    refused(tell(lower.clone()).await, Reason::JournalRolledBack, Code::DataLoss);
    let forked = signed(TallyReport { journal_chain: vec![9; 32].into(), at: at(now + 5), ..report.clone() });
    refused(tell(forked).await, Reason::JournalRolledBack, Code::DataLoss);
    let late = signed(TallyReport { journal_position: 1, at: at(now - 5), ..report.clone() });
    tell(late).await.unwrap();
    let mut tally = report.tally.unwrap();
    tally.received = crate::custody::quantity(500);
    let more = signed(TallyReport { tally: Some(tally), at: at(now + 6), ..report.clone() });
    refused(tell(more).await, Reason::TallyReportDiffers, Code::FailedPrecondition);
    let elsewhere = signed(TallyReport { certificate_sha256: vec![1; 32].into(), ..report.clone() });
    refused(tell(elsewhere).await, Reason::TallyReportInvalid, Code::InvalidArgument);
    let request = GetHandoffRequest { lot: "d-rpt".to_owned() };
    let mut operator = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let kept = operator.get_handoff(request).await.unwrap().into_inner().handoff.unwrap().report.unwrap();
    assert!(kept.journal_position >= report.journal_position, "the highest is kept");
}

fn scrap(lot: &str, units: u32) -> ScrapBlanksRequest {
    ScrapBlanksRequest { request_id: fresh_id(), lot: lot.to_owned(), units, why: "warped panels".to_owned() }
}

#[tokio::test]
async fn scrapped_units_come_back_only_as_the_senders_operator_says_and_once() {
    let custody = Custody::at_technician("day-back", "d-bck", 6).await;
    let chain = custody.chain;
    let line = Line::of(chain);
    let mut lots = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let unit = line.provision(&Device::new("d-bck1").at_line(Some("d-bck"))).await;
    let confirm = confirmation("d-bck1", &unit.chain[0]);
    line.confirm(&confirm).await.unwrap();
    let request = ScrapUnitRequest { request_id: fresh_id(), device_id: "d-bck1".to_owned(), why: String::new() };
    let scrapped = line.0.clone().scrap_unit(request.clone()).await.unwrap().into_inner();
    let blanks = scrap("d-bck", 2);
    for _ in 0..2 {
        let lot = lots.scrap_blanks(blanks.clone()).await.unwrap().into_inner().lot.unwrap();
        assert_eq!((lot.tally.unwrap().scrapped, lot.tally.unwrap().remaining), (3, Some(3)));
    }

    let ask = ApproveReinstatementRequest { request_id: fresh_id(), lot: "d-bck".to_owned(), units: 2 };
    let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let permission = sender.approve_reinstatement(ask.clone()).await.unwrap().into_inner().reinstatement.unwrap();
    let repeated = sender.approve_reinstatement(ask.clone()).await.unwrap().into_inner().reinstatement.unwrap();
    assert_eq!(repeated, permission);
    let other = ApproveReinstatementRequest { units: 3, ..ask.clone() };
    refused(sender.approve_reinstatement(other).await, Reason::RequestIdReused, Code::AlreadyExists);

    let back = |permission: &Reinstatement, blanks: u32, devices: &[&str]| ReinstateUnitsRequest {
        request_id: fresh_id(),
        lot: "d-bck".to_owned(),
        permission: Some(permission.clone()),
        blanks,
        device_ids: devices.iter().map(|id| (*id).to_owned()).collect(),
    };
    let good = back(&permission, 1, &["d-bck1"]);
    for _ in 0..2 {
        let lot = lots.reinstate_units(good.clone()).await.unwrap().into_inner().lot.unwrap();
        let tally = lot.tally.unwrap();
        assert_eq!((tally.scrapped, tally.provisioned, tally.written, tally.remaining), (1, 1, 0, Some(4)));
    }
    refused(lots.reinstate_units(back(&permission, 2, &[])).await, Reason::ReinstatementUsed, Code::FailedPrecondition);
    // It is in doubt: what is on it may be anything, so it is written anew.
    let anew = line.provision(&again(&Device::new("d-bck1"), Occasion::Replacement)).await;
    assert_eq!(anew.state(), UnitState::Issued);
    let before = custody.picture().await;
    let again = line.0.clone().scrap_unit(request).await.unwrap().into_inner();
    assert_eq!(again, scrapped, "what was done before is answered, and not done to what came since");
    let confirmed = line.confirm(&confirm).await.unwrap().into_inner().unit.unwrap();
    assert_eq!(confirmed.chain, unit.chain);
    assert_eq!(line.unit("d-bck1").await.chain, anew.chain);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn a_lot_is_split_over_several_receivers_only_as_far_as_it_goes_and_closes_after_its_offers() {
    let custody = Custody::ordered("day-split", 10).await;
    let chain = custody.chain;
    custody.hand_to_factory("d-spl", 10).await;
    custody.hand_to_technician("d-spl", "d-spl1", 4).await;
    custody.hand_to_technician("d-spl", "d-spl2", 5).await;
    let mut factory = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let over = factory.offer_handoff(offer("d-spl", TECHNICIAN, "d-spl3", 2)).await;
    refused(over, Reason::QuantitySpent, Code::ResourceExhausted);
    factory.offer_handoff(offer("d-spl", TECHNICIAN, "d-spl4", 1)).await.unwrap();
    let mut lots = chain.lots(Who::FactoryOperator, At::FactoryCa);
    refused(lots.close_lot(closing("d-spl")).await, Reason::OffersOutstanding, Code::FailedPrecondition);
    let cancel = api::handoff::v1::CancelHandoffRequest { request_id: fresh_id(), lot: "d-spl4".to_owned() };
    factory.cancel_handoff(cancel).await.unwrap();
    let tally = lots.close_lot(closing("d-spl")).await.unwrap().into_inner().report.unwrap().tally.unwrap();
    assert_eq!((tally.handed_over, tally.reserved, tally.remaining), (9, 0, Some(0)));
    let late = factory.offer_handoff(offer("d-spl", TECHNICIAN, "d-spl5", 1)).await;
    refused(late, Reason::LotClosed, Code::FailedPrecondition);
    assert_eq!(custody.tally(FACTORY, "d-spl").await.handed_over, 9);
    // The lots below go on.
    custody.written("d-spl1", "d-spl-sn1").await;
}
