//! Lots on their way from the brand over factory-y to technician-z: offered, withdrawn, received, split, scrapped from, closed.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    custody::v1::{HandoffState, Quantity, Tally, quantity::Amount},
    handoff::v1::{
        CancelHandoffRequest, GetHandoffRequest, GetHandoffResponse, OfferHandoffRequest, OfferHandoffResponse,
    },
    lot::v1::{
        CloseLotRequest, GetLotRequest, GetLotResponse, ListLotsRequest, Lot, LotState, ReceiveLotRequest,
        ReceiveLotResponse, ScrapBlanksRequest, lot_service_client::LotServiceClient,
    },
    order::v1::Order,
};
use bytes::Bytes;
use pki::Certificate;
use prost::Message as _;
use simulator::{BRAND, World};

use crate::{
    book::Entries,
    deed::{Deed, Desk},
    ground::{FACTORY, Ground, ROOT, SIGNER, TECHNICIAN, Work, facts, with_both_indexes},
    orders::{self, Approvers, TWO_HOPS},
    story::{Act, Heard, Look, Story, Tellers, request_id},
};

/// Units of each client's order: more than all its stories hand over.
const ORDERED: u32 = 100_000;
/// Units of a lot for factory-y, then of the parts of it for technician-z.
const LOT: u32 = 20;
const PART: u32 = 8;
const OTHER_PART: u32 = 7;
/// Units of a lot that are scrapped.
const SCRAP: u32 = 3;

pub(crate) struct Custody;

impl Work for Custody {
    const NAME: &'static str = "custody";
    const HOPS: u32 = 2;
    const HAS_HUB: bool = false;

    async fn prepare(world: &World) -> Tellers {
        let approvers = Approvers::of(world);
        let begin = move |client, story| -> Box<dyn Story> {
            match story {
                0 => Box::new(Ordering { client, step: 0, approvers: approvers.clone(), seen: None }),
                _ => Box::new(Passing { client, story, step: 0 }),
            }
        };
        let desks = &[Desk::Alice, Desk::Bob, Desk::FactoryOperator, Desk::TechnicianOperator];
        Tellers { begin: Arc::new(begin), desks, fresh: 4 }
    }

    async fn agree(ground: &Ground, _: &[Entries]) {
        let at_factory = lots(&ground.world, Desk::FactoryOperator).await;
        let at_technician = lots(&ground.world, Desk::TechnicianOperator).await;
        for client in ground.clients.iter().filter(|client| client.begun() > 0) {
            let order = orders::read(&ground.world, &order(client.number)).await;
            let tally = order.tally.unwrap();
            let mut handed_over = 0;
            for story in 1..client.begun() {
                let steps = steps(story);
                for (part, lots) in
                    [(Part::Whole, &at_factory), (Part::One, &at_technician), (Part::Other, &at_technician)]
                {
                    let lot = lots.get(&part.lot(client.number, story));
                    let is_received = steps.contains(&Step::Receive(part));
                    assert_eq!(lot.is_some(), is_received, "{}", part.lot(client.number, story));
                    let Some(lot) = lot else { continue };
                    assert_eq!(Standing::of(lot), Standing::after(part, steps), "{}", part.lot(client.number, story));
                    assert_conserved(&lot.tally.unwrap());
                    if part == Part::Whole {
                        handed_over += u64::from(LOT);
                    }
                }
            }
            assert_eq!((tally.handed_over, tally.reserved), (handed_over, 0), "{}: to the unit", order.order);
            assert_conserved(&tally);
        }
        assert_keys_of_open_lots_alone(ground, FACTORY, &at_factory);
        assert_keys_of_open_lots_alone(ground, TECHNICIAN, &at_technician);
    }

    fn agree_on_disk(ground: &Ground, _: &[Entries]) {
        for (manufacturer, kind) in [(BRAND, ROOT), (FACTORY, SIGNER), (TECHNICIAN, SIGNER)] {
            with_both_indexes(&ground.store(manufacturer, kind), |store| facts(store).len());
        }
    }
}

/// A lot of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Out of the client's order, to factory-y.
    Whole,
    /// Out of that, to technician-z.
    One,
    /// The same.
    Other,
}

impl Part {
    fn lot(self, client: usize, story: usize) -> String {
        let kind = match self {
            Self::Whole => "f",
            Self::One => "a",
            Self::Other => "b",
        };
        format!("{kind}{client}-{story}")
    }

