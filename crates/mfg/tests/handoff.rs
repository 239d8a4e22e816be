//! The handoff extension, its statement, names, and the bundle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use mfg::handoff::{MAX_LENGTH, MAX_SIGNATURE_LENGTH};
use mfg::subtree::{device_name, handoff_common_name, subtree};
use mfg::{
    Acceptance, Bundle, Consignment, DeviceId, Handoff, Hop, LotId, ManufacturerId, OrderId, ProgramId, Quantity,
    Statement,
};
use pki::{DnsName, PublicKey, Sha256, pem};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData, SigningKey};

fn quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![Just(Quantity::Unlimited), (1u64..=2_147_483_647).prop_map(|count| Quantity::of(count).unwrap())]
}

prop_compose! {
    fn consignment()(
        program in "[a-z0-9]{1,32}", order in "[a-z0-9]{1,32}", from in "[a-z0-9]{1,24}", to in "[a-z0-9]{1,24}",
        lot in "[a-z0-9]{1,24}", quantity in quantity(), hop in 1u8..=6, terms: [u8; 32],
    ) -> Consignment {
        Consignment {
            program: ProgramId::parse(&program).unwrap(),
            order: OrderId::parse(&order).unwrap(),
            from: ManufacturerId::parse(&from).unwrap(),
            to: ManufacturerId::parse(&to).unwrap(),
            lot: LotId::parse(&lot).unwrap(),
            quantity,
            hop: Hop::of(hop).unwrap(),
            terms_digest: Sha256::from_bytes(terms),
        }
    }
}

prop_compose! {
    fn handoff()(
        consignment in consignment(), manifest: Option<[u8; 32]>, key: [u8; 32],
        signature in prop::collection::vec(any::<u8>(), 1..=MAX_SIGNATURE_LENGTH),
    ) -> Handoff {
        Handoff {
            consignment,
            manifest_digest: manifest.map(Sha256::from_bytes),
            acceptance: Acceptance { identity_key_digest: Sha256::from_bytes(key), signature },
        }
    }
}

fn example(quantity: Quantity) -> Handoff {
    Handoff {
        consignment: Consignment {
            program: ProgramId::parse("p").unwrap(),
            order: OrderId::parse("o").unwrap(),
            from: ManufacturerId::parse("x").unwrap(),
            to: ManufacturerId::parse("y").unwrap(),
            lot: LotId::parse("l").unwrap(),
            quantity,
            hop: Hop::of(2).unwrap(),
            terms_digest: Sha256::from_bytes([7; 32]),
        },
        manifest_digest: None,
        acceptance: Acceptance { identity_key_digest: Sha256::from_bytes([8; 32]), signature: vec![9] },
    }
}

/// The octets of an extension, by hand from docs/handoff.asn1.
fn by_hand(middle: &[u8]) -> Vec<u8> {
    let mut content = b"\x02\x01\x01\x0c\x01p\x0c\x01o\x0c\x01x\x0c\x01y\x0c\x01l".to_vec();
    content.extend_from_slice(middle);
    content.extend_from_slice(b"\x04\x20");
    content.extend_from_slice(&[7; 32]);
    content.extend_from_slice(b"\xa1\x25\x04\x20");
    content.extend_from_slice(&[8; 32]);
    content.extend_from_slice(b"\x04\x01\x09");
    let mut out = vec![0x30, u8::try_from(content.len()).unwrap()];
    out.extend_from_slice(&content);
    out
}

#[test]
fn the_octets_are_the_published_ones() {
    let limited = example(Quantity::of(5000).unwrap());
    assert_eq!(limited.to_der(), by_hand(b"\x02\x02\x13\x88\x02\x01\x02"));
    let unlimited = example(Quantity::Unlimited);
    assert_eq!(unlimited.to_der(), by_hand(b"\x02\x01\x02"));
    assert_eq!(Handoff::from_der(&unlimited.to_der()).unwrap(), unlimited);
}

