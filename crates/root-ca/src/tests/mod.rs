//! The brand's rules over a store in memory that fails on command: registry, orders, approvals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod amendments;
mod approvals;
mod between;
mod handoffs;
mod manufacturers;
mod order_ca;
mod orders;
mod possession;
mod registry;
mod repetition;
mod start;
mod states;

use std::sync::{Arc, LazyLock};

use api::{
    Refusal, RequestId,
    custody::v1::Handoff,
    manufacturer::v1::Manufacturer,
    order::v1::{AmendOrderRequest, ApproveOrderRequest, Order, OrderDraft, Route},
    program::v1::Program,
};
use authority::{AcceptOrder, Accepted, Authority, OfferOrder, Seams};
use bytes::Bytes;
use issuance::{
    Instance, KeyKind, KeyPolicy, RootMaker, SeededEntropy, SerialSource, SigningKey, SoftwareKey, Stage, make_csr,
    profile::RootProfileDocument,
};
use mfg::{
    Acceptance, LotId, ManufacturerId, OrderCa, Quantity, Statement, Terms,
    terms::{DeviceKeyAlgorithm, HandoffKeyAlgorithm, Period, TermsTime},
};
use pki::{Certificate, Sha256, UnixTime};
use records::{Act, Caller, wire};
use service::{Clock as _, ManualClock, Workers};
use store::{FaultPlan, MemoryStore, Store as _, StoreIdentity};

use crate::{
    orders::{Approver, DeviceRoot, Orders, TermsProfile, approval},
    registry::register,
};

/// The operators of these tests; two of them must approve.
const OPERATORS: [&str; 3] = ["alice", "bob", "carol"];
const REQUIRED: usize = 2;

/// Allows a root certificate to be signed in a test: there is no journal before there is a root.
#[derive(Debug)]
struct Unrecorded(Sha256);

impl issuance::Receipt for Unrecorded {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

struct Keys {
    root: Arc<SoftwareKey>,
    brand: SoftwareKey,
    operators: Vec<SoftwareKey>,
    makers: Vec<SoftwareKey>,
    anchor: Certificate,
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

fn copy(key: &SoftwareKey) -> SoftwareKey {
    SoftwareKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap()
}

fn time(text: &str) -> UnixTime {
    UnixTime::parse(text).unwrap()
}

fn period(from: &str) -> Period {
    Period { not_before: TermsTime(time(from)), not_after: TermsTime::never() }
}

fn serials(seed: u64) -> SerialSource {
    SerialSource::new(Instance::ONLY, Arc::new(SeededEntropy::new(seed)))
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let root = Arc::new(key());
    let document = RootProfileDocument {
        organization: "Company X".to_owned(),
        common_name: "Company X Device Root".to_owned(),
        validity: period("2025-01-01T00:00:00Z"),
        stage: Stage::Development,
    };
    let policy = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    let signer = Arc::clone(&root) as Arc<dyn SigningKey>;
    let maker = RootMaker::<Unrecorded>::new(signer, &policy, document.check().unwrap()).unwrap();
    let draft = maker.draft(serials(1).next_serial().unwrap()).unwrap();
    let receipt = Unrecorded(draft.tbs_digest());
    let anchor = maker.sign(draft.recorded(receipt).unwrap()).unwrap().into_certificate().unwrap();
    let some = |n| (0..n).map(|_| key()).collect();
    Keys { root, brand: key(), operators: some(OPERATORS.len()), makers: some(7), anchor }
});

/// A brand with its store, clock and operators.
struct Brand {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    faults: FaultPlan,
    orders: Arc<Orders>,
}

impl Brand {
    /// A brand without anything registered.
    fn empty() -> Self {
        let faults = FaultPlan::default();
        let identity = StoreIdentity::new("root-ca", "company-x", [1; 16]).unwrap();
        let store = Arc::new(MemoryStore::new(&identity, faults.clone()));
        let clock = Arc::new(ManualClock::new(time("2026-06-01T00:00:00Z")));
        let orders = orders(&store, &clock, Stage::Development);
        Self { store, clock, faults, orders }
    }

    /// The same brand, on what the store kept, with another CA.
    fn under(self, root: DeviceRoot) -> Self {
        let orders = orders_under(&self.store, &self.clock, root);
        Self { orders, ..self }
    }

