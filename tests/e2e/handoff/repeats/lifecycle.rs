//! The same for what becomes of lots and units later: carried as files, scrapped, reinstated, reworked, closed.

use api::{
    handoff::v1::{ApproveReinstatementRequest, GetOfferRequest, GetOfferResponse},
    issuance::v1::{
        AllowReworkRequest, ConfirmDevicesRequest, ScrapDeviceRequest, WrittenDevice,
        issuance_service_client::IssuanceServiceClient,
    },
    lot::v1::{
        AcceptOfferRequest, CloseLotRequest, GetLotRequest, LotState, OpenLotRequest, ReinstateUnitsRequest,
        ScrapBlanksRequest, ScrapBlanksResponse,
    },
    reason::v1::Reason,
};
use bytes::Bytes;
use tonic::{Code, Response, Status};

use super::{repeated, reused};
use crate::{
    answers::refused,
    custody::{Custody, offer, quantity},
    devices::{Device, Signer, confirmation},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

async fn scrap(custody: &Custody, request: ScrapBlanksRequest) -> Result<Response<ScrapBlanksResponse>, Status> {
    custody.chain.lots(Who::TechnicianOperator, At::TechnicianCa).scrap_blanks(request).await
}

fn blanks(lot: &str, units: u32) -> ScrapBlanksRequest {
    ScrapBlanksRequest { request_id: fresh_id(), lot: lot.to_owned(), units, why: "burnt".to_owned() }
}

pub(super) async fn scrap_blanks() {
    let custody = Custody::at_technician("repeat-scrap", "rep-sb", 10).await;
    let good = blanks("rep-sb", 2);
    let others = vec![
        ScrapBlanksRequest { units: 3, ..good.clone() },
        ScrapBlanksRequest { why: "lost".to_owned(), ..good.clone() },
    ];
    repeated(good, others, |request| scrap(&custody, request)).await;
    let tally = custody.tally(TECHNICIAN, "rep-sb").await;
    assert_eq!((tally.scrapped, tally.remaining), (2, Some(8)));
}

/// The sender's permission that scrapped units come back.
fn permission(lot: &str, units: u32) -> ApproveReinstatementRequest {
    ApproveReinstatementRequest { request_id: fresh_id(), lot: lot.to_owned(), units }
}

pub(super) async fn approve_reinstatement() {
    let custody = Custody::at_technician("repeat-permit", "rep-pe", 10).await;
    scrap(&custody, blanks("rep-pe", 4)).await.unwrap();
    let chain = custody.chain;
    let good = permission("rep-pe", 2);
    let others = vec![ApproveReinstatementRequest { units: 3, ..good.clone() }];
    let call = |request| async move {
        chain.handoffs(Who::FactoryOperator, At::FactoryCa).approve_reinstatement(request).await
    };
    repeated(good, others, call).await;
}

pub(super) async fn reinstate_units() {
    let custody = Custody::at_technician("repeat-back", "rep-rb", 10).await;
    scrap(&custody, blanks("rep-rb", 4)).await.unwrap();
    let chain = custody.chain;
    let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let permitted = sender.approve_reinstatement(permission("rep-rb", 3)).await.unwrap().into_inner().reinstatement;
    let good = ReinstateUnitsRequest {
        request_id: fresh_id(),
        lot: "rep-rb".to_owned(),
        permission: permitted,
        blanks: 3,
        device_ids: Vec::new(),
    };
    let others = vec![ReinstateUnitsRequest { blanks: 2, ..good.clone() }];
    let call =
        |request| async move { chain.lots(Who::TechnicianOperator, At::TechnicianCa).reinstate_units(request).await };
    repeated(good.clone(), others, call).await;
    // The permission is good once, under any request id.
    let again = ReinstateUnitsRequest { request_id: fresh_id(), ..good };
    refused(call(again).await, Reason::ReinstatementUsed, Code::FailedPrecondition);
    let tally = custody.tally(TECHNICIAN, "rep-rb").await;
    assert_eq!((tally.scrapped, tally.remaining), (1, Some(9)));
}

/// Two lots offered to factory-y, as its operator carries them from the brand.
async fn carried(custody: &Custody, lots: [&str; 2]) -> Vec<GetOfferResponse> {
    let mut brand = custody.chain.handoffs(Who::Alice, At::RootCa);
    let mut papers = Vec::new();
    for lot in lots {
        brand.offer_handoff(offer(&custody.order, FACTORY, lot, 3)).await.unwrap();
        papers.push(brand.get_offer(GetOfferRequest { lot: lot.to_owned() }).await.unwrap().into_inner());
    }
    papers
}

pub(super) async fn accept_offer() {
    let custody = Custody::ordered("repeat-file", 10).await;
    let [first, second] = carried(&custody, ["rep-fi-1", "rep-fi-2"]).await.try_into().unwrap();
    let chain = custody.chain;
    let good = AcceptOfferRequest { request_id: fresh_id(), offer: Some(first.clone()) };
    let others = vec![AcceptOfferRequest { offer: Some(second), ..good.clone() }];
    let call = |request| async move { chain.lots(Who::FactoryOperator, At::FactoryCa).accept_offer(request).await };
    repeated(good.clone(), others, call).await;

    // A file that was changed is judged as it is now, though one under this name was accepted: before the lot is open and after.
    let accepted = call(good.clone()).await.unwrap().into_inner().acceptance;
    for opened in [false, true] {
        for (changed, reason, code) in changed_offers(&first) {
            let request = AcceptOfferRequest { offer: Some(changed), ..good.clone() };
            refused(call(request).await, reason, code);
        }
        assert_eq!(call(good.clone()).await.unwrap().into_inner().acceptance, accepted);
        if !opened {
            let answer = chain.handoffs(Who::Alice, At::RootCa).accept_handoff(accepted.clone().unwrap()).await;
            let answer = Some(answer.unwrap().into_inner());
            let open = OpenLotRequest { request_id: fresh_id(), lot: "rep-fi-1".to_owned(), answer };
            chain.lots(Who::FactoryOperator, At::FactoryCa).open_lot(open).await.unwrap();
        }
    }
    // Another request for what is open is no repetition.
    let late = AcceptOfferRequest { request_id: fresh_id(), ..good };
    refused(call(late).await, Reason::LotExists, Code::AlreadyExists);
}

/// One offer, changed in each of its parts after it was signed.
fn changed_offers(offer: &GetOfferResponse) -> [(GetOfferResponse, Reason, Code); 5] {
    let changed = |change: fn(&mut GetOfferResponse)| {
        let mut offer = offer.clone();
        change(&mut offer);
        offer
    };
    let terms = changed(|o| o.terms.as_mut().unwrap().terms = Bytes::from_static(b"{}"));
    let approval = changed(|o| flip(&mut o.terms.as_mut().unwrap().signature));
    let signature = changed(|o| flip(&mut o.signature));
    let end = changed(|o| o.handoff.as_mut().unwrap().expires_at.as_mut().unwrap().seconds += 1);
    let units = changed(|o| o.handoff.as_mut().unwrap().facts.as_mut().unwrap().quantity = quantity(7));
    [
        (terms, Reason::TermsMalformed, Code::InvalidArgument),
        (approval, Reason::TermsApprovalInvalid, Code::FailedPrecondition),
        (signature, Reason::OfferSignatureInvalid, Code::InvalidArgument),
        (end, Reason::OfferSignatureInvalid, Code::InvalidArgument),
        (units, Reason::OfferSignatureInvalid, Code::InvalidArgument),
    ]
}

fn flip(octets: &mut Bytes) {
    let mut changed = octets.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    *octets = Bytes::from(changed);
}

pub(super) async fn open_lot() {
    let custody = Custody::ordered("repeat-open", 10).await;
    let chain = custody.chain;
    let mut receiver = chain.lots(Who::FactoryOperator, At::FactoryCa);
    let mut sender = chain.handoffs(Who::Alice, At::RootCa);
    let mut requests = Vec::new();
    for (lot, papers) in ["rep-op-1", "rep-op-2"].iter().zip(carried(&custody, ["rep-op-1", "rep-op-2"]).await) {
        let accept = AcceptOfferRequest { request_id: fresh_id(), offer: Some(papers) };
        let acceptance = receiver.accept_offer(accept).await.unwrap().into_inner().acceptance.unwrap();
        let answer = sender.accept_handoff(acceptance).await.unwrap().into_inner();
        requests.push(OpenLotRequest { request_id: fresh_id(), lot: (*lot).to_owned(), answer: Some(answer) });
    }
    let good = requests[0].clone();
    let others = vec![
        OpenLotRequest { request_id: good.request_id.clone(), ..requests[1].clone() },
        OpenLotRequest { answer: requests[1].answer.clone(), ..good.clone() },
    ];
    let call = |request| async move { chain.lots(Who::FactoryOperator, At::FactoryCa).open_lot(request).await };
    repeated(good.clone(), others, call).await;
    let another = OpenLotRequest { request_id: fresh_id(), answer: requests[1].answer.clone(), ..good };
    refused(call(another).await, Reason::LotExists, Code::AlreadyExists);
    let second =
        receiver.get_lot(GetLotRequest { lot: "rep-op-2".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    assert_eq!(second.state(), LotState::Accepting);
}

pub(super) async fn close_lot() {
    let custody = Custody::at_technician("repeat-close", "rep-cl-1", 5).await;
    let other = Custody::at_technician("repeat-close-2", "rep-cl-2", 5).await;
    let before = other.picture().await;
    let chain = custody.chain;
    let good = CloseLotRequest { request_id: fresh_id(), lot: "rep-cl-1".to_owned() };
    let others = vec![CloseLotRequest { lot: "rep-cl-2".to_owned(), ..good.clone() }];
    let call = |request| async move { chain.lots(Who::TechnicianOperator, At::TechnicianCa).close_lot(request).await };
    repeated(good, others, call).await;
    other.unchanged(&before).await;
    assert!(custody.tally(TECHNICIAN, "rep-cl-1").await.closed);
}

/// The signer as its own operator calls it.
fn signer(chain: &Chain) -> IssuanceServiceClient<tonic::transport::Channel> {
    IssuanceServiceClient::new(chain.channel(Who::TechnicianOperator, At::TechnicianCa))
}

/// Two devices of a lot, written and confirmed.
async fn two_devices(custody: &Custody, lot: &str) -> [String; 2] {
    let signer = Signer::of(custody.chain);
    let ids = [format!("{lot}-1"), format!("{lot}-2")];
    let mut devices = Vec::new();
    for id in &ids {
        let issued = signer.issue(&Device::new(id).at_signer(lot)).await;
        let certificate_sha256 = confirmation(id, &issued.certificate).certificate_sha256;
        devices.push(WrittenDevice { device_id: id.clone(), certificate_sha256 });
    }
    let confirmed = signer.0.clone().confirm_devices(ConfirmDevicesRequest { devices }).await.unwrap().into_inner();
    assert!(confirmed.devices.iter().all(|device| device.refusal.is_none()), "{confirmed:?}");
    ids
}

pub(super) async fn allow_rework() {
    let custody = Custody::at_technician("repeat-rework", "rep-rw", 5).await;
    let [first, second] = two_devices(&custody, "rep-rw").await;
    let good = AllowReworkRequest { request_id: fresh_id(), device_id: first };
    let others = vec![AllowReworkRequest { device_id: second, ..good.clone() }];
    let client = signer(custody.chain);
    let call = |request| {
        let mut client = client.clone();
        async move { client.allow_rework(request).await }
    };
    repeated(good, others, call).await;
}

pub(super) async fn scrap_device() {
    let custody = Custody::at_technician("repeat-scrapd", "rep-sd", 5).await;
    let [first, second] = two_devices(&custody, "rep-sd").await;
    let good = ScrapDeviceRequest { request_id: fresh_id(), device_id: first, why: "dropped".to_owned() };
    let others = vec![
        ScrapDeviceRequest { device_id: second, ..good.clone() },
        ScrapDeviceRequest { why: "lost".to_owned(), ..good.clone() },
    ];
    let client = signer(custody.chain);
    let call = |request| {
        let mut client = client.clone();
        async move { client.scrap_device(request).await }
    };
    repeated(good.clone(), others, call).await;
    // Another request is answered the same, for another cause it is refused with the one on record; the device is scrapped once.
    call(ScrapDeviceRequest { request_id: fresh_id(), ..good.clone() }).await.unwrap();
    let other = ScrapDeviceRequest { request_id: fresh_id(), why: "lost".to_owned(), ..good.clone() };
    let refusal = refused(call(other).await, Reason::DeviceScrapped, Code::FailedPrecondition);
    assert_eq!(refusal.metadata()["why"], "dropped");
    // The request id of a scrapped device lets nothing else be done.
    reused(
        client
            .clone()
            .allow_rework(AllowReworkRequest { request_id: good.request_id, device_id: good.device_id })
            .await,
    );
    assert_eq!(custody.tally(TECHNICIAN, "rep-sd").await.scrapped, 1);
}
