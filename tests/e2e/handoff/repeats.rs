//! Every RPC that changes something: repeated it answers the same bytes, and its request id is nobody else's.

mod brand;
mod devices;
mod lifecycle;

use std::{collections::BTreeSet, fmt::Debug, future::Future};

use api::{
    FILE_DESCRIPTOR_SET,
    handoff::v1::{CancelHandoffRequest, OfferHandoffRequest},
    lot::v1::ReceiveLotRequest,
    manufacturer::v1::{Manufacturer, RegisterManufacturerRequest},
    order::v1::CreateOrderRequest,
    program::v1::{CreateProgramRequest, Program},
    reason::v1::Reason,
};
use brand::{
    amend_order, cancel_order, reinstate_manufacturer, rotate_identity_key, set_service_identity, suspend_manufacturer,
};
use devices::{confirm_written, issue_device, issue_devices, provision, provision_stream, scrap_unit, send_again};
use issuance::SoftwareKey;
use lifecycle::{
    accept_offer, allow_rework, approve_reinstatement, close_lot, open_lot, reinstate_units, scrap_blanks, scrap_device,
};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};
use simulator::{BRAND, PROGRAM};
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, acceptance, approval, draft, offer, quantity},
    organisations::{fresh_key, manufacturer},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// A test for each RPC, and the list of all of them.
macro_rules! every_mutation {
    ($($rpc:literal => $name:ident)*) => {
        const TESTED: &[&str] = &[$($rpc),*];
        mod a_repetition_answers_the_same_and_other_content_is_refused {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name().await;
                }
            )*
        }
    };
}

every_mutation! {
    "/countersign.program.v1.ProgramService/CreateProgram" => create_program
    "/countersign.manufacturer.v1.ManufacturerService/RegisterManufacturer" => register_manufacturer
    "/countersign.order.v1.OrderService/CreateOrder" => create_order
    "/countersign.manufacturer.v1.ManufacturerService/RotateIdentityKey" => rotate_identity_key
    "/countersign.manufacturer.v1.ManufacturerService/SetServiceIdentity" => set_service_identity
    "/countersign.manufacturer.v1.ManufacturerService/SuspendManufacturer" => suspend_manufacturer
    "/countersign.manufacturer.v1.ManufacturerService/ReinstateManufacturer" => reinstate_manufacturer
    "/countersign.order.v1.OrderService/ApproveOrder" => approve_order
    "/countersign.order.v1.OrderService/AmendOrder" => amend_order
    "/countersign.order.v1.OrderService/CancelOrder" => cancel_order
    "/countersign.handoff.v1.HandoffService/OfferHandoff" => offer_handoff
    "/countersign.handoff.v1.HandoffService/CancelHandoff" => cancel_handoff
    "/countersign.handoff.v1.HandoffService/AcceptHandoff" => accept_handoff
    "/countersign.lot.v1.LotService/ReceiveLot" => receive_lot
    "/countersign.issuance.v1.IssuanceService/IssueDevice" => issue_device
    "/countersign.issuance.v1.IssuanceService/IssueDevices" => issue_devices
    "/countersign.handoff.v1.HandoffService/ApproveReinstatement" => approve_reinstatement
    "/countersign.lot.v1.LotService/AcceptOffer" => accept_offer
    "/countersign.lot.v1.LotService/OpenLot" => open_lot
    "/countersign.lot.v1.LotService/ScrapBlanks" => scrap_blanks
    "/countersign.lot.v1.LotService/ReinstateUnits" => reinstate_units
    "/countersign.lot.v1.LotService/CloseLot" => close_lot
    "/countersign.issuance.v1.IssuanceService/AllowRework" => allow_rework
    "/countersign.issuance.v1.IssuanceService/ScrapDevice" => scrap_device
    "/countersign.provisioning.v1.ProvisioningService/Provision" => provision
    "/countersign.provisioning.v1.ProvisioningService/ProvisionStream" => provision_stream
    "/countersign.provisioning.v1.ProvisioningService/ConfirmWritten" => confirm_written
    "/countersign.provisioning.v1.ProvisioningService/ScrapUnit" => scrap_unit
    "/countersign.provisioning.v1.ProvisioningService/SendAgain" => send_again
}

