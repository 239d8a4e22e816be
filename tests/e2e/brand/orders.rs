//! Proposing orders: what contradicts itself or leaves no room is refused before anybody approves it.

use api::{
    custody::v1::{Quantity, Unlimited, quantity::Amount},
    order::v1::{
        CreateOrderRequest, CreateOrderResponse, GetOrderRequest, ListOrdersRequest, OrderDraft, Route, SigningWindow,
    },
    program::v1::{CreateProgramRequest, Program},
    reason::v1::Reason,
};
use prost_types::Timestamp;
use simulator::{BRAND, ORDER};
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{draft, quantity, routes},
    organisations::registered,
    world::{Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

async fn create(draft: OrderDraft) -> Result<Response<CreateOrderResponse>, Status> {
    let request = CreateOrderRequest { request_id: fresh_id(), draft: Some(draft) };
    Chain::shared().await.orders(Who::Alice).create_order(request).await
}

/// There is no order of this id, neither by itself nor in the list.
async fn unknown(order: &str) {
    let mut orders = Chain::shared().await.orders(Who::Alice);
    let answer = orders.get_order(GetOrderRequest { order: order.to_owned(), version: None }).await;
    refused(answer, Reason::OrderUnknown, Code::NotFound);
    let request = ListOrdersRequest { page_size: 1000, page_token: String::new() };
    let listed = orders.list_orders(request).await.unwrap().into_inner();
    assert!(listed.orders.iter().any(|o| o.order == ORDER) && listed.orders.iter().all(|o| o.order != order));
}

/// Registers so many manufacturers, `<prefix>-1` and on.
async fn manufacturers(prefix: &str, count: usize) -> Vec<String> {
    let ids: Vec<_> = (1..=count).map(|number| format!("{prefix}-{number}")).collect();
    for id in &ids {
        registered(Chain::shared().await, id).await;
    }
    ids
}

#[tokio::test]
async fn a_route_of_more_than_six_handoffs_is_too_deep() {
    let ids = manufacturers("deep", 7).await;
    let path = |hops: usize| [vec![BRAND.to_owned()], ids[..hops].to_vec()].concat();
    let of = |hops| OrderDraft { routes: routes(&path(hops)), ..draft("deep", 10) };
    refused(create(of(7)).await, Reason::ChainTooDeep, Code::FailedPrecondition);
    unknown("deep").await;
    // The longest of several routes counts.
    let mut detour = of(7);
    detour.routes.push(Route { from: BRAND.to_owned(), to: ids[6].clone() });
    refused(create(detour).await, Reason::ChainTooDeep, Code::FailedPrecondition);
    unknown("deep").await;
    create(of(6)).await.unwrap();
}

#[tokio::test]
async fn an_order_is_refused_when_the_longest_name_of_its_route_would_not_fit_253_octets() {
    let mut programs = Chain::shared().await.programs(Who::Alice);
    // <device>.<lot>.technician-z.<lot>.factory-y.<base>, with the longest ids that the program allows.
    let above_base = (63 + 1) + (24 + 1 + TECHNICIAN.len() + 1) + (24 + 1 + FACTORY.len() + 1);
    for (id, octets) in [("roomless", 254), ("roomy", 253)] {
        let rest = octets - above_base - ".example".len();
        let base_name = format!("{}.{}.example", "a".repeat(63), "b".repeat(rest - 64));
        assert_eq!(above_base + base_name.len(), octets);
        let program = Program {
            program: id.to_owned(),
            base_name,
            oid_arc: mfg::oid::DOCUMENTATION_ARC.to_owned(),
            max_device_id_length: 63,
            max_lot_id_length: 24,
        };
        let request = CreateProgramRequest { request_id: fresh_id(), program: Some(program) };
        programs.create_program(request).await.unwrap();
    }
    let of = |program: &str| OrderDraft { program: program.to_owned(), ..draft("room", 10) };
    refused(create(of("roomless")).await, Reason::DnsNameTooLong, Code::FailedPrecondition);
    unknown("room").await;
    create(of("roomy")).await.unwrap();
}

#[tokio::test]
async fn an_order_that_contradicts_itself_is_refused_by_name() {
    let good = || draft("contrary", 10);
    let along = |path: &[&str]| OrderDraft { routes: routes(path), ..good() };
    let unlimited = Some(Quantity { amount: Some(Amount::Unlimited(Unlimited {})) });
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let backwards = SigningWindow { not_before: at(1_900_000_000), not_after: at(1_800_000_000) };
    let edge = |from: &str, to: &str| Route { from: from.to_owned(), to: to.to_owned() };
    let with = |edge: Route| OrderDraft { routes: [good().routes, vec![edge]].concat(), ..good() };
    let cases = [
        (Reason::LabelInvalid, OrderDraft { order: "o".repeat(33), ..good() }),
        (Reason::LabelInvalid, OrderDraft { order: "PO-1".to_owned(), ..good() }),
        (Reason::ProgramUnknown, OrderDraft { program: "nothing".to_owned(), ..good() }),
        (Reason::ManufacturerUnknown, along(&[BRAND, "nobody"])),
        (Reason::GraphEmpty, along(&[])),
        (Reason::GraphCycle, with(edge(TECHNICIAN, FACTORY))),
        (Reason::GraphEdgeRepeated, with(edge(BRAND, FACTORY))),
        (Reason::GraphUnreachable, along(&[FACTORY, TECHNICIAN])),
        (Reason::LabelInvalid, along(&[BRAND, "Factory"])),
        (Reason::DeviceIssuerInvalid, OrderDraft { device_issuers: vec![BRAND.to_owned()], ..good() }),
        (Reason::RouteWithoutDeviceIssuer, OrderDraft { device_issuers: vec![FACTORY.to_owned()], ..good() }),
        (Reason::QuantityInvalid, OrderDraft { quantity: quantity(0), ..good() }),
        (Reason::QuantityInvalid, OrderDraft { quantity: quantity(u32::MAX), ..good() }),
        (Reason::QuantityInvalid, OrderDraft { quantity: quantity(i32::MAX as u32), yield_allowance: 1, ..good() }),
        (Reason::RequestMalformed, OrderDraft { quantity: None, ..good() }),
        (Reason::YieldAllowanceInvalid, OrderDraft { quantity: unlimited, yield_allowance: 1, ..good() }),
        (Reason::PeriodNotOrdered, OrderDraft { signing_window: Some(backwards), ..good() }),
    ];
    for (reason, wrong) in cases {
        let unknown_id = matches!(reason, Reason::ProgramUnknown | Reason::ManufacturerUnknown);
        let code = if unknown_id { Code::NotFound } else { Code::InvalidArgument };
        refused(create(wrong).await, reason, code);
        unknown("contrary").await;
    }
    create(good()).await.unwrap();
}

#[tokio::test]
async fn an_order_id_is_taken_once() {
    let first = create(draft("taken", 10)).await.unwrap().into_inner().order.unwrap();
    // Another intention with the same content is the same order; the terms keep the moment of the first.
    assert_eq!(create(draft("taken", 10)).await.unwrap().into_inner().order, Some(first.clone()));
    refused(create(draft("taken", 11)).await, Reason::OrderExists, Code::AlreadyExists);
    let mut orders = Chain::shared().await.orders(Who::Bob);
    let now = orders
        .get_order(GetOrderRequest { order: "taken".to_owned(), version: None })
        .await
        .unwrap()
        .into_inner()
        .order;
    assert_eq!(now, Some(first));
}
