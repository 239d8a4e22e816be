//! Terms: what parses, and what is refused under which name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::LazyLock;

use mfg::terms::{DeviceKeyAlgorithm, Edge, MAX_LENGTH, Party};
use mfg::{
    Bundle, DeviceId, Graph, IdentityKey, LotId, ManufacturerId, OrderCa, Quantity, SignedTerms, Terms, TermsDocument,
    TermsRefusal,
};
use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData, SigningKey};

const TEMPLATE: &str = concat!(
    r#"{"version":1,"order":"po-7","order_version":1,"brand":"company-x","#,
    r#""program":{"id":"smart-widget","base_name":"smart-widget.company-x.example","oid_arc":"1.3.6.1.4.1.32473","#,
    r#""max_device_id_length":32,"max_lot_id_length":24},"#,
    r#""quantity":{"units":5000,"yield_allowance":100},"#,
    r#""graph":[{"from":"company-x","to":"factory-y"},{"from":"factory-y","to":"technician-z"}],"#,
    r#""device_issuers":["technician-z"],"#,
    r#""parties":[{"manufacturer":"factory-y","name":"Factory-Y","identity_keys":["KEY0"]},"#,
    r#"{"manufacturer":"technician-z","name":"Technician-Z","identity_keys":["KEY1"]}],"handoff_key":"p256","device_keys":["p256","rsa2048"],"#,
    r#""validity":{"devices":{"not_before":"2026-01-01T00:00:00Z","not_after":"never"},"#,
    r#""cas":{"not_before":"2026-01-01T00:00:00Z","not_after":"never"}},"#,
    r#""signing_window":{"not_before":"2026-01-01T00:00:00Z","not_after":"2027-01-01T00:00:00Z"},"#,
    r#""rework_cap":2,"replacement_cap":3,"manifest_digest":null,"unlimited_lots":"refused","#,
    r#""name_constraints":"critical"}"#
);

/// Identity keys for as many manufacturers as a test needs; made once, so that terms can be compared.
static KEYS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| (0..8).map(|_| KeyPair::generate().unwrap().subject_public_key_info()).collect());

static TERMS: LazyLock<String> = LazyLock::new(|| {
    TEMPLATE.replace("KEY0", &pki::hex::encode(&KEYS[0])).replace("KEY1", &pki::hex::encode(&KEYS[1]))
});

fn party(id: &str, key: usize) -> Party {
    Party { manufacturer: manufacturer(id), name: id.to_owned(), identity_keys: vec![KEYS[key].clone()] }
}

fn manufacturer(id: &str) -> ManufacturerId {
    ManufacturerId::parse(id).unwrap()
}

fn edge(from: &str, to: &str) -> Edge {
    Edge { from: manufacturer(from), to: manufacturer(to) }
}

fn document() -> TermsDocument {
    Terms::parse(TERMS.as_bytes()).unwrap().document().clone()
}

fn route(document: &mut TermsDocument, names: &[&str]) {
    document.graph = names.windows(2).map(|pair| edge(pair[0], pair[1])).collect();
    document.device_issuers = vec![manufacturer(names.last().unwrap())];
    document.parties = names.iter().skip(1).enumerate().map(|(key, name)| party(name, key)).collect();
}

#[test]
fn the_bytes_are_the_terms() {
    let terms = Terms::parse(TERMS.as_bytes()).unwrap();
    assert_eq!(terms.bytes().as_bytes(), TERMS.as_bytes());
    assert_eq!(terms.digest(), pki::Sha256::of(TERMS.as_bytes()));
    assert_eq!(terms.authorised(), Quantity::of(5100).unwrap());
    assert_eq!(document().check().unwrap(), terms);
}