    /// Who offers it, and who receives it.
    fn desks(self) -> (Desk, Desk) {
        match self {
            Self::Whole => (Desk::Alice, Desk::FactoryOperator),
            Self::One | Self::Other => (Desk::FactoryOperator, Desk::TechnicianOperator),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Offer(Part, u32),
    Withdraw(Part),
    Receive(Part),
    Scrap,
    Close(Part),
}

/// What happens to the lots of a story.
fn steps(story: usize) -> &'static [Step] {
    use Part::{One, Other, Whole};
    use Step::{Close, Offer, Receive, Scrap, Withdraw};
    match story % 4 {
        0 => &[Offer(Whole, LOT), Withdraw(Whole)],
        1 => &[Offer(Whole, LOT), Receive(Whole), Scrap, Close(Whole)],
        2 => &[
            Offer(Whole, LOT),
            Receive(Whole),
            Offer(One, PART),
            Offer(Other, OTHER_PART),
            Receive(One),
            Withdraw(Other),
        ],
        _ => &[Offer(Whole, LOT), Receive(Whole), Offer(One, LOT), Receive(One), Close(One), Close(Whole)],
    }
}

fn order(client: usize) -> String {
    format!("o{client}")
}

/// The client's order, approved.
struct Ordering {
    client: usize,
    step: usize,
    approvers: Approvers,
    seen: Option<Order>,
}

impl Story for Ordering {
    fn next(&mut self) -> Option<Act> {
        let request_id = request_id(self.client, 0, self.step);
        Some(Act::Ask(match self.step {
            0 => orders::create(request_id, orders::draft(&order(self.client), ORDERED, &TWO_HOPS)),
            1 => self.approvers.approve(Desk::Alice, request_id, self.seen.as_ref()?),
            2 => self.approvers.approve(Desk::Bob, request_id, self.seen.as_ref()?),
            _ => return None,
        }))
    }

    fn heard(&mut self, answer: &Bytes) -> Heard {
        self.seen = Some(orders::order_in(answer));
        self.step += 1;
        Heard::Done
    }
}

/// Lots that pass on.
struct Passing {
    client: usize,
    story: usize,
    step: usize,
}

impl Story for Passing {
    fn next(&mut self) -> Option<Act> {
        let step = *steps(self.story).get(self.step)?;
        let (client, story) = (self.client, self.story);
        let request_id = request_id(client, story, self.step);
        let deed = match step {
            Step::Offer(part, units) => {
                let (source, to) = match part {
                    Part::Whole => (order(client), FACTORY),
                    Part::One | Part::Other => (Part::Whole.lot(client, story), TECHNICIAN),
                };
                let request = OfferHandoffRequest {
                    request_id,
                    source,
                    to: to.to_owned(),
                    lot: part.lot(client, story),
                    quantity: Some(Quantity { amount: Some(Amount::Units(units)) }),
                    ttl_seconds: 0,
                };
                Deed::new(part.desks().0, "/countersign.handoff.v1.HandoffService/OfferHandoff", &request)
                    .keeping(facts_of_handoff)
            }
            Step::Withdraw(part) => {
                let request = CancelHandoffRequest { request_id, lot: part.lot(client, story) };
                Deed::new(part.desks().0, "/countersign.handoff.v1.HandoffService/CancelHandoff", &request)
                    .keeping(facts_of_handoff)
            }
            Step::Receive(part) => {
                let from = if part == Part::Whole { BRAND } else { FACTORY }.to_owned();
                let request = ReceiveLotRequest { request_id, lot: part.lot(client, story), from };
                Deed::new(part.desks().1, "/countersign.lot.v1.LotService/ReceiveLot", &request)
                    .keeping(certificate_of_lot)
            }
            Step::Scrap => {
                let lot = Part::Whole.lot(client, story);
                let request = ScrapBlanksRequest { request_id, lot, units: SCRAP, why: "dropped".to_owned() };
                Deed::new(Desk::FactoryOperator, "/countersign.lot.v1.LotService/ScrapBlanks", &request)
                    .keeping(|_| Bytes::new())
            }
            Step::Close(part) => {
                let request = CloseLotRequest { request_id, lot: part.lot(client, story) };
                Deed::new(part.desks().1, "/countersign.lot.v1.LotService/CloseLot", &request)
            }
        };
        Some(Act::Ask(deed))
    }

    fn heard(&mut self, _: &Bytes) -> Heard {
        self.step += 1;
        Heard::Done
    }

