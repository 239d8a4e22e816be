//! Orders at the root-ca: proposed, approved by two operators, amended and approved again, cancelled.

use std::sync::Arc;

use api::{
    custody::v1::{Quantity, quantity::Amount},
    order::v1::{
        AmendOrderRequest, ApproveOrderRequest, CancelOrderRequest, CreateOrderRequest, CreateOrderResponse,
        GetOrderRequest, Order, OrderDraft, OrderState, Route, order_service_client::OrderServiceClient,
    },
};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey};
use mfg::{OrderId, Statement};
use pki::Sha256;
use prost::Message as _;
use simulator::{BRAND, PROGRAM, World};

use crate::{
    book::Entries,
    deed::{Deed, Desk},
    ground::{FACTORY, Ground, ROOT, TECHNICIAN, Work, facts, with_both_indexes},
    story::{Act, Heard, Look, Story, Tellers, request_id},
};

pub(crate) struct Orders;

impl Work for Orders {
    const NAME: &'static str = "orders";
    const HOPS: u32 = 1;
    const HAS_HUB: bool = false;

    async fn prepare(world: &World) -> Tellers {
        let approvers = Approvers::of(world);
        let begin = move |client, story| {
            let ending = Ending::of(story);
            Box::new(Ordering { client, story, step: 0, ending, approvers: approvers.clone(), seen: None })
                as Box<dyn Story>
        };
        Tellers { begin: Arc::new(begin), desks: &[Desk::Alice, Desk::Bob], fresh: 6 }
    }

    async fn agree(ground: &Ground, _: &[Entries]) {
        for client in &ground.clients {
            for story in 0..client.begun() {
                let (ending, order) = (Ending::of(story), read(&ground.world, &id(client.number, story)).await);
                let standing @ (version, _, state) = ending.after(ALL_STEPS);
                assert_eq!(self::standing(&order), standing, "{}", order.order);
                let units = order.tally.and_then(|tally| tally.received).and_then(|received| received.amount);
                if state == OrderState::Approved {
                    assert_eq!(units, Some(Amount::Units(units_of(version))), "{}", order.order);
                }
            }
        }
    }

    fn agree_on_disk(ground: &Ground, _: &[Entries]) {
        with_both_indexes(&ground.store(BRAND, ROOT), |store| facts(store).len());
    }
}

/// How a story ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Approved,
    AmendedAndApproved,
    Cancelled,
}

impl Ending {
    fn of(story: usize) -> Self {
        [Self::Approved, Self::AmendedAndApproved, Self::Cancelled][story % 3]
    }

    /// The order's version, approvals and state after so many steps, or after all of them if there are not so many.
    fn after(self, steps: usize) -> (u32, usize, OrderState) {
        match (self, steps) {
            (_, 0..=2) => (1, steps.saturating_sub(1), OrderState::Proposed),
            (Self::Approved, _) | (_, 3) => (1, 2, OrderState::Approved),
            (Self::AmendedAndApproved, 4..=5) => (2, steps - 4, OrderState::Proposed),
            (Self::AmendedAndApproved, _) => (2, 2, OrderState::Approved),
            (Self::Cancelled, _) => (1, 2, OrderState::Cancelled),
        }
    }
}

/// The longest story's steps.
const ALL_STEPS: usize = 6;

fn standing(order: &Order) -> (u32, usize, OrderState) {
    (order.order_version, order.approvals.len(), order.state())
}

fn units_of(version: u32) -> u32 {
    8 + 2 * version
}

fn id(client: usize, story: usize) -> String {
    format!("o{client}-{story}")
}

struct Ordering {
    client: usize,
    story: usize,
    step: usize,
    ending: Ending,
    approvers: Approvers,
    /// The order as it was answered last.
    seen: Option<Order>,
}

