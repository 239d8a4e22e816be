//! Journals that end in the middle: what was intended is signed over the same bytes, or voided on record.

use std::time::Duration;

use api::{
    RequestId,
    custody::v1::HandoffState,
    journal::v1::{HandoffIntent, HandoffOffered, record::Fact},
};
use authority::{AcceptOrder, complete_open_intents};
use bytes::Bytes;
use issuance::{SigningKey as _, SoftwareKey, make_csr};
use mfg::{Acceptance, DeviceId, LotId, Movement};
use pki::{Certificate, Sha256};
use records::{Caller, commit_one, keys, wire};
use store::{Claim, Rule, Step, Store as _, TallyMove, Unit};

use super::world::{House, ORDER, consignment, key, maker, reason, terms_digest};

const STEPS: [Step; 5] = [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync];

fn device(house: &House, id: &str) -> Certificate {
    let issued = house.authority.device(&DeviceId::parse(id).unwrap()).unwrap();
    Certificate::parse(&issued.certificate).unwrap()
}

#[tokio::test]
async fn a_device_certificate_is_one_whatever_broke_before_it_was_answered() {
    // Two commits make a certificate: the intent, and the result.
    for commit in 0..2 {
        for step in STEPS {
            let mut factory = House::factory();
            let device_key = key();
            factory.faults.fail_after(step, commit);
            assert_eq!(reason(factory.issue(1, "sn1", &device_key).await), "STORE_STOPPED", "{step:?} in {commit}");
            factory.start_again(true);
            let open = factory.store.open_intents().unwrap().len();
            assert_eq!(complete_open_intents(&factory.authority).unwrap(), open, "{step:?} in {commit}");
            assert_eq!(factory.store.open_intents().unwrap(), [], "{step:?} in {commit}");
            assert_eq!(complete_open_intents(&factory.authority).unwrap(), 0);

            let intended = commit == 1 || step == Step::AfterSync;
            assert_eq!(factory.tally().provisioned(), u64::from(intended), "{step:?} in {commit}");
            let completed = intended.then(|| device(&factory, "sn1"));
            let issued = factory.issue(1, "sn1", &device_key).await.unwrap();
            let issued = Certificate::parse(&issued.certificate).unwrap();
            assert!(completed.is_none_or(|completed| completed == issued), "{step:?} in {commit}");
            assert_eq!(issued.public_key(), device_key.public_key());
            assert_eq!(factory.tally().provisioned(), 1, "{step:?} in {commit}");
        }
    }
}

#[tokio::test]
async fn a_completion_signs_the_very_bytes_that_were_recorded() {
    let mut factory = House::factory();
    factory.faults.fail_after(Step::BeforeSync, 1);
    assert_eq!(reason(factory.issue(1, "sn1", &key()).await), "STORE_STOPPED");
    factory.start_again(true);
    let at = factory.store.open_intents().unwrap()[0];
    let record = factory.store.read(at).unwrap();
    complete_open_intents(&factory.authority).unwrap();
    assert_eq!(record.intent, Some(Sha256::of(device(&factory, "sn1").tbs())));
}

#[tokio::test]
async fn a_completion_that_breaks_is_completed_by_the_next_start() {
    for step in STEPS {
        let mut factory = House::factory();
        factory.faults.fail_after(Step::BeforeSync, 1);
        assert_eq!(reason(factory.issue(1, "sn1", &key()).await), "STORE_STOPPED");
        factory.start_again(true);
        factory.faults.fail_next(step);
        assert_eq!(reason(complete_open_intents(&factory.authority)), "STORE_STOPPED", "{step:?}");
        factory.start_again(true);
        let left = complete_open_intents(&factory.authority).unwrap();
        assert_eq!(left, usize::from(step != Step::AfterSync), "{step:?}");
        assert_eq!(factory.tally().provisioned(), 1, "{step:?}");
        device(&factory, "sn1");
    }
}

#[tokio::test]
async fn an_intent_that_cannot_be_signed_is_voided_and_its_unit_comes_back() {
    let mut factory = House::factory();
    let device_key = key();
    factory.faults.fail_after(Step::BeforeSync, 1);
    assert_eq!(reason(factory.issue(1, "sn1", &device_key).await), "STORE_STOPPED");
    factory.start_again(false);
    assert_eq!(factory.tally().provisioned(), 1);
    assert_eq!(complete_open_intents(&factory.authority).unwrap(), 1);
    assert_eq!((factory.tally().provisioned(), factory.store.open_intents().unwrap().len()), (0, 0));

    // The key file is put back: a retry ends, and what it gets is the device's only certificate.
    factory.start_again(true);
    let retry = factory.issue(1, "sn1", &device_key);
    let issued = tokio::time::timeout(Duration::from_secs(20), retry).await.expect("a retry ends").unwrap();
    assert_eq!(Certificate::parse(&issued.certificate).unwrap(), device(&factory, "sn1"));
    assert_eq!(factory.tally().provisioned(), 1);
}