    /// A brand with a program and the manufacturers `maker-1` to `maker-7`.
    fn new() -> Self {
        let brand = Self::empty();
        brand.register(100, program("smart-widget")).unwrap();
        for number in 1..=7 {
            brand.register(100 + number, maker(number)).unwrap();
        }
        brand
    }

    fn register<T: crate::registry::Registered>(&self, request: u8, item: T) -> Result<T, Refusal> {
        register(self.store.as_ref(), &self.act("alice", request), item)
    }

    /// The process ends and comes back, on what the store kept.
    fn start_again(&mut self) {
        self.faults.clear();
        self.store.power_cut();
        self.orders = orders(&self.store, &self.clock, Stage::Development);
        crate::orders::note_all(&self.orders).unwrap();
    }

    fn act(&self, operator: &str, request: u8) -> Act {
        let by = format!("spiffe://company-x.example/company-x/operator/{operator}");
        let caller = Caller { manufacturer: "company-x".to_owned(), by };
        self.orders.authority.act(caller, RequestId::from_octets([request; 16]))
    }

    fn create(&self, request: u8, draft: &OrderDraft) -> Result<Order, Refusal> {
        self.orders.create(&self.act("alice", request), draft)
    }

    fn approve(&self, operator: &str, request: u8, order: &Order) -> Result<Order, Refusal> {
        self.orders.approve(&self.act(operator, request), operator, &approval_of(operator, order))
    }

    /// Proposes and approves an order.
    fn open(&self, request: u8, draft: &OrderDraft) -> Order {
        let order = self.create(request, draft).unwrap();
        self.approve("alice", request + 1, &order).unwrap();
        self.approve("bob", request + 2, &order).unwrap()
    }

    /// Replaces an order by another draft, as it stands now.
    fn amend(&self, request: u8, draft: &OrderDraft) -> Result<Order, Refusal> {
        let now = self.orders.get(&draft.order)?;
        self.orders.amend(&self.act("alice", request), &amendment(&now, draft))
    }

    /// Offers units to a manufacturer as the lot of this id.
    fn offer(&self, request: u8, order: &str, to: u8, lot: &str, quantity: Quantity) -> Result<Handoff, Refusal> {
        let order = OfferOrder {
            source: order.to_owned(),
            to: ManufacturerId::parse(&format!("maker-{to}")).unwrap(),
            lot: LotId::parse(lot).unwrap(),
            quantity,
            ttl_seconds: 3600,
        };
        self.orders.authority.offer(&self.act("alice", request), &order)
    }

    /// What the receiver of an offer answers, with a fresh lot key and this identity key.
    fn acceptance(&self, lot: &str, identity: &SoftwareKey) -> (AcceptOrder, Arc<SoftwareKey>) {
        let handoff = self.orders.authority.handoff("company-x", lot).unwrap();
        let facts = wire::read_facts("facts", handoff.facts.as_ref()).unwrap();
        let lot_key = Arc::new(key());
        let signature =
            identity.sign(Statement::acceptance(lot_key.public_key().spki(), &facts.consignment).to_be_signed());
        let acceptance =
            Acceptance { identity_key_digest: identity.public_key().sha256(), signature: signature.unwrap() };
        let csr = Bytes::from(make_csr(lot_key.as_ref(), lot).unwrap());
        (AcceptOrder { lot: LotId::parse(lot).unwrap(), csr, acceptance }, lot_key)
    }

    /// The act of a manufacturer's intermediate-ca, in this trust domain.
    fn act_of(&self, number: u8, trust_domain: &str, request: u8) -> Act {
        let by = format!("spiffe://{trust_domain}/maker-{number}/intermediate-ca");
        let caller = Caller { manufacturer: format!("maker-{number}"), by };
        self.orders.authority.act(caller, RequestId::from_octets([request; 16]))
    }

    /// Hands units over to a manufacturer: offered and accepted.
    fn hand_over(&self, request: u8, order: &str, to: u8, lot: &str, quantity: Quantity) -> Accepted {
        self.offer(request, order, to, lot, quantity).unwrap();
        let (accept, _) = self.acceptance(lot, &KEYS.makers[usize::from(to) - 1]);
        self.orders.authority.accept(&self.act_of(to, "maker.example", request + 1), &accept).unwrap()
    }