#[test]
fn every_rpc_that_takes_a_request_id_has_its_case() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let tested: BTreeSet<String> = TESTED.iter().map(|rpc| (*rpc).to_owned()).collect();
    let mut mutating = BTreeSet::new();
    for file in set.file.iter().filter(|file| SERVED_HERE.contains(&file.package())) {
        for service in &file.service {
            for method in &service.method {
                let rpc = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                if takes_a_request_id(&set, method.input_type()) && !reads(&rpc) {
                    mutating.insert(rpc);
                } else {
                    // What changes nothing says so in its name; anything else must be repeatable.
                    assert!(reads(&rpc) || REPEATABLE_BY_CONTENT.contains(&rpc.as_str()), "{rpc} takes no request id");
                }
            }
        }
    }
    assert_eq!(tested, mutating);
}

/// The packages of the services in this chain.
const SERVED_HERE: [&str; 8] = [
    "countersign.manifest.v1",
    "countersign.program.v1",
    "countersign.manufacturer.v1",
    "countersign.order.v1",
    "countersign.handoff.v1",
    "countersign.lot.v1",
    "countersign.issuance.v1",
    "countersign.provisioning.v1",
];

/// What they carry can be recorded once only: a signed report of one moment, the head of a journal that follows on one that was seen, the
/// digest of one certificate, a list that its digest names.
const REPEATABLE_BY_CONTENT: [&str; 4] = [
    "/countersign.handoff.v1.HandoffService/CompareJournals",
    "/countersign.handoff.v1.HandoffService/ReportTally",
    "/countersign.issuance.v1.IssuanceService/ConfirmDevices",
    "/countersign.manifest.v1.ManifestService/PutManifest",
];

/// Changes nothing, by its name.
fn reads(rpc: &str) -> bool {
    let method = rpc.rsplit('/').next().unwrap();
    ["Get", "List", "Preflight", "Validate"].iter().any(|verb| method.starts_with(verb))
}

/// In itself, or in the message that it wraps.
fn takes_a_request_id(set: &FileDescriptorSet, message: &str) -> bool {
    let Some(found) = message_named(set, message) else { return false };
    found.field.iter().any(|field| {
        field.name() == "request_id" || (field.name() == "request" && takes_a_request_id(set, field.type_name()))
    })
}

fn message_named<'a>(set: &'a FileDescriptorSet, name: &str) -> Option<&'a DescriptorProto> {
    set.file
        .iter()
        .find_map(|file| file.message_type.iter().find(|m| format!(".{}.{}", file.package(), m.name()) == name))
}

/// `good` twice answers the same octets; then each of `others`, which bear its request id, is refused; then `good` answers the same
/// once more.
async fn repeated<Q, A, F>(good: Q, others: Vec<Q>, call: impl Fn(Q) -> F)
where
    Q: Clone,
    A: Message + PartialEq + Debug,
    F: Future<Output = Result<Response<A>, Status>>,
{
    let first = call(good.clone()).await.unwrap().into_inner();
    let again = call(good.clone()).await.unwrap().into_inner();
    assert_eq!(again.encode_to_vec(), first.encode_to_vec(), "a repetition answers the same");
    for other in others {
        reused(call(other).await);
    }
    let last = call(good).await.unwrap().into_inner();
    assert_eq!(last.encode_to_vec(), first.encode_to_vec(), "a refused reuse changes nothing");
}

#[track_caller]
fn reused<T: Debug>(answer: Result<Response<T>, Status>) {
    refused(answer, Reason::RequestIdReused, Code::AlreadyExists);
}

async fn create_program() {
    let chain = Chain::shared().await;
    let program = |id: &str, longest| Program {
        program: id.to_owned(),
        base_name: "repeat.company-x.example".to_owned(),
        oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
        max_device_id_length: longest,
        max_lot_id_length: 10,
    };
    let good = CreateProgramRequest { request_id: fresh_id(), program: Some(program("repeat", 32)) };
    let others = [program("repeat", 31), program("repeat-2", 32)];
    let others = others.map(|program| CreateProgramRequest { program: Some(program), ..good.clone() }).to_vec();
    let call = |request| async move { chain.programs(Who::Alice).create_program(request).await };
    repeated(good, others, call).await;
}

