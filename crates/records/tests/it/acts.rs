//! Facts become units and come back; keys are apart.

use std::collections::BTreeSet;

use api::{RequestId, journal::v1 as journal};
use pki::{CertificateSerial, Sha256};
use prost::Message as _;
use prost::encoding::{WireType, encode_key};
use records::{Act, Caller, commit_one, keys, read, read_at};
use store::{FaultPlan, Key, Store as _, Unit};

use super::{act, fact, lot_key, lot_unit, memory};

/// The field numbers of every fact that the journal knows.
fn fact_numbers() -> Vec<u32> {
    let set = prost_types::FileDescriptorSet::decode(api::FILE_DESCRIPTOR_SET).unwrap();
    let file = set.file.iter().find(|file| file.package() == "countersign.journal.v1").unwrap();
    let record = file.message_type.iter().find(|message| message.name() == "Record").unwrap();
    let facts = record.field.iter().filter(|field| field.oneof_index.is_some());
    facts.map(|field| u32::try_from(field.number()).unwrap()).collect()
}

#[test]
fn every_fact_stands_in_the_journal_under_its_field_number() {
    let numbers = fact_numbers();
    assert!(numbers.len() > 15);
    for number in numbers {
        let mut empty = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut empty);
        empty.push(0);
        let fact = journal::Record::decode(empty.as_slice()).unwrap().fact.unwrap();
        let unit = act(1).unit(fact.clone());
        assert_eq!(u32::from(unit.kind), number);
        assert_eq!(journal::Record::decode(unit.payload.as_slice()).unwrap().fact, Some(fact));
    }
}

#[test]
fn a_record_says_who_did_it_when_and_under_which_request() {
    let store = memory(&FaultPlan::default());
    let committed = commit_one(&store, act(1).unit(fact("b1"))).unwrap().unwrap();
    let own = Act { caller: Caller::service("factory-y"), request: None, ..act(1) };
    let silent = commit_one(&store, own.unit(fact("b2"))).unwrap().unwrap();

    let (record, entry, found) = read_at(&store, committed.position.as_u64()).unwrap();
    assert_eq!((record.position, found), (committed.position, fact("b1")));
    assert_eq!((entry.at, entry.by), (1_800_000_000, act(1).caller.by));
    assert_eq!(entry.request_id, RequestId::from_octets([1; 16]).to_string());
    let (_, entry, _) = read_at(&store, silent.position.as_u64()).unwrap();
    assert_eq!((entry.by.as_str(), entry.request_id.as_str()), ("service", ""));
}

#[test]
fn a_request_without_an_identity_has_no_caller() {
    assert_eq!(Caller::of(&tonic::Request::new(())).unwrap_err().reason(), "PEER_WITHOUT_IDENTITY");
}

#[test]
fn a_payload_that_is_no_record_is_damage_and_never_a_panic() {
    let store = memory(&FaultPlan::default());
    let good = act(1).unit(fact("b1")).payload;
    let mut newer = Vec::new();
    encode_key(12_345, WireType::LengthDelimited, &mut newer);
    newer.push(0);
    let mut hostile = vec![Vec::new(), vec![0xff; 40], newer];
    hostile.extend((0..good.len()).map(|length| good[..length].to_vec()));
    hostile.extend((0..good.len()).map(|at| good.iter().enumerate().map(|(n, o)| o ^ u8::from(n == at)).collect()));
    let mut damaged = 0;
    for payload in hostile {
        let committed = commit_one(&store, Unit { payload, ..Unit::default() }).unwrap().unwrap();
        match read(&store.read(committed.position).unwrap()) {
            // Some changes leave a record, of another lot or moment.
            Ok(_) => {}
            Err(refusal) => {
                damaged += 1;
                assert_eq!(refusal.reason(), "JOURNAL_DAMAGED");
            }
        }
    }
    assert!(damaged > 10, "{damaged}");
}

#[test]
fn a_position_that_holds_no_record_is_refused_by_name() {
    let store = memory(&FaultPlan::default());
    commit_one(&store, act(1).unit(fact("b1"))).unwrap().unwrap();
    for at in [1, 7, u64::MAX] {
        assert_eq!(read_at(&store, at).unwrap_err().reason(), "STORE_NO_SUCH_RECORD");
    }
}

#[test]
fn no_two_things_share_a_key() {
    let id = RequestId::from_octets([1; 16]);
    let digest = Sha256::of(b"a");
    let serial = CertificateSerial::from_bytes(&[1; 16]).unwrap();
    let all: [Key; 12] = [
        keys::request("a", id),
        keys::request("b", id),
        keys::request("a", RequestId::from_octets([2; 16])),
        keys::program("a"),
        keys::manufacturer("a"),
        keys::order("a"),
        keys::lot("a"),
        keys::handoff("a"),
        keys::device("a"),
        keys::public_key(&digest),
        keys::certificate(&serial),
        keys::unit("a"),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert_ne!(keys::lot_chain("a"), keys::lot("a"));
    // Parts are told apart, however they are cut.
    assert_ne!(Key::new("x", &[b"ab", b"c"]), Key::new("x", &[b"a", b"bc"]));
    assert_ne!(Key::new("x", &[b"ab"]), Key::new("xa", &[b"b"]));
}

#[test]
fn a_lot_is_found_by_its_key_after_it_was_recorded() {
    let store = memory(&FaultPlan::default());
    commit_one(&store, lot_unit(&act(1), "b1")).unwrap().unwrap();
    let record = store.get(&lot_key("b1")).unwrap().unwrap();
    assert_eq!(read(&record).unwrap().1, fact("b1"));
    assert!(store.get(&lot_key("b2")).unwrap().is_none());
}