    /// Whether first handoffs can be taken from the order.
    fn is_open(&self, order: &str) -> bool {
        let tally = self.store.tally(&records::keys::lot(order)).unwrap();
        let lot = self.orders.authority.lots.get(order).is_ok();
        assert_eq!(tally.is_some(), lot, "an order has a tally when its lot is open, and only then");
        lot
    }
}

/// The root, here.
fn root_of(stage: Stage) -> DeviceRoot {
    DeviceRoot {
        anchor: KEYS.anchor.clone(),
        chain: Vec::new(),
        stage,
        order_ca: OrderCa::Absent,
        key: Arc::clone(&KEYS.root) as Arc<dyn SigningKey>,
    }
}

fn orders(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>, stage: Stage) -> Arc<Orders> {
    orders_under(store, clock, root_of(stage))
}

fn orders_under(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>, root: DeviceRoot) -> Arc<Orders> {
    // What is drawn after a start is not what was drawn before it.
    let serials = serials(store.head().position.as_u64());
    let seams = Seams {
        store: Arc::clone(store) as Arc<dyn store::Store>,
        clock: Arc::clone(clock) as Arc<dyn service::Clock>,
        entropy: Arc::new(SeededEntropy::new(2)),
        workers: Workers::Inline,
    };
    let brand = ManufacturerId::parse("company-x").unwrap();
    let approver = |(name, key): (&&str, &SoftwareKey)| Approver {
        name: (*name).to_owned(),
        public_key: key.public_key().clone(),
    };
    let own_ca = root.own_ca(clock.now());
    Arc::new(Orders {
        authority: Arc::new(Authority::new(brand, Arc::new(copy(&KEYS.brand)), seams, serials).with_own_ca(own_ca)),
        approvers: OPERATORS.iter().zip(&KEYS.operators).map(approver).collect(),
        approvals_required: REQUIRED,
        profile: TermsProfile {
            devices: period("2026-01-01T00:00:00Z"),
            cas: period("2026-01-01T00:00:00Z"),
            handoff_key: HandoffKeyAlgorithm::P256,
            device_keys: vec![DeviceKeyAlgorithm::P256],
        },
        root: Arc::new(root),
    })
}

fn program(id: &str) -> Program {
    Program {
        program: id.to_owned(),
        base_name: "smart-widget.company-x.example".to_owned(),
        oid_arc: "1.3.6.1.4.1.32473".to_owned(),
        max_device_id_length: 24,
        max_lot_id_length: 8,
    }
}

fn maker(number: u8) -> Manufacturer {
    Manufacturer {
        manufacturer: format!("maker-{number}"),
        display_name: format!("Maker {number} Ltd."),
        identity_key: Bytes::copy_from_slice(KEYS.makers[usize::from(number) - 1].public_key().spki()),
        ..Manufacturer::default()
    }
}

/// 100 units and 5 to spare, along `maker-1` to the last.
fn draft(order: &str, hops: u8) -> OrderDraft {
    let name = |hop: u8| if hop == 0 { "company-x".to_owned() } else { format!("maker-{hop}") };
    OrderDraft {
        order: order.to_owned(),
        program: "smart-widget".to_owned(),
        quantity: Some(wire::quantity(Quantity::of(100).unwrap())),
        yield_allowance: 5,
        routes: (0..hops).map(|hop| Route { from: name(hop), to: name(hop + 1) }).collect(),
        ..OrderDraft::default()
    }
}

/// What an operator sends to approve these terms.
fn approval_of(operator: &str, order: &Order) -> ApproveOrderRequest {
    let at = OPERATORS.iter().position(|name| *name == operator).unwrap_or_default();
    let terms = Terms::parse(&order.terms).unwrap();
    let signature = KEYS.operators[at].sign(approval(&terms).to_be_signed()).unwrap();
    ApproveOrderRequest {
        order: order.order.clone(),
        terms_digest: order.terms_digest.clone(),
        signature: Bytes::from(signature),
        ..ApproveOrderRequest::default()
    }
}

/// What replaces an order as it was read.
fn amendment(read: &Order, draft: &OrderDraft) -> AmendOrderRequest {
    AmendOrderRequest {
        order: draft.order.clone(),
        draft: Some(draft.clone()),
        expected_terms_digest: read.terms_digest.clone(),
        ..AmendOrderRequest::default()
    }
}

/// So many units.
fn units(count: u64) -> Quantity {
    Quantity::of(count).unwrap()
}

/// The name of a refusal.
fn reason<T>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.map(|_| ()).unwrap_err().reason()
}