async fn register_manufacturer() {
    let chain = Chain::shared().await;
    let first = manufacturer("repeat-m");
    let others = [
        Manufacturer { display_name: "Other".to_owned(), ..first.clone() },
        manufacturer("repeat-m"),
        manufacturer("repeat-n"),
    ];
    let good = RegisterManufacturerRequest { request_id: fresh_id(), manufacturer: Some(first) };
    let others = others.map(|m| RegisterManufacturerRequest { manufacturer: Some(m), ..good.clone() }).to_vec();
    let call = |request| async move { chain.manufacturers(Who::Alice).register_manufacturer(request).await };
    repeated(good, others, call).await;
}

async fn create_order() {
    let chain = Chain::shared().await;
    let good = CreateOrderRequest { request_id: fresh_id(), draft: Some(draft("repeat-o", 10)) };
    let others = [draft("repeat-o", 11), draft("repeat-p", 10)];
    let others = others.map(|draft| CreateOrderRequest { draft: Some(draft), ..good.clone() }).to_vec();
    let call = |request| async move { chain.orders(Who::Alice).create_order(request).await };
    repeated(good.clone(), others, call).await;
    // After the approvals too: the order as it stands then.
    let custody = Custody { chain, order: "repeat-o".to_owned() };
    custody.approve(Who::Alice).await;
    let now = custody.approve(Who::Bob).await;
    assert_eq!(call(good).await.unwrap().into_inner().order, Some(now));
}

async fn approve_order() {
    let custody = Custody::proposed("repeat-a", 10).await;
    let other = Custody::proposed("repeat-b", 10).await;
    let chain = custody.chain;
    let good = approval(chain, Who::Alice, &custody.on_record().await);
    let of_other = || async {
        let request = approval(chain, Who::Alice, &other.on_record().await);
        api::order::v1::ApproveOrderRequest { request_id: good.request_id.clone(), ..request }
    };
    let before = other.picture().await;
    let call = |request| async move { chain.orders(Who::Alice).approve_order(request).await };
    repeated(good.clone(), vec![of_other().await], call).await;
    other.unchanged(&before).await;
    // Also where the approval itself would change nothing.
    other.approve(Who::Alice).await;
    reused(call(of_other().await).await);
    // Another operator of the same manufacturer is another caller of the same request.
    let bobs = approval(chain, Who::Bob, &custody.on_record().await);
    let bobs = api::order::v1::ApproveOrderRequest { request_id: good.request_id.clone(), ..bobs };
    reused(chain.orders(Who::Bob).approve_order(bobs).await);
}

async fn offer_handoff() {
    let custody = Custody::ordered("repeat-offer", 10).await;
    let other_order = Custody::ordered("repeat-offer-2", 10).await;
    let chain = custody.chain;
    let good = offer(&custody.order, FACTORY, "rep-of-1", 4);
    let others = vec![
        OfferHandoffRequest { quantity: quantity(5), ..good.clone() },
        OfferHandoffRequest { lot: "rep-of-2".to_owned(), ..good.clone() },
        OfferHandoffRequest { source: other_order.order.clone(), ..good.clone() },
        OfferHandoffRequest { ttl_seconds: 60, ..good.clone() },
    ];
    let call = |request| async move { chain.handoffs(Who::Alice, At::RootCa).offer_handoff(request).await };
    repeated(good.clone(), others, call).await;
    assert_eq!(custody.on_record().await.tally.unwrap().reserved, 4);
    assert_eq!(other_order.on_record().await.tally.unwrap().reserved, 0);
    // Seven days is what 0 means.
    call(OfferHandoffRequest { ttl_seconds: 7 * 86_400, ..good }).await.unwrap();
}

