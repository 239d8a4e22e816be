//! `inspect` on files: what is told of each kind, under which names, and what never is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, net::IpAddr};

use issuance::{KeyKind, Passphrase, SoftwareKey, SystemEntropy, make_csr};
use mfg::{
    Acceptance, Consignment, Generation, Handoff, Hop, LotId, ManufacturerId, OidArc, OrderId, ProgramId, Quantity,
};
use pki::{Sha256, pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType, SerialNumber,
};

use super::*;

/// Inspects a file with this content, as the command does.
fn inspect(content: &[u8]) -> Result<Finding, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, content).unwrap();
    let args = InspectArgs { file, password_file: None, output: Output::Json };
    find(&args, &read_file(&args.file).unwrap())
}

fn json_of(content: &[u8]) -> Value {
    as_json(&inspect(content).unwrap())
}

/// The names of the first thing's facts.
fn names(found: &Value) -> BTreeSet<&str> {
    found["facts"][0].as_object().unwrap().keys().map(String::as_str).collect()
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

fn subject(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn ca(common_name: &str) -> CertificateParams {
    let mut params = subject(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn extension(oid: &str, content: &[u8], critical: bool) -> CustomExtension {
    let arcs: Vec<u64> = oid.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut extension = CustomExtension::from_oid_content(&arcs, content.to_vec());
    extension.set_criticality(critical);
    extension
}

fn self_signed(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn handoff() -> Vec<u8> {
    let consignment = Consignment {
        program: ProgramId::parse("smart-widget").unwrap(),
        order: OrderId::parse("po-1").unwrap(),
        from: ManufacturerId::parse("company-x").unwrap(),
        to: ManufacturerId::parse("factory-y").unwrap(),
        lot: LotId::parse("b0032").unwrap(),
        quantity: Quantity::of(5000).unwrap(),
        hop: Hop::FIRST,
        terms_digest: Sha256::of(b"terms"),
    };
    let acceptance = Acceptance { identity_key_digest: Sha256::of(b"key"), signature: vec![1; 70] };
    Handoff { consignment, manifest_digest: None, acceptance }.to_der()
}

/// A handoff CA and a device certificate below it, both with private extensions under `arc`; the device's also under another.
fn lot_and_device(arc: &OidArc, other: &OidArc) -> (Vec<u8>, Vec<u8>) {
    let mut lot = ca("lot");
    lot.custom_extensions = vec![extension(&arc.handoff().to_string(), &handoff(), false)];
    let lot_key = KeyPair::generate().unwrap();
    let lot_certificate = lot.self_signed(&lot_key).unwrap();
    let mut device = subject("sn1");
    device.custom_extensions = vec![
        extension(&arc.generation().to_string(), &Generation::of(3).unwrap().to_der(), false),
        extension(&other.generation().to_string(), &Generation::of(9).unwrap().to_der(), false),
    ];
    let issuer = Issuer::new(lot, lot_key);
    let device = device.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    (lot_certificate.der().to_vec(), device.der().to_vec())
}

#[test]
fn an_extension_that_is_not_known_is_listed_with_its_oid_criticality_and_length() {
    let mut params = ca("Root");
    params.custom_extensions =
        vec![extension("1.3.6.1.4.1.99999.7", &[4, 3, 1, 2, 3], true), extension("2.5.29.32.9", &[5, 0], false)];
    let found = json_of(&self_signed(&params));
    let expected = json!([
        { "oid": "1.3.6.1.4.1.99999.7", "critical": true, "length": 5 },
        { "oid": "2.5.29.32.9", "critical": false, "length": 2 },
    ]);
    assert_eq!(found["facts"][0]["other_extensions"], expected);
    let words = in_words(&inspect(&self_signed(&params)).unwrap());
    assert!(words.contains("critical yes, length 5, oid 1.3.6.1.4.1.99999.7"), "{words}");
}

#[test]
fn a_generation_is_read_under_the_documentation_arc_in_a_certificate_alone() {
    let other = OidArc::parse("1.3.6.1.4.1.55555").unwrap();
    let (lot, device) = lot_and_device(&OidArc::documentation(), &other);
    let device = json_of(&device);
    assert_eq!(device["facts"][0]["generation"], 3);
    assert_eq!(device["facts"][0]["other_extensions"][0]["oid"], other.generation().to_string());
    assert_eq!(json_of(&lot)["facts"][0]["generation"], Value::Null);
}

#[test]
fn a_generation_is_read_under_the_arc_that_the_chain_says() {
    let program = OidArc::parse("1.3.6.1.4.1.55555").unwrap();
    let (lot, device) = lot_and_device(&program, &OidArc::documentation());
    let chain = [&device, &lot].map(|der| pem::encode(pem::CERTIFICATE, der)).concat();
    let chain = json_of(chain.as_bytes());
    assert_eq!((&chain["kind"], &chain["facts"][0]["generation"]), (&json!("chain"), &json!(3)));
    assert_eq!(chain["facts"][1]["oid_arc"], "1.3.6.1.4.1.55555");
    assert_eq!(chain["facts"][1]["handoff"], "hop 1: company-x -> factory-y, lot b0032, 5000 units");
    // Alone it cannot tell whose arc that is: both are listed, and only the documentation arc's is read.
    let alone = json_of(&device);
    assert_eq!(alone["facts"][0]["generation"], 9);
    assert_eq!(alone["facts"][0]["other_extensions"][0]["oid"], program.generation().to_string());
}

#[test]
fn a_generation_in_a_ca_certificate_is_an_extension_like_any_other() {
    let mut params = ca("Root");
    let arc = OidArc::documentation();
    params.custom_extensions = vec![extension(&arc.generation().to_string(), &Generation::FIRST.to_der(), false)];
    let found = json_of(&self_signed(&params));
    assert_eq!(found["facts"][0]["generation"], Value::Null);
    assert_eq!(found["facts"][0]["other_extensions"][0]["oid"], arc.generation().to_string());
}

#[test]
fn every_kind_of_alternative_name_is_named() {
    let mut params = subject("service");
    params.subject_alt_names = vec![
        SanType::DnsName("sn1.example".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse::<IpAddr>().unwrap()),
        SanType::IpAddress("2001:db8::1".parse::<IpAddr>().unwrap()),
        SanType::URI("spiffe://x.example/x/hub".try_into().unwrap()),
        SanType::Rfc822Name("a@b.example".try_into().unwrap()),
    ];
    let names = json!([
        "DNS sn1.example",
        "IP 192.0.2.7",
        "IP 2001:db8::1",
        "URI spiffe://x.example/x/hub",
        "email a@b.example"
    ]);
    assert_eq!(json_of(&self_signed(&params))["facts"][0]["names"], names);
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let csr = json_of(csr.der());
    assert_eq!(csr["facts"][0]["asks_for_names"], names);
    assert_eq!(csr["facts"][0]["asks_for_extensions"][0]["oid"], "2.5.29.17");
}

#[test]
fn what_a_certificate_says_does_not_steer_the_terminal() {
    let mut params = subject("service");
    params.subject_alt_names = vec![SanType::URI("x:\u{1b}[2J\u{7}".try_into().unwrap())];
    let words = in_words(&inspect(&self_signed(&params)).unwrap());
    assert!(!words.chars().any(|c| c.is_control() && c != '\n') && words.contains("\\u{1b}[2J"), "{words}");
}

#[test]
fn certificates_that_do_not_follow_from_each_other_are_no_chain() {
    let two =
        [self_signed(&ca("One")), self_signed(&ca("Two"))].map(|der| pem::encode(pem::CERTIFICATE, &der)).concat();
    let found = json_of(two.as_bytes());
    assert_eq!(found["kind"], "certificates");
    assert_eq!(found["facts"].as_array().unwrap().len(), 2);
    assert_eq!(found["facts"][0]["signed_by_the_next"], "no: another issuer is named");
}

#[test]
fn a_file_with_several_kinds_of_blocks_tells_each() {
    let key = key();
    let text = [
        pem::encode(pem::CERTIFICATE, &self_signed(&ca("One"))),
        pem::encode(pem::CERTIFICATE, &self_signed(&ca("Two"))),
        pem::encode(pem::PRIVATE_KEY, &key.to_pkcs8().unwrap()),
        pem::encode(pem::CERTIFICATE_REQUEST, &make_csr(&key, "sn1").unwrap()),
    ];
    let found = json_of(text.concat().as_bytes());
    let parts: Vec<&str> = found["facts"].as_array().unwrap().iter().map(|f| f["part"].as_str().unwrap()).collect();
    assert_eq!(found["kind"], "several");
    assert_eq!(parts, ["certificates", "certificates", "private_key", "request"]);
}

#[test]
fn a_revocation_list_tells_what_it_revokes_and_since_when() {
    let at = |text: &str| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    let entry = |serial: u64, day: &str, reason| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: at(day),
        reason_code: reason,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: at("2026-01-03T00:00:00Z"),
        next_update: at("2026-02-03T00:00:00Z"),
        crl_number: SerialNumber::from(258_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![
            entry(9, "2026-01-02T00:00:00Z", Some(RevocationReason::KeyCompromise)),
            entry(5, "2026-01-01T00:00:00Z", None),
        ],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&Issuer::new(ca("Root"), KeyPair::generate().unwrap())).unwrap();
    let found = json_of(list.der());
    let expected = json!([
        { "certificate_serial": "05", "at": "2026-01-01T00:00:00Z", "reason": "not stated" },
        { "certificate_serial": "09", "at": "2026-01-02T00:00:00Z", "reason": "keyCompromise" },
    ]);
    assert_eq!(found["facts"][0]["revoked_certificates"], expected);
    assert_eq!((&found["facts"][0]["revoked"], &found["facts"][0]["number"]), (&json!(2), &json!("0102")));
    let fields = "extensions issuer issuer_key_id next_update number revoked revoked_certificates this_update";
    assert_eq!((&found["kind"], names(&found)), (&json!("crl"), fields.split(' ').collect()));
    assert_eq!(found, json_of(pem::encode(pem::X509_CRL, list.der()).as_bytes()));
}

/// Whether any eight octets of a secret stand in a text, in hexadecimal or in base64.
fn shows(text: &str, secret: &[u8]) -> bool {
    let base64: String = pem::encode("X", secret).lines().filter(|line| !line.starts_with('-')).collect();
    let pieces = |of: &str| of.as_bytes().windows(16).any(|w| text.contains(std::str::from_utf8(w).unwrap()));
    pieces(&pki::hex::encode(secret)) || pieces(&base64)
}

#[test]
fn a_private_key_is_named_and_never_printed() {
    let key = key();
    let pkcs8 = key.to_pkcs8().unwrap();
    for content in [pkcs8.to_vec(), pem::encode(pem::PRIVATE_KEY, &pkcs8).into_bytes()] {
        let found = inspect(&content).unwrap();
        assert_eq!(found.kind, Kind::PrivateKey);
        // The secret scalar of P-256 in its PKCS#8; the public key behind it may be shown.
        let secret = pkcs8.get(36..68).unwrap();
        assert!(!shows(&as_json(&found).to_string(), secret) && !shows(&in_words(&found), secret));
    }
    for label in ["EC PRIVATE KEY", "RSA PRIVATE KEY"] {
        let found = inspect(pem::encode(label, &pkcs8).as_bytes()).unwrap();
        assert_eq!((found.kind, names(&as_json(&found)).len()), (Kind::PrivateKey, 2));
        assert!(!shows(&as_json(&found).to_string(), &pkcs8));
    }
}

#[test]
fn an_encrypted_key_is_named_and_neither_opened_nor_printed() {
    let sealed = key().to_encrypted_pkcs8(&Passphrase::new("1234"), &SystemEntropy).unwrap();
    for content in [sealed.clone(), pem::encode(pem::ENCRYPTED_PRIVATE_KEY, &sealed).into_bytes()] {
        let found = inspect(&content).unwrap();
        assert_eq!(found.kind, Kind::EncryptedPrivateKey);
        let found = as_json(&found);
        assert_eq!(names(&found), BTreeSet::from(["encryption", "key_octets"]));
        assert_eq!(found["facts"][0]["encryption"], "PBES2");
        assert!(!shows(&found.to_string(), &sealed));
    }
    for length in 0..sealed.len() {
        assert!(inspect(&sealed[..length]).is_err(), "{length}");
    }
    assert!(inspect(pem::encode(pem::ENCRYPTED_PRIVATE_KEY, b"no key").as_bytes()).is_err());
}

#[test]
fn the_names_of_json_are_the_same_for_every_file_of_a_kind() {
    let key = key();
    let mut lot = ca("lot");
    lot.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("b0032.example".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    lot.custom_extensions = vec![extension(&OidArc::documentation().handoff().to_string(), &handoff(), false)];
    let csr = make_csr(&key, "sn1").unwrap();
    let certificate =
        "certificate_serial issuer issuer_key_id key key_id key_sha256 may sha256 subject valid_from valid_until";
    let lot_fields =
        format!("{certificate} accepted_with_key handoff may_name_under name_constraints oid_arc order terms_digest");
    let request =
        "asks_for_extensions asks_for_names asks_for_subject asks_to_be_a_CA key key_sha256 possession what_is_copied";
    let bundle = br#"{"version":1,"anchors":[],"identity_keys":[],"programs":[]}"#;
    let cases: [(Vec<u8>, &str, &str); 5] = [
        (self_signed(&ca("Root")), "certificate", certificate),
        (self_signed(&lot), "certificate", &lot_fields),
        (csr, "request", request),
        (issuance::SigningKey::public_key(&key).spki().to_vec(), "public_key", "key key_sha256"),
        (bundle.to_vec(), "bundle", "identity_keys programs trust_anchors"),
    ];
    for (content, kind, fields) in cases {
        let found = json_of(&content);
        assert_eq!((found["kind"].as_str(), names(&found)), (Some(kind), fields.split(' ').collect()));
    }
}

/// A pfx with the demo's password: a key and these certificates.
fn pfx(key: &[u8], certificates: &[Vec<u8>]) -> Vec<u8> {
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    let certificates = certificates.iter().map(|der| Certificate::from_der(der).unwrap()).collect::<Vec<_>>();
    let chain = PrivateKeyChain::new(b"id".as_slice(), PrivateKey::from_der(key).unwrap(), certificates);
    let mut store = KeyStore::new();
    store.add_entry("device", KeyStoreEntry::PrivateKeyChain(chain));
    store.writer("1234").write().unwrap()
}

#[test]
fn a_pfx_tells_its_chain_and_whether_its_key_fits_and_not_the_key() {
    let pair = KeyPair::generate().unwrap();
    let root = ca("Root");
    let certificate = root.self_signed(&pair).unwrap().der().to_vec();
    for (secret, said) in [
        (pair.serialize_der(), "belongs to the first certificate"),
        (KeyPair::generate().unwrap().serialize_der(), "does not belong to the first certificate"),
    ] {
        let found = json_of(&pfx(&secret, std::slice::from_ref(&certificate)));
        assert_eq!((&found["kind"], &found["facts"][1]["private_key"]), (&json!("pfx"), &json!(said)));
        assert!(!shows(&found.to_string(), &secret[36..68]));
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, password_file) = (folder.path().join("device.pfx"), folder.path().join("password"));
    std::fs::write(&password_file, "another").unwrap();
    let args = InspectArgs { file, password_file: Some(password_file), output: Output::Json };
    let refused = find(&args, &pfx(&pair.serialize_der(), &[certificate])).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("PASSPHRASE_WRONG"), "{refused}");
}

#[test]
fn what_is_nothing_known_or_cut_short_is_refused() {
    let csr = make_csr(&key(), "sn1").unwrap();
    for length in 0..csr.len() {
        assert!(inspect(&csr[..length]).is_err(), "{length}");
    }
    for text in ["", "hello", "-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n", "{\"version\":1}"] {
        assert!(inspect(text.as_bytes()).is_err(), "{text}");
    }
}
