//! The situations that the rows are about, made once: each kind of object in each of its states, under an id that says which.

use std::time::Duration;

use api::{
    RequestId,
    custody::v1::{Reinstatement, TallyReport},
    handoff::v1::{
        AcceptHandoffRequest, AcceptHandoffResponse, ApproveReinstatementRequest, CancelHandoffRequest,
        GetHandoffRequest, GetOfferRequest, GetOfferResponse, OfferHandoffRequest,
    },
    hub::v1::{
        self as hub, ca_certificate_service_client::CaCertificateServiceClient,
        device_service_client::DeviceServiceClient,
    },
    lot::v1::{
        AcceptOfferRequest, CloseLotRequest, GetLotRequest, GetTallyReportRequest, OpenLotRequest,
        ReinstateUnitsRequest, ScrapBlanksRequest,
    },
    manufacturer::v1::{RegisterManufacturerRequest, SuspendManufacturerRequest},
    order::v1::{AmendOrderRequest, ApproveOrderRequest, CancelOrderRequest, GetOrderRequest, Order},
    provisioning::v1::{ScrapUnitRequest, UnitState},
};
use bytes::Bytes;
use tonic::transport::Channel;

use super::picture::Readers;
use crate::{
    custody::{Custody, acceptance, approval, draft, offer},
    devices::{Device, Line, Signer, confirmation},
    organisations::{fresh_key, manufacturer},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// Devices of the signer's own story.
pub(super) const DEVICES: [&str; 3] = ["d-issued", "d-spent", "d-new"];
/// Units of the line.
pub(super) const UNITS: [&str; 5] = ["u-issued", "u-written", "u-scrapped", "u-back", "u-new"];

/// What a row may be about. Lots at factory-y begin with `f-`, those at technician-z with `t-`, devices with `d-`, units with `u-`.
pub(super) struct Scene {
    pub(super) chain: &'static Chain,
    pub(super) readers: Readers,
    /// Approved by alice alone.
    pub(super) proposed: Order,
    /// What alice signed before the order was changed; it waits for its approvals again.
    pub(super) stale: ApproveOrderRequest,
    pub(super) changed: Order,
    pub(super) cancelled: Order,
    /// An open offer stands against changing it.
    pub(super) held: Order,
    /// Acceptances by factory-y of `f-offer`, `f-cancel` and `f-late`, signed while each was on offer, and of `f-open`, by another key.
    pub(super) accept: [AcceptHandoffRequest; 4],
    /// The file of `t-offer`, and that of the acceptance of `t-file`.
    pub(super) offer_file: GetOfferResponse,
    pub(super) acceptance_file: AcceptHandoffRequest,
    /// The files of `t-cancel`, exported before it was cancelled.
    pub(super) withdrawn_acceptance: AcceptHandoffRequest,
    /// The answer for `t-done`, which was opened with it.
    pub(super) answer_file: AcceptHandoffResponse,
    /// The report of `t-open`, as its receiver signs it.
    pub(super) report: TallyReport,
    /// For two units of `t-open`: the first was used, the second was not.
    pub(super) used: Reinstatement,
    pub(super) unused: Reinstatement,
    /// A key of a device, in use.
    pub(super) issued: Device,
    /// The certificates of the unit that is in doubt, and of the one that is scrapped.
    pub(super) in_doubt: Bytes,
    pub(super) scrapped: Bytes,
    /// Of requests that were answered, of which each is for one content alone.
    pub(super) ids: Ids,
    /// A CA certificate of the hub, as it was read.
    pub(super) ca: hub::CaCertificate,
}

/// Request ids that are used up, by where.
pub(super) struct Ids {
    pub(super) brand: String,
    /// factory-y's service, at the brand.
    pub(super) receiver: String,
    pub(super) factory: String,
    pub(super) technician: String,
    pub(super) line: String,
    pub(super) hub: String,
}

impl Scene {
    pub(super) async fn set() -> Self {
        let chain = Chain::quiet().await;
        let (proposed, stale, changed, cancelled, held) = orders(chain).await;
        let open = Custody::ordered_in(chain, "open", 100).await;
        manufacturers(chain).await;
        let (accept, ids_receiver) = brand_handoffs(&open).await;
        let ids_brand = offered(chain, Who::Alice, At::RootCa, offer("open", FACTORY, "f-used", 1)).await;
        let ids_factory =
            offered(chain, Who::FactoryOperator, At::FactoryCa, offer("f-open", TECHNICIAN, "t-used", 1)).await;
        let files = Files::travelled(chain).await;
        technician_lots(&open).await;
        let papers = GetOfferRequest { lot: "t-offer".to_owned() };
        let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
        let offer_file = sender.get_offer(papers).await.unwrap().into_inner();
        let made = Made::at(chain).await;
        let ca = at_hub(chain).await;
        let report = GetTallyReportRequest { lot: "t-open".to_owned() };
        let mut lots = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
        let report = lots.get_tally_report(report).await.unwrap().into_inner().report.unwrap();
        Self {
            chain,
            readers: Readers::of(chain),
            proposed,
            stale,
            changed,
            cancelled,
            held,
            accept,
            offer_file,
            acceptance_file: files.acceptance,
            withdrawn_acceptance: files.withdrawn,
            answer_file: files.answer,
            report,
            used: made.used,
            unused: made.unused,
            issued: made.issued,
            in_doubt: made.in_doubt,
            scrapped: made.scrapped,
            ids: Ids {
                brand: ids_brand,
                receiver: ids_receiver,
                factory: ids_factory,
                technician: made.signer_id,
                line: made.line_id,
                hub: ca.1,
            },
            ca: ca.0,
        }
    }
}

async fn orders(chain: &'static Chain) -> (Order, ApproveOrderRequest, Order, Order, Order) {
    let proposed = Custody::proposed_in(chain, "proposed", 10).await;
    proposed.approve(Who::Alice).await;

    let changed = Custody::proposed_in(chain, "changed", 10).await;
    let stale = approval(chain, Who::Alice, &changed.on_record().await);
    let amend = AmendOrderRequest {
        request_id: fresh_id(),
        order: "changed".to_owned(),
        draft: Some(draft("changed", 20)),
        expected_terms_digest: changed.on_record().await.terms_digest,
    };
    chain.orders(Who::Alice).amend_order(amend).await.unwrap();

    let cancelled = Custody::ordered_in(chain, "cancelled", 10).await;
    let cancel = CancelOrderRequest { request_id: fresh_id(), order: "cancelled".to_owned() };
    chain.orders(Who::Alice).cancel_order(cancel).await.unwrap();

    let held = Custody::ordered_in(chain, "held", 10).await;
    offered(chain, Who::Alice, At::RootCa, offer("held", FACTORY, "f-held", 1)).await;
    (proposed.on_record().await, stale, changed.on_record().await, cancelled.on_record().await, held.on_record().await)
}

async fn manufacturers(chain: &Chain) {
    let mut registry = chain.manufacturers(Who::Alice);
    for id in ["spare", "banned"] {
        let manufacturer = Some(manufacturer(id));
        let request = RegisterManufacturerRequest { request_id: fresh_id(), manufacturer };
        registry.register_manufacturer(request).await.unwrap();
    }
    let suspend = SuspendManufacturerRequest {
        request_id: fresh_id(),
        manufacturer: "banned".to_owned(),
        why: "an audit".to_owned(),
    };
    registry.suspend_manufacturer(suspend).await.unwrap();
}

/// Makes an offer; its request id is used from then on.
async fn offered(chain: &Chain, who: Who, at: At, request: OfferHandoffRequest) -> String {
    let id = request.request_id.clone();
    chain.handoffs(who, at).offer_handoff(request).await.unwrap();
    id
}

async fn cancelled(chain: &Chain, who: Who, at: At, lot: &str) {
    let cancel = CancelHandoffRequest { request_id: fresh_id(), lot: lot.to_owned() };
    chain.handoffs(who, at).cancel_handoff(cancel).await.unwrap();
}

/// Waits until the offers that are still open from a source hold no more than so many units: what ran out is given back by itself.
async fn expired(chain: &Chain, at: At, held: u64) {
    let given_back = async {
        loop {
            let tally = if at == At::RootCa {
                let request = GetOrderRequest { order: "open".to_owned(), version: None };
                chain.orders(Who::Alice).get_order(request).await.unwrap().into_inner().order.unwrap().tally
            } else {
                let request = GetLotRequest { lot: "f-open".to_owned() };
                chain.lots(Who::FactoryOperator, at).get_lot(request).await.unwrap().into_inner().lot.unwrap().tally
            };
            if tally.unwrap().reserved == held {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), given_back).await.expect("the offer runs out");
}

async fn brand_handoffs(open: &Custody) -> ([AcceptHandoffRequest; 4], String) {
    let chain = open.chain;
    let own = chain.identity_key(FACTORY);
    let mut accept = Vec::new();
    for (lot, seconds) in [("f-offer", 0), ("f-cancel", 0), ("f-late", 1)] {
        let request = OfferHandoffRequest { ttl_seconds: seconds, ..offer("open", FACTORY, lot, 3) };
        offered(chain, Who::Alice, At::RootCa, request).await;
        accept.push(acceptance(chain, (Who::FactoryCa, At::RootCa), lot, &fresh_key(), &own).await);
    }
    cancelled(chain, Who::Alice, At::RootCa, "f-cancel").await;
    expired(chain, At::RootCa, 3).await;
    open.hand_to_factory("f-open", 60).await;
    accept.push(acceptance(chain, (Who::FactoryCa, At::RootCa), "f-open", &fresh_key(), &own).await);
    open.hand_to_factory("f-closed", 2).await;
    closed(chain, Who::FactoryOperator, At::FactoryCa, "f-closed").await;
    offered(chain, Who::Alice, At::RootCa, offer("open", FACTORY, "f-taken", 1)).await;
    let taken = acceptance(chain, (Who::FactoryCa, At::RootCa), "f-taken", &fresh_key(), &own).await;
    let id = taken.request_id.clone();
    chain.handoffs(Who::FactoryCa, At::RootCa).accept_handoff(taken).await.unwrap();
    (accept.try_into().unwrap(), id)
}

async fn closed(chain: &Chain, who: Who, at: At, lot: &str) {
    let close = CloseLotRequest { request_id: fresh_id(), lot: lot.to_owned() };
    chain.lots(who, at).close_lot(close).await.unwrap();
}

/// Handoffs to technician-z without a wire.
struct Files {
    acceptance: AcceptHandoffRequest,
    withdrawn: AcceptHandoffRequest,
    answer: AcceptHandoffResponse,
}

impl Files {
    async fn travelled(chain: &Chain) -> Self {
        let acceptance = Self::accepted(chain, "t-file").await;
        let withdrawn = Self::accepted(chain, "t-cancel").await;
        cancelled(chain, Who::FactoryOperator, At::FactoryCa, "t-cancel").await;
        let done = Self::accepted(chain, "t-done").await;
        let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
        let answer = sender.accept_handoff(done).await.unwrap().into_inner();
        let open = OpenLotRequest { request_id: fresh_id(), lot: "t-done".to_owned(), answer: Some(answer.clone()) };
        chain.lots(Who::TechnicianOperator, At::TechnicianCa).open_lot(open).await.unwrap();
        Self { acceptance, withdrawn, answer }
    }

    async fn accepted(chain: &Chain, lot: &str) -> AcceptHandoffRequest {
        let (who, at) = (Who::FactoryOperator, At::FactoryCa);
        offered(chain, who, at, offer("f-open", TECHNICIAN, lot, 2)).await;
        let papers = GetOfferRequest { lot: lot.to_owned() };
        let papers = chain.handoffs(who, at).get_offer(papers).await.unwrap().into_inner();
        let accept = AcceptOfferRequest { request_id: fresh_id(), offer: Some(papers) };
        let mut receiver = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
        receiver.accept_offer(accept).await.unwrap().into_inner().acceptance.unwrap()
    }
}

async fn technician_lots(open: &Custody) {
    let (chain, who, at) = (open.chain, Who::FactoryOperator, At::FactoryCa);
    for (lot, units) in [("t-open", 20), ("t-spent", 1), ("t-closed", 2)] {
        open.hand_to_technician("f-open", lot, units).await;
    }
    closed(chain, Who::TechnicianOperator, At::TechnicianCa, "t-closed").await;
    offered(chain, who, at, offer("f-open", TECHNICIAN, "t-offer", 2)).await;
    let late = OfferHandoffRequest { ttl_seconds: 1, ..offer("f-open", TECHNICIAN, "t-late", 2) };
    offered(chain, who, at, late).await;
    expired(chain, at, 5).await;
    // The sender hears of a lot that closed.
    let heard = async {
        loop {
            let request = GetHandoffRequest { lot: "t-closed".to_owned() };
            let handoff = chain.handoffs(who, at).get_handoff(request).await.unwrap().into_inner().handoff.unwrap();
            if handoff.report.is_some_and(|report| report.tally.unwrap().closed) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the report arrives");
}

/// What was made of `t-open` and `t-spent`.
struct Made {
    issued: Device,
    signer_id: String,
    in_doubt: Bytes,
    scrapped: Bytes,
    line_id: String,
    used: Reinstatement,
    unused: Reinstatement,
}

impl Made {
    async fn at(chain: &Chain) -> Self {
        let (signer, line) = (Signer::of(chain), Line::of(chain));
        let issued = Device::new("d-issued");
        let request = issued.at_signer("t-open");
        signer.issue(&request).await;
        signer.issue(&Device::new("d-spent").at_signer("t-spent")).await;

        let in_doubt = Device::new("u-issued").at_line(Some("t-open"));
        let unit = line.provision(&in_doubt).await;
        for id in ["u-written", "u-scrapped", "u-back"] {
            let unit = line.provision(&Device::new(id).at_line(Some("t-open"))).await;
            line.confirm(&confirmation(id, &unit.chain[0])).await.unwrap();
        }
        for id in ["u-scrapped", "u-back"] {
            let scrap = ScrapUnitRequest { request_id: fresh_id(), device_id: id.to_owned(), why: "fell".to_owned() };
            let unit = line.0.clone().scrap_unit(scrap).await.unwrap().into_inner().unit.unwrap();
            assert_eq!(unit.state(), UnitState::Scrapped);
        }
        let scrapped = line.unit("u-scrapped").await.chain[0].clone();
        let (used, unused) = reinstated(chain).await;
        Self {
            issued,
            signer_id: request.request_id,
            in_doubt: unit.chain[0].clone(),
            scrapped,
            line_id: in_doubt.request_id,
            used,
            unused,
        }
    }
}

/// Two permissions of the sender's, of which one was used for a blank.
async fn reinstated(chain: &Chain) -> (Reinstatement, Reinstatement) {
    let mut lots = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let lot = "t-open".to_owned();
    let scrap = ScrapBlanksRequest { request_id: fresh_id(), lot: lot.clone(), units: 3, why: "warped".to_owned() };
    lots.scrap_blanks(scrap).await.unwrap();
    let permit = async |units| {
        let request = ApproveReinstatementRequest { request_id: fresh_id(), lot: "t-open".to_owned(), units };
        let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
        sender.approve_reinstatement(request).await.unwrap().into_inner().reinstatement.unwrap()
    };
    let used = permit(1).await;
    let request = ReinstateUnitsRequest {
        request_id: fresh_id(),
        lot,
        permission: Some(used.clone()),
        blanks: 1,
        device_ids: Vec::new(),
    };
    lots.reinstate_units(request).await.unwrap();
    (used, permit(2).await)
}

/// A CA that nobody has proven, and a device; the request id is that of the CA.
async fn at_hub(chain: &Chain) -> (hub::CaCertificate, String) {
    let channel: Channel = chain.channel(Who::Alice, At::Hub);
    let request_id = RequestId::parse(&fresh_id()).unwrap().to_string();
    let register = hub::RegisterCaCertificateRequest {
        request_id: request_id.clone(),
        name: "unproven".to_owned(),
        certificate: Bytes::from(chain.world.trust().read("root.pem").unwrap()),
        rules: hub::ChainRules::Countersign.into(),
        first_connect: hub::FirstConnect::Refuse.into(),
        verified: false,
    };
    let mut cas = CaCertificateServiceClient::new(channel.clone());
    let ca = cas.register_ca_certificate(register).await.unwrap().into_inner().ca_certificate.unwrap();
    let device = hub::NewDevice { device_id: "hub-1".to_owned(), ..hub::NewDevice::default() };
    let create = hub::CreateDeviceRequest { request_id: fresh_id(), device: Some(device) };
    DeviceServiceClient::new(channel).create_device(create).await.unwrap();
    (ca, request_id)
}
