use std::sync::Arc;

use mfg::{Movement, Quantity, Remaining};
use pki::Sha256;
use store::{Conflict, Position, Rule, Store, Unit};

use crate::support::{completing, intent, key, listed, moving, names, one, opening, payload, unit};

type S = Arc<dyn Store>;

pub fn empty(store: S) {
    assert_eq!(store.head().position, Position::from_u64(0));
    assert!(store.commit(Vec::new()).unwrap().is_empty());
    assert_eq!(store.get(&key("a")).unwrap(), None);
    assert!(store.list("c", None, 10).unwrap().is_empty());
    assert_eq!(store.tally(&key("lot")).unwrap(), None);
    assert!(store.open_intents().unwrap().is_empty());
    let page = store.history(Position::from_u64(0), 10).unwrap();
    assert!(page.records.is_empty());
    assert_eq!(page.next, page.head.position);
}

pub fn absent(store: S) {
    let first = one(&*store, unit("1", &[("a", Rule::Absent)])).unwrap();
    assert!(first.receipt.is_none());
    let again = one(&*store, unit("2", &[("a", Rule::Absent)]));
    assert_eq!(again.unwrap_err(), Conflict::KeyTaken { key: key("a"), at: first.position });
    assert_eq!(payload(&*store, "a").unwrap(), "1");
}

pub fn compare_and_set(store: S) {
    let missing = one(&*store, unit("0", &[("a", Rule::At(Position::from_u64(0)))]));
    assert_eq!(missing.unwrap_err(), Conflict::KeyMoved { key: key("a"), at: None });
    let first = one(&*store, unit("1", &[("a", Rule::Absent)])).unwrap();
    let second = one(&*store, unit("2", &[("a", Rule::At(first.position))])).unwrap();
    assert!(second.position > first.position);
    let late = one(&*store, unit("3", &[("a", Rule::At(first.position))]));
    assert_eq!(late.unwrap_err(), Conflict::KeyMoved { key: key("a"), at: Some(second.position) });
    assert_eq!(payload(&*store, "a").unwrap(), "2");
}

pub fn unchanged(store: S) {
    let first = one(&*store, unit("1", &[("a", Rule::Absent)])).unwrap();
    let relying = unit("2", &[("a", Rule::Unchanged(first.position)), ("b", Rule::Absent)]);
    let second = one(&*store, relying.clone()).unwrap();
    assert_eq!(payload(&*store, "a").unwrap(), "1");
    let record = store.read(second.position).unwrap();
    assert_eq!((record.keys, record.relied_on), (vec![key("b")], vec![key("a")]));
    one(&*store, unit("3", &[("a", Rule::Any)])).unwrap();
    assert_eq!(one(&*store, relying).unwrap_err().reason(), "KEY_MOVED");
    let none = one(&*store, unit("4", &[("nothing", Rule::Unchanged(first.position))]));
    assert_eq!(none.unwrap_err().reason(), "KEY_MOVED");
}

pub fn any(store: S) {
    assert_eq!(store.last().unwrap(), None);
    one(&*store, unit("1", &[("a", Rule::Any), ("b", Rule::Any)])).unwrap();
    one(&*store, unit("2", &[("a", Rule::Any)])).unwrap();
    assert_eq!((payload(&*store, "a").unwrap(), payload(&*store, "b").unwrap()), ("2".into(), "1".into()));
    let newest = store.read(store.last().unwrap().unwrap()).unwrap();
    assert_eq!((newest.payload, newest.chain), (b"2".to_vec(), store.head().chain));
}

pub fn refused_changes_nothing(store: S) {
    one(&*store, unit("1", &[("taken", Rule::Absent)])).unwrap();
    one(&*store, opening("lot", 1)).unwrap();
    let head = store.head();
    let mut refused = unit("2", &[("free", Rule::Absent), ("taken", Rule::Absent)]);
    refused.moves = moving("lot", Movement::Provision).moves;
    refused.entry = listed("c", "n", "").entry;
    assert!(one(&*store, refused).is_err());
    let mut overdrawn = unit("3", &[("free", Rule::Absent)]);
    overdrawn.moves = moving("lot", Movement::Reserve(2)).moves;
    assert_eq!(one(&*store, overdrawn).unwrap_err().reason(), "QUANTITY_SPENT");
    assert_eq!(store.head(), head);
    assert_eq!(payload(&*store, "free"), None);
    assert!(store.list("c", None, 10).unwrap().is_empty());
    assert_eq!(store.tally(&key("lot")).unwrap().unwrap().remaining(), Remaining::Units(1));
}