#[test]
fn refusals_are_named() {
    let refused = |octets: &[u8]| Handoff::from_der(octets).unwrap_err().reason();
    assert_eq!(refused(&by_hand(b"\x02\x01\x00\x02\x01\x02")), "QUANTITY_INVALID");
    assert_eq!(refused(&by_hand(b"\x02\x01\x05\x02\x01\x07")), "HOP_INVALID");
    assert_eq!(refused(&by_hand(b"\x02\x01\x00")), "HOP_INVALID");
    assert_eq!(refused(&by_hand(b"\x02\x01\xff\x02\x01\x02")), "HANDOFF_MALFORMED");
    assert_eq!(refused(&by_hand(b"\x02\x02\x00\x05\x02\x01\x02")), "HANDOFF_MALFORMED");
    assert_eq!(refused(&by_hand(b"\x02\x01\x05\x02\x01\x02\x02\x01\x02")), "HANDOFF_MALFORMED");
    assert_eq!(refused(&by_hand(b"")), "HANDOFF_MALFORMED");
    assert_eq!(refused(&vec![0; MAX_LENGTH + 1]), "HANDOFF_MALFORMED");
    let good = by_hand(b"\x02\x01\x05\x02\x01\x02");
    let change = |at: usize, byte| {
        let mut octets = good.clone();
        octets[at] = byte;
        octets
    };
    assert_eq!(refused(&change(4, 2)), "HANDOFF_VERSION_UNKNOWN");
    assert_eq!(refused(&change(7, b'P')), "LABEL_INVALID");
    assert_eq!(refused(&change(5, 0x13)), "HANDOFF_MALFORMED");
    assert_eq!(refused(&[&good[..], &[0]].concat()), "HANDOFF_MALFORMED");
    // The same length in its long form: BER, not DER.
    assert_eq!(refused(&[&[0x30, 0x81, good[1]], &good[2..]].concat()), "HANDOFF_MALFORMED");
}

#[test]
fn an_acceptance_is_for_one_key_and_one_consignment() {
    let (identity, other, lot_key) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let public = |key: &KeyPair| PublicKey::parse(&key.subject_public_key_info()).unwrap();
    let lot_spki = lot_key.subject_public_key_info();
    let consignment = example(Quantity::Unlimited).consignment;
    let statement = Statement::acceptance(&lot_spki, &consignment);
    assert!(statement.to_be_signed().starts_with(b"countersign/acceptance/v1\0\x30"));
    let acceptance = Acceptance {
        identity_key_digest: public(&identity).sha256(),
        signature: identity.sign(statement.to_be_signed()).unwrap(),
    };
    assert!(acceptance.verify(&lot_spki, &consignment, &public(&identity)).is_ok());
    let refused = |spki: &[u8], consignment: &Consignment, key: &KeyPair| {
        acceptance.verify(spki, consignment, &public(key)).unwrap_err().reason()
    };
    assert_eq!(refused(&lot_spki, &consignment, &other), "ACCEPTANCE_INVALID");
    assert_eq!(refused(&other.subject_public_key_info(), &consignment, &identity), "ACCEPTANCE_INVALID");
    // An unlimited hop 2 must not read as a lot of 2 units.
    let limited = Consignment { quantity: Quantity::of(2).unwrap(), ..consignment.clone() };
    assert_eq!(refused(&lot_spki, &limited, &identity), "ACCEPTANCE_INVALID");
}

#[test]
fn names() {
    let base = DnsName::parse("smart-widget.company-x.example").unwrap();
    let (lot, to) = (LotId::parse(&"l".repeat(24)).unwrap(), ManufacturerId::parse(&"m".repeat(24)).unwrap());
    let mut name = subtree(&base, &lot, &to).unwrap();
    assert_eq!(name.as_str(), format!("{lot}.{to}.{base}"));
    let common_name = handoff_common_name(&lot, &to, &name);
    assert_eq!(common_name, format!("{lot}.{to} {}", &Sha256::of(name.as_str().as_bytes()).to_string()[..12]));
    assert!(common_name.len() <= 64);
    let device = DeviceId::parse("SN1").unwrap();
    assert_eq!(device_name(&device, &name).unwrap().as_str(), format!("sn1.{name}"));
    for _ in 0..3 {
        name = subtree(&name, &lot, &to).unwrap();
    }
    assert_eq!(subtree(&name, &lot, &to).unwrap_err().reason(), "DNS_NAME_TOO_LONG");
    assert!(mfg::room::check(&name, 22).is_ok());
    assert_eq!(mfg::room::check(&name, 23).unwrap_err().reason(), "DNS_NAME_TOO_LONG");
}