/// An offer that was accepted, and not signed: the journal as a crash leaves it.
fn accepted(brand: &House, lot: &str) -> (Sha256, SoftwareKey) {
    let base = brand.authority.lots.get(ORDER).unwrap().subtree.clone();
    let subtree = mfg::subtree::subtree(&base, &LotId::parse(lot).unwrap(), &maker("factory-y")).unwrap();
    let facts = wire::Facts { consignment: consignment(lot, 10, terms_digest()), manifest_digest: None, subtree };
    let expires_at = brand.authority.now().as_secs() + 86_400;
    let offered = HandoffOffered { facts: Some(wire::facts(&facts)), source: ORDER.to_owned(), expires_at };
    let tally = keys::lot(ORDER);
    let unit = Unit {
        claims: vec![Claim { key: keys::handoff(lot), rule: Rule::Absent }],
        moves: vec![TallyMove { lot: tally, movement: Movement::Reserve(10) }],
        ..brand.act(1).unit(Fact::HandoffOffered(offered))
    };
    let offered_at = commit_one(brand.store.as_ref(), unit).unwrap().unwrap().position;
    let (draft, lot_key) = brand.draft(lot, 10);
    let intent = HandoffIntent {
        offered_at: offered_at.as_u64(),
        lot: lot.to_owned(),
        key_digest: wire::digest(&lot_key.public_key().sha256()),
        tbs: Bytes::copy_from_slice(draft.tbs()),
        profile_digest: wire::digest(&draft.profile_hash()),
        ..HandoffIntent::default()
    };
    let unit = Unit {
        claims: vec![Claim { key: keys::handoff(lot), rule: Rule::At(offered_at) }],
        moves: vec![TallyMove { lot: tally, movement: Movement::HandOver(10) }],
        intent: Some(draft.tbs_digest()),
        ..brand.act(2).unit(Fact::HandoffIntent(intent))
    };
    commit_one(brand.store.as_ref(), unit).unwrap().unwrap();
    (draft.tbs_digest(), lot_key)
}

#[test]
fn an_accepted_handoff_is_signed_at_the_next_start_over_the_same_bytes() {
    let mut brand = House::brand();
    let (intended, _) = accepted(&brand, "a1");
    assert_eq!(brand.authority.handoff("factory-y", "a1").unwrap().state(), HandoffState::Accepted);
    brand.start_again(true);
    assert_eq!(complete_open_intents(&brand.authority).unwrap(), 1);
    let handoff = brand.authority.handoff("factory-y", "a1").unwrap();
    assert_eq!(handoff.state(), HandoffState::Signed);
    let certificate = Certificate::parse(&handoff.certificate.unwrap()).unwrap();
    assert_eq!(Sha256::of(certificate.tbs()), intended);
    assert_eq!((brand.tally().handed_over(), brand.tally().reserved()), (10, 0));
    assert_eq!(complete_open_intents(&brand.authority).unwrap(), 0);
}

#[test]
fn an_accepted_handoff_that_cannot_be_signed_stays_spent() {
    let mut brand = House::brand();
    let (_, lot_key) = accepted(&brand, "a1");
    brand.start_again(false);
    assert_eq!(complete_open_intents(&brand.authority).unwrap(), 1);
    assert_eq!(brand.store.open_intents().unwrap(), []);
    // The receiver has countersigned: only people can tell what was built.
    assert_eq!((brand.tally().handed_over(), brand.tally().provisioned()), (10, 0));

    assert_eq!(brand.authority.handoff("factory-y", "a1").unwrap().state(), HandoffState::Voided);
    let caller = Caller { manufacturer: "factory-y".to_owned(), by: "spiffe://factory.example/factory-y/x".to_owned() };
    let acceptance = Acceptance { identity_key_digest: Sha256::of(b"any"), signature: vec![1] };
    let csr = Bytes::from(make_csr(&lot_key, "a1").unwrap());
    let order = AcceptOrder { lot: LotId::parse("a1").unwrap(), csr, acceptance };
    let again = brand.authority.act(caller, RequestId::from_octets([2; 16]));
    assert_eq!(reason(brand.authority.accept(&again, &order)), "HANDOFF_VOIDED");
    assert_eq!(brand.tally().handed_over(), 10);
}

#[test]
fn an_open_unit_that_is_no_intent_stops_the_start() {
    let brand = House::brand();
    let fact = Fact::ProgramCreated(api::program::v1::Program::default());
    let unit = Unit { intent: Some(Sha256::of(b"anything")), ..brand.act(1).unit(fact) };
    commit_one(brand.store.as_ref(), unit).unwrap().unwrap();
    assert_eq!(reason(complete_open_intents(&brand.authority)), "JOURNAL_DAMAGED");
    assert_eq!(brand.store.open_intents().unwrap().len(), 1);
}