impl Story for Ordering {
    fn next(&mut self) -> Option<Act> {
        let (request_id, order) = (request_id(self.client, self.story, self.step), id(self.client, self.story));
        let shown = || self.seen.as_ref().unwrap();
        Some(Act::Ask(match (self.step, self.ending) {
            (0, _) => create(request_id, draft(&order, units_of(1), &[BRAND, FACTORY])),
            (1, _) | (4, Ending::AmendedAndApproved) => self.approvers.approve(Desk::Alice, request_id, shown()),
            (2, _) | (5, Ending::AmendedAndApproved) => self.approvers.approve(Desk::Bob, request_id, shown()),
            (3, Ending::AmendedAndApproved) => {
                let expected_terms_digest = shown().terms_digest.clone();
                let draft = Some(draft(&order, units_of(2), &[BRAND, FACTORY]));
                let request = AmendOrderRequest { request_id, order, draft, expected_terms_digest };
                deed(Desk::Alice, "/countersign.order.v1.OrderService/AmendOrder", &request)
            }
            (3, Ending::Cancelled) => {
                let request = CancelOrderRequest { request_id, order };
                deed(Desk::Alice, "/countersign.order.v1.OrderService/CancelOrder", &request)
            }
            _ => return None,
        }))
    }

    fn heard(&mut self, answer: &Bytes) -> Heard {
        self.seen = Some(order_in(answer));
        self.step += 1;
        Heard::Done
    }

    fn looks(&self) -> Vec<Look> {
        // After the last step that was answered, or after the one that is under way.
        let standings = [self.step, self.step + 1].map(|steps| self.ending.after(steps));
        let request = GetOrderRequest { order: id(self.client, self.story), version: None };
        let read = Deed::new(Desk::Alice, "/countersign.order.v1.OrderService/GetOrder", &request);
        let is_so = move |answer: &Bytes| standings.contains(&standing(&order_in(answer)));
        if self.step == 0 { Vec::new() } else { vec![Look::new(read, is_so)] }
    }
}

/// Whatever is done with an order, the answer is the order as it is now, in the first field.
pub(crate) fn order_in(answer: &Bytes) -> Order {
    CreateOrderResponse::decode(answer.clone()).unwrap().order.unwrap()
}

/// Something done with an order: its answer shows the order as it is by then, so what is to stay is looked at, not compared.
fn deed(desk: Desk, rpc: &'static str, request: &impl prost::Message) -> Deed {
    Deed::new(desk, rpc, request).keeping(|answer| order_in(answer).order.into())
}

pub(crate) fn create(request_id: String, draft: OrderDraft) -> Deed {
    let request = CreateOrderRequest { request_id, draft: Some(draft) };
    deed(Desk::Alice, "/countersign.order.v1.OrderService/CreateOrder", &request)
}

/// So many units along a route.
pub(crate) fn draft(order: &str, units: u32, route: &[&str]) -> OrderDraft {
    OrderDraft {
        order: order.to_owned(),
        program: PROGRAM.to_owned(),
        quantity: Some(Quantity { amount: Some(Amount::Units(units)) }),
        routes: route.windows(2).map(|p| Route { from: p[0].to_owned(), to: p[1].to_owned() }).collect(),
        ..OrderDraft::default()
    }
}

/// The route of the custody campaign.
pub(crate) const TWO_HOPS: [&str; 3] = [BRAND, FACTORY, TECHNICIAN];

/// The keys that sign approvals.
#[derive(Clone)]
pub(crate) struct Approvers(Arc<[SoftwareKey; 2]>);

impl Approvers {
    pub(crate) fn of(world: &World) -> Self {
        Self(Arc::new(["alice", "bob"].map(|name| world.brand.approval_key(name).unwrap())))
    }

    /// An approval of the terms as they were shown.
    pub(crate) fn approve(&self, desk: Desk, request_id: String, shown: &Order) -> Deed {
        let digest = Sha256::of(&shown.terms);
        let statement = Statement::order_approval(&OrderId::parse(&shown.order).unwrap(), &digest);
        let key = &self.0[usize::from(desk == Desk::Bob)];
        let request = ApproveOrderRequest {
            request_id,
            order: shown.order.clone(),
            terms_digest: Bytes::copy_from_slice(digest.as_bytes()),
            signature: Bytes::from(key.sign(statement.to_be_signed()).unwrap()),
        };
        deed(desk, "/countersign.order.v1.OrderService/ApproveOrder", &request)
    }
}

/// An order as the brand has it.
pub(crate) async fn read(world: &World, order: &str) -> Order {
    let request = GetOrderRequest { order: order.to_owned(), version: None };
    OrderServiceClient::new(Desk::Alice.channel(world)).get_order(request).await.unwrap().into_inner().order.unwrap()
}