#[test]
fn bundles() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["x.example".into()]).unwrap().self_signed(&key).unwrap();
    let anchor = pem::encode("CERTIFICATE", certificate.der());
    let spki = pem::encode("PUBLIC KEY", &key.subject_public_key_info());
    let json = serde_json::json!({
        "version": 1,
        "anchors": [anchor],
        "identity_keys": [{"manufacturer": "factory-y", "public_key": spki}],
        "programs": [{"id": "smart-widget", "base_name": "w.example", "oid_arc": "1.3.6.1.4.1.32473"}],
    });
    let bundle = Bundle::parse(json.to_string().as_bytes()).unwrap();
    let again: serde_json::Value = serde_json::from_str(&bundle.to_json().unwrap()).unwrap();
    assert_eq!(again, json);
    let merged = bundle.clone().merge(bundle.clone()).unwrap();
    assert_eq!(merged.to_json().unwrap(), bundle.to_json().unwrap());
    assert_eq!(bundle.identity_keys_of(&ManufacturerId::parse("factory-y").unwrap()).count(), 1);

    let table: [(&str, serde_json::Value, &str); 9] = [
        ("/version", 2.into(), "BUNDLE_VERSION_UNKNOWN"),
        ("/anchors/0", "not pem".into(), "BUNDLE_ANCHOR_INVALID"),
        ("/anchors/0", spki.clone().into(), "BUNDLE_ANCHOR_INVALID"),
        ("/anchors/0", format!("{anchor}{anchor}").into(), "BUNDLE_ANCHOR_INVALID"),
        ("/identity_keys/0/public_key", anchor.clone().into(), "BUNDLE_IDENTITY_KEY_INVALID"),
        ("/identity_keys/0/manufacturer", "Factory".into(), "BUNDLE_MALFORMED"),
        ("/programs/0/base_name", "a..b".into(), "BUNDLE_MALFORMED"),
        ("/programs/0/oid_arc", "2.25.4294967296".into(), "BUNDLE_MALFORMED"),
        ("/programs/0", serde_json::json!({"id": "p"}), "BUNDLE_MALFORMED"),
    ];
    for (at, value, reason) in table {
        let mut bent = json.clone();
        *bent.pointer_mut(at).unwrap() = value;
        assert_eq!(Bundle::parse(bent.to_string().as_bytes()).unwrap_err().reason(), reason, "{at}");
    }
    let mut bent = json.clone();
    bent["more"] = 1.into();
    assert_eq!(Bundle::parse(bent.to_string().as_bytes()).unwrap_err().reason(), "BUNDLE_MALFORMED");
    let mut bent = json.clone();
    bent["identity_keys"].as_array_mut().unwrap().push(serde_json::json!({"manufacturer": "z", "public_key": spki}));
    assert_eq!(Bundle::parse(bent.to_string().as_bytes()).unwrap_err().reason(), "BUNDLE_IDENTITY_KEY_SHARED");
    let mut bent = json.clone();
    let other = serde_json::json!({"id": "smart-widget", "base_name": "v.example", "oid_arc": "1.3.6.1.4.1.32473"});
    bent["programs"].as_array_mut().unwrap().push(other);
    assert_eq!(Bundle::parse(bent.to_string().as_bytes()).unwrap_err().reason(), "BUNDLE_PROGRAM_DIFFERS");
    assert_eq!(Bundle::parse(&vec![b' '; mfg::bundle::MAX_LENGTH + 1]).unwrap_err().reason(), "BUNDLE_TOO_LONG");
}

proptest! {
    #[test]
    fn what_is_written_is_read(handoff in handoff()) {
        let octets = handoff.to_der();
        prop_assert!(octets.len() <= MAX_LENGTH);
        prop_assert_eq!(Handoff::from_der(&octets).unwrap(), handoff);
    }

    #[test]
    fn bent_octets_are_refused_or_are_another_handoff(
        handoff in handoff(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut octets = handoff.to_der();
        let at = at.index(octets.len());
        octets[at] = byte;
        if let Ok(other) = Handoff::from_der(&octets) {
            prop_assert_eq!(other.to_der(), octets.clone());
        }
        octets.truncate(cut.index(octets.len()));
        prop_assert!(Handoff::from_der(&octets).is_err());
    }

    #[test]
    fn noise_never_panics(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Handoff::from_der(&octets).is_err());
        let _ = Bundle::parse(&octets);
    }

    #[test]
    fn different_consignments_are_different_statements(one in consignment(), other in consignment()) {
        let same = Statement::acceptance(b"k", &one) == Statement::acceptance(b"k", &other);
        prop_assert_eq!(same, one == other);
    }
}
