//! A request that comes again while its first try is under way gets the answer of that, wherever in its course it is met, and counts once.

use std::sync::Arc;

use api::{
    Refusal,
    manufacturer::v1::{ServiceIdentity, SetServiceIdentityRequest},
};
use issuance::SigningKey as _;
use mfg::{LotId, VerificationCode};
use store::{Position, Store as _};

use super::{
    Brand, KEYS, amendment, approval_of, draft, key, maker,
    manufacturers::{reinstate, rotation, suspend},
    program, units,
};

/// One request with its content, as often as it is asked; everything that is answered, in words.
type Ask = Arc<dyn Fn(&Brand) -> Result<String, Refusal> + Send + Sync>;

/// The request id of what is asked.
const REQUEST: u8 = 77;

fn asking<T: std::fmt::Debug>(ask: impl Fn(&Brand) -> Result<T, Refusal> + Send + Sync + 'static) -> Ask {
    Arc::new(move |brand| ask(brand).map(|told| format!("{told:?}")))
}

type Case = (&'static str, fn(&Brand) -> Ask);

/// Everything that is asked of the brand, each over what it needs.
const CASES: &[Case] = &[
    ("a program", |_| asking(|brand| brand.register(REQUEST, program("other-widget")))),
    ("a manufacturer", |_| {
        let other = api::manufacturer::v1::Manufacturer {
            identity_key: key().public_key().spki().to_vec().into(),
            manufacturer: "maker-8".to_owned(),
            ..maker(7)
        };
        asking(move |brand| brand.register(REQUEST, other.clone()))
    }),
    ("a suspension", |_| asking(|brand| suspend(brand, REQUEST, 1))),
    ("the end of a suspension", |brand| {
        suspend(brand, 1, 1).unwrap();
        asking(|brand| reinstate(brand, REQUEST, 1))
    }),
    ("a rotation", |_| {
        let asked = rotation(1, &KEYS.makers[0], &key());
        asking(move |brand| brand.orders.rotate(&brand.act("alice", REQUEST), &asked))
    }),
    ("a service identity", |_| {
        let asked = SetServiceIdentityRequest {
            manufacturer: "maker-1".to_owned(),
            service_identity: Some(ServiceIdentity {
                trust_domain: "maker-1.example".to_owned(),
                ..ServiceIdentity::default()
            }),
            ..SetServiceIdentityRequest::default()
        };
        asking(move |brand| brand.orders.set_services(&brand.act("alice", REQUEST), &asked))
    }),
    ("an order", |_| asking(|brand| brand.create(REQUEST, &draft("po-1", 2)))),
    ("a first approval", |brand| approval(brand, "alice")),
    ("the last approval", |brand| {
        let last = approval(brand, "bob");
        brand.approve("alice", 2, &brand.orders.get("po-1").unwrap()).unwrap();
        last
    }),
    ("an amendment", |brand| {
        let asked = amendment(&brand.open(1, &draft("po-1", 2)), &draft("po-1", 3));
        asking(move |brand| brand.orders.amend(&brand.act("alice", REQUEST), &asked))
    }),
    ("a cancellation", |brand| {
        brand.open(1, &draft("po-1", 2));
        asking(|brand| brand.orders.cancel(&brand.act("alice", REQUEST), "po-1"))
    }),
    ("an offer", |brand| {
        brand.open(1, &draft("po-1", 2));
        asking(|brand| brand.offer(REQUEST, "po-1", 1, "a1", units(10)))
    }),
    ("a withdrawal", |brand| {
        offered(brand);
        asking(|brand| brand.orders.authority.cancel(&brand.act("alice", REQUEST), &lot()))
    }),
    ("an acceptance", |brand| {
        offered(brand);
        let (asked, _) = brand.acceptance("a1", &KEYS.makers[0]);
        asking(move |brand| brand.orders.authority.accept(&brand.act_of(1, "maker.example", REQUEST), &asked))
    }),
    ("the return of scrapped units", |brand| {
        offered(brand);
        let (accept, _) = brand.acceptance("a1", &KEYS.makers[0]);
        brand.orders.authority.accept(&brand.act_of(1, "maker.example", 5), &accept).unwrap();
        asking(|brand| brand.orders.authority.approve_reinstatement(&brand.act("alice", REQUEST), &lot(), 2))
    }),
    ("a proof of possession", |_| {
        let code = VerificationCode::parse(&"a".repeat(48)).unwrap();
        asking(move |brand| brand.orders.authority.prove_possession(&brand.act("alice", REQUEST), "", &code))
    }),
];

fn approval(brand: &Brand, operator: &'static str) -> Ask {
    let asked = approval_of(operator, &brand.create(1, &draft("po-1", 2)).unwrap());
    asking(move |brand| brand.orders.approve(&brand.act(operator, REQUEST), operator, &asked))
}

fn offered(brand: &Brand) {
    brand.open(1, &draft("po-1", 2));
    brand.offer(4, "po-1", 1, "a1", units(10)).unwrap();
}

fn lot() -> LotId {
    LotId::parse("a1").unwrap()
}

fn records(brand: &Brand) -> usize {
    brand.store.history(Position::from_u64(0), store::MAX_LISTED).unwrap().records.len()
}

#[test]
fn a_request_that_is_met_by_itself_is_answered_alike_and_counts_once() {
    for (what, case) in CASES {
        let world = || {
            let brand = Brand::new();
            let ask = case(&brand);
            (brand, ask)
        };
        let (alone, ask) = world();
        ask(&alone).unwrap();
        let mut moments = 0;
        store::overtaken(
            world,
            |(brand, _)| &brand.store,
            |(brand, ask)| ask(brand),
            |(brand, ask), in_the_middle, at_the_end| {
                let first = in_the_middle.unwrap();
                assert_eq!(at_the_end.as_ref(), Ok(&first), "{what}, after {moments} calls");
                assert_eq!(ask(brand).as_ref(), Ok(&first), "{what}, after {moments} calls");
                assert_eq!(records(brand), records(&alone), "{what}, after {moments} calls");
                moments += 1;
            },
        );
        assert!(moments > 2, "{what}");
    }
}
