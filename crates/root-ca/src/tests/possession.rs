//! The brand's CA proves that its key is held: on record before it is signed, the same to every repetition, without any order.

use api::RequestId;
use authority::complete_open_intents;
use bytes::Bytes;
use mfg::VerificationCode;
use pki::{Certificate, hex};
use store::Step;

use super::{order_ca, *};

fn code(digit: &str) -> VerificationCode {
    VerificationCode::parse(&digit.repeat(48)).unwrap()
}

fn prove(brand: &Brand, request: u8, digit: &str) -> Result<Bytes, Refusal> {
    brand.orders.authority.prove_possession(&brand.act("alice", request), "", &code(digit))
}

#[test]
fn the_root_proves_itself_before_there_is_any_order_and_answers_a_repetition_with_the_same_bytes() {
    let mut brand = Brand::empty();
    let proof = prove(&brand, 1, "a").unwrap();
    let certificate = Certificate::parse(&proof).unwrap();
    assert_eq!(certificate.subject().common_names(), [code("a").to_string()]);
    assert_eq!(certificate.issuer(), KEYS.anchor.subject());
    assert_eq!(brand.orders.authority.signing_ca("").unwrap(), KEYS.anchor.der());
    assert_eq!(prove(&brand, 1, "a").unwrap(), proof);
    brand.start_again();
    brand.clock.advance(10 * 86_400);
    assert_eq!(prove(&brand, 1, "a").unwrap(), proof, "for ever, also when it is good for nothing any more");
    assert_ne!(prove(&brand, 2, "a").unwrap(), proof, "another request is another proof");
    assert_eq!(reason(prove(&brand, 1, "b")), "REQUEST_ID_REUSED");
}

#[test]
fn what_is_signed_is_on_record_first_and_found_by_its_serial() {
    let brand = Brand::empty();
    let proof = Certificate::parse(&prove(&brand, 1, "a").unwrap()).unwrap();
    let record = brand.store.get(&records::keys::certificate(proof.serial())).unwrap().unwrap();
    let (entry, fact) = records::read(&record).unwrap();
    assert_eq!(entry.by, "spiffe://company-x.example/company-x/operator/alice");
    let api::journal::v1::record::Fact::PossessionSigned(signed) = fact else { panic!("{fact:?}") };
    let (_, entry, fact) = records::read_at(brand.store.as_ref(), signed.intent_at).unwrap();
    let api::journal::v1::record::Fact::PossessionIntent(intent) = fact else { panic!("{fact:?}") };
    assert_eq!((intent.tbs.as_ref(), intent.code), (proof.tbs(), code("a").to_string()));
    assert_eq!(entry.request_id, RequestId::from_octets([1; 16]).to_string());
}

#[test]
fn a_proof_that_stopped_anywhere_is_never_signed_or_completed_over_the_same_bytes() {
    // That it is intended, and that it is signed.
    for (commit, step) in (0..2).flat_map(|commit| {
        [Step::BeforeAppend, Step::TornAppend, Step::DiskFull, Step::BeforeSync, Step::Sync, Step::AfterSync]
            .map(|step| (commit, step))
    }) {
        let mut brand = Brand::empty();
        brand.faults.fail_after(step, commit);
        // A disk that was full for a moment only lets what is on record be completed at once.
        assert_eq!(prove(&brand, 1, "a").is_ok(), (commit, step) == (1, Step::DiskFull), "{step:?} in {commit}");
        brand.start_again();
        let open = brand.store.open_intents().unwrap();
        let tbs = open.first().map(|at| {
            let (_, _, fact) = records::read_at(brand.store.as_ref(), at.as_u64()).unwrap();
            let api::journal::v1::record::Fact::PossessionIntent(intent) = fact else { panic!("{fact:?}") };
            intent.tbs
        });
        complete_open_intents(&brand.orders.authority).unwrap();
        let proof = Certificate::parse(&prove(&brand, 1, "a").unwrap()).unwrap();
        if let Some(tbs) = tbs {
            assert_eq!(hex::encode(proof.tbs()), hex::encode(&tbs), "{step:?} in {commit}");
        }
        assert_eq!(brand.store.open_intents().unwrap(), []);
    }
}

#[test]
fn a_proof_that_another_key_was_to_sign_is_void_on_record() {
    let mut brand = Brand::empty();
    brand.faults.fail_after(Step::AfterSync, 0);
    assert!(prove(&brand, 1, "a").is_err());
    brand.start_again();
    let (certificate, key) = order_ca::order_ca("smart-widget.company-x.example", 5);
    let root =
        DeviceRoot { chain: vec![certificate.clone()], order_ca: OrderCa::Present, key, ..root_of(Stage::Development) };
    let brand = brand.under(root);
    complete_open_intents(&brand.orders.authority).unwrap();
    assert_eq!(reason(prove(&brand, 1, "a")), "POSSESSION_PROOF_VOIDED");
    let proof = Certificate::parse(&prove(&brand, 2, "a").unwrap()).unwrap();
    assert_eq!(proof.issuer(), certificate.subject(), "the order CA proves itself in the root's place");
}

#[test]
fn a_root_ca_has_one_ca_whatever_its_orders_are_called() {
    let brand = Brand::new();
    brand.open(1, &draft("po-1", 1));
    let act = brand.act("alice", 9);
    assert_eq!(reason(brand.orders.authority.prove_possession(&act, "po-1", &code("a"))), "REQUEST_MALFORMED");
    assert_eq!(reason(brand.orders.authority.signing_ca("po-1")), "REQUEST_MALFORMED");
    let other = brand.offer(9, "po-1", 1, "a1", units(5));
    other.unwrap();
    assert_eq!(reason(prove(&brand, 9, "a")), "REQUEST_ID_REUSED", "an offer had this id");
}

#[test]
fn a_ca_that_has_expired_is_known_and_proves_nothing() {
    let brand = Brand::empty();
    brand.clock.set(time("2024-06-01T00:00:00Z"));
    assert_eq!(reason(prove(&brand, 1, "a")), "ISSUER_EXPIRED");
    let early = brand.under(root_of(Stage::Development));
    assert!(prove(&early, 2, "a").is_err());
    assert_eq!(early.orders.authority.signing_ca("").unwrap(), KEYS.anchor.der());
}
