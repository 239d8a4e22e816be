//! What people do with an order of their own in the shared chain: order, approve, offer, receive; and a look at all of it.

use std::collections::BTreeMap;

use api::{
    custody::v1::{Acceptance, Handoff, Quantity, Tally, TallyReport, quantity::Amount},
    handoff::v1::{AcceptHandoffRequest, GetOfferRequest, ListHandoffsRequest, OfferHandoffRequest},
    lot::v1::{ListLotsRequest, Lot, ReceiveLotRequest},
    order::v1::{ApproveOrderRequest, CreateOrderRequest, GetOrderRequest, Order, OrderDraft, Route},
};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey, make_csr};
use mfg::{JournalHead, OrderId, Statement};
use pki::Sha256;
use simulator::{BRAND, PROGRAM};

use crate::world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id};

/// One test's order and everything under it.
#[derive(Clone)]
pub(crate) struct Custody {
    pub(crate) chain: &'static Chain,
    /// Production order id.
    pub(crate) order: String,
}

/// Everything that is on record about one order: what must not differ when nothing was changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// The order with its tally, as the brand has it.
    pub(crate) order: Order,
    /// Handoffs by sender and lot id.
    pub(crate) handoffs: BTreeMap<(&'static str, String), Handoff>,
    /// Lots with their tallies by receiver and lot id.
    pub(crate) lots: BTreeMap<(&'static str, String), Lot>,
}

impl Custody {
    /// An approved order of this id in the shared chain, for company-x -> factory-y -> technician-z.
    pub(crate) async fn ordered(order: &str, units: u32) -> Self {
        Self::ordered_in(Chain::shared().await, order, units).await
    }

    /// The same in another chain.
    pub(crate) async fn ordered_in(chain: &'static Chain, order: &str, units: u32) -> Self {
        let custody = Self::proposed_in(chain, order, units).await;
        for who in [Who::Alice, Who::Bob] {
            custody.approve(who).await;
        }
        custody
    }

    /// The same, not approved yet.
    pub(crate) async fn proposed(order: &str, units: u32) -> Self {
        Self::proposed_in(Chain::shared().await, order, units).await
    }

    /// The same in another chain.
    pub(crate) async fn proposed_in(chain: &'static Chain, order: &str, units: u32) -> Self {
        let request = CreateOrderRequest { request_id: fresh_id(), draft: Some(draft(order, units)) };
        chain.orders(Who::Alice).create_order(request).await.unwrap();
        Self { chain, order: order.to_owned() }
    }

    /// An approved order with one lot of all its units, `lot` at technician-z, through `<lot>-f` at factory-y.
    pub(crate) async fn at_technician(order: &str, lot: &str, units: u32) -> Self {
        let custody = Self::ordered(order, units).await;
        let above = format!("{lot}-f");
        custody.hand_to_factory(&above, units).await;
        custody.hand_to_technician(&above, lot, units).await;
        custody
    }

    /// One operator of the brand approves the order.
    pub(crate) async fn approve(&self, who: Who) -> Order {
        let order = self.on_record().await;
        let request = approval(self.chain, who, &order);
        self.chain.orders(who).approve_order(request).await.unwrap().into_inner().order.unwrap()
    }

    /// The order as the brand has it.
    pub(crate) async fn on_record(&self) -> Order {
        let request = GetOrderRequest { order: self.order.clone(), version: None };
        self.chain.orders(Who::Alice).get_order(request).await.unwrap().into_inner().order.unwrap()
    }

    /// Hands a lot of the order to factory-y: offered, accepted, open.
    pub(crate) async fn hand_to_factory(&self, lot: &str, units: u32) -> Lot {
        let offer = offer(&self.order, FACTORY, lot, units);
        self.chain.handoffs(Who::Alice, At::RootCa).offer_handoff(offer).await.unwrap();
        let request = ReceiveLotRequest { request_id: fresh_id(), lot: lot.to_owned(), from: BRAND.to_owned() };
        let mut lots = self.chain.lots(Who::FactoryOperator, At::FactoryCa);
        lots.receive_lot(request).await.unwrap().into_inner().lot.unwrap()
    }

    /// Hands a lot out of factory-y's lot `source` to technician-z: offered, accepted, open.
    pub(crate) async fn hand_to_technician(&self, source: &str, lot: &str, units: u32) -> Lot {
        let offer = offer(source, TECHNICIAN, lot, units);
        self.chain.handoffs(Who::FactoryOperator, At::FactoryCa).offer_handoff(offer).await.unwrap();
        let request = ReceiveLotRequest { request_id: fresh_id(), lot: lot.to_owned(), from: FACTORY.to_owned() };
        let mut lots = self.chain.lots(Who::TechnicianOperator, At::TechnicianCa);
        lots.receive_lot(request).await.unwrap().into_inner().lot.unwrap()
    }

    /// Everything that is on record about this order, anywhere in the chain, but what receivers report: that comes by itself.
    pub(crate) async fn picture(&self) -> Picture {
        let mut handoffs = BTreeMap::new();
        for (at, who) in [(At::RootCa, Who::Alice), (At::FactoryCa, Who::FactoryOperator)] {
            let request = ListHandoffsRequest { page_size: 1000, page_token: String::new() };
            let listed = self.chain.handoffs(who, at).list_handoffs(request).await.unwrap().into_inner();
            assert_eq!(listed.next_page_token, "", "all of it fits one page");
            let own = listed.handoffs.into_iter().filter(|h| h.facts.as_ref().unwrap().order == self.order);
            let told = own.map(|handoff| Handoff { report: None, ..handoff });
            handoffs.extend(told.map(|h| ((at.identity().0, h.facts.as_ref().unwrap().lot.clone()), h)));
        }
        let mut lots = BTreeMap::new();
        for (at, who) in [(At::FactoryCa, Who::FactoryOperator), (At::TechnicianCa, Who::TechnicianOperator)] {
            let request = ListLotsRequest { page_size: 1000, page_token: String::new() };
            let listed = self.chain.lots(who, at).list_lots(request).await.unwrap().into_inner();
            assert_eq!(listed.next_page_token, "", "all of it fits one page");
            let own = listed.lots.into_iter().filter(|l| l.facts.as_ref().unwrap().order == self.order);
            lots.extend(own.map(|l| ((at.identity().0, l.facts.as_ref().unwrap().lot.clone()), l)));
        }
        Picture { order: self.on_record().await, handoffs, lots }
    }

    /// Nothing that is on record about this order differs from `before`.
    pub(crate) async fn unchanged(&self, before: &Picture) {
        assert_eq!(&self.picture().await, before, "a refusal changes nothing");
    }

    /// The tally of one of this order's lots.
    pub(crate) async fn tally(&self, holder: &'static str, lot: &str) -> Tally {
        let picture = self.picture().await;
        picture.lots[&(holder, lot.to_owned())].tally.unwrap()
    }
}

/// What operators ask for: so many units along company-x -> factory-y -> technician-z, and technician-z makes the devices.
pub(crate) fn draft(order: &str, units: u32) -> OrderDraft {
    OrderDraft {
        order: order.to_owned(),
        program: PROGRAM.to_owned(),
        quantity: quantity(units),
        yield_allowance: 0,
        routes: routes(&[BRAND, FACTORY, TECHNICIAN]),
        device_issuers: Vec::new(),
        signing_window: None,
        rework_cap: 2,
        replacement_cap: 3,
        compatible_name_constraints: false,
        manifest_sha256: None,
    }
}

/// The edges of one path.
pub(crate) fn routes<S: AsRef<str>>(path: &[S]) -> Vec<Route> {
    path.windows(2).map(|p| Route { from: p[0].as_ref().to_owned(), to: p[1].as_ref().to_owned() }).collect()
}

/// A count of units.
pub(crate) fn quantity(units: u32) -> Option<Quantity> {
    Some(Quantity { amount: Some(Amount::Units(units)) })
}

/// An offer, under a fresh request id.
pub(crate) fn offer(source: &str, to: &str, lot: &str, units: u32) -> OfferHandoffRequest {
    OfferHandoffRequest {
        request_id: fresh_id(),
        source: source.to_owned(),
        to: to.to_owned(),
        lot: lot.to_owned(),
        quantity: quantity(units),
        ttl_seconds: 0,
    }
}

/// An operator's approval of the terms as they were shown.
pub(crate) fn approval(chain: &Chain, who: Who, order: &Order) -> ApproveOrderRequest {
    let key = approval_key(chain, who);
    let digest = Sha256::of(&order.terms);
    let statement = Statement::order_approval(&OrderId::parse(&order.order).unwrap(), &digest);
    ApproveOrderRequest {
        request_id: fresh_id(),
        order: order.order.clone(),
        terms_digest: Bytes::copy_from_slice(digest.as_bytes()),
        signature: Bytes::from(key.sign(statement.to_be_signed()).unwrap()),
    }
}

/// The key that signs an operator's approvals.
pub(crate) fn approval_key(chain: &Chain, who: Who) -> SoftwareKey {
    let name = if who == Who::Alice { "alice" } else { "bob" };
    chain.world.brand.approval_key(name).unwrap()
}

/// What a receiver sends to accept an offer, made of the offer's own facts and the given keys.
pub(crate) async fn acceptance(
    chain: &Chain,
    (who, at): (Who, At),
    lot: &str,
    lot_key: &SoftwareKey,
    identity_key: &SoftwareKey,
) -> AcceptHandoffRequest {
    let papers = chain.handoffs(who, at).get_offer(GetOfferRequest { lot: lot.to_owned() }).await.unwrap().into_inner();
    let facts = records::wire::read_facts("facts", papers.handoff.unwrap().facts.as_ref()).unwrap();
    let statement = Statement::acceptance(lot_key.public_key().spki(), &facts.consignment);
    AcceptHandoffRequest {
        request_id: fresh_id(),
        lot: lot.to_owned(),
        csr: Bytes::from(make_csr(lot_key, lot).unwrap()),
        acceptance: Some(Acceptance {
            identity_key_digest: Bytes::copy_from_slice(identity_key.public_key().sha256().as_bytes()),
            signature: Bytes::from(identity_key.sign(statement.to_be_signed()).unwrap()),
        }),
    }
}

/// What the receiver signs when it reports a lot's tally.
pub(crate) fn tally_statement(report: &TallyReport) -> Statement {
    let tally = records::wire::read_tally("tally", report.tally.as_ref()).unwrap();
    let digest = |octets: &[u8]| Sha256::from_slice(octets).unwrap();
    let journal = JournalHead { position: report.journal_position, chain: digest(&report.journal_chain) };
    let at = u64::try_from(report.at.as_ref().unwrap().seconds).unwrap();
    Statement::tally_report(&digest(&report.certificate_sha256), &tally, &journal, at)
}