pub fn units_of_one_call(store: S) {
    let call = vec![
        unit("1", &[("a", Rule::Absent)]),
        unit("2", &[("a", Rule::Absent)]),
        opening("lot", 2),
        moving("lot", Movement::Provision),
        moving("lot", Movement::Provision),
        moving("lot", Movement::Provision),
        unit("3", &[("b", Rule::Absent)]),
    ];
    let answers = store.commit(call).unwrap();
    let reasons: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(Conflict::reason)).collect();
    assert_eq!(reasons, [None, Some("KEY_TAKEN"), None, None, None, Some("QUANTITY_SPENT"), None]);
    let Err(Conflict::KeyTaken { at, .. }) = &answers[1] else { panic!("not taken") };
    assert_eq!(*at, answers[0].as_ref().unwrap().position);
    assert_eq!(payload(&*store, "b").unwrap(), "3");
}

pub fn tallies(store: S) {
    let lot = key("lot");
    assert_eq!(one(&*store, moving("lot", Movement::Provision)).unwrap_err(), Conflict::NoSuchLot { lot });
    one(&*store, opening("lot", 10)).unwrap();
    assert_eq!(one(&*store, opening("lot", 10)).unwrap_err().reason(), "LOT_ALREADY_OPEN");
    // Several movements of one unit, and of several lots.
    let mut both = moving("lot", Movement::Reserve(4));
    both.moves.extend(moving("lot", Movement::HandOver(3)).moves);
    both.moves.extend(moving("other", Movement::Open(Quantity::Unlimited)).moves);
    both.moves.extend(moving("other", Movement::Provision).moves);
    let committed = one(&*store, both).unwrap();
    let tally = store.tally(&lot).unwrap().unwrap();
    assert_eq!((tally.handed_over(), tally.reserved(), tally.remaining()), (3, 1, Remaining::Units(6)));
    assert_eq!(store.tally(&key("other")).unwrap().unwrap().provisioned(), 1);
    let record = store.read(committed.position).unwrap();
    assert_eq!(record.tallies.len(), 2);
    assert_eq!(record.tallies[0], (lot, tally));
    // A unit is whole: its first movement fits, its second does not.
    let mut partly = moving("lot", Movement::Provision);
    partly.moves.extend(moving("lot", Movement::Reserve(6)).moves);
    assert!(one(&*store, partly).is_err());
    assert_eq!(store.tally(&lot).unwrap().unwrap(), tally);
}

pub fn intents(store: S) {
    let plain = one(&*store, unit("plain", &[])).unwrap();
    assert_eq!(one(&*store, completing(plain.position)).unwrap_err(), Conflict::NotOpen { position: plain.position });
    let first = one(&*store, intent("first")).unwrap();
    let second = one(&*store, intent("second")).unwrap();
    assert_eq!(store.open_intents().unwrap(), [first.position, second.position]);
    let result = one(&*store, completing(first.position)).unwrap();
    assert_eq!(store.read(result.position).unwrap().completes, Some(first.position));
    assert_eq!(store.open_intents().unwrap(), [second.position]);
    assert_eq!(one(&*store, completing(first.position)).unwrap_err().reason(), "INTENT_NOT_OPEN");
    let twice = store.commit(vec![completing(second.position), completing(second.position)]).unwrap();
    assert!(twice[0].is_ok() && twice[1].is_err());
    // A result may itself be an intent.
    let third = one(&*store, intent("third")).unwrap();
    let both = Unit { intent: Some(Sha256::of(b"fourth")), ..completing(third.position) };
    let fourth = one(&*store, both).unwrap();
    assert_eq!(store.open_intents().unwrap(), [fourth.position]);
}

pub fn receipts(store: S) {
    let committed = one(&*store, intent("tbs")).unwrap();
    let receipt = committed.receipt.unwrap();
    assert_eq!(receipt.position(), committed.position);
    assert!(receipt.covers(&Sha256::of(b"tbs")));
    assert!(!receipt.covers(&Sha256::of(b"other")));
    let again = store.receipt(committed.position).unwrap();
    assert!(again.covers(&Sha256::of(b"tbs")) && !again.covers(&Sha256::of(b"other")));
    one(&*store, completing(committed.position)).unwrap();
    assert_eq!(store.receipt(committed.position).unwrap_err().reason(), "INTENT_NOT_OPEN");
    let plain = one(&*store, unit("plain", &[])).unwrap();
    assert_eq!(store.receipt(plain.position).unwrap_err().reason(), "INTENT_NOT_OPEN");
}