    fn looks(&self) -> Vec<Look> {
        let (all, mut looks) = (steps(self.story), Vec::new());
        // Up to the last step that was answered, or to the one that is under way.
        let (done, under_way) = (&all[..self.step], &all[..all.len().min(self.step + 1)]);
        for part in [Part::Whole, Part::One, Part::Other] {
            let lot = part.lot(self.client, self.story);
            let (sender, receiver) = part.desks();
            if offered(part, done).is_some() {
                let request = GetHandoffRequest { lot: lot.clone() };
                let read = Deed::new(sender, "/countersign.handoff.v1.HandoffService/GetHandoff", &request);
                looks.push(Look::new(read, move |answer| {
                    let state = GetHandoffResponse::decode(answer.clone()).unwrap().handoff.unwrap().state();
                    let is_received_now =
                        !done.contains(&Step::Receive(part)) && under_way.contains(&Step::Receive(part));
                    state == handoff_state(part, done)
                        || state == handoff_state(part, under_way)
                        || is_received_now && state == HandoffState::Accepted
                }));
            }
            if done.contains(&Step::Receive(part)) {
                let request = GetLotRequest { lot };
                let read = Deed::new(receiver, "/countersign.lot.v1.LotService/GetLot", &request);
                looks.push(Look::new(read, move |answer| {
                    let lot = GetLotResponse::decode(answer.clone()).unwrap().lot.unwrap();
                    Standing::of(&lot) == Standing::after(part, done)
                        || Standing::of(&lot) == Standing::after(part, under_way)
                }));
            }
        }
        looks
    }
}

/// What is offered. The answer shows the handoff as it is by then, so the rest of it is looked at, not compared.
fn facts_of_handoff(answer: &Bytes) -> Bytes {
    OfferHandoffResponse::decode(answer.clone()).unwrap().handoff.unwrap().facts.unwrap().encode_to_vec().into()
}

/// The certificate of a lot that was received.
fn certificate_of_lot(answer: &Bytes) -> Bytes {
    ReceiveLotResponse::decode(answer.clone()).unwrap().lot.unwrap().chain[0].clone()
}

/// How many units of a lot are offered.
fn offered(of: Part, steps: &[Step]) -> Option<u32> {
    steps.iter().find_map(|step| match step {
        Step::Offer(part, units) if *part == of => Some(*units),
        Step::Offer(..) | Step::Withdraw(_) | Step::Receive(_) | Step::Scrap | Step::Close(_) => None,
    })
}

fn handoff_state(part: Part, steps: &[Step]) -> HandoffState {
    if steps.contains(&Step::Receive(part)) {
        HandoffState::Signed
    } else if steps.contains(&Step::Withdraw(part)) {
        HandoffState::Cancelled
    } else {
        HandoffState::Offered
    }
}

/// Where the units of a lot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    received: u32,
    handed_over: u64,
    reserved: u64,
    scrapped: u64,
    is_closed: bool,
}

impl Standing {
    fn of(lot: &Lot) -> Self {
        let tally = lot.tally.unwrap();
        Self {
            received: received(&tally),
            handed_over: tally.handed_over,
            reserved: tally.reserved,
            scrapped: tally.scrapped,
            is_closed: tally.closed && lot.state() == LotState::Closed,
        }
    }

    fn after(part: Part, steps: &[Step]) -> Self {
        let (mut handed_over, mut reserved) = (0, 0);
        for next in [Part::One, Part::Other].into_iter().filter(|_| part == Part::Whole) {
            let units = u64::from(offered(next, steps).unwrap_or_default());
            if steps.contains(&Step::Receive(next)) {
                handed_over += units;
            } else if !steps.contains(&Step::Withdraw(next)) {
                reserved += units;
            }
        }
        let is_scrapped = part == Part::Whole && steps.contains(&Step::Scrap);
        Self {
            received: offered(part, steps).unwrap(),
            handed_over,
            reserved,
            scrapped: if is_scrapped { SCRAP.into() } else { 0 },
            is_closed: steps.contains(&Step::Close(part)),
        }
    }
}

fn received(tally: &Tally) -> u32 {
    match tally.received.and_then(|received| received.amount) {
        Some(Amount::Units(units)) => units,
        Some(Amount::Unlimited(_)) | None => panic!("not so many units: {tally:?}"),
    }
}

/// Every unit is somewhere, and none in two places.
fn assert_conserved(tally: &Tally) {
    let spent = tally.provisioned + tally.handed_over + tally.reserved + tally.scrapped;
    let (received, remaining) = (u64::from(received(tally)), tally.remaining.unwrap());
    // What remained when a lot was closed is void.
    let is_conserved = if tally.closed { spent <= received && remaining == 0 } else { spent + remaining == received };
    assert!(is_conserved, "{tally:?}");
}

/// Everything that a manufacturer holds, by lot id.
async fn lots(world: &World, desk: Desk) -> BTreeMap<String, Lot> {
    let mut client = LotServiceClient::new(desk.channel(world));
    let (mut lots, mut page_token) = (BTreeMap::new(), String::new());
    loop {
        let page = client.list_lots(ListLotsRequest { page_size: 200, page_token }).await.unwrap().into_inner();
        lots.extend(page.lots.into_iter().map(|lot| (lot.facts.as_ref().unwrap().lot.clone(), lot)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return lots;
        }
    }
}

/// Every open lot's key is on disk, and no closed one's.
fn assert_keys_of_open_lots_alone(ground: &Ground, manufacturer: &str, lots: &BTreeMap<String, Lot>) {
    let folder = ground.folder.join(manufacturer).join("lot-keys");
    for (id, lot) in lots {
        let key = Certificate::parse(&lot.chain[0]).unwrap().public_key().sha256();
        let is_there = folder.join(format!("{key}.key")).exists();
        assert_eq!(is_there, lot.state() == LotState::Open, "the key of lot {id} of {manufacturer}");
    }
}