#[test]
fn another_spelling_is_refused() {
    let spaced = TERMS.replacen(':', ": ", 1);
    let reordered = TERMS.replacen(r#""version":1,"order":"po-7""#, r#""order":"po-7","version":1"#, 1);
    let offset = TERMS.replacen("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.0Z", 1);
    for text in [spaced, reordered, format!("{}\n", *TERMS)] {
        assert_eq!(Terms::parse(text.as_bytes()).unwrap_err().reason(), "TERMS_NOT_CANONICAL", "{text}");
    }
    assert!(Terms::parse(offset.as_bytes()).is_err());
}

#[test]
fn malformed_terms_are_refused() {
    let changes = [
        (r#""version":1"#, r#""version":2"#, "TERMS_VERSION_UNKNOWN"),
        (r#""version":1"#, r#""version":1,"more":1"#, "TERMS_MALFORMED"),
        (r#""version":1"#, r#""version":1,"version":1"#, "TERMS_MALFORMED"),
        ("po-7", "PO-7", "TERMS_MALFORMED"),
        ("32473", "4294967296", "TERMS_MALFORMED"),
        ("5000", "0", "TERMS_MALFORMED"),
        (r#""never""#, r#""soon""#, "TERMS_MALFORMED"),
        ("p256", "p521", "TERMS_MALFORMED"),
        ("null", r#""00""#, "TERMS_MALFORMED"),
        (r#""to":"factory-y"}"#, r#""to":"factory-y","quantity":5}"#, "TERMS_MALFORMED"),
        ("company-x.example", "company_x.example", "TERMS_MALFORMED"),
    ];
    for (from, to, reason) in changes {
        let text = TERMS.replacen(from, to, 1);
        assert_ne!(text, *TERMS);
        assert_eq!(Terms::parse(text.as_bytes()).unwrap_err().reason(), reason, "{to}");
    }
    assert_eq!(Terms::parse(&vec![b' '; MAX_LENGTH + 1]).unwrap_err().reason(), "TERMS_TOO_LONG");
}

type Change = fn(&mut TermsDocument);

#[test]
fn every_rule_across_fields_has_its_refusal() {
    let table: Vec<(&str, Change)> = vec![
        ("ORDER_VERSION_INVALID", |d| d.order_version = 0),
        ("QUANTITY_INVALID", |d| d.quantity.yield_allowance = u32::MAX),
        ("UNLIMITED_NOT_ALLOWED", |d| d.quantity.units = Quantity::Unlimited),
        ("YIELD_ALLOWANCE_INVALID", |d| {
            d.quantity.units = Quantity::Unlimited;
            d.unlimited_lots = mfg::terms::UnlimitedLots::Allowed;
        }),
        ("GRAPH_EMPTY", |d| d.graph.clear()),
        ("GRAPH_TOO_LARGE", |d| d.graph = vec![edge("company-x", "factory-y"); 257]),
        ("GRAPH_EDGE_REPEATED", |d| d.graph.push(edge("company-x", "factory-y"))),
        ("GRAPH_CYCLE", |d| d.graph.push(edge("technician-z", "factory-y"))),
        ("GRAPH_CYCLE", |d| d.graph.push(edge("technician-z", "company-x"))),
        ("GRAPH_CYCLE", |d| d.graph.push(edge("factory-y", "factory-y"))),
        ("GRAPH_UNREACHABLE", |d| d.graph.push(edge("stranger", "technician-z"))),
        ("CHAIN_TOO_DEEP", |d| route(d, &["company-x", "a", "b", "c", "d", "e", "f", "g"])),
        ("DEVICE_ISSUER_INVALID", |d| d.device_issuers.push(manufacturer("stranger"))),
        ("DEVICE_ISSUER_INVALID", |d| d.device_issuers.push(manufacturer("company-x"))),
        ("DEVICE_ISSUER_INVALID", |d| d.device_issuers.push(manufacturer("technician-z"))),
        ("ROUTE_WITHOUT_DEVICE_ISSUER", |d| d.device_issuers.clear()),
        ("ROUTE_WITHOUT_DEVICE_ISSUER", |d| d.graph.push(edge("factory-y", "warehouse"))),
        ("PARTY_INVALID", |d| d.parties.truncate(1)),
        ("PARTY_INVALID", |d| d.parties.push(party("stranger", 2))),
        ("PARTY_INVALID", |d| d.parties.push(party("company-x", 2))),
        ("PARTY_INVALID", |d| d.parties.push(party("factory-y", 2))),
        ("PARTY_INVALID", |d| d.parties[0].identity_keys.clear()),
        ("PARTY_INVALID", |d| d.parties[0].name.clear()),
        ("PARTY_INVALID", |d| d.parties[0].name = "n".repeat(65)),
        ("PARTY_INVALID", |d| d.parties[0].name = "a\nb".into()),
        ("IDENTITY_KEY_INVALID", |d| d.parties[0].identity_keys = vec![vec![0x30, 0]]),
        ("IDENTITY_KEY_SHARED", |d| d.parties[0].identity_keys = d.parties[1].identity_keys.clone()),
        ("MAX_DEVICE_ID_LENGTH_INVALID", |d| d.program.max_device_id_length = 0),
        ("DNS_LABEL_TOO_LONG", |d| d.program.max_device_id_length = 64),
        ("MAX_LOT_ID_LENGTH_INVALID", |d| d.program.max_lot_id_length = 25),
        ("MAX_LOT_ID_LENGTH_INVALID", |d| d.program.max_lot_id_length = 0),
        ("DNS_NAME_TOO_LONG", |d| {
            let long = |c: &str| c.repeat(24);
            route(d, &["company-x", &long("a"), &long("b"), &long("c"), &long("d"), &long("e")]);
        }),
        ("PERIOD_NOT_ORDERED", |d| d.validity.devices.not_after = d.validity.devices.not_before),
        ("PERIOD_NOT_ORDERED", |d| d.signing_window.not_after = d.signing_window.not_before),
        ("VALIDITY_NOT_NESTED", |d| d.validity.cas.not_after = d.signing_window.not_after),
        ("SIGNING_WINDOW_NOT_NESTED", |d| {
            d.validity.cas.not_before = d.validity.devices.not_before;
            d.signing_window.not_before = mfg::terms::TermsTime(pki::UnixTime::new(0));
        }),
        ("DEVICE_KEYS_INVALID", |d| d.device_keys.clear()),
        ("DEVICE_KEYS_INVALID", |d| d.device_keys.push(DeviceKeyAlgorithm::P256)),
    ];
    for (row, (reason, change)) in table.into_iter().enumerate() {
        let mut document = document();
        change(&mut document);
        assert_eq!(document.check().unwrap_err().reason(), reason, "row {row}");
    }
}

#[test]
fn six_hops_fit_if_lot_ids_are_short() {
    let mut document = document();
    route(&mut document, &["company-x", "factory-1", "factory-2", "factory-3", "factory-4", "factory-5", "factory-6"]);
    assert!(document.clone().check().is_err_and(|refusal| refusal.reason() == "DNS_NAME_TOO_LONG"));
    document.program.max_lot_id_length = 8;
    let terms = document.check().unwrap();
    assert!(terms.check_depth(OrderCa::Absent).is_ok());
    assert_eq!(terms.check_depth(OrderCa::Present).unwrap_err().reason(), "CHAIN_TOO_DEEP");
}

#[test]
fn the_last_octet_of_the_longest_name_counts() {
    let mut document = document();
    route(&mut document, &["company-x", "factory-y"]);
    // lot 24 + dot, factory-y 9 + dot: 35 before the base name; device id 32 + dot.
    for (base, fits) in [(253 - 35 - 33, true), (253 - 35 - 33 + 1, false)] {
        let labels = ["a".repeat(60), "b".repeat(60), "c".repeat(30), "d".repeat(base - 153)].join(".");
        document.program.base_name = pki::DnsName::parse(&labels).unwrap();
        assert_eq!(document.clone().check().is_ok(), fits, "{base}");
    }
}

#[test]
fn a_graph_measures_its_routes() {
    let edges = [edge("x", "a"), edge("x", "b"), edge("a", "c"), edge("b", "c"), edge("x", "c"), edge("c", "d")];
    let graph = Graph::new(&manufacturer("x"), &edges).unwrap();
    let hops = |who| graph.remaining_hops(&manufacturer(who));
    assert_eq!([hops("x"), hops("a"), hops("c"), hops("d"), hops("z")], [Some(3), Some(2), Some(1), Some(0), None]);
    let route: Vec<_> = graph.longest_route().into_iter().map(ManufacturerId::as_str).collect();
    assert_eq!(route, ["x", "a", "c", "d"]);
    assert!(graph.may_receive(&manufacturer("b"), &manufacturer("c")).is_ok());
    for (from, to) in [("a", "d"), ("c", "a"), ("z", "a")] {
        assert_eq!(graph.may_receive(&manufacturer(from), &manufacturer(to)).unwrap_err().reason(), "OFF_ROUTE");
    }
}

#[test]
fn offers_and_devices_are_held_to_the_terms() {
    let mut document = document();
    document.program.max_lot_id_length = 4;
    let terms = document.check().unwrap();
    let (x, y, z) = (manufacturer("company-x"), manufacturer("factory-y"), manufacturer("technician-z"));
    let (lot, long) = (LotId::parse("b032").unwrap(), LotId::parse("b0032").unwrap());
    let one = Quantity::of(1).unwrap();
    let reason = |result: Result<(), TermsRefusal>| result.map_err(|refusal| refusal.reason());
    assert_eq!(reason(terms.check_offer(&x, &y, &lot, one)), Ok(()));
    assert_eq!(reason(terms.check_offer(&x, &z, &lot, one)), Err("OFF_ROUTE"));
    assert_eq!(reason(terms.check_offer(&x, &y, &long, one)), Err("LOT_ID_TOO_LONG"));
    assert_eq!(reason(terms.check_offer(&x, &y, &lot, Quantity::Unlimited)), Err("UNLIMITED_NOT_ALLOWED"));
    let device = DeviceId::parse("sn1").unwrap();
    assert_eq!(reason(terms.check_device(&z, &device)), Ok(()));
    assert_eq!(reason(terms.check_device(&y, &device)), Err("DEVICE_ISSUER_NOT_ALLOWED"));
    let device = DeviceId::parse(&"s".repeat(33)).unwrap();
    assert_eq!(reason(terms.check_device(&z, &device)), Err("DEVICE_ID_TOO_LONG"));
}

#[test]
fn only_the_brands_signature_approves() {
    let terms = Terms::parse(TERMS.as_bytes()).unwrap();
    let (brand, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let public = |key: &KeyPair| pki::PublicKey::parse(&key.subject_public_key_info()).unwrap();
    let signature = brand.sign(terms.approval().to_be_signed()).unwrap();
    assert!(terms.verify_approval(&public(&brand), &signature).is_ok());
    let refusal = terms.verify_approval(&public(&other), &signature).unwrap_err();
    assert_eq!(refusal.reason(), "TERMS_APPROVAL_INVALID");
    let mut changed = document();
    changed.order_version = 2;
    assert!(changed.check().unwrap().verify_approval(&public(&brand), &signature).is_err());
    assert!(terms.approval().to_be_signed().starts_with(b"countersign/terms-approval/v1\0\x30"));
}

#[test]
fn signed_terms_are_verified_with_the_bundle() {
    let (brand, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let terms = document().check().unwrap();
    let signature = brand.sign(terms.approval().to_be_signed()).unwrap();
    let bundle = |keys: &[(&str, &KeyPair)]| Bundle {
        identity_keys: keys
            .iter()
            .map(|(id, key)| IdentityKey {
                manufacturer: manufacturer(id),
                public_key: pki::PublicKey::parse(&key.subject_public_key_info()).unwrap(),
            })
            .collect(),
        ..Bundle::default()
    };
    let verify = |signature: &[u8], bundle| SignedTerms::verify(TERMS.as_bytes(), signature, &bundle);
    let signed = verify(&signature, bundle(&[("company-x", &other), ("company-x", &brand)])).unwrap();
    assert_eq!((signed.bytes(), signed.signature()), (TERMS.as_bytes(), signature.as_slice()));
    assert_eq!((signed.terms(), signed.digest()), (&terms, terms.digest()));
    let reason = |result: Result<SignedTerms, TermsRefusal>| result.unwrap_err().reason();
    assert_eq!(reason(verify(&signature, bundle(&[("factory-y", &brand)]))), "BRAND_KEY_UNKNOWN");
    assert_eq!(reason(verify(&signature, bundle(&[("company-x", &other)]))), "TERMS_APPROVAL_INVALID");
    assert_eq!(reason(verify(&[1; 513], bundle(&[("company-x", &brand)]))), "TERMS_APPROVAL_INVALID");
    // An operator's approval of the same terms is not the brand's.
    let operator = mfg::Statement::order_approval(terms.order(), &terms.digest());
    let signature = brand.sign(operator.to_be_signed()).unwrap();
    assert_eq!(reason(verify(&signature, bundle(&[("company-x", &brand)]))), "TERMS_APPROVAL_INVALID");
}

#[test]
fn identity_keys_are_found_by_owner_and_digest() {
    let terms = document().check().unwrap();
    let digest = pki::Sha256::of(&KEYS[0]);
    let key = terms.identity_key(&manufacturer("factory-y"), &digest).unwrap();
    assert_eq!(key.spki(), KEYS[0]);
    assert!(terms.identity_key(&manufacturer("technician-z"), &digest).is_none());
    assert_eq!(terms.party(&manufacturer("factory-y")).unwrap().name, "Factory-Y");
}

proptest! {
    #[test]
    fn mutated_terms_never_panic_and_never_parse_to_other_bytes(at: prop::sample::Index, byte: u8) {
        let mut bytes = TERMS.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(terms) = Terms::parse(&bytes) {
            prop_assert_eq!(terms.bytes().as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn any_edges_make_a_graph_or_a_named_refusal(pairs in prop::collection::vec((0u8..12, 0u8..12), 0..40)) {
        let name = |n: u8| manufacturer(&format!("m{n}"));
        let edges: Vec<_> = pairs.into_iter().map(|(from, to)| Edge { from: name(from), to: name(to) }).collect();
        match Graph::new(&name(0), &edges) {
            Ok(graph) => {
                for Edge { from, to } in &edges {
                    prop_assert!(graph.remaining_hops(from) > graph.remaining_hops(to));
                }
                prop_assert_eq!(Some(graph.longest_route().len() - 1), graph.remaining_hops(&name(0)));
            }
            Err(refusal) => prop_assert!(refusal.reason().starts_with("GRAPH_")),
        }
    }
}
