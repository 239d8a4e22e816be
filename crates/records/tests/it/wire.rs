//! Between the domain and the wire, both ways, with what strangers may send.

use api::custody::v1 as custody;
use bytes::Bytes;
use mfg::{Acceptance, Consignment, Hop, LotId, ManufacturerId, Movement, OrderId, ProgramId, Quantity, Tally};
use pki::{DnsName, Sha256, UnixTime};
use records::wire::{self, Facts};

fn facts(quantity: Quantity, hop: u8, manifest: Option<Sha256>) -> Facts {
    Facts {
        consignment: Consignment {
            program: ProgramId::parse("smart-widget").unwrap(),
            order: OrderId::parse("po-1").unwrap(),
            from: ManufacturerId::parse("company-x").unwrap(),
            to: ManufacturerId::parse("factory-y").unwrap(),
            lot: LotId::parse("b0032").unwrap(),
            quantity,
            hop: Hop::of(hop).unwrap(),
            terms_digest: Sha256::of(b"terms"),
        },
        manifest_digest: manifest,
        subtree: DnsName::parse("b0032.factory-y.smart-widget.company-x.example").unwrap(),
    }
}

fn sample() -> Facts {
    facts(Quantity::of(5000).unwrap(), 1, Some(Sha256::of(b"manifest")))
}

#[test]
fn every_kind_of_facts_survives_the_wire() {
    for quantity in [Quantity::of(1).unwrap(), Quantity::of(i32::MAX as u64).unwrap(), Quantity::Unlimited] {
        for (hop, manifest) in [(1, None), (6, Some(Sha256::of(b"m")))] {
            let here = facts(quantity, hop, manifest);
            assert_eq!(wire::read_facts("facts", Some(&wire::facts(&here))), Ok(here));
        }
    }
}

#[test]
fn hostile_facts_are_refused_by_name() {
    let hostile = ["", "A", "a.b", "-a", "a-", "ä", "a\0", "../x", &"a".repeat(100_000)];
    type Change = fn(&mut custody::HandoffFacts, String);
    let ids: [Change; 5] = [
        |f, text| f.program = text,
        |f, text| f.order = text,
        |f, text| f.from = text,
        |f, text| f.to = text,
        |f, text| f.lot = text,
    ];
    let refused = |change: &dyn Fn(&mut custody::HandoffFacts)| {
        let mut facts = wire::facts(&sample());
        change(&mut facts);
        let refusal = wire::read_facts("facts", Some(&facts)).unwrap_err();
        assert!(refusal.message().len() <= api::MAX_MESSAGE);
        refusal.reason()
    };
    for text in hostile {
        for change in ids {
            assert_eq!(refused(&|f| change(f, text.to_owned())), "LABEL_INVALID", "{text:.20}");
        }
    }
    for hop in [0, 7, 255, 256, 257, u32::MAX] {
        assert_eq!(refused(&|f| f.hop = hop), "HOP_INVALID", "{hop}");
    }
    for octets in [0, 31, 33, 10_000] {
        let digest = Bytes::from(vec![1; octets]);
        assert_eq!(refused(&|f| f.terms_digest = digest.clone()), "REQUEST_MALFORMED");
        assert_eq!(refused(&|f| f.manifest_digest = Some(digest.clone())), "REQUEST_MALFORMED");
    }
    for name in ["", ".", "a..b", "A.example", "*.example", "a b.example", &"a.".repeat(200)] {
        assert_eq!(refused(&|f| f.subtree = name.to_owned()), "REQUEST_MALFORMED", "{name:.20}");
    }
    assert_eq!(refused(&|f| f.quantity = None), "REQUEST_MALFORMED");
    assert_eq!(wire::read_facts("facts", None).unwrap_err().reason(), "REQUEST_MALFORMED");
}

#[test]
fn a_quantity_is_stated_and_within_its_bounds() {
    let units = |n| custody::Quantity { amount: Some(custody::quantity::Amount::Units(n)) };
    let read = |quantity: &custody::Quantity| wire::read_quantity("quantity", Some(quantity)).map_err(|r| r.reason());
    for wrong in [0, 1 << 31, u32::MAX] {
        assert_eq!(read(&units(wrong)), Err("QUANTITY_INVALID"), "{wrong}");
    }
    assert_eq!(read(&units((1 << 31) - 1)), Ok(Quantity::of((1 << 31) - 1).unwrap()));
    // Absent is not unlimited, and not zero.
    assert_eq!(read(&custody::Quantity { amount: None }), Err("REQUEST_MALFORMED"));
    assert_eq!(wire::read_quantity("quantity", None).unwrap_err().reason(), "REQUEST_MALFORMED");
    assert_eq!(read(&wire::quantity(Quantity::Unlimited)), Ok(Quantity::Unlimited));
}

#[test]
fn a_tally_on_the_wire_keeps_the_law() {
    let tally = Tally::open(Quantity::of(10).unwrap());
    let tally = [Movement::Reserve(4), Movement::HandOver(3), Movement::Provision, Movement::Provision]
        .into_iter()
        .fold(tally, |tally, movement| tally.apply(movement).unwrap());
    let told = wire::tally(&tally);
    assert_eq!((told.provisioned, told.handed_over, told.reserved, told.scrapped), (2, 3, 1, 0));
    assert_eq!((told.remaining, told.closed), (Some(4), false));
    let unlimited = wire::tally(&Tally::open(Quantity::Unlimited).apply(Movement::Provision).unwrap());
    assert_eq!((unlimited.remaining, unlimited.provisioned), (None, 1));
    assert_eq!(unlimited.received, Some(wire::quantity(Quantity::Unlimited)));
}

#[test]
fn an_acceptance_survives_the_wire_and_needs_a_whole_digest() {
    let acceptance = Acceptance { identity_key_digest: Sha256::of(b"key"), signature: vec![7; 70] };
    let told = wire::acceptance(&acceptance);
    assert_eq!(wire::read_acceptance("acceptance", Some(&told)), Ok(acceptance));
    for octets in [0, 31, 33] {
        let cut = custody::Acceptance { identity_key_digest: Bytes::from(vec![1; octets]), ..told.clone() };
        assert_eq!(wire::read_acceptance("acceptance", Some(&cut)).unwrap_err().reason(), "REQUEST_MALFORMED");
    }
    assert_eq!(wire::read_acceptance("acceptance", None).unwrap_err().reason(), "REQUEST_MALFORMED");
}

#[test]
fn times_of_strangers_are_times_and_never_a_panic() {
    let at = |seconds, nanos| wire::read_timestamp(&prost_types::Timestamp { seconds, nanos });
    assert_eq!(at(1_800_000_000, 999_999_999), UnixTime::new(1_800_000_000));
    for seconds in [i64::MIN, -1, 0, i64::MAX] {
        for nanos in [i32::MIN, -1, i32::MAX] {
            assert!(at(seconds, nanos).to_string().contains('T'));
        }
    }
    let now = UnixTime::new(1_800_000_000);
    assert_eq!(wire::read_timestamp(&wire::timestamp(now)), now);
}
