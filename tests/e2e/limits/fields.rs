//! Fields far longer than any honest one: each is refused by name, and the answer itself stays short enough to arrive.

use api::{
    handoff::v1::{CancelHandoffRequest, GetHandoffRequest, GetOfferRequest, OfferHandoffRequest},
    issuance::v1::{DeviceRequest, GetDeviceRequest},
    lot::v1::{GetLotRequest, ReceiveLotRequest},
    manufacturer::v1::{GetManufacturerRequest, Manufacturer, RegisterManufacturerRequest},
    order::v1::{ApproveOrderRequest, CreateOrderRequest, GetOrderRequest, OrderDraft},
    program::v1::{CreateProgramRequest, GetProgramRequest, Program},
    provisioning::v1::{ConfirmWrittenRequest, GetUnitRequest, PreflightRequest, UnitRequest},
    reason::v1::Reason,
};
use bytes::Bytes;
use simulator::BRAND;
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, approval, draft, offer, routes},
    devices::{Device, Line, Signer, confirmation},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// Within the limit of a message, beyond that of any field.
const LONG: usize = 200_000;
/// What a client takes in trailers by default; a longer answer never arrives as what it is.
const TRAILERS: usize = 16 * 1024;

fn long() -> String {
    "l".repeat(LONG)
}

#[track_caller]
fn named<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, reason: Reason, code: Code) {
    if let Err(status) = &answer {
        let octets = 3 * status.message().len() + 2 * status.details().len();
        assert!(octets < TRAILERS, "an answer of {octets} octets");
    }
    refused(answer, reason, code);
}

#[track_caller]
fn invalid<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, reason: Reason) {
    named(answer, reason, Code::InvalidArgument);
}

#[tokio::test]
async fn at_the_brands_registry() {
    let chain = Chain::shared().await;
    let mut programs = chain.programs(Who::Alice);
    let mut manufacturers = chain.manufacturers(Who::Alice);
    let program = Program {
        program: "long".to_owned(),
        base_name: "long.company-x.example".to_owned(),
        oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
        max_device_id_length: 32,
        max_lot_id_length: 10,
    };
    let create = |program| CreateProgramRequest { request_id: fresh_id(), program: Some(program) };
    let wrong = Program { program: long(), ..program.clone() };
    invalid(programs.create_program(create(wrong)).await, Reason::LabelInvalid);
    let wrong = Program { base_name: long(), ..program.clone() };
    invalid(programs.create_program(create(wrong)).await, Reason::ProgramInvalid);
    let wrong = Program { oid_arc: "1.".repeat(LONG / 2), ..program.clone() };
    invalid(programs.create_program(create(wrong)).await, Reason::ProgramInvalid);
    let wrong = CreateProgramRequest { request_id: long(), program: Some(program) };
    invalid(programs.create_program(wrong).await, Reason::RequestIdInvalid);
    let read = programs.get_program(GetProgramRequest { program: long() }).await;
    named(read, Reason::ProgramUnknown, Code::NotFound);

    let good = Manufacturer {
        manufacturer: "long".to_owned(),
        display_name: "Long".to_owned(),
        identity_key: Bytes::copy_from_slice(chain.organisation(FACTORY).identity_key().unwrap().spki()),
        ..Manufacturer::default()
    };
    let register = |m| RegisterManufacturerRequest { request_id: fresh_id(), manufacturer: Some(m) };
    let wrong = Manufacturer { manufacturer: long(), ..good.clone() };
    invalid(manufacturers.register_manufacturer(register(wrong)).await, Reason::LabelInvalid);
    let wrong = Manufacturer { display_name: long(), ..good.clone() };
    invalid(manufacturers.register_manufacturer(register(wrong)).await, Reason::ManufacturerInvalid);
    let wrong = Manufacturer { identity_key: Bytes::from(long()), ..good };
    invalid(manufacturers.register_manufacturer(register(wrong)).await, Reason::ManufacturerInvalid);
    let read = manufacturers.get_manufacturer(GetManufacturerRequest { manufacturer: long() }).await;
    named(read, Reason::ManufacturerUnknown, Code::NotFound);
}

