//! A request that comes again while its first try is under way gets the answer of that, wherever in its course it is met, and counts once.

use std::{sync::Arc, thread};

use api::{custody::v1::Reinstatement, handoff::v1::GetOfferResponse};
use bytes::Bytes;
use issuance::SigningKey as _;
use mfg::Statement;
use records::wire;
use store::{Position, Store as _};
use tokio::runtime::Handle;

use super::*;
use crate::{close::close, units};

/// One request with its content, as often as it is asked; what is answered, and how the lot stands then, in words.
type Ask = Arc<dyn Fn(&Factory) -> Result<String, Refusal> + Send + Sync>;

/// The request id of what is asked.
const REQUEST: u8 = 77;

fn asking<T: std::fmt::Debug>(ask: impl Fn(&Factory) -> Result<T, Refusal> + Send + Sync + 'static) -> Ask {
    Arc::new(move |factory| {
        let told = ask(factory)?;
        Ok(format!("{told:?} {:?}", factory.lot(LOT)))
    })
}

/// Work that waits for a sender, from wherever it is asked for.
fn waited_for<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = Handle::current();
    thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join().unwrap())
}

fn received(factory: &Factory) {
    waited_for(factory.receive(1, LOT)).unwrap();
}

/// The offer as a file.
fn carried(factory: &Factory) -> GetOfferResponse {
    let mut offer = factory.sender.books().offer(LOT);
    let expires_at = time("2026-06-02T00:00:00Z");
    let handoff = offer.handoff.as_mut().unwrap();
    handoff.expires_at = Some(wire::timestamp(expires_at));
    let consignment = wire::read_facts("facts", handoff.facts.as_ref()).unwrap().consignment;
    let statement = Statement::offer(&consignment, u64::try_from(expires_at.as_secs()).unwrap());
    offer.identity_key_digest = wire::digest(&KEYS.brand.public_key().sha256());
    offer.signature = Bytes::from(KEYS.brand.sign(statement.to_be_signed()).unwrap());
    offer
}

/// The sender lets two units come back.
fn permission(factory: &Factory) -> Reinstatement {
    let certificate = Sha256::of(&factory.lot(LOT).unwrap().chain[0]);
    let statement = Statement::reinstatement(&certificate, 1, 2);
    Reinstatement {
        lot: LOT.to_owned(),
        certificate_sha256: wire::digest(&certificate),
        ordinal: 1,
        units: 2,
        identity_key_digest: wire::digest(&KEYS.brand.public_key().sha256()),
        signature: Bytes::from(KEYS.brand.sign(statement.to_be_signed()).unwrap()),
    }
}

type Case = (&'static str, fn(&Factory) -> Ask);

/// Everything that is asked about a lot, each over what it needs.
const CASES: &[Case] = &[
    ("receiving", |_| asking(|factory| waited_for(factory.receive(REQUEST, LOT)))),
    ("accepting a file", |factory| {
        let offer = carried(factory);
        asking(move |factory| factory.receiver.accept_file(&factory.act(REQUEST), offer.clone()))
    }),
    ("opening by a file", |factory| {
        let acceptance = factory.receiver.accept_file(&factory.act(1), carried(factory)).unwrap();
        let answer = factory.sender.books().answer(&acceptance);
        asking(move |factory| factory.receiver.open_file(&factory.act(REQUEST), &lot(LOT), answer.clone()))
    }),
    ("scrapping blanks", |factory| {
        received(factory);
        asking(|factory| units::scrap_blanks(&factory.receiver, &factory.act(REQUEST), &lot(LOT), 3, "warped"))
    }),
    ("bringing scrapped units back", |factory| {
        received(factory);
        units::scrap_blanks(&factory.receiver, &factory.act(2), &lot(LOT), 2, "warped").unwrap();
        let permission = permission(factory);
        asking(move |factory| {
            units::reinstate(&factory.receiver, &factory.act(REQUEST), &lot(LOT), &permission, 2, &[])
        })
    }),
    ("closing", |factory| {
        received(factory);
        asking(|factory| close(&factory.receiver, &factory.act(REQUEST), &lot(LOT)))
    }),
];

fn records(factory: &Factory) -> usize {
    factory.store.history(Position::from_u64(0), store::MAX_LISTED).unwrap().records.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_met_by_itself_is_answered_alike_and_counts_once() {
    for (what, case) in CASES {
        let world = || {
            let factory = Factory::new();
            let ask = case(&factory);
            (factory, ask)
        };
        let (alone, ask) = world();
        ask(&alone).unwrap();
        let runtime = Handle::current();
        let mut moments = 0;
        store::overtaken(
            world,
            |(factory, _)| &factory.store,
            move |(factory, ask)| {
                let _within = runtime.enter();
                ask(factory)
            },
            |(factory, ask), in_the_middle, at_the_end| {
                let first = in_the_middle.unwrap();
                assert_eq!(at_the_end.as_ref(), Ok(&first), "{what}, after {moments} calls");
                assert_eq!(ask(factory).as_ref(), Ok(&first), "{what}, after {moments} calls");
                assert_eq!(records(factory), records(&alone), "{what}, after {moments} calls");
                assert_eq!(factory.key_files().len(), alone.key_files().len(), "{what}, after {moments} calls");
                moments += 1;
            },
        );
        assert!(moments > 2, "{what}");
    }
}
