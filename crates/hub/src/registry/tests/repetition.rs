//! A request that comes again while its first try is under way gets the answer of that, and counts once.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use api::hub::v1::Verification;
use pki::Sha256;
use store::Position;

use super::*;

/// Tries of one request at the same time.
const CLIENTS: usize = 16;

/// One request with its content, as often as it is asked; everything that is answered, in words.
type Ask = Arc<dyn Fn(&Books) -> Result<String, Refusal> + Send + Sync>;

fn asking<T: std::fmt::Debug>(ask: impl Fn(&Books, &Change) -> Result<T, Refusal> + Send + Sync + 'static) -> Ask {
    let change = change();
    Arc::new(move |books| ask(books, &change).map(|told| format!("{told:?}")))
}

fn disabled() -> StatusChange {
    StatusChange { device_id: "d1".to_owned(), status: DeviceStatus::Disabled, why: "lost".to_owned(), etag: None }
}

type Case = (&'static str, fn(&World, &Forge) -> Ask);

/// What is asked about devices, each over what it needs.
const DEVICES: &[Case] = &[
    ("a device", |_, _| asking(|books, change| books.create_device(change, &ca_signed("d1")))),
    ("devices", |_, _| {
        asking(|books, change| {
            books.create_devices(change, &[ca_signed("d1"), ca_signed("d2"), ca_signed("not valid")])
        })
    }),
    ("disabling", |world, _| {
        world.create("d1");
        asking(|books, change| books.set_status(change, &disabled()))
    }),
    ("disabling what was seen", |world, _| {
        let etag = Some(world.create("d1").etag);
        asking(move |books, change| books.set_status(change, &StatusChange { etag: etag.clone(), ..disabled() }))
    }),
    ("deleting", |world, _| {
        world.create("d1");
        asking(|books, change| books.delete_device(change, "d1", None))
    }),
    ("deleting what was seen", |world, _| {
        let etag = world.create("d1").etag;
        asking(move |books, change| books.delete_device(change, "d1", Some(&etag)))
    }),
];

/// What is asked about CA certificates and their keys, each over what it needs.
const CAS: &[Case] = &[
    ("a ca certificate", |_, forge| {
        let new = new_ca("root", &forge.root(), ChainRules::Countersign);
        asking(move |books, change| books.register_ca(change, &new))
    }),
    ("a verification code", |world, forge| {
        let etag = unverified(world, forge);
        asking(move |books, change| books.verification_code(change, "root", &etag))
    }),
    ("a proof of possession", |world, forge| {
        let etag = unverified(world, forge);
        let coded = world.books.verification_code(&change(), "root", &etag).unwrap();
        let proof = forge.proof(&coded.verification_code.unwrap(), &forge.root_key);
        asking(move |books, change| books.verify_ca(change, "root", &coded.etag, &proof))
    }),
    ("other rules", |world, forge| {
        let etag = world.trust("root", &forge.root(), ChainRules::Countersign).etag;
        asking(move |books, change| {
            books.update_ca(change, "root", &etag, ChainRules::Plain, FirstConnect::Unspecified)
        })
    }),
    ("forgetting a ca certificate", |world, forge| {
        let etag = world.trust("root", &forge.root(), ChainRules::Countersign).etag;
        asking(move |books, change| books.delete_ca(change, "root", &etag))
    }),
    ("disabling a ca key", |_, _| asking(|books, change| books.disable_ca_key(change, &Sha256::of(b"key"), "stolen"))),
    ("enabling a ca key", |world, _| {
        world.books.disable_ca_key(&change(), &Sha256::of(b"key"), "stolen").unwrap();
        asking(|books, change| books.enable_ca_key(change, &Sha256::of(b"key")))
    }),
];

fn unverified(world: &World, forge: &Forge) -> String {
    let new =
        NewCa { verification: Verification::Unverified, ..new_ca("root", &forge.root(), ChainRules::Countersign) };
    world.books.register_ca(&change(), &new).unwrap().etag
}

fn over(case: fn(&World, &Forge) -> Ask, forge: &Forge) -> (World, Ask) {
    let world = World::new();
    let ask = case(&world, forge);
    (world, ask)
}

fn records(world: &World) -> usize {
    world.store.history(Position::from_u64(0), store::MAX_LISTED).unwrap().records.len()
}

#[test]
fn a_change_of_devices_that_is_met_by_itself_is_answered_alike_and_counts_once() {
    let forge = Forge::new();
    for (what, case) in DEVICES {
        let (alone, ask) = over(*case, &forge);
        ask(&alone.books).unwrap();
        let mut moments = 0;
        store::overtaken(
            || over(*case, &forge),
            |(world, _)| &world.store,
            |(world, ask)| ask(&world.books),
            |(world, ask), in_the_middle, at_the_end| {
                let first = in_the_middle.unwrap();
                assert_eq!(at_the_end.as_ref(), Ok(&first), "{what}, after {moments} calls");
                assert_eq!(ask(&world.books).as_ref(), Ok(&first), "{what}, after {moments} calls");
                assert_eq!(records(world), records(&alone), "{what}, after {moments} calls");
                moments += 1;
            },
        );
        assert!(moments > 2, "{what}");
    }
}

/// Whoever changes a CA holds a lock meanwhile, so that none comes in the middle of another.
#[test]
fn tries_of_one_change_that_race_are_answered_alike_and_count_once() {
    let forge = Forge::new();
    for (what, case) in DEVICES.iter().chain(CAS) {
        let (alone, ask) = over(*case, &forge);
        ask(&alone.books).unwrap();
        let (world, ask) = over(*case, &forge);
        let start = Barrier::new(CLIENTS);
        let mut told: Vec<_> = thread::scope(|scope| {
            let try_ = || {
                start.wait();
                ask(&world.books).unwrap()
            };
            let tries: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(try_)).collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        told.dedup();
        assert_eq!(told.len(), 1, "{what}: {told:?}");
        assert_eq!(records(&world), records(&alone), "{what}");
    }
}