#[tokio::test]
async fn in_orders() {
    let custody = Custody::proposed("long-order", 10).await;
    let before = custody.picture().await;
    let mut orders = custody.chain.orders(Who::Alice);
    let create = |draft| CreateOrderRequest { request_id: fresh_id(), draft: Some(draft) };
    let good = || draft("long-order-2", 10);
    let wrong = OrderDraft { order: long(), ..good() };
    invalid(orders.create_order(create(wrong)).await, Reason::LabelInvalid);
    let wrong = OrderDraft { routes: routes(&[BRAND, &long()]), ..good() };
    invalid(orders.create_order(create(wrong)).await, Reason::LabelInvalid);
    let wrong = OrderDraft { device_issuers: vec![long()], ..good() };
    invalid(orders.create_order(create(wrong)).await, Reason::LabelInvalid);
    let wrong = OrderDraft { program: long(), ..good() };
    named(orders.create_order(create(wrong)).await, Reason::ProgramUnknown, Code::NotFound);
    // Not a long field, but far too many of them.
    let wrong = OrderDraft { routes: vec![good().routes.remove(0); 5000], ..good() };
    invalid(orders.create_order(create(wrong)).await, Reason::GraphTooLarge);

    let approve = approval(custody.chain, Who::Alice, &custody.on_record().await);
    let wrong = ApproveOrderRequest { order: long(), ..approve.clone() };
    invalid(orders.approve_order(wrong).await, Reason::LabelInvalid);
    let wrong = ApproveOrderRequest { signature: Bytes::from(long()), ..approve.clone() };
    invalid(orders.approve_order(wrong).await, Reason::OrderApprovalInvalid);
    let wrong = ApproveOrderRequest { terms_digest: Bytes::from(long()), ..approve };
    named(orders.approve_order(wrong).await, Reason::TermsDigestMismatch, Code::FailedPrecondition);
    invalid(orders.get_order(GetOrderRequest { order: long(), version: None }).await, Reason::LabelInvalid);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn in_handoffs_and_lots() {
    let custody = Custody::ordered("long-handoff", 10).await;
    let before = custody.picture().await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let good = offer(&custody.order, FACTORY, "long-h", 1);
    let wrong = OfferHandoffRequest { source: long(), ..good.clone() };
    named(handoffs.offer_handoff(wrong).await, Reason::LotUnknown, Code::NotFound);
    let wrong = OfferHandoffRequest { to: long(), ..good.clone() };
    invalid(handoffs.offer_handoff(wrong).await, Reason::LabelInvalid);
    let wrong = OfferHandoffRequest { lot: long(), ..good };
    invalid(handoffs.offer_handoff(wrong).await, Reason::LabelInvalid);
    let wrong = CancelHandoffRequest { request_id: fresh_id(), lot: long() };
    invalid(handoffs.cancel_handoff(wrong).await, Reason::LabelInvalid);
    named(handoffs.get_handoff(GetHandoffRequest { lot: long() }).await, Reason::LotUnknown, Code::NotFound);
    let mut receiver = custody.chain.handoffs(Who::FactoryCa, At::RootCa);
    named(receiver.get_offer(GetOfferRequest { lot: long() }).await, Reason::LotUnknown, Code::NotFound);

    let mut lots = custody.chain.lots(Who::FactoryOperator, At::FactoryCa);
    named(lots.get_lot(GetLotRequest { lot: long() }).await, Reason::LotUnknown, Code::NotFound);
    for (lot, from) in [(long(), BRAND.to_owned()), ("long-h".to_owned(), long())] {
        let wrong = ReceiveLotRequest { request_id: fresh_id(), lot, from };
        invalid(lots.receive_lot(wrong).await, Reason::LabelInvalid);
    }
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn in_devices() {
    let custody = Custody::at_technician("long-device", "long-d", 5).await;
    let before = custody.picture().await;
    let (signer, line) = (Signer::of(custody.chain), Line::of(custody.chain));
    let good = Device::new("long-d-1").at_signer("long-d");
    invalid(signer.ask(&DeviceRequest { device_id: long(), ..good.clone() }).await, Reason::DeviceIdInvalid);
    invalid(signer.ask(&DeviceRequest { request_id: long(), ..good.clone() }).await, Reason::RequestIdInvalid);
    invalid(signer.ask(&DeviceRequest { csr: Bytes::from(long()), ..good.clone() }).await, Reason::CsrMalformed);
    let wrong = DeviceRequest { lot: long(), ..good.clone() };
    named(signer.ask(&wrong).await, Reason::LotUnknown, Code::NotFound);
    let read = signer.0.clone().get_device(GetDeviceRequest { device_id: long() }).await;
    invalid(read, Reason::DeviceIdInvalid);

    let good = Device::new("long-d-2").at_line(Some("long-d"));
    invalid(line.ask(&UnitRequest { device_id: long(), ..good.clone() }).await, Reason::DeviceIdInvalid);
    let wrong = UnitRequest { lot: Some(long()), request_id: fresh_id(), ..good.clone() };
    invalid(line.ask(&wrong).await, Reason::LabelInvalid);
    let wrong = ConfirmWrittenRequest { device_id: long(), ..confirmation("long-d-2", &[]) };
    invalid(line.confirm(&wrong).await, Reason::DeviceIdInvalid);
    let mut client = line.0.clone();
    invalid(client.get_unit(GetUnitRequest { device_id: long() }).await, Reason::DeviceIdInvalid);
    let wrong = PreflightRequest { station_time: None, lot: Some(long()) };
    named(client.preflight(wrong).await, Reason::LotUnknown, Code::NotFound);
    custody.unchanged(&before).await;
    line.provision(&good).await;
    assert_eq!(custody.tally(TECHNICIAN, "long-d").await.provisioned, 1);
}