async fn cancel_handoff() {
    let custody = Custody::ordered("repeat-cancel", 10).await;
    let chain = custody.chain;
    for lot in ["rep-ca-1", "rep-ca-2", "rep-ca-3"] {
        let offer = offer(&custody.order, FACTORY, lot, 3);
        chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer).await.unwrap();
    }
    let cancel = |id: &str, lot: &str| CancelHandoffRequest { request_id: id.to_owned(), lot: lot.to_owned() };
    let call = |request| async move { chain.handoffs(Who::Alice, At::RootCa).cancel_handoff(request).await };
    call(cancel(&fresh_id(), "rep-ca-3")).await.unwrap();
    let id = fresh_id();
    // An open offer, and one that was cancelled by another request.
    let others = vec![cancel(&id, "rep-ca-2"), cancel(&id, "rep-ca-3")];
    repeated(cancel(&id, "rep-ca-1"), others, call).await;
    assert_eq!(custody.on_record().await.tally.unwrap().reserved, 3);
}

async fn accept_handoff() {
    let custody = Custody::ordered("repeat-accept", 10).await;
    let chain = custody.chain;
    for lot in ["rep-ac-1", "rep-ac-2"] {
        let offer = offer(&custody.order, FACTORY, lot, 3);
        chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer).await.unwrap();
    }
    let own = chain.identity_key(FACTORY);
    let accept =
        async |lot: &str, key: &SoftwareKey| acceptance(chain, (Who::FactoryCa, At::RootCa), lot, key, &own).await;
    let keys = [fresh_key(), fresh_key()];
    let good = accept("rep-ac-1", &keys[0]).await;
    let mut others = vec![accept("rep-ac-1", &keys[1]).await, accept("rep-ac-2", &keys[1]).await];
    for other in &mut others {
        other.request_id.clone_from(&good.request_id);
    }
    let call = |request| async move { chain.handoffs(Who::FactoryCa, At::RootCa).accept_handoff(request).await };
    repeated(good, others, call).await;
    let tally = custody.on_record().await.tally.unwrap();
    assert_eq!((tally.reserved, tally.handed_over), (3, 3));
}

async fn receive_lot() {
    let custody = Custody::ordered("repeat-receive", 10).await;
    let chain = custody.chain;
    custody.hand_to_factory("rep-re-1", 3).await;
    for lot in ["rep-re-2", "rep-re-3"] {
        let offer = offer(&custody.order, FACTORY, lot, 3);
        chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer).await.unwrap();
    }
    let good = ReceiveLotRequest { request_id: fresh_id(), lot: "rep-re-2".to_owned(), from: BRAND.to_owned() };
    let others = vec![
        // A lot that was received by another request, one that is only offered, another sender.
        ReceiveLotRequest { lot: "rep-re-1".to_owned(), ..good.clone() },
        ReceiveLotRequest { lot: "rep-re-3".to_owned(), ..good.clone() },
        ReceiveLotRequest { from: TECHNICIAN.to_owned(), ..good.clone() },
    ];
    let call = |request| async move { chain.lots(Who::FactoryOperator, At::FactoryCa).receive_lot(request).await };
    repeated(good, others, call).await;
    let lots = custody.picture().await.lots;
    assert_eq!(lots.keys().map(|(_, lot)| lot.as_str()).collect::<Vec<_>>(), ["rep-re-1", "rep-re-2"]);
}

#[tokio::test]
async fn a_request_id_is_not_used_for_another_kind_of_request() {
    let custody = Custody::ordered("repeat-kind", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let offered = offer(&custody.order, FACTORY, "rep-ki-1", 4);
    let id = offered.request_id.clone();
    handoffs.offer_handoff(offered).await.unwrap();
    let before = custody.picture().await;
    reused(handoffs.cancel_handoff(CancelHandoffRequest { request_id: id.clone(), lot: "rep-ki-1".to_owned() }).await);
    let draft = draft("repeat-kind-2", 10);
    assert_eq!(draft.program, PROGRAM);
    let create = CreateOrderRequest { request_id: id.clone(), draft: Some(draft) };
    reused(custody.chain.orders(Who::Alice).create_order(create).await);
    let register = RegisterManufacturerRequest { request_id: id, manufacturer: Some(manufacturer("repeat-kind")) };
    reused(custody.chain.manufacturers(Who::Alice).register_manufacturer(register).await);
    custody.unchanged(&before).await;
}