pub fn listing(store: S) {
    for (collection, name, payload) in
        [("c", "b", "1"), ("c", "a", "2"), ("d", "a", "3"), ("c", "", "4"), ("cc", "z", "5"), ("c", "b", "6")]
    {
        one(&*store, listed(collection, name, payload)).unwrap();
    }
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, payload)| ((*name).into(), (*payload).into())).collect()
    };
    assert_eq!(names(&*store, "c", None, 10), own(&[("", "4"), ("a", "2"), ("b", "6")]));
    assert_eq!(names(&*store, "c", None, 2), own(&[("", "4"), ("a", "2")]));
    assert_eq!(names(&*store, "c", Some(""), 1), own(&[("a", "2")]));
    assert_eq!(names(&*store, "c", Some("a"), 10), own(&[("b", "6")]));
    assert_eq!(names(&*store, "c", Some("b"), 10), own(&[]));
    assert_eq!(names(&*store, "d", None, 10), own(&[("a", "3")]));
    assert_eq!(names(&*store, "", None, 10), own(&[]));
}

pub fn records(store: S) {
    let payload: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
    let full = Unit {
        kind: 65535,
        payload: payload.clone(),
        intent: Some(Sha256::of(b"x")),
        entry: listed("c", "ü", "").entry,
        ..unit("", &[("a", Rule::Absent), ("b", Rule::Any)])
    };
    let committed = one(&*store, full.clone()).unwrap();
    let record = store.read(committed.position).unwrap();
    assert_eq!((record.kind, &record.payload), (65535, &payload));
    assert_eq!(record.keys, [key("a"), key("b")]);
    assert_eq!((record.intent, record.completes, &record.entry), (full.intent, None, &full.entry));
    assert_eq!(store.get(&key("b")).unwrap().unwrap(), record);
    assert_eq!(store.head().chain, record.chain);
    // Nothing at all is a record, too.
    let nothing = one(&*store, Unit::default()).unwrap();
    assert!(store.read(nothing.position).unwrap().payload.is_empty());
}

pub fn history(store: S) {
    let units: Vec<_> = (0..25).map(|n| unit(&n.to_string(), &[])).collect();
    let positions: Vec<_> = store.commit(units).unwrap().into_iter().map(|unit| unit.unwrap().position).collect();
    let mut from = Position::from_u64(0);
    let mut read = Vec::new();
    loop {
        let page = store.history(from, 10).unwrap();
        read.extend(page.records);
        from = page.next;
        if from == page.head.position {
            assert_eq!(read.last().unwrap().chain, page.head.chain);
            break;
        }
    }
    assert_eq!(read.iter().map(|record| record.position).collect::<Vec<_>>(), positions);
    assert_eq!(store.history(positions[20], 2).unwrap().next, positions[22]);
    assert!(store.history(positions[3], 0).unwrap().records.is_empty());
    assert!(read.windows(2).all(|pair| pair[0].chain != pair[1].chain));
}

pub fn wrong_positions(store: S) {
    one(&*store, unit("one", &[])).unwrap();
    let two = one(&*store, unit("two", &[])).unwrap();
    for wrong in [1, two.position.as_u64() - 1, two.position.as_u64() + 1, store.head().position.as_u64(), u64::MAX] {
        let wrong = Position::from_u64(wrong);
        assert_eq!(store.read(wrong).unwrap_err().reason(), "STORE_NO_SUCH_RECORD");
        assert_eq!(store.receipt(wrong).unwrap_err().reason(), "INTENT_NOT_OPEN");
        if wrong != store.head().position {
            assert_eq!(store.history(wrong, 5).unwrap_err().reason(), "STORE_NO_SUCH_RECORD");
        }
    }
    // It did not take that for damage.
    one(&*store, unit("three", &[])).unwrap();
}

pub fn bounds(store: S) {
    let head = store.head();
    let too_large = Unit { payload: vec![0; store::MAX_UNIT_BYTES], ..Unit::default() };
    assert_eq!(store.commit(vec![Unit::default(), too_large]).unwrap_err().reason(), "UNIT_TOO_LARGE");
    let claims = unit("", &[("a", Rule::Any); 257]);
    assert_eq!(store.commit(vec![claims]).unwrap_err().reason(), "UNIT_TOO_LARGE");
    let too_many = vec![Unit::default(); store::MAX_UNITS + 1];
    assert_eq!(store.commit(too_many).unwrap_err().reason(), "TOO_MANY_UNITS");
    assert_eq!(store.head(), head);
    let large = Unit { payload: vec![7; store::MAX_UNIT_BYTES - (64 << 10)], ..unit("", &[("a", Rule::Any); 256]) };
    let committed = one(&*store, large).unwrap();
    assert_eq!(store.read(committed.position).unwrap().payload.len(), store::MAX_UNIT_BYTES - (64 << 10));
}
